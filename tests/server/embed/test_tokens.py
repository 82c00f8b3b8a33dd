"""Tokens of many texts, against the library's own."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import unigram_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.embed import pool
from kinprint.kernels.embed import tokens as kernel
from kinprint.kernels.embed.sentences import sentences
from kinprint.kernels.turn import calling_thread
from kinprint.server.embed.default_model.build import cache_directory
from kinprint.server.embed.tokens import FastTokenizer
from tokenizers import Tokenizer

CASES = (
    "",
    " ",
    "  \n",
    "the people said that it was the first time",
    " a  b\tc\r\nd ",
    "e\u0301 e\u0302\u0301n \u0301x a\u200cb a\u200db A\u030a",
    "\u0344\u0301 \n\u0344\u0301 x\u0344\u0301",
    "\u00aa\u0301 \u2122\u0301\u0301\u0301 \u00a9\u200d\u2122\u0301 \u0915\u094d\u0958\u0301",
    "\u0600e\u0301 \u0600\u00aa\u0301 x\u0600",
    "你好世界，中文。\u3000世界 \u3000",
    "\ufeffthe \u00a0of\u00a0 and\u00a0\u200bto \u2581in \u2581\u2581is",
    "foo <s> bar</s> <mask> baz <mask>",
    "<s>",
    "a<s>b <pad><unk> <unk>x \u2581<s \uff1cs\uff1e",
    "\u0085 <mask> x\x0c <mask> \u00a0<mask>",
    "👨\u200d👩\u200d👧 🇩🇪 👋🏽 ☺️ 1\ufe0f\u20e3",
    "\x00a b\x00 \x01 \x7f x\x01",
    "\ufdfa \u00a8 ½ ﬁ ﬁ\u0301 ①②",
    "각나다 \u1100\u1161\u11a8 \ud7b0",
    "क्षि हिन्दी \u0e33 ที่นี่",
    "\U0010ffff \ue000 \U00030000 \U000e0041 \U0001d41a \u0378",
    "x" * 40 + " " + "the" * 30,
)
SPICES = [
    *" \t\n\r  \x00\x01\x0b\x0c\x1c\x85\u00a0\u3000\u200b\u200c\u200d\u2028\ufeff\u2581\u00ad",
    *"\u0300\u0301\u0302\u0323\u0344\u0345\u034f\u05b4\u064b\u093f\u094d\u0e33\u20dd\ufe0f\U000e0041\U0001d165",
    *"aeiouAEInyzéạê\u00aa\u00a9\u00ae™ﬁ½①\u0600\u06dd\u0d4e가각\u1100\u1161\u11a8你好世界。",
    *"👨👩🏽🇩🇪☺क\u0958षи\u0418\uff21\uff9e\uff76\ufdfa\u0378\U0010ffff<>",
    *("<s>", "</s>", "<pad>", "<mask>", "<unk>", "<s", "mask>", "the", " of", "\r\n", "e\u0301", "x" * 33),
]
SPICED = st.lists(st.sampled_from(SPICES), max_size=24).map("".join)
ANY = st.text(st.characters(codec="utf-8"), max_size=24)
PLANES = st.lists(st.integers(0, 0x10FFFF).filter(lambda c: not 0xD800 <= c < 0xE000).map(chr), max_size=8).map("".join)


class Both:
    """The two tokenizers of one file."""

    def __init__(self, path: Path) -> None:
        fast = FastTokenizer.load(path)
        assert fast is not None
        self.fast = fast
        self.library: Any = Tokenizer.from_file(str(path))
        self.library.no_padding()
        self.library.no_truncation()

    def unequal(self, texts: Iterable[str]) -> list[str]:
        """Texts of which the tokens differ."""
        some = list(texts)
        ids, offsets = self.fast.encode(*from_texts(some))
        assert offsets[0] == 0
        assert offsets[-1] == len(ids)
        expected = self.library.encode_batch(some, add_special_tokens=False)
        return [
            text
            for text, one, begin, end in zip(some, expected, offsets, offsets[1:], strict=False)
            if ids[begin:end].tolist() != one.ids
        ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    path = tmp_path_factory.mktemp("unigram") / "tokenizer.json"
    return Both(unigram_tokenizer.write(path, unigram_tokenizer.document()))


def test_cases(both: Both) -> None:
    assert both.unequal(CASES) == []
    assert both.unequal(f"of {case} the" for case in CASES) == []
    assert both.unequal(["\n".join(CASES), "".join(CASES)]) == []


@settings(deadline=None, max_examples=600)
@given(st.lists(st.one_of(SPICED, ANY, PLANES), max_size=6))
def test_any_texts(both: Both, texts: list[str]) -> None:
    assert both.unequal(texts) == []
    assert both.unequal(["".join(texts), " ".join(texts)]) == []


def test_every_code_point(both: Both) -> None:
    """Alone, within a word, with a mark, after one."""
    codes = [c for c in range(0x32000) if not 0xD800 <= c < 0xE000] + list(range(0xE0000, 0xE0200))
    some = [chr(c) for c in codes if c % 16 == 1 or unicodedata.category(chr(c)) not in ("Lo", "Cn")]
    for make in (
        lambda c: f"{c}",
        lambda c: f"a{c}b",
        lambda c: f"{c}\u0301",
        lambda c: f"e\u0301{c}\u0301 x",
        lambda c: f"\u00a9\u200d{c}\u0301",
    ):
        assert both.unequal(map(make, some)) == []


def test_long_words(both: Both) -> None:
    n = 1_000_000
    for unit in (
        "x",
        "the",
        "世界",
        "e\u0301",
        "\ufdfa",
        "\u0301",
        "<s>",
        "x<s> ",
        "\x01",
        "\u00a0",
        "\u200d",
        "👨\u200d",
    ):
        text = unit * (n // len(unit.encode()))
        assert both.unequal([text, f"the {text} of"]) == []


def test_what_is_remembered_changes_nothing(both: Both) -> None:
    texts = [f"{'the people' * (k % 3)} word{k} {chr(0x4E00 + k)} x{k % 7}. <s>{k}" for k in range(5000)]
    made = [both.fast.encode(*from_texts(order)) for order in (texts, texts[::-1], texts)]
    np.testing.assert_array_equal(made[0][0], made[2][0])
    np.testing.assert_array_equal(np.diff(made[0][1]), np.diff(made[1][1])[::-1])
    with ThreadPoolExecutor(4) as threads:
        for ids, offsets in threads.map(lambda _: both.fast.encode(*from_texts(texts)), range(8)):
            np.testing.assert_array_equal(ids, made[0][0])
            np.testing.assert_array_equal(offsets, made[0][1])


def test_little_is_left_to_the_library(both: Both) -> None:
    texts = [case for case in CASES if "<" not in case and "\U0010ffff" not in case]
    made = kernel.encode(Texts.from_offsets(*from_texts(texts)), both.fast.vocabulary, both.fast.caches)
    assert {texts[row] for row in made.regions[:, 0]} <= set(CASES[6:9])


def test_rows_do_not_depend_on_who_tokenises(both: Both) -> None:
    rng = np.random.default_rng(0)
    size = len(both.fast.vocabulary.scores)
    table = pool.Table(rng.integers(-127, 128, (size, 20), np.int8), rng.random(size, np.float32))
    texts = [f"{one}. The people <s> said. {other}" for one in CASES for other in CASES[:9]]
    given_texts = Texts.from_offsets(*from_texts(texts))
    made = both.fast.row_vectors(given_texts, table)
    cut = sentences(given_texts)
    expected = pool.vectors_of_tokens(*both.fast.encode_texts(cut.texts(given_texts)), cut.starts, table)
    np.testing.assert_array_equal(made.rows, expected.rows)
    np.testing.assert_array_equal(made.scale, expected.scale)
    with calling_thread():
        alone = both.fast.row_vectors(given_texts.take(slice(None, None, -1)), table)
    np.testing.assert_array_equal(alone.rows[::-1], made.rows)
    np.testing.assert_array_equal(alone.scale[::-1], made.scale)


def test_other_kinds_are_left_to_the_library(tmp_path: Path, tiny_model: Path) -> None:
    def load(**changes: Any) -> FastTokenizer | None:
        path = unigram_tokenizer.write(tmp_path / "tokenizer.json", {**unigram_tokenizer.document(), **changes})
        return FastTokenizer.load(path)

    assert load() is not None
    assert load(normalizer=None) is None
    assert load(normalizer={"type": "Sequence", "normalizers": []}) is None
    assert load(pre_tokenizer=None) is None
    metaspace = unigram_tokenizer.document()["pre_tokenizer"]
    assert load(pre_tokenizer={**metaspace, "prepend_scheme": "first"}) is None
    assert load(model=unigram_tokenizer.document(byte_fallback=True)["model"]) is None
    added = unigram_tokenizer.document()["added_tokens"]
    assert load(added_tokens=[*added[:-1], {**added[-1], "rstrip": True}]) is None
    assert FastTokenizer.load(tiny_model / "tokenizer.json") is None
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="no tokenizer"):
        FastTokenizer.load(tmp_path / "tokenizer.json")


# ---- the default model's ----


@pytest.fixture(scope="module")
def default() -> Both:
    found = sorted((cache_directory() / "models").glob("*/tokenizer.json"))
    if not found:
        pytest.skip("the default model is not built")
    return Both(found[0])


@pytest.mark.model
def test_default_tokenizer(default: Both) -> None:
    assert default.unequal(CASES) == []

    @settings(deadline=None, max_examples=300)
    @given(st.lists(st.one_of(SPICED, ANY, PLANES), max_size=6))
    def check(texts: list[str]) -> None:
        assert default.unequal([*texts, "".join(texts)]) == []

    check()


def _responses(folder: Path) -> Iterator[list[str]]:
    import polars as pl

    for file in sorted(folder.glob("*.parquet")):
        column = pl.scan_parquet(file)
        if "response" in column.collect_schema():
            frame = column.select(pl.col("response").drop_nulls().unique(maintain_order=True)).collect()
            for part in frame.iter_slices(2000):
                yield part["response"].to_list()


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_default_tokenizer_on_real_texts(default: Both) -> None:
    """Every text of the folder that ``KINPRINT_TEXTS`` names: Parquet files with a column ``response``."""
    folder = os.environ.get("KINPRINT_TEXTS")
    if not folder:
        pytest.skip("KINPRINT_TEXTS names no folder")
    for texts in _responses(Path(folder)):
        assert default.unequal(texts) == []
