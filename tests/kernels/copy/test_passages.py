"""Passages against their definition: what is found, what is passed over, how it is weighed."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from copy_texts import PIECES, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy import passages, postings
from kinprint.kernels.copy.differences import CASE, PUNCTUATION, UNICODE_FORM, WHITE_SPACE
from kinprint.kernels.copy.matching import REPEATS
from kinprint.kernels.copy.passages import GUARANTEE, MAX_TEXTS
from kinprint.kernels.reference import passages as reference
from kinprint.kernels.reference.passages import Passage
from kinprint.kernels.spread import set_threads

WORDS = [f"{a}{b}" for a in ("ki", "lo", "ma", "ne", "pu", "ra", "so", "ti") for b in ("na", "rel", "sto", "vim")]
SCRIPTS = {
    "Latin": "the cat that sat upon a mat was seen by nobody but the dog who never told",
    "Chinese": "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏",
    "Thai": "ถนนสายนี้ยาวไกลไปสู่ทะเลและภูเขาสูงใหญ่",
    "Arabic": "كان يا ما كان في قديم الزمان ملك عظيم يحكم بلادا واسعة من البحر إلى الجبل",
    "Hindi": "एक समय की बात है कि किसी गाँव में एक बूढ़ा किसान रहता था जिसके तीन बेटे थे",
    "emoji": "😀🔥👍🏽🇫🇷👩‍👩‍👧‍👦❤️🌍🎉😂🚗🌲💧🥰👋🙏",
}

filler = texts | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
repeats = st.lists(st.sampled_from(["a", "b", "a ", "b ", "的", "是", "\n"]), max_size=60).map("".join)


@st.composite
def sharing(draw: st.DrawFn) -> list[str]:
    """A few texts that are put together from a few stretches."""
    stretches = draw(
        st.lists(
            st.lists(st.sampled_from(WORDS), min_size=9, max_size=24).map(" ".join)
            | st.lists(st.sampled_from(PIECES), min_size=30, max_size=60).map("".join)
            | repeats,
            min_size=1,
            max_size=3,
        )
    )
    piece = st.sampled_from(stretches) | st.sampled_from(stretches) | filler
    return draw(st.lists(st.lists(piece, min_size=1, max_size=4).map("".join), min_size=2, max_size=4))


def of(some: Sequence[str]) -> Texts:
    return Texts.from_offsets(*from_texts(some))


def found(index: passages.Index, **options: int) -> tuple[passages.Passages, int]:
    """All passages as one table, and the seeds passed over."""
    steps = list(index.find(**options))
    assert [step.texts for step in steps] == sorted({step.texts for step in steps})
    assert all(a.skipped <= b.skipped for a, b in pairwise(steps))
    if steps:
        assert steps[-1].texts == (index.second or len(index.texts))
    return passages.Passages.joined([step.passages for step in steps]), steps[-1].skipped if steps else 0


def rows_of(index: passages.Index, table: passages.Passages) -> list[Passage]:
    assert all(column.dtype == np.int64 for column in table)
    seeds = index.postings.hashes[table.seed].tolist()
    columns = (c.tolist() for c in (*table[:7], table.bytes_b, table.differences))
    return [Passage(*row, seed) for *row, seed in zip(*columns, seeds, strict=True)]


def check(some: Sequence[str], second: int, rows: Sequence[Passage]) -> None:
    """Whatever is listed has equal tokens and whole graphemes, is as long as can be, and not of one text alone."""
    cut = [reference.tokens(text) for text in some]
    for row in rows:
        assert row.a != row.b
        assert row.a < (second or len(some))
        assert row.b >= second
        i, j = (
            next(k for k, t in enumerate(cut[text]) if t.begin == start)
            for text, start in ((row.a, row.start_a), (row.b, row.start_b))
        )
        x, y = cut[row.a][i : i + row.tokens], cut[row.b][j : j + row.tokens]
        assert [t.text for t in x] == [t.text for t in y]
        assert (x[-1].end, y[-1].end) == (row.start_a + row.bytes, row.start_b + row.bytes_b)
        assert (x[0].opens, y[0].opens, x[-1].closes, y[-1].closes) == (True,) * 4
        # One more token on either side differs, or a grapheme would be cut there.
        if i > 0 and j > 0 and cut[row.a][i - 1].text == cut[row.b][j - 1].text:
            assert not (cut[row.a][i - 1].opens and cut[row.b][j - 1].opens)
        one, other = cut[row.a][i + row.tokens :], cut[row.b][j + row.tokens :]
        if one and other and one[0].text == other[0].text:
            assert not (one[0].closes and other[0].closes)


@settings(max_examples=120, deadline=None)
@given(sharing(), st.data())
def test_equals_reference(some: list[str], draw: st.DataObject) -> None:
    second = draw.draw(st.integers(0, len(some)))
    options = {
        "min_tokens": draw.draw(st.sampled_from([1, 8, 12, 14])),
        "max_texts": draw.draw(st.sampled_from([1, 2, MAX_TEXTS])),
        "every": draw.draw(st.booleans()),
    }
    index = passages.Index(of(some), second)
    table, skipped = found(index, at_once=draw.draw(st.sampled_from([1, 3, 1024])), **options)
    rows = rows_of(index, table)
    assert (rows, skipped) == reference.passages(some, second, **options)
    check(some, second, rows)


@given(texts | repeats)
@settings(max_examples=100, deadline=None)
def test_seeds_equal_reference(text: str) -> None:
    """Of a text with others before and after it."""
    postings = passages.postings(of(["some words before", text, text + " and one"]))
    rows = zip(postings.hashes.tolist(), postings.texts.tolist(), postings.places.tolist(), strict=True)
    order = [(h, t, p) for h, t, p in rows]
    assert order == sorted(order)
    assert sorted((h, p) for h, t, p in order if t == 1) == sorted(reference.seeds(text))


@settings(max_examples=120, deadline=None)
@given(sharing(), st.booleans())
def test_nothing_of_twelve_whole_tokens_is_missed(some: list[str], every: bool) -> None:
    """By the tokens of every two texts alone, without seeds."""
    index = passages.Index(of(some), 0)
    rows = rows_of(index, found(index, every=every)[0])
    cut = [reference.tokens(text) for text in some]
    whole = [[t.text for t in tokens] for tokens in cut]
    for a in range(len(some)):
        for b in range(len(some)):
            for start, there, size in reference.common(whole[a], whole[b]) if a != b else ():
                i, j, n = reference.shrunk(cut[a], start, cut[b], there, size)
                if n < GUARANTEE:
                    continue
                first, last, first_there = cut[a][i].begin, cut[a][i + n - 1].end, cut[b][j].begin
                if every:
                    assert any(
                        (r.a, r.b, r.start_a, r.start_b, r.bytes) == (a, b, first, first_there, last - first)
                        for r in rows
                    )
                assert any(r.a == a and r.start_a <= first and last <= r.start_a + r.bytes for r in rows)


@settings(max_examples=60, deadline=None)
@given(sharing(), st.data())
def test_counts_equal_reference(some: list[str], draw: st.DataObject) -> None:
    second = draw.draw(st.integers(0, len(some)))
    codes = st.lists(st.integers(-2, 2), min_size=len(some), max_size=len(some))
    models, prompts = draw.draw(codes), draw.draw(codes)
    index = passages.Index(of(some), second)
    table, _ = found(index, min_tokens=draw.draw(st.sampled_from([1, 12])), every=draw.draw(st.booleans()))
    rows = rows_of(index, table)
    counts = index.counts(table, np.array(models, np.int32), np.array(prompts, np.int32))
    assert counts.tolist() == reference.counts(some, rows, models, prompts)
    assert passages.bits(counts).tolist() == pytest.approx([reference.bits(c) for c in counts.tolist()])
    # Never too low: every text that has the tokens of a passage of 12 or more has its seed.
    cut = [reference.tokens(text) for text in some]
    for row, count in zip(rows, counts.tolist(), strict=True):
        end = row.start_a + row.bytes
        tokens = [t.hash for t in cut[row.a] if row.start_a <= t.begin and t.end <= end]
        if len(tokens) < GUARANTEE:
            continue
        two = {models[row.a], models[row.b]} - {-1, -2}
        for t, text in enumerate(cut):
            if t in (row.a, row.b) or models[t] in two:
                continue
            hashes = [token.hash for token in text]
            has = any(hashes[k : k + len(tokens)] == tokens for k in range(len(hashes)))
            count[0] -= has
            count[2] -= has and prompts[t] == prompts[row.a] >= 0
        assert min(count) >= 0


def test_the_rarest_certain_seed_weighs() -> None:
    """A seed that the text around a passage brought about is not in every text that has the passage."""
    chance = random.Random(5)
    words = [f"w{k}" for k in range(400)]
    common = " ".join(chance.sample(words, 14))
    around = [" ".join(chance.sample(words, 30)) for _ in range(400)]
    some = [f"{around[2 * k]} x{k} {common} y{k} {around[2 * k + 1]}" for k in range(200)]
    index = passages.Index(of(some))
    table, _ = found(index, every=True)
    assert (table.bytes == len(common)).all()
    assert table.a.size == 200 * 199
    counts = index.counts(table, np.arange(200, dtype=np.int32), np.full(200, -1, np.int32))
    assert (counts == [198, 198, 0, 0]).all()
    sizes = np.unique(index.postings.hashes, return_counts=True)[1]
    assert ((sizes > 1) & (sizes < 200)).any()  # others that two texts or more have by chance


def test_counts_of_models_and_prompts() -> None:
    phrase = "once upon a time there was a fox who could not stand the taste of any grapes"
    some = [f"{k} {phrase} {k * 7}" for k in range(6)] + [
        "something else that none of them has ever said or ever would"
    ] * 2
    models = np.array([0, 1, 1, 2, -1, 0, 2, -1], np.int32)
    prompts = np.array([5, 6, 5, 5, 5, 5, 5, -1], np.int32)
    index = passages.Index(of(some))
    table, _ = found(index, every=True)
    counts = dict(
        zip(
            zip(table.a.tolist(), table.b.tolist(), strict=True),
            index.counts(table, models, prompts).tolist(),
            strict=True,
        )
    )
    assert len(counts) == 6 * 5 + 2
    # Of models 0 and 1: what is left is 3 and 4, then 6 and 7 without it; of prompt 5, all of these but the last.
    assert counts[0, 1] == [2, 4, 2, 3]
    # Within one model: 1 to 4 have it, and 6 and 7 do not.
    assert counts[0, 5] == [4, 6, 3, 4]
    # Of an unknown model only the text itself is left out.
    assert counts[0, 4] == [3, 5, 2, 3]
    assert counts[4, 0] == [3, 5, 2, 3]
    # The prompt is that of the first text.
    assert counts[1, 0] == [2, 4, 0, 0]
    bits = passages.bits(np.array([[0, 0, 0, 0], [0, 999, 0, 0], [3, 999, 0, 5], [3, 999, 2, 3]]))
    assert bits.tolist() == pytest.approx([1, np.log2(2000), -np.log2(3.5 / 1000), -np.log2((2 + 3.5 / 1000) / 4)])


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script: str) -> None:
    shared = SCRIPTS[script]
    a, b = f"And so it says: “{shared}”, he read.", f"Nothing else ({shared})"
    index = passages.Index(of([a, b]), 1)
    (row,) = rows_of(index, found(index)[0])
    assert a.encode()[row.start_a : row.start_a + row.bytes].decode() == shared
    assert row.tokens == len(reference.tokens(shared)) >= GUARANTEE
    check([a, b], 1, [row])


def test_code_points_are_not_cut() -> None:
    words = " ".join(WORDS[:14])
    # The first bytes of é and è are equal, and so are the last two of 一 and 渀.
    for a, b in ((f"{words} é", f"{words} è"), (f"一 {words}", f"渀 {words}")):
        index = passages.Index(of([a, b]), 1)
        (row,) = rows_of(index, found(index)[0])
        assert a.encode()[row.start_a : row.start_a + row.bytes].decode() == words


REFORMATTED = {
    "the same": (lambda text: text, 0),
    "lines": (lambda text: text.replace(" ", "\r\n", 9), WHITE_SPACE),
    "no-break spaces": (lambda text: text.replace(" ", "\xa0"), WHITE_SPACE),
    "upper case": (str.upper, CASE),
    "quotes": (lambda text: "“" + text.replace(" ", "” “") + "”", PUNCTUATION),
    "NUL for spaces": (lambda text: text.replace(" ", "\x00"), WHITE_SPACE | PUNCTUATION),
    "a list": (lambda text: "* " + text.replace(" ", "\n* "), WHITE_SPACE | PUNCTUATION),
    "NFD": (lambda text: unicodedata.normalize("NFD", text), UNICODE_FORM),
    "soft hyphens": (lambda text: text.replace("i", "i\u00ad"), UNICODE_FORM),
    "long lines of space": (lambda text: text.replace(" ", " " * 500), WHITE_SPACE),
}


@pytest.mark.parametrize("how", REFORMATTED)
def test_what_is_reformatted_is_found_whole(how: str) -> None:
    change, differences = REFORMATTED[how]
    shared = " ".join(word.replace("o", "ö") for word in WORDS * 4)
    a, b = f"And so it says: {shared}, he read.", f"Nothing else. {change(shared)}!"
    for some in ([a, b], [b, a]):
        index = passages.Index(of(some), 1)
        (row,) = rows_of(index, found(index)[0])
        check(some, 1, [row])
        assert (row.tokens, row.differences) == (128, differences)


def test_answers_wrapped_anew_are_all_found() -> None:
    """Two hundred answers, each of 120 words with others around them, lines of eight words in the copy."""
    chance = random.Random(11)
    words = [f"{a}{b}" for a in WORDS for b in WORDS]
    answers = [chance.choices(words, k=120) for _ in range(200)]
    before = [" ".join(chance.choices(words, k=40)) for _ in range(400)]
    lines = ["\n".join(" ".join(some[k : k + 8]) for k in range(0, 120, 8)) for some in answers]
    originals = [f"{one}. {' '.join(some)}! {one}" for one, some in zip(before, answers, strict=False)]
    index = passages.Index(of([*originals, *(f"{p}\n{q}" for p, q in zip(before[200:], lines, strict=True))]), 200)
    table, _ = found(index)
    assert table.a.tolist() == list(range(200))
    assert table.b.tolist() == list(range(200, 400))
    assert (table.tokens == 120).all()
    assert (table.differences == WHITE_SPACE).all()


def test_a_text_is_not_its_own_passage() -> None:
    line = " ".join(WORDS[:15])
    twice = f"{line}. {line}!"
    assert found(passages.Index(of([twice])))[0].a.size == 0
    index = passages.Index(of([twice, twice]), 1)
    assert {(r.a, r.b) for r in rows_of(index, found(index, every=True)[0])} == {(0, 1)}
    assert found(passages.Index(of([])))[0].a.size == 0
    assert found(passages.Index(of(["", " ", "word"])))[0].a.size == 0


def test_each_stretch_once_or_by_every_text() -> None:
    long, short = " ".join(WORDS), " ".join(WORDS[5:20])
    a = f"It said {long} and then it ended"
    b = [f"0 {short} 0", f"1 {long} 1", f"2 {short} 2 {short} 2", f"3 {long} 3", "nothing of it"]
    index = passages.Index(of([a, *b]), 1)
    (row,) = rows_of(index, found(index)[0])
    assert (row.a, row.b, row.bytes, row.texts) == (0, 2, len(long), 2)
    rows = rows_of(index, found(index, every=True)[0])
    assert [(r.b, r.bytes, r.texts) for r in rows] == [
        (2, len(long), 2),
        (4, len(long), 2),
        (1, len(short), 4),
        (3, len(short), 4),
        (3, len(short), 4),
    ]
    assert [r.start_b for r in rows[3:]] == sorted(r.start_b for r in rows[3:])


def test_common_seeds_are_passed_over_and_counted() -> None:
    phrase, own = " ".join(WORDS[:13]), " ".join(WORDS[13:26])
    some = [f"{own}, {phrase}.", *(f"{k} {phrase} {k}" for k in range(20)), f"{own}!"]
    index = passages.Index(of(some), 1)
    seeds = index.postings.hashes[index.postings.texts == 0]
    others = [len(set(index.postings.texts[(index.postings.hashes == s) & (index.postings.texts > 0)])) for s in seeds]
    assert max(others) == 20
    for most in (1, 19, 20, MAX_TEXTS):
        table, skipped = found(index, max_texts=most)
        assert skipped == sum(n > most for n in others)
        sizes = table.bytes.tolist()
        assert len(own) in sizes
        assert (len(phrase) in sizes) == (most >= 20)
    # The text itself does not count.
    alone = passages.Index(of([f"{k} {phrase} {k}" for k in range(20)]))
    assert found(alone, max_texts=19)[1] == 0
    assert found(alone, max_texts=18)[1] >= 20


def test_what_is_repeated_very_often_is_passed_over() -> None:
    line = " ".join(WORDS[:13]) + "\n"
    a, b = line * 50, line * 50
    index = passages.Index(of([a, b]), 1)
    table, skipped = found(index)
    assert skipped == 0
    assert table.bytes.max() == len(a) - 1
    table, skipped = found(index, max_texts=49 * 49 // REPEATS - 1)
    assert skipped == (index.postings.texts == 0).sum()
    assert table.a.size == 0


def test_a_word_over_and_over() -> None:
    """A million bytes of it in one text, and thousands in others, neither take long nor hide what else is shared."""
    own = " ".join(WORDS[:13])
    some = ["ha " * 350_000 + own, "ha " * 3000 + own, "ha " * 20, own]
    index = passages.Index(of(some))
    table, skipped = found(index)
    assert skipped > 350_000
    shown = [some[r.a].encode()[r.start_a : r.start_a + r.bytes].decode() for r in rows_of(index, table)]
    assert all(own in s for s in shown if "ki" in s)
    assert sum(own in s for s in shown) >= 3


def test_a_huge_text() -> None:
    chance = random.Random(8)
    words = [f"{k:x}" for k in range(5000)]
    huge = " ".join(chance.choices(words, k=260_000))
    assert len(huge) > 1 << 20
    spans = [(0, 100), (300_000, 300_400), (len(huge) - 200, len(huge))]
    others = [f"< {huge[a:b]} >" for a, b in spans]
    index = passages.Index(of([huge, *others]), 1)
    table, _ = found(index)
    got = [(int(s), int(s + n)) for s, n in zip(table.start_a, table.bytes, strict=True)]
    assert all(any(s <= a + 8 and b - 8 <= e for s, e in got) for a, b in spans)  # words at their ends are cut
    data = [text.encode() for text in (huge, *others)]
    for row in rows_of(index, table):
        there = slice(row.start_b, row.start_b + row.bytes_b)
        assert data[0][row.start_a : row.start_a + row.bytes] == data[row.b][there]
        assert row.differences == 0
    back = passages.Index(of([*others, huge]), 3)
    assert sorted(found(back)[0].bytes.tolist()) == sorted(b - a for a, b in got)


def test_thousands_of_identical_texts() -> None:
    line = " ".join(WORDS)
    index = passages.Index(of([line] * 1500))
    table, skipped = found(index)
    assert skipped == 0
    assert (table.bytes == len(line)).all()
    assert table.a.tolist() == list(range(1500))
    assert table.b.tolist() == [1, *[0] * 1499]
    assert (table.texts == 1499).all()
    counts = index.counts(table, np.arange(1500, dtype=np.int32), np.zeros(1500, np.int32))
    assert (counts == 1498).all()
    assert passages.bits(counts).max() < 0.01
    table, skipped = found(passages.Index(of([line] * 3000)))
    assert (table.a.size, skipped) == (0, 3000 * len(reference.seeds(line)))


def test_threads_change_nothing() -> None:
    chance = random.Random(3)
    stretches = [" ".join(chance.choices(WORDS, k=30)) for _ in range(40)]
    some = ["".join([*chance.choices(PIECES, k=30), *chance.choices(stretches, k=2)]) for _ in range(600)]
    made = []
    for count in (1, 2):
        with threads(count):
            index = passages.Index(of(some), 200)
            table, skipped = found(index, every=True, at_once=16)
            codes = np.arange(600, dtype=np.int32) % 7
            made.append([*index.postings, *table, index.counts(table, codes, codes), skipped])
    assert made[0][3].size > 600
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one, two)


@contextmanager
def threads(count: int) -> Iterator[None]:
    set_threads(count)
    try:
        yield
    finally:
        set_threads(None)


def test_a_run_may_be_left() -> None:
    index = passages.Index(of([" ".join(WORDS)] * 200))
    steps = index.find(at_once=1)
    assert next(steps).texts == 1
    steps.close()  # type: ignore[attr-defined]


# ---- what is no evidence ----


def stretch(text: str, piece: str) -> passages.Passages:
    """A passage at the first place of a piece in a text."""
    start, size = len(text[: text.index(piece)].encode()), len(piece.encode())
    return passages.Passages(*(np.array([n]) for n in (0, 0, start, start, size, 1, 1, 0, size, 0)))


CODE = "for row in rows:\n    total = total + row\nprint the total of all rows\n"


@pytest.mark.parametrize(
    ("text", "piece", "code"),
    [
        (f"So:\n```python\n{CODE}```\nDone.", CODE, True),
        (f"So:\n  ```\n{CODE}", CODE, True),
        (f"So:\n```\nx\n```\n{CODE}", CODE, False),
        (f"So: ```\n{CODE}", CODE, False),
        (f"``\n{CODE}", CODE, False),
        ("```\nwords in it``` words after it that are longer", "in it``` words after it that are longer", True),
        ("```\nin it\n``` words after it that are longer", "in it\n``` words after it that are longer", False),
        ("a sentence, in words; (as it were) - with 'some' marks", "a sentence, in words; (as it were)", False),
        ("if (a[i] == b[j]) { c += d; }", "if (a[i] == b[j]) { c += d; }", True),
        ("| a | b | c |", "| a | b | c |", True),
        ("我说“是”，他说“不”。", "我说“是”，他说“不”。", False),
    ],
)
def test_code(text: str, piece: str, code: bool) -> None:
    table = stretch(text, piece)
    assert passages.looks_like_code(of([text]), table).tolist() == [code]
    start = int(table.start_a[0])
    assert reference.looks_like_code(text, start, start + int(table.bytes[0])) == code


LINES = st.lists(st.sampled_from(["```", "``` py", "  ```", "x ```", "a = b;", "words", "[]", "", " ", "是的", "\r"]))


@settings(max_examples=100, deadline=None)
@given(st.lists(LINES.map("\n".join), min_size=1, max_size=3), st.data())
def test_code_equals_reference(some: list[str], draw: st.DataObject) -> None:
    """Of many stretches at once, in any order."""
    rows = draw.draw(st.lists(st.integers(0, len(some) - 1), max_size=100))
    ends = [sorted(draw.draw(st.tuples(*[st.integers(0, len(some[k].encode()))] * 2))) for k in rows]
    a, start = np.array(rows, np.int64), np.array([e[0] for e in ends], np.int64)
    size = np.array([e[1] - e[0] for e in ends], np.int64)
    table = passages.Passages(a, a, start, start, size, a, a, a, size, a)
    expected = [reference.looks_like_code(some[k], *end) for k, end in zip(rows, ends, strict=True)]
    assert passages.looks_like_code(of(some), table).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(filler, min_size=1, max_size=4), st.lists(filler, max_size=3), st.data())
def test_share_within_equals_reference(some: list[str], sources: list[str], draw: st.DataObject) -> None:
    source = draw.draw(st.lists(st.integers(-2, len(sources) - 1), min_size=len(some), max_size=len(some)))
    shares = passages.share_within(of(some), of(sources), np.array(source, np.int64))
    expected = [reference.share_within(t, sources[k]) if k >= 0 else 0.0 for t, k in zip(some, source, strict=True)]
    assert shares.tolist() == pytest.approx(expected)


def test_stretches_are_where_they_stand() -> None:
    some = [f"日本 {' '.join(WORDS[:14])} x", " ".join(WORDS[:14])]
    index = passages.Index(of(some), 1)
    table, _ = found(index)
    taken = passages.stretches(index.texts, table)
    assert passages.share_within(taken, of(some), np.array([1])).tolist() == [1.0]
    assert passages.share_within(taken, of(["words of another"]), np.array([0])).tolist() == [0.0]


# ---- refusals ----


def test_refuses() -> None:
    index = passages.Index(of(["some words", "and more"]), 1)
    for name in ("min_tokens", "max_texts", "at_once"):
        with pytest.raises(ValueError, match=name):
            index.find(**{name: 0})
    for second in (-1, 3):
        with pytest.raises(ValueError, match="second"):
            passages.Index(of(["some words", "and more"]), second)
    none, codes = passages.Passages.joined([]), np.zeros(2, np.int32)
    assert index.counts(none, codes, codes).shape == (0, 4)
    for name, pair in (("models", (np.zeros(2, np.int64), codes)), ("prompts", (codes, np.zeros(3, np.int32)))):
        with pytest.raises(ValueError, match=name):
            index.counts(none, *pair)


def test_golden_constants() -> None:
    """The reference takes these from the kernel: a change of one would go through all else here."""
    assert (postings.GRAM, postings.WINDOW, GUARANTEE) == (8, 5, 12)
    assert (REPEATS, MAX_TEXTS, passages.VERSION) == (32, 2_000, 2)
