"""Sketches against their definition, their accuracy, and the bits that later versions must keep."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from copy_texts import PIECES, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import shingle, sketch
from kinprint.kernels.reference import shingle as reference_shingle
from kinprint.kernels.reference import sketch as reference
from kinprint.kernels.reference.fold import normalised_answer
from kinprint.kernels.spread import set_threads

GOLDEN = [
    "The quick brown fox jumps over the lazy dog.",
    "the QUICK, brown fox — jumps over the lazy dog!",
    "Hello world",
    "!!!",
    "",
    " \u3000\u200b\n",
    "人工智能正在改变我们的生活方式。",
    "สวัสดีชาวโลก ยินดีต้อนรับ",
    "हिन्दी भारत की एक प्रमुख भाषा है।",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "Cafe\u0301 et the\u0301\u0327 각 \u1100\u1161\u11a8 ﬁn ½",
    "👩‍👩‍👧‍👦👍🏽🇫🇷😀😃😄",
    "".join(PIECES),
    " ".join(f"word{i % 701}" for i in range(3000)),
]


SIGNATURE_START = [2373344976, 2183172120, 2261182875, 2171935597]
TEXT_HASH = [9667592621482752194, 11607709085695634327]
SIZES = [7, 7, 1, 1, 0, 0, 11, 20, 5, 3, 6, 6, 49, 2998]
SIGNATURES = "4cd4fdde9a03d6bfdf7bda4fbb6d1fdb"
TEXT_HASHES = "06ae799a758c0bf5d84358fce70f0aaf"
SHINGLES = "cd07d8d438a7250cdd1dc705410752f0"
CODE_POINT_SIGNATURES = "ba0b67cab80a0f199f1dd4b1771ee2ee"
PACKED = "46950d950dc71db265df1ba6c3a6dad1"


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays' little-endian bytes, first 32 hexadecimal digits."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()[:32]


def test_golden_bits() -> None:
    """Every output bit of version 2. If this fails, what is stored no longer compares: raise VERSION."""
    result = sketch.sketch(*from_texts(GOLDEN))
    assert (sketch.SCHEME, sketch.VERSION, sketch.SEED) == ("fss128-w3c5", 2, 0x6B696E7072696E74)
    assert result.signatures[0, :4].tolist() == SIGNATURE_START
    assert result.text_hashes[0].tolist() == TEXT_HASH
    assert result.sizes.tolist() == SIZES
    assert result.flags.tolist() == [0, 0, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert digest(result.signatures) == SIGNATURES
    assert digest(result.text_hashes) == TEXT_HASHES
    hashes, indptr, _ = shingle.shingle_sets(*from_texts(GOLDEN))
    assert digest(hashes, indptr) == SHINGLES
    points = sketch.sketch_texts(Texts.from_offsets(*from_texts(GOLDEN)), "c5")
    assert digest(points.signatures) == CODE_POINT_SIGNATURES
    assert str(result.scheme) == "fss128-w3c5/2/6b696e7072696e74"
    assert str(points.scheme) == "fss128-c5/2/6b696e7072696e74"
    assert digest(*(sketch.pack(result.signatures, bits).data for bits in sketch.PACKED_BITS)) == PACKED


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, max_size=3))
def test_equals_reference(many: list[str]) -> None:
    layout = from_texts(many)
    result = sketch.sketch(*layout)
    assert np.array_equal(result.text_hashes, shingle.text_hashes(*layout))
    assert np.array_equal(result.flags, shingle.shingle_sets(*layout)[2])
    for i, text in enumerate(many):
        shingles, _ = reference_shingle.shingles(text)
        assert result.sizes[i] == len(shingles)
        assert result.signatures[i].tolist() == reference.sketch(shingles)
    of_points = sketch.sketch_texts(Texts.from_offsets(*layout), "c5", text_hashes=False)
    assert of_points.text_hashes.shape == (0, 2)
    for i, text in enumerate(many):
        shingles, flags = reference_shingle.code_point_shingles(text)
        assert (of_points.sizes[i], of_points.flags[i]) == (len(shingles), flags)
        assert of_points.signatures[i].tolist() == reference.sketch(shingles)


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from(sketch.PACKED_BITS))
def test_packed_equals_reference(many: list[str], bits: int) -> None:
    signatures = sketch.sketch(*from_texts(many)).signatures
    packed = sketch.pack(signatures, bits)
    assert packed.data.shape == (len(many), 16 * bits)
    rows = [reference.pack(row.tolist(), bits) for row in signatures]
    assert [row.tobytes() for row in packed.data] == rows
    query = sketch.Packed(packed.data[:1], packed.scheme)
    expected = [reference.packed_similarity(rows[0], row, bits) for row in rows]
    assert sketch.packed_similarity(query, packed).tolist() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, max_size=3))
def test_normalised_texts_need_no_folding(many: list[str]) -> None:
    answers = Texts.from_offsets(*from_texts([normalised_answer(text) for text in many]))
    made = sketch.sketch_texts(answers, normalised=True)
    assert np.array_equal(made.signatures, sketch.sketch(*from_texts(many)).signatures)


def test_hashes_make_the_same_sketch() -> None:
    layout = from_texts(GOLDEN)
    hashes, indptr, _ = shingle.shingle_sets(*layout)
    assert np.array_equal(sketch.sketch_hashes(hashes, indptr), sketch.sketch(*layout).signatures)


def test_schemes() -> None:
    for scheme in (sketch.Scheme(), sketch.Scheme("c5"), sketch.Scheme(bits=8)):
        assert sketch.Scheme.parse(str(scheme)) == scheme
    with pytest.raises(ValueError, match="knows up to"):
        sketch.Scheme.parse("fss128-w3c5/9/6b696e7072696e74")
    for label in ("fss128-w3c5/2", "fss128-x/2/1", "", "fss128-w3c5/2/zz"):
        with pytest.raises(ValueError, match="no sketch scheme"):
            sketch.Scheme.parse(label)
    signatures = sketch.sketch(*from_texts(["a b c d"])).signatures
    with pytest.raises(ValueError, match="cannot be compared"):
        sketch.packed_similarity(sketch.pack(signatures, 8), sketch.pack(signatures, 4))
    with pytest.raises(ValueError, match="bits must be"):
        sketch.pack(signatures, 3)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 40, 128, 1000])
def test_every_slot_is_filled(n: int) -> None:
    text = " ".join(f"w{i}" for i in range(n + 2))
    result = sketch.sketch(*from_texts([text]))
    assert result.sizes[0] == n
    assert (result.signatures != sketch.EMPTY).all()


@pytest.mark.parametrize("size", [5, 20, 60, 300, 3000])
@pytest.mark.parametrize("jaccard", [0.2, 0.5, 0.8])
def test_estimate_is_unbiased_and_concentrated(size: int, jaccard: float) -> None:
    """Mean within five standard errors of the exact value, spread no more than that of 128 permutations."""
    trials = 300
    shared = round(size * 2 * jaccard / (1 + jaccard))
    own = size - shared
    exact = shared / (shared + 2 * own)
    generator = np.random.default_rng(size)
    sets = []
    for _ in range(trials):
        pool = generator.integers(0, 2**64 - 1, shared + 2 * own, np.uint64)
        sets += [pool[:size], np.concatenate((pool[:shared], pool[size:]))]
    made = sketch.sketch_hashes(np.concatenate(sets), np.arange(2 * trials + 1) * size)
    estimates = (made[0::2] == made[1::2]).mean(axis=1)
    variance = exact * (1 - exact) / 128
    assert abs(estimates.mean() - exact) < 5 * np.sqrt(variance / trials)
    assert estimates.var() < 1.4 * variance


@settings(max_examples=50, deadline=None)
@given(texts, texts)
def test_similarity_equals_reference(a: str, b: str) -> None:
    matrix = sketch.sketch(*from_texts([a, b, a + b])).signatures
    expected = [reference.similarity(matrix[0].tolist(), row.tolist()) for row in matrix]
    assert sketch.similarity(matrix[0], matrix).tolist() == expected


def test_blank_texts_are_like_nothing() -> None:
    matrix = sketch.sketch(*from_texts(["", " ", "a b c"])).signatures
    assert (matrix[:2] == sketch.EMPTY).all()
    assert sketch.similarity(matrix[0], matrix).tolist() == [0.0, 0.0, 0.0]
    assert sketch.similarity(matrix[2], matrix).tolist() == [0.0, 0.0, 1.0]


def test_threads_and_layouts_make_no_difference() -> None:
    data, offsets = from_texts([f"text number {i} of {i % 7} and more. " * (i % 5) for i in range(500)])
    results = [sketch.sketch(data, offsets), sketch.sketch(data.copy(), offsets.copy())]
    try:
        set_threads(1)
        results.append(sketch.sketch(data, offsets))
    finally:
        set_threads(None)
    for result in results[1:]:
        for name in result._fields[:4]:
            assert np.array_equal(getattr(results[0], name), getattr(result, name)), name
    part = sketch.sketch(data, offsets[100:200])
    assert np.array_equal(part.signatures, results[0].signatures[100:199])


def test_memory_map(tmp_path: object) -> None:
    data, offsets = from_texts(["one two three four", "five six seven"])
    np.save(f"{tmp_path}/data.npy", data)
    mapped = np.load(f"{tmp_path}/data.npy", mmap_mode="r")
    assert np.array_equal(sketch.sketch(mapped, offsets).signatures, sketch.sketch(data, offsets).signatures)


def test_no_texts() -> None:
    result = sketch.sketch(np.empty(0, np.uint8), np.zeros(1, np.int64))
    assert [array.shape for array in result[:4]] == [(0, 128), (0, 2), (0,), (0,)]
    assert sketch.similarity(np.zeros(128, np.uint32), result.signatures).size == 0


def test_refuses() -> None:
    matrix = np.zeros((2, 128), np.uint32)
    with pytest.raises(ValueError, match="signature must"):
        sketch.similarity(matrix[0, :64], matrix)
    with pytest.raises(ValueError, match="signatures must"):
        sketch.similarity(matrix[0], matrix.astype(np.int32))
