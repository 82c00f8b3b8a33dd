"""The audit log as calls meet it: what of a request it tells, and what happens when it cannot be written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from kinprint.server.edge import audit, keys
from kinprint.server.edge.audit import AuditLog, Auditor, KeyWatch
from kinprint.server.edge.audit_chain import ChainFile, verify
from kinprint.server.edge.call import Call
from kinprint.server.failures import AuditUnavailable
from kinprint.v1 import corpus_pb2, job_pb2, lineage_pb2, match_pb2, transcript_pb2, types_pb2


class Peer:
    """As much of a context as is looked at."""

    def peer(self) -> str:
        return "ipv4:192.0.2.1:5\x1b[31m"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _line_of(folder: Path, request: Any, rpc: str = "S/M") -> dict[str, Any]:
    path = folder / f"{time.monotonic_ns()}.jsonl"
    log = AuditLog(path, 1 << 20)
    auditor, call = Auditor(log), Call(rpc)
    auditor.began(call, Peer())  # type: ignore[arg-type]
    call.took(request.ByteSize())
    auditor.asked(call, request)
    auditor.ended(call, "OK", 0.25)
    log.close()
    assert verify(path).problem is None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return next(line for line in lines if line.get("rpc") == rpc)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_search_is_told_by_corpora_and_digests(tmp_path: Path) -> None:
    query = match_pb2.TextSource(text="a private text")
    line = _line_of(tmp_path, match_pb2.SearchRequest(query=query, corpora=["a", "b"]))
    assert line["corpora"] == ["a", "b"]
    assert line["texts"] == {"n": 1, "sha256": [_sha("a private text")]}
    assert (line["code"], line["seconds"], line["messages"]) == ("OK", 0.25, 1)
    assert line["from"] == "ipv4:192.0.2.1:5\\x1b[31m"
    assert "private" not in json.dumps(line)


@pytest.mark.parametrize(
    ("made", "corpora", "counts", "texts"),
    [
        (corpus_pb2.CreateCorpusRequest(name="new", description="words"), ["new"], {}, []),
        (transcript_pb2.DeleteTranscriptsRequest(corpus="a", ids=["1", "2"]), ["a"], {"ids": 2}, []),
        (match_pb2.FingerprintRequest(texts=["x", "y"]), [], {"texts": 2}, ["x", "y"]),
        (match_pb2.FindOverlapsRequest(corpora=["a"], against=["b"]), ["a", "b"], {}, []),
        (
            match_pb2.CompareRequest(
                a=match_pb2.TextSource(text="left"),
                b=match_pb2.TextSource(transcript=match_pb2.TranscriptRef(corpus="c", id="1")),
            ),
            ["c"],
            {},
            ["left"],
        ),
        (
            lineage_pb2.AttributeRequest(
                batch=lineage_pb2.AttributeBatch(texts=[lineage_pb2.AttributeText(text="whose", set_id="s")])
            ),
            [],
            {"texts": 1},
            ["whose"],
        ),
        (
            transcript_pb2.UpsertTranscriptsRequest(
                batch=transcript_pb2.UpsertBatch(
                    sequence=1, transcripts=[types_pb2.Transcript(response="r", prompt="p", metadata={"k": "v"})]
                )
            ),
            [],
            {"transcripts": 1},
            ["r"],
        ),
    ],
)
def test_what_is_told_of_requests(
    tmp_path: Path, made: Any, corpora: list[str], counts: dict[str, int], texts: list[str]
) -> None:
    line = _line_of(tmp_path, made)
    assert (line["corpora"], line["counts"]) == (corpora, counts)
    assert line.get("texts", {}).get("sha256", []) == [_sha(text) for text in texts]


@pytest.mark.parametrize(
    ("made", "ids"),
    [
        (transcript_pb2.GetTranscriptRequest(corpus="a", id="one"), ["one"]),
        (transcript_pb2.DeleteTranscriptsRequest(corpus="a", ids=["1", "2\x1b[31m"]), ["1", "2\\x1b[31m"]),
        (transcript_pb2.PurgeTranscriptsRequest(corpus="a", ids=["1"]), ["1"]),
        (job_pb2.CancelJobRequest(id="j"), ["j"]),
        (
            match_pb2.SearchRequest(
                query=match_pb2.TextSource(transcript=match_pb2.TranscriptRef(corpus="c", id="1")), corpora=["a"]
            ),
            ["1"],
        ),
        (
            transcript_pb2.UpsertTranscriptsRequest(
                batch=transcript_pb2.UpsertBatch(
                    sequence=1, transcripts=[types_pb2.Transcript(id="u", response="r"), types_pb2.Transcript()]
                )
            ),
            ["u"],
        ),
    ],
)
def test_what_is_asked_for_by_id_is_told_by_id(tmp_path: Path, made: Any, ids: list[str]) -> None:
    assert _line_of(tmp_path, made)["ids"] == {"n": len(ids), "first": ids}


def test_a_callers_own_marks_are_no_ids(tmp_path: Path) -> None:
    text = lineage_pb2.AttributeText(text="whose", id="the caller's")
    line = _line_of(tmp_path, lineage_pb2.AttributeRequest(batch=lineage_pb2.AttributeBatch(texts=[text])))
    assert "ids" not in line
    assert "caller" not in json.dumps(line)


def test_of_many_ids_the_first_stand_and_a_digest_of_all(tmp_path: Path) -> None:
    ids = [f"id-{i}" for i in range(1000)]
    line = _line_of(tmp_path, transcript_pb2.DeleteTranscriptsRequest(corpus="a", ids=ids))
    whole = hashlib.sha256(b"".join(hashlib.sha256(one.encode()).digest() for one in ids))
    assert line["ids"] == {"n": 1000, "first": ids[:32], "all": whole.hexdigest()}
    line = _line_of(tmp_path, transcript_pb2.DeleteTranscriptsRequest(corpus="a", ids=["x" * 100_000] * 40))
    assert line["ids"]["first"] == ["x" * 512] * 32


def test_keys_that_are_made_and_taken_back_are_told(tmp_path: Path) -> None:
    old, _ = keys.create(tmp_path, "admin")
    log = AuditLog(tmp_path / "audit.jsonl", 1 << 20)
    store = keys.KeyStore(tmp_path / keys.NAME)
    store.look(at_once=True)
    watch = KeyWatch(log, tmp_path / keys.NAME)
    watch.found(store.keys)
    store.watch = watch.changed
    made, token = keys.create(tmp_path, "read", ["news"], name="for the\x1b[31m board")
    store.look(at_once=True)
    keys.revoke(tmp_path, made.id)
    store.look(at_once=True)
    store.look(at_once=True)
    (tmp_path / keys.NAME).write_text("{")
    with pytest.raises(keys.KeysUnreadable):
        store.look(at_once=True)
    (tmp_path / keys.NAME).unlink()
    store.look(at_once=True)
    log.close()
    assert verify(tmp_path / "audit.jsonl").problem is None
    told = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in told] == [
        *("opened", "keys", "key created", "key revoked", "key gone", "key gone", "closed"),
    ]
    assert [key["key"] for key in told[1]["keys"]] == [old.id]
    assert (told[2]["key"], told[2]["role"], told[2]["bound_to"]) == (made.id, "read", ["news"])
    assert told[2]["name"] == "for the\\x1b[31m board"
    assert f"({os.getuid()})" in told[2]["by"]
    assert told[3]["key"] == made.id
    assert told[3]["revoked"] >= told[3]["created"]
    assert {line["key"] for line in told[4:6]} == {old.id, made.id}
    whole = (tmp_path / "audit.jsonl").read_text()
    assert token.rpartition("_")[2] not in whole
    assert made.hash not in whole
    assert made.salt not in whole


def test_a_line_stays_short(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(1000)]
    line = _line_of(tmp_path, match_pb2.FingerprintRequest(texts=texts))
    assert len(line["texts"]["sha256"]) == 32
    assert line["texts"]["n"] == 1000
    whole = hashlib.sha256(b"".join(hashlib.sha256(text.encode()).digest() for text in texts))
    assert line["texts"]["all"] == whole.hexdigest()
    line = _line_of(tmp_path, match_pb2.SearchRequest(corpora=[f"{i:03}" + "n" * 20_000 for i in range(500)]))
    assert len(json.dumps(line)) < 20_000
    assert line["corpora"] == [f"{i:03}" + "n" * 97 for i in range(100)]


def test_calls_are_refused_while_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_AGAIN", 0.05)
    broken = True
    real = ChainFile.append

    def append(self: ChainFile, entries: Sequence[Any]) -> None:
        if broken:
            raise OSError(28, "No space left on device")
        real(self, entries)

    monkeypatch.setattr(ChainFile, "append", append)
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, 1 << 20)
    log.add({"rpc": "one"})

    def refused() -> bool:
        with contextlib.suppress(AuditUnavailable):
            log.check()
            return False
        return True

    _until(refused)
    with pytest.raises(AuditUnavailable, match="No space left") as caught:
        log.check()
    assert caught.value.retry_after
    assert log.written == 0
    log.add({"rpc": "two"})
    broken = False
    _until(lambda: not refused() and not log.waiting)
    log.close()
    rpcs = [json.loads(line).get("rpc") for line in path.read_text().splitlines()]
    assert [rpc for rpc in rpcs if rpc] == ["one", "two"]
    assert verify(path).problem is None


def test_calls_are_refused_while_too_much_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_MOST_WAITING", 3)
    monkeypatch.setattr(audit, "_TOGETHER", 0.5)
    log = AuditLog(tmp_path / "audit.jsonl", 1 << 20)
    for _ in range(3):
        log.add({})
    with pytest.raises(AuditUnavailable):
        log.check()
    _until(lambda: not log.waiting)
    log.check()
    log.close()
