"""Input that is wrong or odd, over the wire: it is refused with a reason or kept exactly, and never hurts others."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest
from contract.wire import (
    ALL,
    COPY,
    DEADLINE,
    SEMANTIC,
    STYLE,
    OpenStream,
    Refusal,
    Stubs,
    batch,
    described,
    expect,
    get,
    listed,
    refused,
    row,
    search,
    start,
    stop,
    unpack,
    upsert,
)
from google.protobuf import timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinprint.v1 import corpus_pb2, match_pb2, transcript_pb2, types_pb2

MIB = 1 << 20
HARBOUR = (
    "The harbour master writes the height of the tide in a book that his father began, and every year the "
    "figures creep upward by the width of a fingernail."
)

NOT_UTF8 = {
    "invalid byte": b"caf\xff",
    "cut off": b"caf\xc3",
    "overlong": b"\xc0\xaf",
    "surrogate": b"lone \xed\xa0\x80 half",
    "CESU-8 pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf5\x80\x80\x80",
    "UTF-16": "text".encode("utf-16"),
}


# ---- protobuf by hand ----


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: bytes | int) -> bytes:
    """A length-delimited or varint field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def raw(stubs: Stubs, method: str, *messages: bytes) -> bytes:
    """Call a unary or a bidirectional method with bytes as they are; returns the last answer."""
    if method.endswith(("Transcripts", "StreamSearch")):
        answers = stubs.channel.stream_stream(method)(iter(messages), timeout=DEADLINE)
        return list(answers)[-1]
    return stubs.channel.unary_unary(method)(messages[0], timeout=DEADLINE)


MATCH, CORPORA = "/kinprint.v1.MatchService/", "/kinprint.v1.CorpusService/"
UPSERT = "/kinprint.v1.TranscriptService/UpsertTranscripts"


def malformed(call: Callable[[], Any]) -> Refusal:
    found = refused(call)
    assert (found.code, found.reason, found.domain) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED", "kinprint"), found
    assert "UTF-8" in found.message
    return found


@pytest.mark.parametrize("name", NOT_UTF8)
def test_strings_that_are_no_utf8_are_refused(stubs: Stubs, corpus: str, name: str) -> None:
    bad = NOT_UTF8[name]
    upsert(stubs, corpus, [row("a", HARBOUR)])
    malformed(lambda: raw(stubs, MATCH + "Search", field(1, field(1, bad)) + field(2, corpus.encode())))
    malformed(lambda: raw(stubs, MATCH + "Fingerprint", field(1, bad)))
    malformed(lambda: raw(stubs, CORPORA + "GetCorpus", field(1, bad)))
    malformed(lambda: raw(stubs, MATCH + "StreamSearch", field(2, field(1, field(1, bad)))))
    begin = start(corpus).SerializeToString()
    whole = field(2, field(1, 1) + field(2, field(1, b"x") + field(5, bad)))
    malformed(lambda: raw(stubs, UPSERT, begin, whole, stop().SerializeToString()))
    assert [t.id for t in listed(stubs, corpus)] == ["a"]


def test_bytes_that_are_no_message_are_refused(stubs: Stubs) -> None:
    for data in (b"\xff\xff\xff", b"\x0a\x7fshort", b"\x07", field(1, b"x")[:-1] + b""):
        malformed(lambda data=data: raw(stubs, CORPORA + "GetCorpus", data))
    malformed(lambda: raw(stubs, UPSERT, b"\xff"))


def test_a_malformed_message_ends_its_stream_and_keeps_what_was_acked(stubs: Stubs, corpus: str) -> None:
    requests: queue.Queue[bytes] = queue.Queue()
    call = stubs.channel.stream_stream(UPSERT)(iter(requests.get, b""), timeout=DEADLINE)
    requests.put(start(corpus).SerializeToString())
    requests.put(batch(1, row("a", HARBOUR)).SerializeToString())
    while not transcript_pb2.UpsertTranscriptsResponse.FromString(next(call)).HasField("ack"):
        pass
    requests.put(field(2, field(1, 2) + field(2, field(5, b"\xff"))))
    malformed(lambda: call)
    requests.put(b"")
    assert [t.id for t in listed(stubs, corpus)] == ["a"]
    stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name=corpus), timeout=DEADLINE)


def test_unknown_fields_and_repeated_singular_fields_are_taken_as_protobuf_says(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row("a", HARBOUR)])
    later = field(999, b"from a later version") + field(1000, 7)
    query = field(1, field(1, HARBOUR.encode()) + later)
    answer = raw(stubs, MATCH + "Search", later + query + field(2, corpus.encode()) + field(4, 3) + field(4, 5))
    assert [h.id for h in match_pb2.SearchResponse.FromString(answer).hits] == ["a"]
    whole = field(2, field(1, 1) + field(2, field(1, b"b") + field(5, HARBOUR.encode()) + later) + later)
    raw(stubs, UPSERT, start(corpus).SerializeToString() + later, whole, stop().SerializeToString())
    assert get(stubs, corpus, "b").response == HARBOUR


# ---- sizes ----


def test_a_message_over_the_limit_is_refused_by_the_transport(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row("a", HARBOUR)])
    huge = "word " * (2 * MIB)
    assert refused(lambda: search(stubs, huge, corpus)).code == "RESOURCE_EXHAUSTED"
    stream = iter([start(corpus), batch(1, row("b", huge)), stop()])
    found = refused(lambda: stubs.transcripts.UpsertTranscripts(stream, timeout=DEADLINE))
    assert found.code == "RESOURCE_EXHAUSTED"
    assert [t.id for t in listed(stubs, corpus)] == ["a"]
    stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name=corpus), timeout=DEADLINE)


@pytest.mark.parametrize("name", ["response", "prompt", "system_prompt", "reasoning"])
def test_texts_are_bounded_in_bytes(stubs: Stubs, corpus: str, name: str) -> None:
    def made(identifier: str, value: str) -> types_pb2.Transcript:
        return types_pb2.Transcript(**{"id": identifier, "response": HARBOUR, name: value})

    ascii_, wide = "x" * (MIB - 2) + ".\n", "é" * (MIB // 2)
    for index, (fits, too_long) in enumerate([(ascii_, ascii_ + "."), (wide, wide + ".")]):
        done = upsert(stubs, corpus, [made(f"fits-{index}", fits), made(f"over-{index}", too_long)], channels=[COPY])
        assert done.outcomes == ["CREATED", "TEXT_TOO_LONG"]
        expect(unpack(done.items[1].error), "INVALID_ARGUMENT", "TEXT_TOO_LONG", name)
        assert getattr(get(stubs, corpus, f"fits-{index}"), name) == fits


def test_the_longest_text_is_stored_embedded_and_found(stubs: Stubs, corpus: str) -> None:
    sentences = [f"Entry {k}: the tide stood at {k * 7919 % 9973} fingers that day. " for k in range(30_000)]
    text = "".join(sentences)[:MIB]
    assert len(text.encode()) == MIB
    done = upsert(stubs, corpus, [row("long", text), row("short", sentences[50] * 3)], channels=ALL)
    assert done.outcomes == ["CREATED"] * 2
    assert get(stubs, corpus, "long").response == text
    hit = search(stubs, text, corpus).hits[0]
    assert (hit.id, hit.score, hit.copy.identical) == ("long", 1.0, True)
    assert [(s.query_start, s.query_end) for s in hit.copy.spans] == [(0, MIB)]
    assert len(hit.copy.spans[0].text) == 500
    for channel in (SEMANTIC, STYLE):
        assert search(stubs, text, corpus, channels=[channel], top=1).hits[0].id == "long"
    part = "".join(sentences[600:640])
    found = search(stubs, part, corpus).hits[0]
    assert (found.id, found.copy.containment_query) == ("long", 1.0)
    compared = stubs.match.Compare(
        match_pb2.CompareRequest(
            a=match_pb2.TextSource(text=text), b=match_pb2.TextSource(text=text[::-1]), channels=[COPY, STYLE]
        ),
        timeout=DEADLINE,
    )
    assert compared.copy.jaccard < 0.5


ENDLESS = {
    "a million letters": "x" * MIB,
    "ideographs": "中" * 40_000,
    "emoji": "🌊" * 30_000,
    "accented": "e\u0301" * 40_000,
    "accents alone": "\u0301" * 60_000,
    "joiners": "\u200d" * 40_000,
    "expanding": "ﷺ" * 20_000,
    "hyphens": "-" * 100_000,
    "angles": "<" * 100_000,
    "digits": "1" * 100_000,
    "stops": ". " * 50_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_text_of_one_endless_word(stubs: Stubs, corpus: str, name: str) -> None:
    text = ENDLESS[name]
    done = upsert(stubs, corpus, [row("word", text), row("other", HARBOUR)], channels=ALL)
    assert done.outcomes == ["CREATED"] * 2
    assert get(stubs, corpus, "word").response == text
    if done.finished.blank:
        found = refused(lambda: search(stubs, text, corpus))
        expect(found, "INVALID_ARGUMENT", "TEXT_BLANK", "query")
        return
    answer = search(stubs, text, corpus, channels=ALL, top=1)
    assert [h.id for h in answer.hits] == ["word"] * 3
    assert next(h for h in answer.hits if h.channel == COPY).copy.identical


def test_keys_are_bounded_in_bytes(stubs: Stubs, corpus: str) -> None:
    for name in ("id", "model", "prompt_id", "account_id", "conversation_id"):
        for fits in ("k" * 512, "é" * 256, "🌊" * 128):
            rows = [types_pb2.Transcript(**{"id": f"{name}-{len(fits)}", "response": HARBOUR, name: fits})]
            rows.append(types_pb2.Transcript(**{"id": "over", "response": HARBOUR, name: fits + "!"}))
            done = upsert(stubs, corpus, rows, channels=[COPY])
            assert done.outcomes[1] == "FIELD_TOO_LONG"
            expect(unpack(done.items[1].error), "INVALID_ARGUMENT", "FIELD_TOO_LONG", name)
            assert getattr(get(stubs, corpus, done.ids[0]), name) == fits


def test_metadata_is_bounded_in_bytes(stubs: Stubs, corpus: str) -> None:
    most = 64 << 10
    cases = {
        "one": {"k": "v" * (most - 1)},
        "wide": {"é": "é" * (most // 2 - 1)},
        "many": {f"{k:04}": "v" * 12 for k in range(4096)},
    }
    for name, metadata in cases.items():
        done = upsert(
            stubs, corpus, [row(name, HARBOUR, metadata=metadata), row("x", HARBOUR, metadata={**metadata, "+": ""})]
        )
        assert done.outcomes == ["CREATED", "METADATA_TOO_LARGE"]
        expect(unpack(done.items[1].error), "INVALID_ARGUMENT", "METADATA_TOO_LARGE", "metadata")
        assert dict(get(stubs, corpus, name).metadata) == metadata


# ---- odd texts ----

ODD = {
    "one word": "Yes",
    "one character": "a",
    "digits": "42",
    "punctuation": "?!... — ;",
    "emoji": "🌊🍞👩‍👩‍👧‍👦🇺🇦",
    "nul": "nul\0in\0the middle and\0 at the end\0",
    "controls": "bell\x07 escape\x1b[31m delete\x7f c1\x85 line\u2028 para\u2029",
    "rtl": "هذا نص عربي مع 123 و \u202eoverride\u202c وعبرית",
    "combining": "Z\u0351\u036b\u0343a\u0363\u0366\u0307lgo e\u0301\u0301\u0301",
    "mixed scripts": "Pаypal ΑΒΓ абв 漢字 ひらがな 한글 ไทย हिन्दी ελληνικά",
    "no spaces": "港务长把潮水的高度写在父亲留下的本子里每年的数字都往上爬一点点",
    "private use": "\ue000\uf8ff\U000f0000\U0010ffff",
    "noncharacters": "\ufffe\uffff\U0001fffe",
    "bom": "\ufeffbegins with a mark",
    "full width": "ＦＵＬＬ　ｗｉｄｔｈ　１２３",
    "newlines": "\r\n\r\none\r\ntwo\n\n\n",
    "markup": "<b>bold</b> & <script>alert('x')</script> <think",
    "sql": "'; DROP TABLE transcripts; --",
    "path": "../../etc/passwd\\..\\",
    "unicode spaces": "a\u00a0b\u2003c\u3000d",
    "hangul jamo": "\u1112\u1161\u11ab\u1100\u1173\u11af 한글",
    "ligatures": "ﬁnancial eﬀort ﬂow ½ ℡",
}


def test_odd_texts_are_kept_exactly_and_found(stubs: Stubs, corpus: str) -> None:
    rows = [row(name, text, prompt=text, metadata={text: text}) for name, text in ODD.items()]
    done = upsert(stubs, corpus, rows, channels=ALL)
    assert done.outcomes == ["CREATED"] * len(rows)
    for name, text in ODD.items():
        kept = get(stubs, corpus, name)
        assert (kept.response, kept.prompt, dict(kept.metadata)) == (text, text, {text: text})
        for channel in ALL:
            least = 0.0 if channel == COPY else -1.0
            hits = search(stubs, text, corpus, channels=[channel], top=100, min_score=least).hits
            best = [h.id for h in hits if h.score >= hits[0].score - 1e-6]
            assert name in best, (name, types_pb2.Channel.Name(channel), best)
        (first,) = [h for h in search(stubs, text, corpus, top=100).hits if h.id == name]
        assert first.copy.identical
        for span in first.copy.spans:
            assert text[span.query_start : span.query_end] == text[span.match_start : span.match_end]


def test_blank_texts_are_stored_counted_and_never_matched(stubs: Stubs, corpus: str) -> None:
    blank = ["", " ", "\n\t\r", "\u00a0\u3000", "\u200b\ufeff", "<think>all of it</think>", "<think>never closed"]
    done = upsert(stubs, corpus, [row(str(k), text) for k, text in enumerate(blank)], channels=ALL)
    assert done.outcomes == ["CREATED"] * len(blank)
    assert done.finished.blank == len(blank)
    found = described(stubs, corpus)
    assert (found.transcripts, found.blank) == (len(blank), len(blank))
    assert [c.fillable for c in found.coverage] == [0, 0, 0, 0]
    upsert(stubs, corpus, [row("a", HARBOUR)], channels=ALL)
    for channel in ALL:
        assert [h.id for h in search(stubs, HARBOUR, corpus, channels=[channel], min_score=-1.0).hits] == ["a"]
    assert get(stubs, corpus, "5").reasoning == "all of it"
    assert get(stubs, corpus, "6").reasoning == "never closed"


def test_fingerprints_of_blank_texts_alone(stubs: Stubs) -> None:
    answer = stubs.match.Fingerprint(match_pb2.FingerprintRequest(texts=["", "\u200b"], channels=ALL), timeout=DEADLINE)
    assert (answer.embeddings.rows, answer.embeddings.columns) == (2, 32)
    assert not any(answer.embeddings.data)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_any_text_survives_the_round_trip(stubs: Stubs, texts: list[str]) -> None:
    name = "bad-input-any"
    rows = [row(f"r{k}", text, prompt=text, system_prompt=text) for k, text in enumerate(texts)]
    done = upsert(stubs, name, rows, channels=ALL)
    assert done.finished.failed == 0
    for k, text in enumerate(texts):
        kept = get(stubs, name, f"r{k}")
        assert (kept.prompt, kept.system_prompt) == (text, text)
        if "<" not in text:
            assert kept.response == text
    answer = stubs.match.Fingerprint(match_pb2.FingerprintRequest(texts=texts, channels=ALL), timeout=DEADLINE)
    assert answer.embeddings.rows == len(texts)


# ---- ids, names, times, enums ----


@pytest.mark.parametrize("bad", ["a\nb", "\0", "tab\t", " lead", "trail ", "\u3000wide", "del\x7f", "\r", "\x1b[0m"])
def test_ids_with_controls_or_outer_white_space_are_refused(stubs: Stubs, corpus: str, bad: str) -> None:
    done = upsert(stubs, corpus, [row(bad, HARBOUR), row("good", HARBOUR)], channels=[COPY])
    assert done.outcomes == ["ID_INVALID", "CREATED"]
    expect(unpack(done.items[0].error), "INVALID_ARGUMENT", "ID_INVALID", "id")


def test_odd_ids_are_kept(stubs: Stubs, corpus: str) -> None:
    ids = [
        "0",
        "-",
        "../x",
        "a/b",
        "%00",
        "é",
        "e\u0301",
        "中文",
        "🌊",
        "with space",
        "'\"`",
        "A",
        "a",
        "null",
        "a,b;c",
    ]
    assert upsert(stubs, corpus, [row(i, f"{i}. {HARBOUR}") for i in ids]).outcomes == ["CREATED"] * len(ids)
    assert [t.id for t in listed(stubs, corpus)] == ids
    for identifier in ids:
        assert get(stubs, corpus, identifier).response == f"{identifier}. {HARBOUR}"
    request = transcript_pb2.DeleteTranscriptsRequest(corpus=corpus, ids=["e\u0301", "A", "../x"])
    assert stubs.transcripts.DeleteTranscripts(request, timeout=DEADLINE).deleted == 3
    assert [t.id for t in listed(stubs, corpus)] == [i for i in ids if i not in ("e\u0301", "A", "../x")]


def test_times_at_and_beyond_the_edges(stubs: Stubs, corpus: str) -> None:
    first, last = -62_135_596_800, 253_402_300_799
    good = {
        "first": (first, 0),
        "last": (last, 999_999_999),
        "epoch": (0, 0),
        "before": (-1, 999_999_000),
        "nanos": (1, 999),
    }
    bad = {
        "too early": (first - 1, 0),
        "too late": (last + 1, 0),
        "negative nanos": (0, -1),
        "a second of nanos": (0, 1_000_000_000),
        "milliseconds": (1_700_000_000_000, 0),
        "least": (-(1 << 63), 0),
        "most": ((1 << 63) - 1, 0),
    }
    rows = [
        row(name, HARBOUR, created_at=timestamp_pb2.Timestamp(seconds=s, nanos=n))
        for name, (s, n) in {**good, **bad}.items()
    ]
    done = upsert(stubs, corpus, rows, channels=[COPY])
    assert done.outcomes == ["CREATED"] * len(good) + ["TIME_OUT_OF_RANGE"] * len(bad)
    for name, (seconds, nanos) in good.items():
        kept = get(stubs, corpus, name).created_at
        assert (kept.seconds, kept.nanos) == (seconds, nanos // 1000 * 1000)
    ordered = ["first", "before", "epoch", "nanos", "last"]
    for k, name in enumerate(ordered):
        seconds, nanos = good[name]
        since = types_pb2.Filter(created_from=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos // 1000 * 1000))
        assert {t.id for t in listed(stubs, corpus, filter=since)} == set(ordered[k:])
    assert len(search(stubs, HARBOUR, corpus).hits) == 5


def test_turns_keep_their_sign(stubs: Stubs, corpus: str) -> None:
    edges = {"least": -(1 << 31), "zero": 0, "most": (1 << 31) - 1}
    upsert(stubs, corpus, [row(name, HARBOUR, turn=turn) for name, turn in edges.items()])
    assert {t.id: t.turn for t in listed(stubs, corpus)} == edges
    assert all(t.HasField("turn") for t in listed(stubs, corpus))


def test_many_duplicates_of_one_id(stubs: Stubs, corpus: str) -> None:
    done = upsert(stubs, corpus, *([row("same", f"{b} {k}. {HARBOUR}") for k in range(20)] for b in range(5)))
    assert done.finished.repeated_ids == 99
    assert done.finished.created + done.finished.replaced + done.outcomes.count("SUPERSEDED") == 100
    assert [t.response for t in listed(stubs, corpus)] == [f"4 19. {HARBOUR}"]
    assert described(stubs, corpus).transcripts == 1


def test_wrong_enum_numbers_are_refused(stubs: Stubs, corpus: str) -> None:
    upsert(stubs, corpus, [row("a", HARBOUR)])
    for number in (0, 4, 99, (1 << 31) - 1, -1 & (1 << 64) - 1):
        query = field(1, field(1, HARBOUR.encode())) + field(2, corpus.encode()) + field(3, number)
        found = refused(lambda query=query: raw(stubs, MATCH + "Search", query))
        expect(found, "INVALID_ARGUMENT", "CHANNEL_UNKNOWN", "channels")


def test_one_bad_stream_does_not_hurt_another(stubs: Stubs, corpus: str) -> None:
    good = OpenStream(stubs).send(start(corpus), batch(1, row("a", HARBOUR)))
    good.next("ack")
    malformed(lambda: raw(stubs, UPSERT, start(corpus).SerializeToString(), b"\xff\xff"))
    refused(lambda: stubs.transcripts.UpsertTranscripts(iter([start(corpus), start(corpus)]), timeout=DEADLINE))
    good.send(batch(2, row("b", HARBOUR)), stop())
    assert good.next("finished").created == 2
    assert [t.id for t in listed(stubs, corpus)] == ["a", "b"]
