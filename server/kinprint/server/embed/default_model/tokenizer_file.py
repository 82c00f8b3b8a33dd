"""`tokenizer.json` of the default model: XLM-RoBERTa's SentencePiece unigram model in Hugging Face's format.

Pieces and scores come from the packed weights. The character normalisation `nmt_nfkc` is SentencePiece's own
precompiled table, taken from the installed `sentencepiece` package.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from kinprint.server.embed.default_model.pack import Pack
from sentencepiece import SentencePieceNormalizer, sentencepiece_model_pb2
from tokenizers import normalizers

CHARSMAP_SHA256 = "1e2c7b43d3ee9755ceaa2ac335e253d8703604e0249ee1e81156c92b46423844"

_SURROGATES = range(0xD800, 0xE000)
_ZERO_WIDTH_JOINER = 0x200D


class CharsmapError(RuntimeError):
    """The installed `sentencepiece` normalises characters differently from the model's training."""


def charsmap() -> bytes:
    """SentencePiece's precompiled `nmt_nfkc` table.

    Raises:
        CharsmapError: it is not the table that the model was trained with.
    """
    # The generated module's classes are made at import, out of a type checker's sight.
    proto: Any = vars(sentencepiece_model_pb2)["ModelProto"]()
    proto.ParseFromString(SentencePieceNormalizer(rule_name="nmt_nfkc").serialized_model_proto())
    table = bytes(proto.normalizer_spec.precompiled_charsmap)
    found = hashlib.sha256(table).hexdigest()
    if found != CHARSMAP_SHA256:
        raise CharsmapError(
            f"the nmt_nfkc table of the installed sentencepiece has SHA-256 {found}, "
            f"expected {CHARSMAP_SHA256}; install sentencepiece 0.2.x"
        )
    return table


def disagreements(pack: Pack, table: bytes) -> list[int]:
    """Code points that `table` normalises differently from the pack's own map.

    The zero-width joiner is left out: SentencePiece keeps it for emoji sequences, the pack's map drops it.
    """
    normalizer = normalizers.Precompiled(table)
    return [
        code_point
        for code_point, target in pack.character_map.items()
        if code_point not in _SURROGATES
        and code_point not in (0, _ZERO_WIDTH_JOINER)
        and normalizer.normalize_str(chr(code_point)) != "".join(map(chr, target))
    ]


def tokenizer_json(pack: Pack, table: bytes) -> bytes:
    """The file's bytes: UTF-8 JSON, no truncation and no padding (the loader windows the tokens itself)."""
    last = len(pack.pieces) - 1
    config = pack.config
    specials = {
        config.bos: "<s>",
        config.pad: "<pad>",
        config.eos: "</s>",
        config.unk: "<unk>",
        last: "<mask>",
    }
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    start, end, separator = _special("<s>"), _special("</s>"), _special("</s>")
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(index, specials[index]) for index in sorted(specials)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode("ascii")},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, _sequence("A"), end],
            "pair": [start, _sequence("A"), separator, separator, _sequence("B"), end],
            "special_tokens": {
                token: {"id": token, "ids": [index], "tokens": [token]}
                for token, index in (("<s>", config.bos), ("</s>", config.eos))
            },
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": config.unk,
            "vocab": [[piece, float(score)] for piece, score in zip(pack.pieces, pack.scores, strict=True)],
            "byte_fallback": False,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _added_token(index: int, content: str) -> dict[str, Any]:
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": content == "<mask>",
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _special(token: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": 0}}


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}
