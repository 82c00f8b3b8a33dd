"""The upsert session, driven message by message: windows, resending, backoff, counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import duration_pb2
from kinprint.client.chunking import ITEM_OVERHEAD, MESSAGE_OVERHEAD
from kinprint.client.convert.transcripts import transcript_to_proto
from kinprint.client.errors import KinprintError, UnavailableError
from kinprint.client.files.rows import SourceRow
from kinprint.client.types import LoadReport, Transcript
from kinprint.client.upsert import RetryClock, StreamEndedError, UpsertSession, is_retryable
from kinprint.v1 import transcript_pb2 as pb
from kinprint.v1.google_rpc import status_pb2


def reply(**message: Any) -> Any:
    return pb.UpsertTranscriptsResponse(**message)


def started(**limits: int) -> Any:
    values = {
        "max_text_bytes": 1000,
        "max_message_bytes": 4000,
        "max_batch_items": 3,
        "max_metadata_bytes": 100,
        "max_inflight_batches": 2,
    } | limits
    return reply(started=pb.UpsertStarted(limits=pb.Limits(**values)))


def result(request: Any, outcome: int = pb.UPSERT_OUTCOME_CREATED) -> Any:
    items = [pb.UpsertItemResult(item=pb.UpsertedItem(id=row.id, outcome=outcome)) for row in request.batch.transcripts]
    return reply(result=pb.UpsertResult(sequence=request.batch.sequence, items=items))


def rows(count: int) -> list[Transcript]:
    return [Transcript(f"answer {number}", id=f"r{number}") for number in range(count)]


def ids(request: Any) -> list[str]:
    return [row.id for row in request.batch.transcripts]


def filled(count: int, **limits: int) -> UpsertSession:
    session = UpsertSession("c")
    session.receive(started(**limits))
    for row in rows(count):
        session.add(row)
    session.source_done()
    return session


def drain(session: UpsertSession) -> list[Any]:
    requests = []
    while (request := session.next_request()) is not None:
        requests.append(request)
    return requests


def test_the_window_bounds_what_is_on_its_way() -> None:
    session = filled(8)
    first = drain(session)
    assert [ids(request) for request in first] == [["r0", "r1", "r2"], ["r3", "r4", "r5"]]
    assert [request.batch.sequence for request in first] == [1, 2]
    assert not session.has_room
    session.receive(result(first[0]))
    (last,) = drain(session)
    assert (ids(last), last.batch.sequence) == (["r6", "r7"], 3)
    session.receive(result(last))
    session.receive(result(first[1], pb.UPSERT_OUTCOME_UNCHANGED))
    assert session.drained
    session.receive(reply(finished=pb.UpsertFinished(blank=1, repeated_ids=2, truncated=3)))
    report = session.report()
    assert session.finished
    assert (report.created, report.unchanged, report.stored, report.unfinished) == (5, 3, 8, 0)
    assert (report.blank, report.repeated_ids, report.truncated) == (1, 2, 3)


def test_no_more_than_eight_batches_are_on_their_way() -> None:
    session = filled(20, max_batch_items=1, max_inflight_batches=100)
    assert len(drain(session)) == 8


def test_a_mapping_may_call_its_id_id() -> None:
    session = UpsertSession("c")
    session.receive(started())
    session.add({"id": "short", "response": "a"})
    session.add({"transcript_id": "long", "response": "b"})
    session.source_done()
    assert [row_id for request in drain(session) for row_id in ids(request)] == ["short", "long"]


def test_nothing_is_read_while_the_window_is_full() -> None:
    session = UpsertSession("c")
    assert not session.wants_rows
    session.receive(started(max_batch_items=1, max_inflight_batches=1))
    assert session.wants_rows
    for row in rows(2):
        session.add(row)
    assert not session.wants_rows
    assert session.next_request() is not None
    assert not session.wants_rows


def test_a_broken_stream_sends_again_what_has_no_result() -> None:
    session = filled(7)
    first = drain(session)
    session.receive(result(first[0]))
    session.receive(reply(ack=pb.UpsertAck(sequence=1)))
    with pytest.raises(StreamEndedError):
        session.receive(reply(shutting_down=pb.UpsertShuttingDown(resume_from=2)))
    session.broken()
    session.receive(started())
    again = drain(session)
    assert [(request.batch.sequence, ids(request)) for request in again] == [
        (1, ["r3", "r4", "r5"]),
        (2, ["r6"]),
    ]
    for request in again:
        session.receive(result(request))
    assert session.drained
    assert (session.report().created, session.report().reconnects) == (7, 1)


def test_what_is_sent_again_keeps_its_order_and_goes_before_what_waits() -> None:
    """Rows of one id count in the order that they were given in."""
    session = filled(10, max_inflight_batches=3)
    first = drain(session)
    assert len(first) == 3
    session.receive(result(first[1]))
    session.broken()
    session.receive(started(max_inflight_batches=9))
    again = [ids(request) for request in drain(session)]
    assert again == [["r0", "r1", "r2"], ["r6", "r7", "r8"], ["r9"]]
    session.broken()
    session.broken()
    session.receive(started(max_inflight_batches=9))
    assert [ids(request) for request in drain(session)] == again
    assert session.report().reconnects == 3


def test_backoff_cuts_batches_that_were_made_before() -> None:
    session = filled(3)
    delay = duration_pb2.Duration(nanos=250_000_000)
    session.receive(reply(backoff=pb.UpsertBackoff(batch_items=1, delay=delay)))
    assert session.take_delay() == 0.25
    assert session.take_delay() == 0.0
    seen = []
    while not session.drained:
        for request in drain(session):
            seen.append(ids(request))
            session.receive(result(request))
    assert seen == [["r0"], ["r1"], ["r2"]]


def test_rows_that_cannot_be_sent_cost_only_themselves() -> None:
    reports: list[LoadReport] = []
    session = UpsertSession("c", progress=reports.append, max_errors=4)
    session.receive(started())
    for row in (
        {"response": "fine"},
        {"response": "\udcff"},
        Transcript("x", prompt="\ud800"),
        Transcript("x" * 1001),
        Transcript("x" * 900, prompt="p" * 900, reasoning="r" * 900, system_prompt="s" * 900, model="m" * 500),
        Transcript("x", metadata={"k": 3}),  # type: ignore[dict-item]
        {"model": "m"},
    ):
        session.add(row)
    session.source_done()
    (request,) = drain(session)
    assert len(request.batch.transcripts) == 1
    error = status_pb2.Status(code=3, message="no")
    session.receive(reply(result=pb.UpsertResult(sequence=1, items=[pb.UpsertItemResult(error=error)])))
    report = reports[-1]
    assert report.reasons == {
        "INVALID_UTF8": 2,
        "TEXT_TOO_LONG": 1,
        "ROW_TOO_LARGE": 1,
        "FIELD_INVALID": 1,
        "MISSING_RESPONSE": 1,
        "INVALID_ARGUMENT": 1,
    }
    assert (report.rows, report.failed, report.unfinished) == (7, 7, 0)
    assert [(item.row, item.reason) for item in report.errors[:2]] == [
        (1, "INVALID_UTF8"),
        (2, "INVALID_UTF8"),
    ]
    assert len(report.errors) == 4


def test_a_row_may_be_as_large_as_a_message_holds() -> None:
    def sent(more: int) -> tuple[dict[str, int], int]:
        session = UpsertSession("c")
        session.receive(started(max_message_bytes=2500))
        session.add(Transcript("x" * 1000, prompt="p" * 1000, model="m" * (400 + more), id="r"))
        session.source_done()
        requests = drain(session)
        assert all(request.ByteSize() <= 2500 for request in requests)
        return session.report().reasons, len(requests)

    sizes = [sent(more) for more in range(100)]
    assert sizes == sorted(sizes, key=lambda each: -each[1])
    fitting = sum(count for _, count in sizes)
    assert sizes[fitting] == ({"ROW_TOO_LARGE": 1}, 0)
    # What is around the row takes its own few bytes.
    row = Transcript("x" * 1000, prompt="p" * 1000, model="m" * (400 + fitting), id="r")
    assert transcript_to_proto(row).ByteSize() + ITEM_OVERHEAD + MESSAGE_OVERHEAD == 2501


def test_a_wait_that_was_asked_for_ends_with_its_stream() -> None:
    session = filled(3)
    session.receive(reply(backoff=pb.UpsertBackoff(delay=duration_pb2.Duration(seconds=7))))
    session.broken()
    assert session.take_delay() == 0.0


def test_batches_are_split_by_bytes() -> None:
    session = UpsertSession("c")
    session.receive(started(max_batch_items=100, max_inflight_batches=100))
    for number in range(9):
        session.add(Transcript("x" * 990, id=str(number)))
    session.source_done()
    requests = drain(session)
    assert [len(request.batch.transcripts) for request in requests] == [3, 3, 3]
    assert all(request.ByteSize() <= 4000 for request in requests)


def test_the_same_load_derives_the_same_ids() -> None:
    def load() -> list[str]:
        session = UpsertSession("c")
        session.receive(started(max_inflight_batches=9))
        for text in ("a", "a", "b", "a"):
            session.add({"response": text})
        session.source_done()
        return [row_id for request in drain(session) for row_id in ids(request)]

    assert load() == load()
    assert len(set(load())) == 4


def test_an_answer_that_does_not_fit_its_batch_is_an_error() -> None:
    session = filled(1)
    drain(session)
    with pytest.raises(KinprintError):
        session.receive(reply(result=pb.UpsertResult(sequence=9)))


def test_retrying_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("kinprint.client.upsert.time.monotonic", lambda: now[0])
    clock = RetryClock(10.0, _since=0.0)
    delays = []
    while (delay := clock.next_delay()) is not None:
        delays.append(delay)
        now[0] += delay
    assert sum(delays) == pytest.approx(10.0)
    for attempt, delay in enumerate(delays[:-1]):
        whole = min(0.1 * 2**attempt, 5.0)
        assert whole / 2 <= delay <= whole
    clock.progress()
    assert clock.next_delay(3.0) == 3.0


def test_what_may_be_sent_again() -> None:
    assert is_retryable(UnavailableError("x"))
    assert is_retryable(KinprintError("x", code="RESOURCE_EXHAUSTED", retry_after=1.0))
    assert not is_retryable(KinprintError("x", code="RESOURCE_EXHAUSTED"))
    assert not is_retryable(KinprintError("x", code="INTERNAL", retry_after=1.0))


def test_long_metadata_of_files_is_cut_and_told_and_that_of_callers_is_theirs() -> None:
    session = UpsertSession("c")
    session.receive(started(max_metadata_bytes=60))
    long = Transcript("answer", id="r", metadata={"a": "ä" * 100, "b": "short", "c": "x" * 20})
    session.add(SourceRow("f.ndjson", 1, long))
    session.add(replace(long, id="s"))
    session.source_done()
    (request,) = drain(session)
    from_file, from_caller = request.batch.transcripts
    size = sum(len(key.encode()) + len(value.encode()) for key, value in from_file.metadata.items())
    assert 50 <= size <= 60
    assert from_file.metadata["a"].startswith("ä")
    assert from_file.metadata["a"].endswith(" [cut]")
    assert (from_file.metadata["b"], from_file.metadata["c"]) == ("short", "x" * 20)
    assert dict(from_caller.metadata) == dict(long.metadata)
    assert session.report().cut == {"a": 1}


def test_rows_without_ids_get_ones_of_the_rule_that_the_report_names() -> None:
    session = UpsertSession("c")
    session.receive(started())
    for row in ({"response": "r"}, {"response": "r", "account_id": "a"}, {"response": "r", "account_id": "b"}):
        session.add(row)
    session.source_done()
    (request,) = drain(session)
    first, second, third = ids(request)
    assert (first[:2], second[:3], third[:3]) == ("t-", "t2-", "t2-")
    assert second != third
    request.batch.transcripts[1].id = "t-as-it-is-stored"
    answer = result(request)
    request.batch.transcripts[1].id = second
    session.receive(answer)
    assert (session.report().id_rule, session.report().earlier_ids) == (2, 1)
