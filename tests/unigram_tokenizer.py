"""A small tokenizer of the kind of XLM-RoBERTa's, with SentencePiece's own table of characters."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from kinprint.server.embed.default_model.tokenizer_file import charsmap

_WORDS = (
    "the of and to in is that it was for on are with as at be this have from or by one had not but what all were when "
    "we there can an your which their said if do will each about how up out them then she many some so these would "
    "other into has more her two like him see time could no make than first been its who now people my made over did "
    "down only way find use may water long little very after words called just where most know"
)


def document(**model: Any) -> dict[str, Any]:
    """`tokenizer.json`, with parts of its model replaced."""
    pieces: list[tuple[str, float]] = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    singles = [
        chr(code) for code in (*range(0x21, 0x7F), *range(0xC0, 0x180), *range(0x400, 0x460), *range(0x5D0, 0x5EB))
    ]
    singles += [
        *"\u2581é你好世界中文。，！？のはがを각나다\u0301\u094d\u0915\u0937\u0939\u093f\u0928\u200d\ufe0f👨👩🇩🇪🏽★①"
    ]
    for rank, char in enumerate(dict.fromkeys(singles)):
        pieces.append((char, -6.0 - 0.013 * rank))
    more = [
        "你好",
        "世界",
        "你好世界",
        "中文",
        "👨\u200d👩",
        "क्ष",
        "<mask>x",
        "ab",
        "abc",
        "bc",
        "\u2581ab",
        "''",
        "...",
        "\u2581<s",
    ]
    for rank, word in enumerate([*_WORDS.split(), *more]):
        pieces += [(f"\u2581{word}", -4.1 - 0.037 * rank)] if word.isascii() and word[0].isalpha() else []
        pieces.append((word, -5.3 - 0.041 * rank))
    pieces = list({piece: (piece, score) for piece, score in pieces}.values())
    pieces.append(("<mask>", 0.0))
    special = {0: "<s>", 1: "<pad>", 2: "</s>", 3: "<unk>", len(pieces) - 1: "<mask>"}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": content,
                "single_word": False,
                "lstrip": content == "<mask>",
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, content in special.items()
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": metaspace,
        "post_processor": None,
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False, **model},
    }


def write(path: Path, written: dict[str, Any]) -> Path:
    """Write a document to `path`."""
    path.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    return path
