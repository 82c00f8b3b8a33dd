"""Every RPC on the wire: what it answers, and the status, reason and field of every documented error."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest
from contract.wire import (
    ALL,
    COPY,
    DEADLINE,
    SEMANTIC,
    STYLE,
    OpenStream,
    Stubs,
    batch,
    described,
    expect,
    get,
    listed,
    refusal,
    refused,
    row,
    search,
    start,
    stop,
    unpack,
    upsert,
)
from google.protobuf import timestamp_pb2
from kinprint.v1 import corpus_pb2, info_pb2, match_pb2, transcript_pb2, types_pb2

HARBOUR = (
    "The harbour master writes the height of the tide in a book that his father began, and every year the "
    "figures creep upward by the width of a fingernail. Nobody in the town argues about it any more. They "
    "raise the quay by one course of stones and go back to mending their nets."
)
EDITED = HARBOUR.replace("creep upward", "climb") + " The book is kept in a tin."
BREAD = (
    "A dough that rises slowly in a cold room tastes of more than yeast, because the bacteria that live beside "
    "it have time to work. Fold it twice in the evening and bake it before breakfast; the crust will sing."
)
CHINESE = "港务长把潮水的高度写在父亲留下的本子里,每年的数字都往上爬一点点。镇上没有人再为这件事争论了。"
KEYS = ("copy", "semantic", "style")
CLUSTERS = match_pb2.DUPLICATES_OUTPUT_CLUSTERS
STAR = match_pb2.DUPLICATES_LINK_STAR


def stamp(*when: int) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(datetime(*when, tzinfo=UTC))  # type: ignore[arg-type]
    return made


ROWS = (
    row("a", HARBOUR, model="anna", prompt_id="p1", account_id="k1", created_at=stamp(2026, 1, 1), language="en"),
    row("b", HARBOUR, model="bert", prompt_id="p1", account_id="k2", created_at=stamp(2026, 2, 1), language="en"),
    row("c", EDITED, model="carl", prompt="Sea level?", created_at=stamp(2026, 3, 1), language="en-GB"),
    row("d", BREAD, model="anna", prompt="Bread?", metadata={"source": "forum"}, language="en"),
    row("e", CHINESE, model="dora", language="zh-Hans"),
    row("f", " \n ", model="dora"),
)


@pytest.fixture(scope="module")
def filled(stubs: Stubs) -> str:
    """A corpus with ROWS in every channel; tests only read it."""
    name = "wire-filled"
    done = upsert(stubs, name, ROWS, channels=ALL)
    assert done.outcomes == ["CREATED"] * 6
    assert done.finished.blank == 1
    return name


def text(value: str) -> match_pb2.TextSource:
    return match_pb2.TextSource(text=value)


def stored(corpus: str, identifier: str) -> match_pb2.TextSource:
    return match_pb2.TextSource(transcript=match_pb2.TranscriptRef(corpus=corpus, id=identifier))


# ---- corpora ----


def accurate(coverage: Any) -> list[types_pb2.Coverage]:
    """Coverage without that of the fast tier, which is filled behind."""
    return [cover for cover in coverage if cover.tier != types_pb2.TIER_FAST]


def test_a_corpus_is_created_described_listed_and_deleted(stubs: Stubs, corpus: str) -> None:
    made = stubs.corpora.CreateCorpus(
        corpus_pb2.CreateCorpusRequest(name=corpus, description="tides 🌊"), timeout=DEADLINE
    ).corpus
    assert (made.name, made.description, made.transcripts, made.blank) == (corpus, "tides 🌊", 0, 0)
    assert abs(made.created_at.ToDatetime(UTC) - datetime.now(UTC)).total_seconds() < 600
    assert sorted((c.channel, c.filled, c.fillable, c.share) for c in accurate(made.coverage)) == [
        (c, 0, 0, 1.0) for c in (1, 2, 3)
    ]
    upsert(stubs, corpus, ROWS)
    found = described(stubs, corpus)
    assert (found.transcripts, found.blank) == (6, 1)
    assert {c.channel: (c.filled, c.fillable, c.share) for c in accurate(found.coverage)} == {
        COPY: (5, 5, 1.0),
        SEMANTIC: (0, 5, 0.0),
        STYLE: (5, 5, 1.0),
    }
    assert [(v.value, v.count) for v in found.models] == [("anna", 2), ("dora", 2), ("bert", 1), ("carl", 1)]
    assert {v.value if v.HasField("value") else None: v.count for v in found.languages} == {
        "en": 3,
        "en-GB": 1,
        "zh-Hans": 1,
        None: 1,
    }
    assert found.disk_bytes > 1000
    assert found.record_version > made.record_version
    assert stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name=corpus), timeout=DEADLINE).transcripts == 6
    expect(refused(lambda: described(stubs, corpus)), "NOT_FOUND", "CORPUS_NOT_FOUND", "name")


def test_a_deleted_corpus_can_be_made_again_and_is_empty(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, ROWS)
    stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name=corpus), timeout=DEADLINE)
    stubs.corpora.CreateCorpus(corpus_pb2.CreateCorpusRequest(name=corpus), timeout=DEADLINE)
    assert described(stubs, corpus).transcripts == 0
    assert upsert(stubs, corpus, ROWS[:2]).outcomes == ["CREATED", "CREATED"]
    assert [hit.id for hit in search(stubs, HARBOUR, corpus).hits] == ["a", "b"]


def test_names_that_differ_only_by_case_are_two_corpora(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row("a", HARBOUR)])
    upsert(stubs, corpus.upper(), [row("a", BREAD)])
    assert get(stubs, corpus, "a").response == HARBOUR
    assert get(stubs, corpus.upper(), "a").response == BREAD


def test_errors_of_the_corpus_service(stubs: Stubs, corpus: str) -> None:
    def create(name: str, description: str = "") -> Any:
        request = corpus_pb2.CreateCorpusRequest(name=name, description=description)
        return stubs.corpora.CreateCorpus(request, timeout=DEADLINE)

    for name in ("", ".hidden", "-dash", "_low", "a" * 64, "a/b", "..", "a b", "café", "a\n", "a\0b", "日本"):
        expect(refused(lambda name=name: create(name)), "INVALID_ARGUMENT", "CORPUS_NAME_INVALID", "name")
    expect(refused(lambda: create(corpus, "é" * 2049)), "INVALID_ARGUMENT", "FIELD_TOO_LONG", "description")
    assert create(corpus, "é" * 2048).corpus.description == "é" * 2048
    expect(refused(lambda: create(corpus)), "ALREADY_EXISTS", "CORPUS_EXISTS", "name")
    expect(refused(lambda: described(stubs, "nowhere")), "NOT_FOUND", "CORPUS_NOT_FOUND", "name")
    expect(refused(lambda: described(stubs, "")), "INVALID_ARGUMENT", "FIELD_MISSING", "name")

    def delete(name: str) -> Any:
        return stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name=name), timeout=DEADLINE)

    expect(refused(lambda: delete("nowhere")), "NOT_FOUND", "CORPUS_NOT_FOUND", "name")
    assert create("A" * 63).corpus.name == "A" * 63
    delete("A" * 63)


def test_corpora_are_listed_by_name_page_by_page(stubs: Stubs, corpus: str) -> None:
    names = [f"{corpus}-{k}" for k in range(5)]
    for name in reversed(names):
        stubs.corpora.CreateCorpus(corpus_pb2.CreateCorpusRequest(name=name), timeout=DEADLINE)
    seen: list[str] = []
    token = ""
    while True:
        page = stubs.corpora.ListCorpora(corpus_pb2.ListCorporaRequest(page_size=2, page_token=token), timeout=DEADLINE)
        assert 1 <= len(page.corpora) <= 2
        seen += [c.name for c in page.corpora]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(seen)
    assert len(seen) == len(set(seen))
    assert set(names) <= set(seen)
    everything = stubs.corpora.ListCorpora(corpus_pb2.ListCorporaRequest(page_size=1000), timeout=DEADLINE)
    assert [c.name for c in everything.corpora] == seen
    assert not everything.next_page_token


def test_foreign_page_tokens_are_refused(stubs: Stubs, filled: str) -> None:
    def corpora(token: str) -> Any:
        return stubs.corpora.ListCorpora(corpus_pb2.ListCorporaRequest(page_token=token), timeout=DEADLINE)

    def transcripts(token: str, corpus: str = filled, **fields: Any) -> Any:
        request = transcript_pb2.ListTranscriptsRequest(corpus=corpus, page_token=token, page_size=2, **fields)
        return stubs.transcripts.ListTranscripts(request, timeout=DEADLINE)

    other = "wire-tokens"
    upsert(stubs, other, ROWS)
    anna = types_pb2.Filter(models=["anna", "carl"])
    token = transcripts("").next_page_token
    filtered = transcripts("", filter=anna).next_page_token
    assert token
    assert filtered
    calls = [lambda bad=bad: transcripts(bad) for bad in ("x", "é", "AAAA", "W1tb" * 30_000, "W10", "bnVsbA", filtered)]
    calls += [
        lambda: corpora(token),
        lambda: transcripts(token, other),
        lambda: transcripts(token, filter=anna),
        lambda: transcripts(filtered, filter=types_pb2.Filter(models=["anna"])),
    ]
    for call in calls:
        expect(refused(call), "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", "page_token")
    # An equal filter is the same filter, whichever message it came in.
    again = types_pb2.Filter.FromString(anna.SerializeToString())
    assert [t.id for t in transcripts(filtered, filter=again).transcripts] == ["d"]


# ---- transcripts ----


def test_what_is_stored_comes_back(stubs: Stubs, corpus: str) -> None:
    sent = types_pb2.Transcript(
        id="whole",
        model="m",
        prompt_id="p",
        prompt="Why?\0\u2028",
        response="<think>first\nsecond</think>\n\nThe answer \U0001f30a e\u0301 \u202eright\u202c.",
        language="zh-hant",
        account_id="acc",
        created_at=timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=123_456_789),
        metadata={"k": "v", "": "empty key", "empty value": ""},
        system_prompt="Be brief.",
        conversation_id="conv",
        turn=-3,
        reasoning="before",
        prompt_key="not mine to set",
        content_hash=b"nor this",
        channels=[SEMANTIC],
    )
    assert upsert(stubs, corpus, [sent]).ids == ["whole"]
    found = get(stubs, corpus, "whole")
    assert found.response == "The answer \U0001f30a e\u0301 \u202eright\u202c."
    assert found.reasoning == "before\n\nfirst\nsecond"
    for name in ("id", "model", "prompt_id", "prompt", "account_id", "system_prompt", "conversation_id", "turn"):
        assert getattr(found, name) == getattr(sent, name), name
    assert dict(found.metadata) == dict(sent.metadata)
    assert found.language.lower() == "zh-hant"
    assert (found.created_at.seconds, found.created_at.nanos) == (1_700_000_000, 123_456_000)
    assert found.prompt_key == "p"
    assert len(found.content_hash) == 16
    assert list(found.channels) == [COPY, STYLE]


def test_absent_fields_stay_absent(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row("bare", "123")])
    found = get(stubs, corpus, "bare")
    optional = ("model", "prompt_id", "prompt", "account_id", "created_at", "system_prompt", "conversation_id", "turn")
    assert [name for name in (*optional, "reasoning", "prompt_key", "language") if found.HasField(name)] == []
    assert dict(found.metadata) == {}


def test_errors_of_reading(stubs: Stubs, filled: str) -> None:
    expect(refused(lambda: get(stubs, "nowhere", "a")), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    expect(refused(lambda: get(stubs, "", "a")), "INVALID_ARGUMENT", "FIELD_MISSING", "corpus")
    expect(refused(lambda: get(stubs, filled, "")), "INVALID_ARGUMENT", "FIELD_MISSING", "id")
    expect(refused(lambda: get(stubs, filled, "z")), "NOT_FOUND", "TRANSCRIPT_NOT_FOUND", "id")
    expect(refused(lambda: listed(stubs, "nowhere")), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    far = types_pb2.Filter(created_from=timestamp_pb2.Timestamp(seconds=1 << 60))
    found = refused(lambda: listed(stubs, filled, filter=far))
    expect(found, "INVALID_ARGUMENT", "TIME_OUT_OF_RANGE", "filter.created_from")


@pytest.mark.parametrize("page_size", [1, 2, 5, 6, 7, 0])
def test_transcripts_are_listed_page_by_page(stubs: Stubs, filled: str, page_size: int) -> None:
    assert [t.id for t in listed(stubs, filled, page_size)] == ["a", "b", "c", "d", "e", "f"]


FILTERS = {
    "models": (types_pb2.Filter(models=["anna", "bert"]), "abd"),
    "exclude": (types_pb2.Filter(exclude_models=["anna"]), "bcef"),
    "both": (types_pb2.Filter(models=["anna"], exclude_models=["anna"]), ""),
    "language": (types_pb2.Filter(languages=["en"]), "abcd"),
    "variant": (types_pb2.Filter(languages=["en-GB"]), "c"),
    "primary": (types_pb2.Filter(languages=["zh"]), "e"),
    "account": (types_pb2.Filter(account_ids=["k2"]), "b"),
    "from": (types_pb2.Filter(created_from=stamp(2026, 2, 1)), "bc"),
    "before": (types_pb2.Filter(created_before=stamp(2026, 2, 1)), "a"),
    "between": (types_pb2.Filter(created_from=stamp(2026, 1, 1), created_before=stamp(2026, 3, 1)), "ab"),
    "never": (types_pb2.Filter(created_from=stamp(2026, 3, 1), created_before=stamp(2026, 1, 1)), ""),
    "prompt": (types_pb2.Filter(prompt_keys=["p1"]), "ab"),
    "unknown": (types_pb2.Filter(models=["nobody"]), ""),
    "joined": (types_pb2.Filter(models=["anna"], languages=["en"], prompt_keys=["p1"]), "a"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_keep_the_same_rows_everywhere(stubs: Stubs, filled: str, name: str) -> None:
    keep, ids = FILTERS[name]
    assert [t.id for t in listed(stubs, filled, 2, filter=keep)] == list(ids)
    least = {COPY: 0.0, SEMANTIC: -1.0, STYLE: -1.0}
    for channel in ALL:
        hits = search(stubs, HARBOUR, filled, channels=[channel], filter=keep, min_score=least[channel]).hits
        expected = {"a", "b", "c"} if channel == COPY else set("abcde")
        assert {h.id for h in hits} == expected & set(ids), types_pb2.Channel.Name(channel)
    answers = list(
        stubs.match.FindDuplicates(
            match_pb2.FindDuplicatesRequest(corpora=[filled], threshold=0.5, filter=keep), timeout=DEADLINE
        )
    )
    assert answers[-1].finished.rows == len(set(ids) - {"f"})
    assert answers[-1].finished.blank == len(set(ids) & {"f"})


def test_rows_are_listed_in_the_order_of_their_last_write(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, ROWS)
    upsert(stubs, corpus, [row("b", BREAD), row("g", BREAD)])
    assert [t.id for t in listed(stubs, corpus, 2)] == ["a", "c", "d", "e", "f", "b", "g"]


def test_pages_hold_against_writes_between_them(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row(f"{k:02}", f"Row {k}. {HARBOUR}") for k in range(20)])
    seen: list[str] = []
    token = ""
    for turn in range(100):
        page = stubs.transcripts.ListTranscripts(
            transcript_pb2.ListTranscriptsRequest(corpus=corpus, page_size=3, page_token=token), timeout=DEADLINE
        )
        seen += [t.id for t in page.transcripts]
        token = page.next_page_token
        if not token:
            break
        if turn < 4:
            upsert(stubs, corpus, [row(f"new{turn}", BREAD)])
    assert sorted(i for i in seen if not i.startswith("new")) == [f"{k:02}" for k in range(20)]
    assert len(seen) == len(set(seen)) == 24


def test_pages_are_bounded_by_bytes(stubs: Stubs, corpus: str) -> None:
    rows = [row(str(k), f"{k} " + "word " * 180_000) for k in range(6)]
    upsert(stubs, corpus, *([r] for r in rows))
    # gRPC's default limit on what a client receives is 4 MiB: a page must pass it.
    first = stubs.transcripts.ListTranscripts(
        transcript_pb2.ListTranscriptsRequest(corpus=corpus, page_size=1000), timeout=DEADLINE
    )
    assert 1 <= len(first.transcripts) < 6
    assert [t.id for t in listed(stubs, corpus)] == [str(k) for k in range(6)]


def test_deleting(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, ROWS, channels=ALL)

    def delete(*ids: str) -> tuple[int, int]:
        request = transcript_pb2.DeleteTranscriptsRequest(corpus=corpus, ids=ids)
        answer = stubs.transcripts.DeleteTranscripts(request, timeout=DEADLINE)
        return answer.deleted, answer.not_found

    assert delete("a", "z", "a") == (1, 1)
    assert delete("a") == (0, 1)
    assert [t.id for t in listed(stubs, corpus)] == ["b", "c", "d", "e", "f"]
    expect(refused(lambda: get(stubs, corpus, "a")), "NOT_FOUND", "TRANSCRIPT_NOT_FOUND", "id")
    for channel in ALL:
        hits = search(stubs, HARBOUR, corpus, channels=[channel], min_score=0.0 if channel == COPY else -1.0).hits
        assert "a" not in {h.id for h in hits}
        assert {"b", "c"} <= {h.id for h in hits}
    assert upsert(stubs, corpus, ROWS[:1]).outcomes == ["CREATED"]
    found = refused(lambda: delete())
    expect(found, "INVALID_ARGUMENT", "FIELD_MISSING", "ids")
    found = refused(lambda: delete(*(f"x{k}" for k in range(10_001))))
    expect(found, "INVALID_ARGUMENT", "FIELD_INVALID", "ids")
    missing = transcript_pb2.DeleteTranscriptsRequest(corpus="nowhere", ids=["a"])
    found = refused(lambda: stubs.transcripts.DeleteTranscripts(missing, timeout=DEADLINE))
    expect(found, "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")


def test_purging(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, ROWS, channels=ALL)
    upsert(stubs, corpus, [row("d", "Bread, again, and nothing else.", language="en")], channels=ALL)

    def purge(name: str, *ids: str) -> list[Any]:
        request = transcript_pb2.PurgeTranscriptsRequest(corpus=name, ids=ids)
        return list(stubs.transcripts.PurgeTranscripts(request, timeout=DEADLINE))

    answers = purge(corpus, "a", "nothing-there")
    assert [a.done for a in answers] == [False] * (len(answers) - 1) + [True]
    assert all(a.step for a in answers)
    assert answers[-1].erased == 1
    assert answers[-1].record_version == described(stubs, corpus).record_version
    assert purge(corpus)[-1].erased == 0
    assert sorted(t.id for t in listed(stubs, corpus)) == ["b", "c", "d", "e", "f"]
    coverage = {c.channel: c.filled for c in accurate(described(stubs, corpus).coverage)}
    assert coverage == {COPY: 4, SEMANTIC: 4, STYLE: 4}
    assert [h.id for h in search(stubs, HARBOUR, corpus).hits] == ["b", "c"]
    assert upsert(stubs, corpus, [row("g", BREAD)]).outcomes == ["CREATED"]
    expect(refused(lambda: purge("nowhere")), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    many = [f"x{k}" for k in range(10_001)]
    expect(refused(lambda: purge(corpus, *many)), "INVALID_ARGUMENT", "FIELD_INVALID", "ids")


def test_a_purge_beside_an_open_stream(stubs: Stubs, corpus: str) -> None:
    stream = OpenStream(stubs).send(start(corpus), batch(1, row("a", HARBOUR), row("b", EDITED)))
    stream.next("ack")
    request = transcript_pb2.PurgeTranscriptsRequest(corpus=corpus, ids=["a"])
    purge = stubs.transcripts.PurgeTranscripts(request, timeout=DEADLINE)
    assert not next(purge).done
    stream.send(batch(2, row("c", HARBOUR), row("b", EDITED)), batch(3, row("a", BREAD)))
    # Reads go on with what is there.
    assert {t.id for t in listed(stubs, corpus)} <= {"a", "b", "c"}
    assert list(purge)[-1].erased == 1
    assert stream.send(stop()).next("finished").failed == 0
    assert {t.id: t.response for t in listed(stubs, corpus)} == {"b": EDITED, "c": HARBOUR, "a": BREAD}
    assert [h.id for h in search(stubs, HARBOUR, corpus).hits] == ["c", "b"]


# ---- upsert streams ----


def test_an_upsert_stream_answers_in_order(stubs: Stubs, corpus: str) -> None:
    rows = [row(str(k), f"Row {k}. {HARBOUR}") for k in range(60)]
    done = upsert(stubs, corpus, rows[:20], rows[20:40], rows[40:])
    info = stubs.info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=DEADLINE)
    assert done.started.limits == info.limits
    assert list(done.started.channels) == [COPY, STYLE]
    assert done.ids == [r.id for r in rows]
    assert done.finished == transcript_pb2.UpsertFinished(created=60)
    again = upsert(stubs, corpus, rows[:10], [*rows[10:19], row("19", BREAD)])
    assert again.outcomes == ["UNCHANGED"] * 19 + ["REPLACED"]
    assert again.finished == transcript_pb2.UpsertFinished(unchanged=19, replaced=1)
    more = upsert(stubs, corpus, rows[:3], channels=ALL)
    assert more.outcomes == ["FILLED"] * 3
    assert more.finished == transcript_pb2.UpsertFinished(filled=3)
    assert sorted(get(stubs, corpus, "1").channels) == sorted(ALL)
    # Asking for fewer channels takes none away.
    assert upsert(stubs, corpus, rows[:3], channels=[COPY]).outcomes == ["UNCHANGED"] * 3
    assert sorted(get(stubs, corpus, "1").channels) == sorted(ALL)


def made(stubs: Stubs, corpus: str) -> None:
    """An empty corpus."""
    stubs.corpora.CreateCorpus(corpus_pb2.CreateCorpusRequest(name=corpus), timeout=DEADLINE)


def test_a_stream_without_batches_is_fine(stubs: Stubs, corpus: str) -> None:
    assert upsert(stubs, corpus).finished == transcript_pb2.UpsertFinished()
    made(stubs, corpus)
    assert upsert(stubs, corpus).finished == transcript_pb2.UpsertFinished()
    assert described(stubs, corpus).transcripts == 0


def test_a_stream_that_stores_nothing_leaves_no_corpus(stubs: Stubs, corpus: str) -> None:
    done = upsert(stubs, corpus, [row("bad\x00id", HARBOUR)])
    assert done.finished.failed == 1
    expect(refused(lambda: described(stubs, corpus)), "NOT_FOUND", "CORPUS_NOT_FOUND", "name")


def test_channels_are_filled_one_by_one(stubs: Stubs, corpus: str) -> None:
    for count, channel in enumerate((STYLE, SEMANTIC, COPY)):
        done = upsert(stubs, corpus, ROWS, channels=[channel])
        assert done.outcomes == (["FILLED"] * 5 + ["UNCHANGED"] if count else ["CREATED"] * 6)
        hash_of = {t.id: t.content_hash for t in listed(stubs, corpus)}
        assert len(hash_of) == 6
    assert {c.channel: c.share for c in accurate(described(stubs, corpus).coverage)} == dict.fromkeys(ALL, 1.0)


def test_bad_items_leave_the_rest_of_their_batch_stored(stubs: Stubs, corpus: str) -> None:
    bad = {
        "TEXT_TOO_LONG": (row("1", "x" * ((1 << 20) + 1)), "response"),
        "ID_INVALID": (row("a\x07", HARBOUR), "id"),
        "FIELD_TOO_LONG": (row("2", HARBOUR, model="m" * 513), "model"),
        "METADATA_TOO_LARGE": (row("3", HARBOUR, metadata={"k": "v" * (64 << 10)}), "metadata"),
        "TIME_OUT_OF_RANGE": (
            row("4", HARBOUR, created_at=timestamp_pb2.Timestamp(seconds=253_402_300_800)),
            "created_at",
        ),
        "LANGUAGE_INVALID": (row("5", HARBOUR, language="English, mostly"), "language"),
    }
    rows: list[types_pb2.Transcript] = []
    expected: list[str] = []
    for reason, (wrong, _field) in bad.items():
        rows += [row(f"good-{reason}", f"{reason}. {HARBOUR}"), wrong]
        expected += ["CREATED", reason]
    done = upsert(stubs, corpus, rows, [row("later", BREAD)])
    assert done.outcomes == [*expected, "CREATED"]
    for item in done.items:
        if item.HasField("error"):
            found = unpack(item.error)
            expect(found, "INVALID_ARGUMENT", found.reason, bad[found.reason][1])
    assert done.finished == transcript_pb2.UpsertFinished(created=7, failed=6)
    assert {t.id for t in listed(stubs, corpus)} == {f"good-{reason}" for reason in bad} | {"later"}


def test_a_batch_of_bad_items_alone_is_acked(stubs: Stubs, corpus: str) -> None:
    done = upsert(stubs, corpus, [row("x\n", HARBOUR)], [row("y", HARBOUR)], [row(" z", HARBOUR)])
    assert done.outcomes == ["ID_INVALID", "CREATED", "ID_INVALID"]


def test_repeated_ids(stubs: Stubs, corpus: str) -> None:
    done = upsert(stubs, corpus, [row("a", HARBOUR), row("b", BREAD), row("a", EDITED)])
    assert done.outcomes == ["SUPERSEDED", "CREATED", "CREATED"]
    assert done.finished == transcript_pb2.UpsertFinished(created=2, repeated_ids=1)
    assert get(stubs, corpus, "a").response == EDITED
    over = OpenStream(stubs).send(start(corpus), batch(1, row("a", HARBOUR)))
    over.next("ack")
    over.send(batch(2, row("a", BREAD))).next("ack")
    assert over.send(stop()).next("finished") == transcript_pb2.UpsertFinished(replaced=2, repeated_ids=1)
    assert get(stubs, corpus, "a").response == BREAD


def test_rows_without_ids_get_the_same_ids_again(stubs: Stubs, corpus: str) -> None:
    rows = [types_pb2.Transcript(response=r, model=m) for r in (HARBOUR, BREAD, HARBOUR) for m in ("x", "y")]
    first = upsert(stubs, corpus, rows[:3], rows[3:])
    again = upsert(stubs, corpus, rows[:5], rows[5:])
    assert first.outcomes == ["CREATED"] * 6
    assert again.outcomes == ["UNCHANGED"] * 6
    assert len(set(first.ids)) == 6
    assert first.ids == again.ids
    assert upsert(stubs, corpus.upper(), rows[:3], rows[3:]).ids != first.ids


def _protocol_cases() -> Iterator[tuple[str, list[Any], str, str]]:
    one = row("a", HARBOUR)
    wrong = "STREAM_PROTOCOL", "message"
    yield "nothing", [], *wrong
    yield "empty message", [transcript_pb2.UpsertTranscriptsRequest()], *wrong
    yield "no start", [batch(1, one), stop()], *wrong
    yield "stop first", [stop()], *wrong
    yield "two starts", [start("wire-protocol"), start("wire-protocol"), stop()], *wrong
    yield "no stop", [start("wire-protocol"), batch(1, one)], *wrong
    yield "from zero", [start("wire-protocol"), batch(0, one), stop()], *wrong
    yield "a gap", [start("wire-protocol"), batch(1, one), batch(3, one), stop()], *wrong
    yield "twice", [start("wire-protocol"), batch(1, one), batch(1, one), stop()], *wrong
    yield "empty batch", [start("wire-protocol"), batch(1), stop()], "BATCH_SIZE", "batch.transcripts"
    many = [row(str(k), "short") for k in range(1001)]
    yield "too many items", [start("wire-protocol"), batch(1, *many), stop()], "BATCH_SIZE", "batch.transcripts"
    yield "unset channel", [start("wire-protocol", [0]), stop()], "CHANNEL_UNKNOWN", "channels"
    yield "unknown channel", [start("wire-protocol", [77]), stop()], "CHANNEL_UNKNOWN", "channels"
    yield "bad corpus name", [start("../up"), stop()], "CORPUS_NAME_INVALID", "name"


@pytest.mark.parametrize(("messages", "reason", "field"), [pytest.param(*c[1:], id=c[0]) for c in _protocol_cases()])
def test_streams_out_of_order_are_refused(stubs: Stubs, messages: list[Any], reason: str, field: str) -> None:
    found = refused(lambda: stubs.transcripts.UpsertTranscripts(iter(messages), timeout=DEADLINE))
    expect(found, "INVALID_ARGUMENT", reason, field)


def test_a_stream_into_a_missing_corpus_is_refused(stubs: Stubs, corpus: str) -> None:
    messages = [start(corpus, create=False), batch(1, row("a", HARBOUR)), stop()]
    found = refused(lambda: stubs.transcripts.UpsertTranscripts(iter(messages), timeout=DEADLINE))
    expect(found, "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    expect(refused(lambda: described(stubs, corpus)), "NOT_FOUND", "CORPUS_NOT_FOUND", "name")


def test_acked_batches_stay_when_the_stream_ends_badly(stubs: Stubs, corpus: str) -> None:
    stream = OpenStream(stubs).send(start(corpus), batch(1, row("a", HARBOUR)))
    assert stream.next("ack").sequence == 1
    stream.send(batch(7, row("b", BREAD)))
    with pytest.raises(grpc.RpcError):
        stream.rest()
    stream.half_close()
    assert [t.id for t in listed(stubs, corpus)] == ["a"]


def test_a_broken_stream_is_taken_up_by_the_next(stubs: Stubs, corpus: str) -> None:
    rows = [types_pb2.Transcript(response=f"Row {k % 40}. {HARBOUR}", model="m") for k in range(60)]
    batches = [rows[k : k + 10] for k in range(0, 60, 10)]
    stream = OpenStream(stubs).send(start(corpus), *(batch(k, *b) for k, b in enumerate(batches[:4], 1)))
    acked = stream.next("ack").sequence
    stream.abandon()
    # Everything again from the start gives the same ids, whatever had been written.
    done = upsert(stubs, corpus, *batches)
    assert set(done.outcomes) <= {"CREATED", "UNCHANGED"}
    assert done.outcomes[: acked * 10] == ["UNCHANGED"] * (acked * 10)
    assert len(set(done.ids)) == 60
    assert described(stubs, corpus).transcripts == 60


def test_two_streams_write_to_one_corpus(stubs: Stubs, corpus: str) -> None:
    streams = [OpenStream(stubs).send(start(corpus)) for _ in range(2)]
    for sequence in range(1, 6):
        for number, stream in enumerate(streams):
            own = [row(f"{number}-{sequence}-{k}", f"{number} {sequence} {k} {HARBOUR}") for k in range(5)]
            stream.send(batch(sequence, *own, row("both", f"{sequence} of {number}. {BREAD}")))
    for stream in streams:
        finished = stream.send(stop()).next("finished")
        assert finished.failed == 0
        assert finished.created >= 25
    rows = listed(stubs, corpus)
    assert len(rows) == 51
    assert len({t.id for t in rows}) == 51
    assert get(stubs, corpus, "both").response.startswith("5 of ")
    hits = search(stubs, get(stubs, corpus, "both").response, corpus, top=100).hits
    assert [h.id for h in hits if h.copy.identical] == ["both"]


def test_a_corpus_that_is_written_to_cannot_be_deleted(stubs: Stubs, corpus: str) -> None:
    made(stubs, corpus)
    stream = OpenStream(stubs).send(start(corpus))
    stream.next("started")

    def delete() -> Any:
        return stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name=corpus), timeout=DEADLINE)

    expect(refused(delete), "FAILED_PRECONDITION", "CORPUS_BUSY")
    stream.send(batch(1, row("a", HARBOUR)), stop()).next("finished")
    stream.rest()
    assert delete().transcripts == 1


def test_an_idle_stream_does_not_keep_a_corpus(stubs: Stubs, corpus: str) -> None:
    made(stubs, corpus)
    idle = OpenStream(stubs).send(start(corpus), batch(1, row("a", HARBOUR)))
    idle.next("ack")
    deadline = time.monotonic() + DEADLINE
    while True:
        call = stubs.corpora.DeleteCorpus.future(corpus_pb2.DeleteCorpusRequest(name=corpus), timeout=DEADLINE)
        if call.exception() is None:
            break
        expect(refusal(call), "FAILED_PRECONDITION", "CORPUS_BUSY")
        assert time.monotonic() < deadline, "the corpus stays busy"
        time.sleep(0.2)
    assert call.result().transcripts == 1
    # Another corpus of that name is none of the stream's affair.
    made(stubs, corpus)
    expect(refused(lambda: idle.send(batch(2, row("b", BREAD))).rest()), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    assert upsert(stubs, corpus, [row("a", HARBOUR)]).finished.created == 1


def test_abandoned_streams_do_not_keep_a_corpus_busy(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row("a", HARBOUR)])
    for k in range(60):
        stream = OpenStream(stubs).send(start(corpus))
        if k % 3 == 0:
            stream.send(batch(1, row(str(k), f"{k}. {HARBOUR}")))
        if k % 2:
            stream.next("started")
        stream.abandon()
    request = corpus_pb2.DeleteCorpusRequest(name=corpus)
    for _ in range(200):
        call = stubs.corpora.DeleteCorpus.future(request, timeout=DEADLINE)
        if call.exception() is None:
            return
        expect(refusal(call), "FAILED_PRECONDITION", "CORPUS_BUSY")
        stubs.info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=DEADLINE)  # a turn of the server's loop
    pytest.fail("the corpus stays busy")


# ---- fingerprints ----


def array(matrix: types_pb2.Matrix) -> np.ndarray:
    """The matrix as the contract says to read it."""
    dtypes = {1: "<f4", 2: "<u4", 3: "i1", 4: "<u8"}
    dtype = np.dtype(dtypes[matrix.dtype])
    assert len(matrix.data) == matrix.rows * matrix.columns * dtype.itemsize
    return np.frombuffer(matrix.data, dtype).reshape(matrix.rows, matrix.columns)


def test_fingerprints(stubs: Stubs, corpus: str) -> None:
    texts = [HARBOUR, "", BREAD, f"  {HARBOUR.upper()}\n", CHINESE, HARBOUR, "\u200b \t"]
    answer = stubs.match.Fingerprint(
        match_pb2.FingerprintRequest(texts=texts, channels=[STYLE, SEMANTIC, COPY, COPY]), timeout=DEADLINE
    )
    info = stubs.info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=DEADLINE)
    sketches, hashes = array(answer.sketches), array(answer.text_hashes)
    styles, embeddings = array(answer.styles), array(answer.embeddings)
    assert (sketches.shape, sketches.dtype) == ((7, 128), np.uint32)
    assert (hashes.shape, hashes.dtype) == ((7, 2), np.uint64)
    assert (styles.shape, styles.dtype) == ((7, 512), np.int8)
    assert (embeddings.shape, embeddings.dtype) == ((7, info.model.dimensions), np.float32)
    assert (answer.sketch_scheme, answer.style_scheme) == (info.sketch_scheme, info.style_scheme)
    assert answer.model_digest == info.model.digest
    for blank in (1, 6):
        assert (sketches[blank] == 0xFFFFFFFF).all()
        assert (embeddings[blank] == 0).all()
        assert (hashes[blank] == hashes[1]).all()
    np.testing.assert_allclose(np.linalg.norm(embeddings[[0, 2, 3, 4, 5]], axis=1), 1, atol=1e-5)
    assert (hashes[0] == hashes[5]).all()
    assert (hashes[0] == hashes[3]).all()  # case and outer white space are normalised away
    assert (sketches[0] == sketches[5]).all()
    assert (sketches[0] != sketches[2]).any()
    alone = stubs.match.Fingerprint(match_pb2.FingerprintRequest(texts=[BREAD]), timeout=DEADLINE)
    assert alone.sketches.data == sketches[2].tobytes()
    assert alone.styles.data == styles[2].tobytes()
    assert not alone.HasField("embeddings")
    assert not alone.model_digest


def test_the_largest_fingerprint_request_is_answered(stubs: Stubs) -> None:
    request = match_pb2.FingerprintRequest(texts=[f"Row {k}. {BREAD}" for k in range(1000)], channels=[COPY, STYLE])
    assert stubs.match.Fingerprint(request, timeout=DEADLINE).sketches.rows == 1000


def test_errors_of_fingerprint(stubs: Stubs) -> None:
    def fingerprint(texts: list[str], *channels: int) -> Any:
        return stubs.match.Fingerprint(match_pb2.FingerprintRequest(texts=texts, channels=channels), timeout=DEADLINE)

    expect(refused(lambda: fingerprint([])), "INVALID_ARGUMENT", "FIELD_MISSING", "texts")
    expect(refused(lambda: fingerprint(["a"] * 1001)), "INVALID_ARGUMENT", "FIELD_INVALID", "texts")
    long = "x" * ((1 << 20) + 1)
    expect(refused(lambda: fingerprint(["a", long])), "INVALID_ARGUMENT", "TEXT_TOO_LONG", "texts[1]")
    expect(refused(lambda: fingerprint(["a"], 9)), "INVALID_ARGUMENT", "CHANNEL_UNKNOWN", "channels")
    expect(refused(lambda: fingerprint(["a"], 0)), "INVALID_ARGUMENT", "CHANNEL_UNKNOWN", "channels")


# ---- search ----


def test_search_answers_by_channel_and_rank(stubs: Stubs, filled: str) -> None:
    request = match_pb2.SearchRequest(query=text(HARBOUR), corpora=[filled], channels=[STYLE, COPY, SEMANTIC], top=3)
    answer = stubs.match.Search(request, timeout=DEADLINE)
    by_channel = {c: [h for h in answer.hits if h.channel == c] for c in ALL}
    assert [h.channel for h in answer.hits] == [STYLE] * 3 + [COPY] * 3 + [SEMANTIC] * len(by_channel[SEMANTIC])
    for channel, hits in by_channel.items():
        assert [h.rank for h in hits] == list(range(1, len(hits) + 1))
        assert [h.id for h in hits[:2]] == ["a", "b"]  # equal scores by id
        assert all(x.score >= y.score for x, y in itertools.pairwise(hits))
        assert {h.WhichOneof("evidence") for h in hits} == {KEYS[channel - 1]}
        assert {h.corpus for h in hits} == {filled}
    assert [c.channel for c in accurate(answer.coverage)] == [STYLE, COPY, SEMANTIC]
    assert [(c.filled, c.fillable, c.share) for c in accurate(answer.coverage)] == [(5, 5, 1.0)] * 3
    first = by_channel[COPY][0]
    assert (first.model, first.language, first.account_id, first.prompt_key) == ("anna", "en", "k1", "p1")
    assert first.created_at == stamp(2026, 1, 1)
    assert HARBOUR.startswith(first.snippet.removesuffix("…"))
    assert len(first.snippet) <= 160
    assert answer.query.code_points == len(HARBOUR)
    assert answer.query.shingles == first.copy.query_shingles
    assert not answer.query.HasField("transcript")
    assert answer.timings.total_seconds > 0


def test_a_search_tells_how_many_texts_it_looked_at(stubs: Stubs, filled: str) -> None:
    info = search(stubs, HARBOUR, filled).query
    # a and b are one text, c shares stretches with it; bread and Chinese do not.
    assert (info.copy_candidates, info.copy_verified) == (2, 2)
    assert search(stubs, HARBOUR, filled, channels=[STYLE]).query.copy_candidates == 0
    assert search(stubs, "words that are in none of them at all", filled).query.copy_verified == 0


def test_copy_evidence_can_be_checked(stubs: Stubs, filled: str) -> None:
    exact, _twin, near = search(stubs, HARBOUR, filled).hits
    assert exact.score == exact.copy.jaccard == exact.copy.containment_query == 1
    assert exact.copy.identical
    assert [(s.query_start, s.query_end, s.match_start, s.match_end) for s in exact.copy.spans] == [
        (0, len(HARBOUR) - 1, 0, len(HARBOUR) - 1)  # without the full stop
    ]
    assert not exact.copy.spans[0].differences
    found = near.copy
    assert near.id == "c"
    assert not found.identical
    union = found.query_shingles + found.match_shingles - found.shared_shingles
    assert math.isclose(found.jaccard, found.shared_shingles / union)
    assert math.isclose(found.containment_query, found.shared_shingles / found.query_shingles)
    assert math.isclose(found.containment_match, found.shared_shingles / found.match_shingles)
    assert near.score == max(found.jaccard, found.containment_query)
    assert len(found.spans) == 2
    for span in found.spans:
        assert HARBOUR[span.query_start : span.query_end] == span.text
        assert (EDITED[span.match_start : span.match_end] == span.text) == (not span.differences)
    one = search(stubs, HARBOUR, filled, max_spans=1).hits[2].copy
    assert len(one.spans) == 1
    assert one.spans_omitted == found.spans_omitted + 1


def test_offsets_count_code_points(stubs: Stubs, corpus: str) -> None:
    before = "\U0001f30a\u0301中文 "
    upsert(stubs, corpus, [row("a", f"{before}{HARBOUR}")])
    (hit,) = search(stubs, f"\U0001f35e! {HARBOUR}", corpus).hits
    (span,) = hit.copy.spans
    match = f"{before}{HARBOUR}"[span.match_start : span.match_end]
    assert match == f"\U0001f35e! {HARBOUR}"[span.query_start : span.query_end] == span.text
    assert HARBOUR[:-1] in match
    assert not span.differences


def test_spans_say_how_the_match_differs(stubs: Stubs, corpus: str) -> None:
    wrapped = HARBOUR.replace(" ", "\n", 9)
    upsert(stubs, corpus, [row("a", f"Then: “{wrapped.upper()}”")])
    (hit,) = search(stubs, HARBOUR, corpus).hits
    (span,) = hit.copy.spans
    assert span.text == HARBOUR[:-1]
    assert span.differences == [types_pb2.DIFFERENCE_WHITE_SPACE, types_pb2.DIFFERENCE_CASE]
    found, _ = overlaps(stubs, [corpus], [corpus])
    assert found == []
    second = f"{corpus[:50]}-second"
    upsert(stubs, second, [row("b", HARBOUR)])
    (passage,) = overlaps(stubs, [corpus], [second])[0]
    assert passage["differences"] == 0b11
    assert (passage["start_b"], passage["end_b"]) == (0, len(HARBOUR) - 1)


def test_a_stored_transcript_is_never_its_own_hit(stubs: Stubs, filled: str, corpus: str) -> None:
    upsert(stubs, corpus, [row("a", HARBOUR)], channels=ALL)
    for channel in ALL:
        answer = stubs.match.Search(
            match_pb2.SearchRequest(query=stored(filled, "a"), corpora=[corpus, filled], channels=[channel], top=2),
            timeout=DEADLINE,
        )
        # The same id in another corpus is another transcript.
        assert [(h.corpus, h.id) for h in answer.hits] == sorted([(corpus, "a"), (filled, "b")])
        assert (answer.query.transcript.corpus, answer.query.transcript.id) == (filled, "a")


def test_reasoning_is_split_off_a_query(stubs: Stubs, filled: str) -> None:
    answer = search(stubs, f"<think>{BREAD}</think>\n{HARBOUR}", filled)
    assert answer.query.reasoning_removed
    assert answer.query.code_points == len(HARBOUR)
    assert [h.id for h in answer.hits] == ["a", "b", "c"]
    found = refused(lambda: search(stubs, f"<think>{BREAD}</think>", filled))
    expect(found, "INVALID_ARGUMENT", "TEXT_BLANK", "query")


def test_top_and_least_score(stubs: Stubs, filled: str) -> None:
    assert [h.id for h in search(stubs, HARBOUR, filled, top=1).hits] == ["a"]
    assert len(search(stubs, HARBOUR, filled, top=1000).hits) == 3
    assert [h.id for h in search(stubs, HARBOUR, filled, min_score=1.0).hits] == ["a", "b"]
    assert not search(stubs, HARBOUR, filled, min_score=1.5).hits
    for channel in (SEMANTIC, STYLE):
        every = search(stubs, HARBOUR, filled, channels=[channel], min_score=-1.0).hits
        assert len(every) == 5
        middle = every[2].score
        kept = search(stubs, HARBOUR, filled, channels=[channel], min_score=middle).hits
        assert [h.id for h in kept] == [h.id for h in every if h.score >= middle]


def test_an_answer_fits_what_a_client_takes(stubs: Stubs, corpus: str) -> None:
    # Four bytes a letter, and long spans: the evidence of so many hits outgrows gRPC's default of 4 MiB.
    letters = [chr(0x10428 + k) for k in range(40)]
    words = [letters[k % 40] * 4 + letters[k // 40] * 4 for k in range(1600)]
    paragraphs = [" ".join(words[p * 60 : p * 60 + 60]) for p in range(24)]

    def made(k: int) -> str:
        return f" {k} new{k} words{k} ".join(paragraphs[k % 24 :] + paragraphs[: k % 24])

    rows = [row(f"{k:03}", made(k)) for k in range(144)]
    upsert(stubs, corpus, *(rows[k : k + 36] for k in range(0, 144, 36)))
    hits = search(stubs, made(0), corpus, top=144, max_evidence=144).hits
    assert len(hits) == 144
    counts = [(len(h.copy.spans), len(h.copy.spans) + h.copy.spans_omitted) for h in hits]
    assert counts[0][0] == min(20, counts[0][1])
    assert counts[-1][0] == 0
    few = search(stubs, made(0), corpus, top=144, max_spans=1, max_evidence=144).hits
    assert [len(h.copy.spans) for h in few] == [1] * 144
    assert [1 + h.copy.spans_omitted for h in few] == [every for _listed, every in counts]


def test_only_what_is_asked_for_has_evidence(stubs: Stubs, filled: str) -> None:
    for channel in (COPY, SEMANTIC, STYLE):
        every = search(stubs, HARBOUR, filled, channels=[channel], min_score=-1.0).hits
        assert len(every) > 2
        assert all(h.WhichOneof("evidence") for h in every)
        for most in (0, 1, len(every)):
            some = search(stubs, HARBOUR, filled, channels=[channel], min_score=-1.0, max_evidence=most).hits
            assert [bool(h.WhichOneof("evidence")) for h in some] == [k < most for k in range(len(every))]
            assert [(h.id, h.score, h.snippet) for h in some] == [(h.id, h.score, h.snippet) for h in every]


def test_errors_of_search(stubs: Stubs, filled: str, corpus: str) -> None:
    upsert(stubs, corpus, ROWS, channels=[COPY])

    def ask(**fields: Any) -> Any:
        fields = {"query": text(HARBOUR), "corpora": [filled], **fields}
        return stubs.match.Search(match_pb2.SearchRequest(**fields), timeout=DEADLINE)

    cases: list[tuple[dict[str, Any], str, str, str]] = [
        ({"query": None}, "INVALID_ARGUMENT", "FIELD_MISSING", "query"),
        ({"query": match_pb2.TextSource()}, "INVALID_ARGUMENT", "FIELD_MISSING", "query"),
        ({"query": text("")}, "INVALID_ARGUMENT", "TEXT_BLANK", "query"),
        ({"query": text(" \u200b\n")}, "INVALID_ARGUMENT", "TEXT_BLANK", "query"),
        ({"query": text("x" * ((1 << 20) + 1))}, "INVALID_ARGUMENT", "TEXT_TOO_LONG", "query.text"),
        ({"query": stored("", "a")}, "INVALID_ARGUMENT", "FIELD_MISSING", "query.transcript.corpus"),
        ({"query": stored(filled, "")}, "INVALID_ARGUMENT", "FIELD_MISSING", "query.transcript.id"),
        ({"query": stored("nowhere", "a")}, "NOT_FOUND", "CORPUS_NOT_FOUND", "query.transcript.corpus"),
        ({"query": stored(filled, "zz")}, "NOT_FOUND", "TRANSCRIPT_NOT_FOUND", "query.transcript.id"),
        ({"query": stored(filled, "f")}, "INVALID_ARGUMENT", "TEXT_BLANK", "query"),
        ({"corpora": []}, "INVALID_ARGUMENT", "FIELD_MISSING", "corpora"),
        ({"corpora": [filled] * 101}, "INVALID_ARGUMENT", "FIELD_INVALID", "corpora"),
        ({"corpora": [filled, "nowhere"]}, "NOT_FOUND", "CORPUS_NOT_FOUND", "corpora[1]"),
        ({"corpora": [filled, filled, "nowhere"]}, "NOT_FOUND", "CORPUS_NOT_FOUND", "corpora[2]"),
        ({"corpora": [filled, ""]}, "INVALID_ARGUMENT", "FIELD_MISSING", "corpora[1]"),
        ({"channels": [0]}, "INVALID_ARGUMENT", "CHANNEL_UNKNOWN", "channels"),
        ({"channels": [COPY, 12345]}, "INVALID_ARGUMENT", "CHANNEL_UNKNOWN", "channels"),
        ({"top": 1001}, "INVALID_ARGUMENT", "FIELD_INVALID", "top"),
        ({"min_score": math.nan}, "INVALID_ARGUMENT", "FIELD_INVALID", "min_score"),
        ({"query_language": "no such tag!"}, "INVALID_ARGUMENT", "LANGUAGE_INVALID", "query_language"),
        (
            {"filter": types_pb2.Filter(created_before=timestamp_pb2.Timestamp(nanos=-1))},
            "INVALID_ARGUMENT",
            "TIME_OUT_OF_RANGE",
            "filter.created_before",
        ),
    ]
    for fields, code, reason, field in cases:
        expect(refused(lambda fields=fields: ask(**fields)), code, reason, field)
    accurately = {"tier": types_pb2.TIER_ACCURATE}  # the fast tier is filled by itself
    for channel in (SEMANTIC, STYLE):
        found = refused(lambda channel=channel: ask(corpora=[corpus], channels=[COPY, channel], **accurately))
        expect(found, "FAILED_PRECONDITION", "CHANNEL_NOT_FILLED", "channels")
        fill = "kinprint fill" if channel == SEMANTIC else f"--channels {KEYS[channel - 1]}"
        assert fill in found.message  # the command that fills it
        assert f"--corpus {corpus}" in found.message


def test_an_empty_corpus_has_no_hits(stubs: Stubs, corpus: str) -> None:
    made(stubs, corpus)
    answer = search(stubs, HARBOUR, corpus, channels=ALL)
    assert not answer.hits
    assert [c.share for c in accurate(answer.coverage)] == [1.0] * 3
    upsert(stubs, corpus, [row("blank", "")])
    assert not search(stubs, HARBOUR, corpus).hits


def test_streamed_searches_answer_by_tag(stubs: Stubs, filled: str) -> None:
    def ask(tag: int, query: match_pb2.TextSource, **fields: Any) -> match_pb2.StreamSearchRequest:
        asked = match_pb2.SearchRequest(query=query, corpora=[filled], **fields)
        return match_pb2.StreamSearchRequest(tag=tag, search=asked)

    requests = [ask(k, text(HARBOUR if k % 2 else BREAD)) for k in range(30)]
    requests += [ask(2**64 - 1, stored(filled, "a")), ask(100, text("")), ask(101, stored(filled, "zz"))]
    requests += [ask(102, text(HARBOUR), top=2000), match_pb2.StreamSearchRequest(tag=103), ask(7, text(HARBOUR))]
    answers = list(stubs.match.StreamSearch(iter(requests), timeout=DEADLINE))
    assert sorted(a.tag for a in answers) == sorted(r.tag for r in requests)
    by_tag = {a.tag: a for a in answers}
    for k in range(30):
        alone = stubs.match.Search(requests[k].search, timeout=DEADLINE)
        assert list(by_tag[k].response.hits) == list(alone.hits)
    assert [h.id for h in by_tag[2**64 - 1].response.hits] == ["b", "c"]
    errors = {tag: unpack(by_tag[tag].error) for tag in (100, 101, 102, 103)}
    expect(errors[100], "INVALID_ARGUMENT", "TEXT_BLANK", "query")
    expect(errors[101], "NOT_FOUND", "TRANSCRIPT_NOT_FOUND", "query.transcript.id")
    expect(errors[102], "INVALID_ARGUMENT", "FIELD_INVALID", "top")
    assert errors[103].reason == "FIELD_MISSING"
    assert list(stubs.match.StreamSearch(iter([]), timeout=DEADLINE)) == []


# ---- compare ----


def test_compare(stubs: Stubs, filled: str) -> None:
    def compare(a: match_pb2.TextSource, b: match_pb2.TextSource, *channels: int, **fields: Any) -> Any:
        request = match_pb2.CompareRequest(a=a, b=b, channels=channels, **fields)
        return stubs.match.Compare(request, timeout=DEADLINE)

    both = compare(text(HARBOUR), stored(filled, "c"))
    assert [name for name in KEYS if both.HasField(name)] == list(KEYS)
    hit = next(h for h in search(stubs, HARBOUR, filled).hits if h.id == "c")
    assert both.copy == hit.copy
    assert both.style.reference_rows == 5
    assert math.isclose(sum(f.contribution for f in both.style.families), both.style.cosine_delta, abs_tol=1e-5)
    turned = compare(stored(filled, "c"), text(HARBOUR), COPY).copy
    assert turned.containment_query == both.copy.containment_match
    assert turned.jaccard == both.copy.jaccard
    same = compare(text(HARBOUR), text(HARBOUR))
    assert same.copy.identical
    assert same.style.reference_rows == 0
    assert math.isclose(same.style.cosine_delta, 1, abs_tol=1e-6)
    assert math.isclose(same.semantic.alignment, 1, abs_tol=1e-3)
    only = compare(text(HARBOUR), text(BREAD), STYLE)
    assert [name for name in KEYS if only.HasField(name)] == ["style"]
    few = compare(text(HARBOUR), stored(filled, "c"), COPY, max_spans=1).copy
    assert len(few.spans) == 1
    assert few.spans_omitted >= 1

    long = text("y" * ((1 << 20) + 1))
    ok = text(HARBOUR)
    missing = match_pb2.TextSource()
    expect(refused(lambda: compare(missing, ok)), "INVALID_ARGUMENT", "FIELD_MISSING", "a")
    expect(refused(lambda: compare(ok, missing)), "INVALID_ARGUMENT", "FIELD_MISSING", "b")
    expect(refused(lambda: compare(ok, text(" "))), "INVALID_ARGUMENT", "TEXT_BLANK", "b")
    expect(refused(lambda: compare(long, ok)), "INVALID_ARGUMENT", "TEXT_TOO_LONG", "a.text")
    expect(refused(lambda: compare(ok, stored("no", "a"))), "NOT_FOUND", "CORPUS_NOT_FOUND", "b.transcript.corpus")
    expect(refused(lambda: compare(stored(filled, "zz"), ok)), "NOT_FOUND", "TRANSCRIPT_NOT_FOUND", "a.transcript.id")
    expect(refused(lambda: compare(ok, ok, 8)), "INVALID_ARGUMENT", "CHANNEL_UNKNOWN", "channels")


# ---- duplicates ----


def duplicates(stubs: Stubs, *corpora: str, threshold: float = 0.5, **fields: Any) -> tuple[list[Any], Any]:
    """Pairs as (corpus_a, id_a, corpus_b, id_b, jaccard, containments), and the totals."""
    request = match_pb2.FindDuplicatesRequest(corpora=corpora, threshold=threshold, **fields)
    answers = list(stubs.match.FindDuplicates(request, timeout=DEADLINE))
    kinds = [a.WhichOneof("message") for a in answers]
    assert kinds.count("finished") == 1
    assert kinds[-1] == "finished"
    assert kinds[0] == "progress"
    shares = [a.progress.share for a in answers if a.HasField("progress")]
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)
    assert all(a.progress.step for a in answers if a.HasField("progress"))
    pairs = []
    for answer in answers:
        if answer.HasField("pairs"):
            p = answer.pairs
            columns = (p.corpus_a, p.id_a, p.corpus_b, p.id_b, p.jaccard, p.containment_a, p.containment_b)
            pairs += list(zip(*columns, strict=True))
    assert answers[-1].finished.pairs == len(pairs)
    return sorted(pairs), answers[-1].finished


def test_duplicates_within_a_corpus(stubs: Stubs, filled: str) -> None:
    pairs, totals = duplicates(stubs, filled)
    assert [p[:4] for p in pairs] == [(0, "a", 0, "b"), (0, "a", 0, "c")]
    assert pairs[0][4:] == (1, 1, 1)
    compared = stubs.match.Compare(
        match_pb2.CompareRequest(a=stored(filled, "a"), b=stored(filled, "c")), timeout=DEADLINE
    ).copy
    assert pairs[1][4:] == (compared.jaccard, compared.containment_query, compared.containment_match)
    assert (totals.rows, totals.distinct, totals.blank) == (5, 4, 1)
    assert 0 < totals.expected_recall <= 1
    expanded, _ = duplicates(stubs, filled, expand=True)
    assert [p[:4] for p in expanded] == [(0, "a", 0, "b"), (0, "a", 0, "c"), (0, "b", 0, "c")]
    exact, _ = duplicates(stubs, filled, threshold=1.0)
    assert [p[:4] for p in exact] == [(0, "a", 0, "b")]


def test_duplicates_between_corpora(stubs: Stubs, filled: str, corpus: str) -> None:
    upsert(stubs, corpus, [row("0", HARBOUR), row("z", BREAD)])
    pairs, totals = duplicates(stubs, filled, corpus)
    assert [p[:4] for p in pairs] == [(0, "a", 0, "b"), (0, "a", 0, "c"), (0, "a", 1, "0"), (0, "d", 1, "z")]
    assert (totals.rows, totals.distinct) == (7, 4)
    turned, _ = duplicates(stubs, corpus, filled)
    assert [p[:4] for p in turned] == [(0, "0", 1, "a"), (0, "0", 1, "b"), (0, "0", 1, "c"), (0, "z", 1, "d")]
    # Positions are those of the request, also when it names a corpus twice.
    twice, _ = duplicates(stubs, filled, filled, corpus)
    assert [p[:4] for p in twice] == [(0, "a", 0, "b"), (0, "a", 0, "c"), (0, "a", 2, "0"), (0, "d", 2, "z")]


def test_duplicates_of_nothing(stubs: Stubs, corpus: str) -> None:
    made(stubs, corpus)
    assert duplicates(stubs, corpus)[0] == []
    upsert(stubs, corpus, [row("f", "")])
    pairs, totals = duplicates(stubs, corpus)
    assert (pairs, totals.rows, totals.blank) == ([], 0, 1)
    upsert(stubs, corpus, [row("a", HARBOUR)])
    assert duplicates(stubs, corpus)[1].rows == 1


def test_many_pairs_come_in_messages_that_fit(stubs: Stubs, corpus: str) -> None:
    # The longest ids: a message of pairs must stay below gRPC's default of 4 MiB.
    rows = [row(f"{k:03}" + "中" * 169, HARBOUR) for k in range(150)]
    upsert(stubs, corpus, rows)
    pairs, _ = duplicates(stubs, corpus, expand=True)
    assert len({(p[1], p[3]) for p in pairs}) == len(pairs) == 150 * 149 // 2
    assert all(p[1] < p[3] for p in pairs)


def test_errors_of_duplicates(stubs: Stubs, filled: str, corpus: str) -> None:
    def find(**fields: Any) -> Any:
        request = match_pb2.FindDuplicatesRequest(**{"corpora": [filled], "threshold": 0.5, **fields})
        return stubs.match.FindDuplicates(request, timeout=DEADLINE)

    for threshold in (0.0, 0.099, 1.01, -1.0, math.nan, math.inf):
        found = refused(lambda threshold=threshold: find(threshold=threshold))
        expect(found, "INVALID_ARGUMENT", "FIELD_INVALID", "threshold")
    expect(refused(lambda: find(corpora=[])), "INVALID_ARGUMENT", "FIELD_MISSING", "corpora")
    expect(refused(lambda: find(corpora=["nowhere"])), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpora[0]")
    upsert(stubs, corpus, ROWS, channels=[STYLE])
    found = refused(lambda: find(corpora=[corpus]))
    expect(found, "FAILED_PRECONDITION", "CHANNEL_NOT_FILLED", "channels")
    assert "--channels copy" in found.message
    # Against others.
    expect(refused(lambda: find(against=["nowhere"])), "NOT_FOUND", "CORPUS_NOT_FOUND", "against[0]")
    expect(refused(lambda: find(against=[corpus, ""])), "INVALID_ARGUMENT", "FIELD_MISSING", "against[1]")
    expect(refused(lambda: find(against=[corpus] * 101)), "INVALID_ARGUMENT", "FIELD_INVALID", "against")
    found = expect(refused(lambda: find(against=[corpus, filled])), "INVALID_ARGUMENT", "FIELD_INVALID", "against")
    assert filled in found.message
    # Clusters.
    for fields in ({"against": [corpus]}, {"expand": True}):
        found = refused(lambda fields=fields: find(output=CLUSTERS, **fields))
        expect(found, "INVALID_ARGUMENT", "FIELD_INVALID", "output")
    expect(refused(lambda: find(output=99)), "INVALID_ARGUMENT", "FIELD_INVALID", "output")
    expect(refused(lambda: find(output=CLUSTERS, link=99)), "INVALID_ARGUMENT", "FIELD_INVALID", "link")
    expect(refused(lambda: find(link=STAR)), "INVALID_ARGUMENT", "FIELD_INVALID", "link")
    found = refused(lambda: find(corpora=[corpus], output=CLUSTERS))
    expect(found, "FAILED_PRECONDITION", "CHANNEL_NOT_FILLED", "channels")


def test_exact_duplicates_are_the_same_and_expect_to_miss_none(stubs: Stubs, filled: str, corpus: str) -> None:
    assert duplicates(stubs, filled, exact=True)[0] == duplicates(stubs, filled)[0]
    # Pairs that sketches find by chance alone: all that there are come, with the values that Compare gives.
    words = [f"word{k:02}" for k in range(60)]
    upsert(stubs, corpus, [row(f"{k:02}", " ".join(words[k : k + 30])) for k in range(30)])
    pairs, totals = duplicates(stubs, corpus, threshold=0.1, exact=True)
    assert totals.expected_recall == 1
    found = {(p[1], p[3]): p[4:] for p in pairs}
    for a, b in itertools.combinations(range(0, 30, 3), 2):
        sides = {"a": stored(corpus, f"{a:02}"), "b": stored(corpus, f"{b:02}")}
        copy = stubs.match.Compare(match_pb2.CompareRequest(**sides, channels=[COPY]), timeout=DEADLINE).copy
        expected = (copy.jaccard, copy.containment_query, copy.containment_match) if copy.jaccard >= 0.1 else None
        assert found.get((f"{a:02}", f"{b:02}")) == expected


def test_duplicates_against_other_corpora(stubs: Stubs, filled: str, corpus: str) -> None:
    upsert(stubs, corpus, [row("0", HARBOUR), row("1", HARBOUR), row("z", BREAD)])
    pairs, totals = duplicates(stubs, filled, against=[corpus])
    # Within each side identical answers are collapsed, and no pair lies within one.
    assert {p[:4] for p in pairs} == {(0, "a", 1, "0"), (0, "c", 1, "0"), (0, "d", 1, "z")}
    assert totals.rows == 8
    assert duplicates(stubs, filled, against=[corpus], exact=True)[0] == pairs
    expanded, _ = duplicates(stubs, filled, against=[corpus], expand=True)
    assert {p[:4] for p in expanded} == {(0, a, 1, b) for a in "abc" for b in "01"} | {(0, "d", 1, "z")}
    # Positions go through corpora first, then through against, and count names that come twice.
    turned, _ = duplicates(stubs, corpus, corpus, against=[filled, filled])
    assert {p[:4] for p in turned} == {(0, "0", 2, "a"), (0, "0", 2, "c"), (0, "z", 2, "d")}
    assert {p[1:2] + p[3:4]: p[4] for p in turned} == {p[3:4] + p[1:2]: p[4] for p in pairs}


def clusters(stubs: Stubs, *corpora: str, threshold: float = 0.5, **fields: Any) -> tuple[list[Any], Any]:
    """Clusters as (corpus, id, cluster_corpus, cluster, is_representative), in their order, and the totals."""
    request = match_pb2.FindDuplicatesRequest(corpora=corpora, threshold=threshold, output=CLUSTERS, **fields)
    answers = list(stubs.match.FindDuplicates(request, timeout=DEADLINE))
    kinds = [a.WhichOneof("message") for a in answers]
    assert kinds[0] == "progress"
    assert kinds[-1] == "finished"
    assert "pairs" not in kinds
    rows = []
    for answer in answers:
        if answer.HasField("clusters"):
            c = answer.clusters
            rows += list(zip(c.corpus, c.id, c.cluster_corpus, c.cluster, c.is_representative, strict=True))
    totals = answers[-1].finished
    assert totals.rows == len(rows)
    assert totals.clusters == sum(r[4] for r in rows) == len({r[2:4] for r in rows})
    assert totals.pairs == 0
    return rows, totals


def test_clusters(stubs: Stubs, filled: str, corpus: str) -> None:
    rows, totals = clusters(stubs, filled)
    # The blank row is in none.
    assert rows == [
        (0, "a", 0, "a", True),
        (0, "b", 0, "a", False),
        (0, "c", 0, "a", False),
        (0, "d", 0, "d", True),
        (0, "e", 0, "e", True),
    ]
    assert (totals.clusters, totals.blank, totals.distinct) == (3, 1, 4)
    assert clusters(stubs, filled, exact=True)[0] == rows
    assert [r[3] for r in clusters(stubs, filled, threshold=1.0)[0]] == ["a", "a", "c", "d", "e"]
    # A chain: neighbours are alike, its ends are not, and all are one cluster.
    words = [f"word{k:02}" for k in range(60)]
    upsert(stubs, corpus, [row(f"{k:02}", " ".join(words[k : k + 30])) for k in range(0, 30, 2)])
    assert {r[2:4] for r in clusters(stubs, corpus, exact=True)[0]} == {(0, "00")}
    # Between corpora, with positions of the request.
    upsert(stubs, corpus, [row("0", HARBOUR), row("zz", BREAD)])
    both, _ = clusters(stubs, filled, filled, corpus)
    assert [r for r in both if r[1] in ("0", "zz")] == [(2, "0", 0, "a", False), (2, "zz", 0, "d", False)]
    assert [r for r in clusters(stubs, corpus, filled)[0] if r[1] in ("a", "d")] == [
        (1, "a", 0, "0", False),
        (1, "d", 0, "zz", False),
    ]


def test_clusters_of_nothing(stubs: Stubs, corpus: str) -> None:
    made(stubs, corpus)
    assert clusters(stubs, corpus)[0] == []
    upsert(stubs, corpus, [row("f", "")])
    rows, totals = clusters(stubs, corpus)
    assert (rows, totals.blank, totals.clusters) == ([], 1, 0)


def test_many_clusters_come_in_messages_that_fit(stubs: Stubs, corpus: str) -> None:
    ids = [f"{k:04}" + "中" * 169 for k in range(4000)]
    batches = [[row(i, f"{HARBOUR} {i[:4]}") for i in ids[start : start + 500]] for start in range(0, 4000, 500)]
    upsert(stubs, corpus, *batches)
    rows, totals = clusters(stubs, corpus)
    assert [r[1] for r in rows] == ids
    assert {r[3] for r in rows} == {ids[0]}
    assert totals.clusters == 1


# ---- overlaps ----

SPRING = (
    "the figures creep upward by the width of a fingernail and nobody in the town argues about it any more, "
    "so they raise the quay again"
)


def overlaps(
    stubs: Stubs, corpora: Sequence[str], against: Sequence[str], **fields: Any
) -> tuple[list[dict[str, Any]], Any]:
    """Passages as dictionaries by column, in their order, and the totals."""
    request = match_pb2.FindOverlapsRequest(corpora=corpora, against=against, **fields)
    answers = list(stubs.match.FindOverlaps(request, timeout=DEADLINE))
    kinds = [a.WhichOneof("message") for a in answers]
    assert kinds.count("finished") == 1
    assert kinds[-1] == "finished"
    assert kinds[0] == "progress"
    shares = [a.progress.share for a in answers if a.HasField("progress")]
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)
    assert all(a.progress.step for a in answers if a.HasField("progress"))
    names = [field.name for field in match_pb2.OverlapSpans.DESCRIPTOR.fields]
    spans = []
    for answer in answers:
        if answer.HasField("spans"):
            columns = [getattr(answer.spans, name) for name in names]
            spans += [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    totals = answers[-1].finished
    assert totals.spans == len(spans)
    assert totals.texts_with_spans == len({(s["corpus_a"], s["id_a"]) for s in spans})
    return spans, totals


def ends(spans: list[dict[str, Any]]) -> set[tuple[int, str, int, str]]:
    return {(s["corpus_a"], s["id_a"], s["corpus_b"], s["id_b"]) for s in spans}


def test_overlaps_between_corpora(stubs: Stubs, filled: str, corpus: str) -> None:
    second = f"{corpus[:50]}-second"
    upsert(stubs, corpus, [row("x", f"港 First words. {HARBOUR} Last words.", model="xena"), row("blank", " ")])
    upsert(stubs, second, [row("y", f"Bread: {BREAD}", model="yuri")])
    spans, totals = overlaps(stubs, [corpus, second], [filled])
    assert (totals.texts, totals.against, totals.texts_with_spans) == (2, 5, 2)
    # Each passage is listed once, with the first answer that holds it, and how many do.
    whole = next(s for s in spans if s["id_a"] == "x" and s["id_b"] == "a")
    assert whole["texts"] == 2
    assert (whole["start_b"], whole["end_b"]) == (0, len(HARBOUR) - 1)
    assert (whole["start_a"], whole["end_a"]) == (15, 15 + len(HARBOUR) - 1)
    assert whole["tokens"] == len(HARBOUR.split())
    texts = {"x": f"港 First words. {HARBOUR} Last words.", "y": f"Bread: {BREAD}"}
    of_b = {r.id: r.response for r in ROWS}
    for s in spans:
        assert texts[s["id_a"]][s["start_a"] : s["end_a"]] == of_b[s["id_b"]][s["start_b"] : s["end_b"]]
        assert s["mark"] == match_pb2.SPAN_MARK_UNSPECIFIED
        assert 0 < s["bits"] <= math.log2(2 * (s["others"] + 1)) + 1e-9
        assert s["others_with"] <= s["others"]
    assert (1, "y", 0, "d") in ends(spans)
    # Every answer that holds one; positions of a request that names corpora twice.
    every, _ = overlaps(stubs, [corpus, corpus, second], [filled, filled], every=True)
    assert ends(every) == {(0, "x", 0, "a"), (0, "x", 0, "b"), (0, "x", 0, "c"), (2, "y", 0, "d")}
    # The other way round, with two corpora on side B.
    turned, totals = overlaps(stubs, [filled], [second, corpus])
    assert ends(turned) == {(0, "a", 1, "x"), (0, "b", 1, "x"), (0, "c", 1, "x"), (0, "d", 0, "y")}
    assert (totals.texts, totals.against) == (5, 2)
    # Filters of either side.
    assert ends(overlaps(stubs, [filled], [second, corpus], filter=types_pb2.Filter(models=["bert"]))[0]) == {
        (0, "b", 1, "x")
    }
    assert ends(overlaps(stubs, [filled], [second, corpus], against_filter=types_pb2.Filter(models=["yuri"]))[0]) == {
        (0, "d", 0, "y")
    }
    # Least tokens and bits.
    assert not overlaps(stubs, [corpus], [filled], min_tokens=200)[0]
    assert not overlaps(stubs, [corpus], [filled], min_bits=60)[0]


def test_overlaps_within_a_corpus(stubs: Stubs, filled: str) -> None:
    spans, totals = overlaps(stubs, [filled], [filled], every=True)
    assert ends(spans) == {(0, a, 0, b) for a in "abc" for b in "abc" if a != b}
    assert (totals.texts, totals.against) == (5, 5)
    # With two filters the rows that pass the first are on side A alone.
    anna = types_pb2.Filter(models=["anna"])
    spans, totals = overlaps(stubs, [filled], [filled], every=True, filter=anna)
    assert ends(spans) == {(0, "a", 0, "b"), (0, "a", 0, "c")}
    assert (totals.texts, totals.against) == (2, 3)
    others = types_pb2.Filter(models=["anna", "carl"])
    spans, totals = overlaps(stubs, [filled], [filled], filter=anna, against_filter=others)
    assert ends(spans) == {(0, "a", 0, "c")}
    assert (totals.texts, totals.against) == (2, 1)
    spans, totals = overlaps(stubs, [filled], [filled], filter=anna, against_filter=anna)
    assert (spans, totals.texts, totals.against) == ([], 2, 2)


def test_overlaps_are_marked_where_they_are_no_evidence(stubs: Stubs, corpus: str) -> None:
    licence = (
        "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
        'documentation files (the "Software"), to deal in the Software without restriction, including without '
        "limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies"
    )
    code = (
        "```python\n"
        + "".join(f"def area_{k}(width, height):\n    return width * height + {k}\n" for k in range(6))
        + "```"
    )
    rows = []
    for name in ("a", "b"):
        rows += [
            row(f"{name}-code", f"{name} wrote this.\n\n{code}\n\nDone by {name}.", model=name),
            row(f"{name}-echo", f"{name} repeats: {SPRING}. Thus {name}.", model=name, prompt=f"Say: {SPRING}."),
            row(f"{name}-licence", f"{name} says: {licence} {name}", model=name),
            row(f"{name}-plain", f"{name} thinks that {BREAD} {name} is sure.", model=name),
        ]
    upsert(stubs, corpus, rows)
    sides = {"filter": types_pb2.Filter(models=["a"]), "against_filter": types_pb2.Filter(models=["b"])}
    spans, _ = overlaps(stubs, [corpus], [corpus], **sides)
    marks = {(s["id_a"], s["id_b"]): match_pb2.SpanMark.Name(s["mark"]).removeprefix("SPAN_MARK_") for s in spans}
    assert marks == {
        ("a-code", "b-code"): "CODE",
        ("a-echo", "b-echo"): "PROMPT",
        ("a-licence", "b-licence"): "LICENCE",
        ("a-plain", "b-plain"): "UNSPECIFIED",
    }
    assert all((s["bits"] == 0) == (s["mark"] != 0) for s in spans)
    unmarked, totals = overlaps(stubs, [corpus], [corpus], unmarked=True, **sides)
    assert [s["id_a"] for s in unmarked] == ["a-plain"]
    assert (totals.texts, totals.texts_with_spans) == (4, 1)


def test_common_phrases_are_passed_over_and_counted(stubs: Stubs, corpus: str) -> None:
    second = f"{corpus[:50]}-second"
    upsert(stubs, corpus, [row("x", SPRING)])
    upsert(stubs, second, [row(f"{k}", f"Number {k}: {SPRING}") for k in range(8)])
    spans, totals = overlaps(stubs, [corpus], [second])
    assert [s["texts"] for s in spans] == [8]
    assert totals.common_seeds == 0
    spans, totals = overlaps(stubs, [corpus], [second], max_texts=7)
    assert spans == []
    assert totals.common_seeds > 0


def test_overlaps_of_nothing(stubs: Stubs, corpus: str) -> None:
    made(stubs, corpus)
    assert overlaps(stubs, [corpus], [corpus])[0] == []
    upsert(stubs, corpus, [row("f", ""), row("a", HARBOUR)])
    spans, totals = overlaps(stubs, [corpus], [corpus])
    assert (spans, totals.texts, totals.against) == ([], 1, 1)


def test_errors_of_overlaps(stubs: Stubs, filled: str, corpus: str) -> None:
    upsert(stubs, corpus, ROWS)

    def find(**fields: Any) -> Any:
        request = match_pb2.FindOverlapsRequest(**{"corpora": [corpus], "against": [filled], **fields})
        return stubs.match.FindOverlaps(request, timeout=DEADLINE)

    late = types_pb2.Filter(created_before=timestamp_pb2.Timestamp(nanos=-1))
    cases: list[tuple[dict[str, Any], str, str, str]] = [
        ({"corpora": []}, "INVALID_ARGUMENT", "FIELD_MISSING", "corpora"),
        ({"against": []}, "INVALID_ARGUMENT", "FIELD_MISSING", "against"),
        ({"corpora": [filled] * 101}, "INVALID_ARGUMENT", "FIELD_INVALID", "corpora"),
        ({"against": [filled] * 101}, "INVALID_ARGUMENT", "FIELD_INVALID", "against"),
        ({"corpora": [corpus, "nowhere"]}, "NOT_FOUND", "CORPUS_NOT_FOUND", "corpora[1]"),
        ({"against": ["nowhere"]}, "NOT_FOUND", "CORPUS_NOT_FOUND", "against[0]"),
        ({"against": [filled, corpus]}, "INVALID_ARGUMENT", "FIELD_INVALID", "against"),
        ({"min_tokens": 10_001}, "INVALID_ARGUMENT", "FIELD_INVALID", "min_tokens"),
        ({"min_bits": math.nan}, "INVALID_ARGUMENT", "FIELD_INVALID", "min_bits"),
        ({"min_bits": math.inf}, "INVALID_ARGUMENT", "FIELD_INVALID", "min_bits"),
        ({"filter": late}, "INVALID_ARGUMENT", "TIME_OUT_OF_RANGE", "filter.created_before"),
        ({"against_filter": late}, "INVALID_ARGUMENT", "TIME_OUT_OF_RANGE", "against_filter.created_before"),
    ]
    for fields, code, reason, field in cases:
        expect(refused(lambda fields=fields: find(**fields)), code, reason, field)


def test_leaving_a_run_early_harms_nobody(stubs: Stubs, filled: str) -> None:
    call = stubs.match.FindDuplicates(
        match_pb2.FindDuplicatesRequest(corpora=[filled], threshold=0.1), timeout=DEADLINE
    )
    next(call)
    call.cancel()
    assert duplicates(stubs, filled)[1].pairs == 2
    between = match_pb2.FindOverlapsRequest(corpora=[filled], against=[filled])
    call = stubs.match.FindOverlaps(between, timeout=DEADLINE)
    next(call)
    call.cancel()
    assert overlaps(stubs, [filled], [filled])[1].texts_with_spans == 3


# ---- server ----


def test_server_info(stubs: Stubs, server: Any, filled: str) -> None:
    info = stubs.info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=DEADLINE)
    assert info.pid == server.process.pid
    assert sorted(info.channels) == sorted(ALL)
    assert info.limits.max_text_bytes == 1 << 20
    assert info.limits.max_message_bytes == 4 << 20
    assert info.limits.max_batch_items == 1000
    assert info.limits.max_metadata_bytes == 64 << 10
    assert info.limits.max_inflight_batches > 0
    assert info.model.dimensions == 32
    assert len(bytes.fromhex(info.model.digest)) == 32
    assert info.uptime.ToTimedelta().total_seconds() > 0
    assert info.corpora >= 1
    assert {pool.name for pool in info.thread_pools} >= {"polars", "numba", "openmp"}
    assert all(pool.threads >= 1 for pool in info.thread_pools)
    assert [f.split("/")[0] for f in info.formats] == ["record", "generation"]
    assert "unknown" not in info.libraries.values()
    assert all((info.version, info.pipeline, info.sketch_scheme, info.style_scheme, info.unicode_version))


def test_a_method_that_is_not_there(stubs: Stubs) -> None:
    call = stubs.channel.unary_unary("/kinprint.v1.MatchService/Attribute")
    assert refused(lambda: call(b"", timeout=DEADLINE)).code == "UNIMPLEMENTED"


def test_an_answer_says_what_it_was_made_with_and_from(stubs: Stubs, filled: str) -> None:
    told = search(stubs, HARBOUR, filled, channels=[COPY]).provenance
    info = stubs.info.GetServerInfo(info_pb2.GetServerInfoRequest())
    corpus = stubs.corpora.GetCorpus(corpus_pb2.GetCorpusRequest(name=filled)).corpus
    assert (told.kinprint, told.pipeline) == (info.version, info.pipeline)
    assert (told.sketch_scheme, told.style_scheme) == (info.sketch_scheme, info.style_scheme)
    (state,) = told.corpora
    assert (state.corpus, state.record_version, state.transcripts) == (
        filled,
        corpus.record_version,
        corpus.transcripts,
    )
    assert len(state.record_entry) == 64
    assert state.model_digest == corpus.semantic.model_digest
