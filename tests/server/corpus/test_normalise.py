"""Normalise: what becomes of a transcript before it is stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from copy_texts import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from kinprint.client import derive_id as client_derive_id
from kinprint.kernels.reference import shingle as reference
from kinprint.server.corpus.normalise import Submission, derive_id, normalise, split_reasoning, validate
from kinprint.server.failures import InvalidField
from kinprint.server.limits import LIMITS

FULL = Submission(
    response="<think>Tides, then.</think>\nTwo bulges of water.",
    id="tides",
    model="anna",
    prompt_id="p7",
    prompt="Why are there two tides a day?",
    language="EN_GB",
    account_id="acc",
    created_us=1_772_368_200_123_456,
    metadata={"b": "2", "a": "1", "": ""},
    system_prompt="Be short.",
    conversation_id="c1",
    turn=3,
    reasoning="Sent apart.",
)


def one(**fields: Any) -> dict[str, Any]:
    """The row that a transcript becomes."""
    made = normalise("corpus", [Submission(**{"response": "some answer", "language": "en", **fields})], Counter())
    assert not made.refused
    row: dict[str, Any] = made.frame.row(0, named=True)
    return row


def refusal(**fields: Any) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        validate(Submission(**{"response": "some answer", **fields}))
    return caught.value


def test_every_field_of_a_row() -> None:
    made = normalise("corpus", [FULL], Counter())
    row = made.frame.row(0, named=True)
    assert row | {"content_hash": None, "text_hash": None} == {
        "id": "tides",
        "model": "anna",
        "prompt_key": "p7",
        "prompt_id": "p7",
        "prompt": "Why are there two tides a day?",
        "response": "Two bulges of water.",
        "language": "en-GB",
        "created_at": datetime(2026, 3, 1, 12, 30, 0, 123456, UTC),
        "account_id": "acc",
        "metadata": {"": "", "a": "1", "b": "2"},
        "system_prompt": "Be short.",
        "conversation_id": "c1",
        "turn": 3,
        "reasoning": "Sent apart.\n\nTides, then.",
        "content_hash": None,
        "text_hash": None,
    }
    assert made.items.tolist() == [0]


@pytest.mark.parametrize(
    ("response", "reasoning", "answer"),
    [
        ("no tags at all", None, "no tags at all"),
        ("", None, ""),
        ("<think>why</think>because", "why", "because"),
        ("\n <think>\n why \n</think>\n\n because \n", "why", "because \n"),
        ("<THINKING>why</Thinking>because", "why", "because"),
        ("< think >why</ think >because", "why", "because"),
        # Models whose opening tag is part of the prompt send only the closing one.
        ("why</think>because", "why", "because"),
        ("<think>one</think>two<think>three</think>four", "one</think>two<think>three", "four"),
        ("<think>all of it was reasoning</think>", "all of it was reasoning", ""),
        ("<think></think>answer", "", "answer"),
        ("<think>cut off while", "cut off while", ""),
        ("an answer about the <think> tag", None, "an answer about the <think> tag"),
        ("<thinker>not a tag</thinker>", None, "<thinker>not a tag</thinker>"),
        ("a < b and b </ c", None, "a < b and b </ c"),
    ],
)
def test_reasoning_is_split_off(response: str, reasoning: str | None, answer: str) -> None:
    assert split_reasoning(response) == (reasoning, answer)
    row = one(response=response)
    assert (row["reasoning"], row["response"]) == (reasoning, answer)


@settings(deadline=None)
@given(st.text(), st.text(alphabet="ab </thinkg>\n"), st.text(alphabet="ab <>\n"))
def test_split_loses_only_tags_and_white_space(before: str, middle: str, after: str) -> None:
    for response in (middle, f"<think>{middle}</think>{after}", f"{before}</thinking>{after}"):
        reasoning, answer = split_reasoning(response)
        assert response.endswith(answer)
        assert (reasoning or "") in response
        assert "</think>" not in answer


def test_equal_transcripts_without_id_stay_distinct() -> None:
    counts: Counter[bytes] = Counter()
    twin = Submission("the same", model="m", prompt="p", language="en")
    first = normalise("corpus", [twin, twin], counts).frame["id"].to_list()
    second = normalise("corpus", [twin], counts).frame["id"].to_list()
    assert first + second == [derive_id("corpus", "m", "p", "the same", n) for n in range(3)]
    assert len({*first, *second}) == 3
    again = normalise("corpus", [twin, twin, twin], Counter()).frame["id"].to_list()
    assert again == first + second  # the same load gives the same ids, however it is cut into batches
    # Language and metadata take no part.
    other = Submission("the same", model="m", prompt="p", language="de", metadata={"a": "b"})
    assert normalise("corpus", [other], Counter()).frame["id"].to_list() == first[:1]
    # Account and time do, and are part of the id whatever else is in the load.
    days = [replace(twin, account_id=name, created_us=day) for name, day in (("x", 1), ("x", 2), ("y", 1), ("x", 1))]
    together = normalise("corpus", days, Counter()).frame["id"].to_list()
    assert together[:3] == [normalise("corpus", [day], Counter()).frame["id"].item() for day in days[:3]]
    assert together[3] == together[0] + "-1"
    assert len({*together, *first}) == 6


def test_derived_id_depends_on_each_field() -> None:
    made = {
        derive_id(*fields)
        for fields in [
            ("corpus", "m", "p", "r", 0),
            ("other", "m", "p", "r", 0),
            ("corpus", "M", "p", "r", 0),
            ("corpus", None, "p", "r", 0),
            ("corpus", "", "p", "r", 0),
            ("corpus", "m", None, "r", 0),
            ("corpus", "m", "p", "R", 0),
            ("corpus", "m", "p", "r", 1),
            ("corpus", "mp", "", "r", 0),
            ("corpus", "", "mp", "r", 0),
        ]
    }
    assert len(made) == 10
    assert derive_id("corpus", "m", "p", "r", 0) == "t-oocnoeyx3qioae52tqfvzrgovy"


@settings(deadline=None)
@given(
    st.text(max_size=20),
    st.none() | st.text(max_size=20),
    st.none() | st.text(max_size=20),
    st.text(max_size=40),
    st.integers(0, 2**40),
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("prompt_id", "account_id", "conversation_id"), st.none() | st.text(max_size=5)),
            "turn": st.none() | st.integers(-(2**31), 2**31 - 1),
            "created_us": st.none() | st.integers(-(2**55), 2**55),
        },
    ),
)
def test_client_and_server_derive_the_same_id(
    corpus: str, model: str | None, prompt: str | None, response: str, occurrence: int, further: dict[str, Any]
) -> None:
    mine = derive_id(corpus, model, prompt, response, occurrence, **further)
    assert client_derive_id(corpus, model, prompt, response, occurrence, **further) == mine
    assert mine.startswith("t-" if all(value in (None, "") for value in further.values()) else "t2-")


def test_content_hash_is_stable() -> None:
    """A change of these would make every repeated load write all rows again."""
    made = normalise("corpus", [FULL, Submission("plain", id="x", language="en")], Counter()).frame
    assert [h.hex() for h in made["content_hash"]] == GOLDEN_CONTENT
    assert [h.hex() for h in made["text_hash"]] == GOLDEN_TEXT


GOLDEN_CONTENT = ["d7c1129873dc371e79c5bb03dec004bf", "4cb0474215b1b85d1ec4c02b3e95bf29"]
GOLDEN_TEXT = ["993363953c0bb6f0eb50d4023004108f", "b2f3af30aba47b11a1785a77c62280ae"]


def test_content_hash_covers_every_stored_field() -> None:
    plain: dict[str, Any] = {"response": "answer", "id": "a", "language": "en"}
    changes: list[dict[str, Any]] = [
        {},
        {"response": "Answer"},
        {"language": "de"},
        {"model": "m"},
        {"prompt_id": "m"},
        {"prompt": "m"},
        {"account_id": "m"},
        {"system_prompt": "m"},
        {"conversation_id": "m"},
        {"reasoning": "m"},
        {"created_us": 0},
        {"created_us": 1},
        {"turn": 0},
        {"turn": 1},
        {"metadata": {"m": ""}},
        {"metadata": {"": "m"}},
        {"metadata": {"m": "", "n": ""}},
        {"metadata": {"mn": ""}},
    ]
    hashes = [one(**(plain | change))["content_hash"] for change in changes]
    assert len(set(hashes)) == len(changes)
    # Neither the id nor the order of the metadata takes part.
    assert one(**(plain | {"id": "b"}))["content_hash"] == hashes[0]
    ab, ba = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert one(**plain, metadata=ab)["content_hash"] == one(**plain, metadata=ba)["content_hash"]


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, min_size=1, max_size=8))
def test_text_hash_and_blank_follow_the_reference(responses: list[str]) -> None:
    made = normalise("corpus", [Submission(r, language="en") for r in responses], Counter()).frame
    assert made.height == len(responses)
    for answer, text_hash in zip(made["response"], made["text_hash"], strict=True):
        if reference.normalised_answer(answer) == "":
            assert text_hash is None
        else:
            expected = b"".join(h.to_bytes(8, "little") for h in reference.text_hash(answer))
            assert text_hash == expected


@pytest.mark.parametrize("response", ["", " \n\t ", "\u200b\ufeff", "\u3000\u2003", "<think>only this</think>  "])
def test_blank_answers_are_rows_without_hash_or_language(response: str) -> None:
    row = one(response=response, language=None)
    assert row["text_hash"] is None
    assert row["language"] is None
    assert len(row["content_hash"]) == 16


def test_invisible_differences_share_the_text_hash() -> None:
    same = ["Ein  Bücherregal!", "ein bücherregal!", "EIN BU\u0308CHER\u00adREGAL! "]
    assert len({one(response=text)["text_hash"] for text in same}) == 1
    assert one(response="ein bucherregal!")["text_hash"] != one(response=same[0])["text_hash"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("en", "en"),
        ("DE", "de"),
        ("zh-Hant", "zh-Hant"),
        ("ZH_hant_TW", "zh-hant-TW"),
        (" fr ", "fr"),
        ("sr-Latn-RS", "sr-Latn-RS"),
    ],
)
def test_language_tags(sent: str, kept: str) -> None:
    assert one(language=sent)["language"] == kept


@pytest.mark.parametrize("sent", ["e", "english!", "12", "en-", "en--US", "x" * 36, "en US", "en-\u00e9"])
def test_bad_language_tags_are_refused(sent: str) -> None:
    made = normalise("corpus", [Submission("good", language="en"), Submission("bad", language=sent)], Counter())
    assert made.frame["response"].to_list() == ["good"]
    ((position, failure),) = made.refused
    assert (position, failure.reason, failure.field) == (1, "LANGUAGE_INVALID", "language")


def test_language_is_detected_where_none_is_sent() -> None:
    long_enough = {
        "en": "The moon pulls the near side of the ocean harder than the far side.",
        "de": "Der Mond zieht die ihm zugewandte Seite des Meeres stärker an als die andere.",
        "ja": "月は海の手前の側を向こう側よりも強く引きます。",
    }
    made = normalise("corpus", [Submission(t) for t in [*long_enough.values(), "ok"]], Counter()).frame
    assert made["language"].to_list() == [*long_enough, None]  # too short to tell: no guess
    # An empty tag is no tag.
    assert one(response="ok", language="  ")["language"] is None


def test_prompt_keys() -> None:
    assert one(prompt_id="p1", prompt="Why?")["prompt_key"] == "p1"
    hashed = one(prompt="Why  read ALOUD?")["prompt_key"]
    assert hashed.startswith("prompt-")
    assert hashed == one(prompt="why read aloud? ")["prompt_key"]
    assert hashed != one(prompt="why read?")["prompt_key"]
    for nothing in (None, "", "  ", "\u200b"):
        assert one(prompt=nothing)["prompt_key"] is None
    assert one(prompt_id="", prompt="Why?")["prompt_id"] is None


@pytest.mark.parametrize("name", ["id", "model", "prompt_id", "account_id", "conversation_id"])
def test_key_limit_is_in_bytes(name: str) -> None:
    most = LIMITS.max_key_bytes
    validate(Submission("answer", **{name: "é" * (most // 2)}))
    failure = refusal(**{name: "é" * (most // 2) + "x"})
    assert (failure.field, failure.reason) == (name, "FIELD_TOO_LONG")
    if name != "id":
        row = one(**{name: "k" * most})
        assert row[name] == "k" * most


@pytest.mark.parametrize("name", ["response", "prompt", "system_prompt", "reasoning"])
def test_text_limit_is_in_bytes(name: str) -> None:
    most = LIMITS.max_text_bytes
    validate(Submission(**{"response": "answer", name: "é" * (most // 2)}))
    failure = refusal(**{name: "é" * (most // 2) + "x"})
    assert (failure.field, failure.reason) == (name, "TEXT_TOO_LONG")
    assert str(most + 1) in failure.message


def test_metadata_limit_is_in_bytes() -> None:
    most = LIMITS.max_metadata_bytes
    validate(Submission("answer", metadata={"é" * 10: "é" * (most // 2 - 10)}))
    assert refusal(metadata={"é" * 10: "é" * (most // 2 - 10) + "x"}).reason == "METADATA_TOO_LARGE"
    assert refusal(metadata={str(n): "x" * 1000 for n in range(100)}).field == "metadata"


@pytest.mark.parametrize("identifier", [" a", "a ", "a\n", "a\x00b", "\x7f", "\u00a0a", "\t"])
def test_ids_that_nobody_could_type_are_refused(identifier: str) -> None:
    assert refusal(id=identifier).reason == "ID_INVALID"


@pytest.mark.parametrize("identifier", ["a b", "日本", "a/b:c", "-", "../../etc"])
def test_other_ids_are_kept_as_they_are(identifier: str) -> None:
    assert one(id=identifier)["id"] == identifier


def test_times() -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
    assert one(created_us=-62_135_596_800_000_000)["created_at"] == first
    assert one(created_us=253_402_300_799_999_999)["created_at"] == last
    for outside in (-62_135_596_800_000_001, 253_402_300_800_000_000, 2**63 - 1):
        assert refusal(created_us=outside).reason == "TIME_OUT_OF_RANGE"
    assert one(created_us=0)["created_at"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert one()["created_at"] is None


def test_bad_rows_do_not_take_others_along() -> None:
    batch = [
        Submission("first", language="en"),
        Submission("second", id=" bad", language="en"),
        Submission("third", language="en"),
        Submission("fourth", language="not a tag"),
        Submission("fifth", language="en"),
    ]
    counts: Counter[bytes] = Counter()
    made = normalise("corpus", batch, counts)
    assert made.frame["response"].to_list() == ["first", "third", "fifth"]
    assert made.items.tolist() == [0, 2, 4]
    assert [(position, failure.reason) for position, failure in made.refused] == [
        (1, "ID_INVALID"),
        (3, "LANGUAGE_INVALID"),
    ]
    assert sum(counts.values()) == 3


def test_a_batch_without_any_row() -> None:
    for batch in ([], [Submission("x", id=" ")]):
        made = normalise("corpus", batch, Counter())
        assert made.frame.height == 0
        assert len(made.refused) == len(batch)
        assert {"content_hash", "text_hash"} <= set(made.frame.columns)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4), st.text(max_size=30))
def test_metadata_and_texts_come_back_as_sent(metadata: dict[str, str], prompt: str) -> None:
    row = one(metadata=metadata, prompt=prompt)
    assert (row["metadata"] or {}) == metadata
    assert row["prompt"] == prompt
