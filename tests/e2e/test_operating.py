"""What an operator sees and sets: limits of a whole server, metrics, probes, audit log, logs, traces."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import RunningServer, free_port, start_server, stop_server
from contract.wire import DEADLINE, OpenStream, Stubs, batch, expect, refusal, refused, row, search, start, stop, upsert
from kinprint.v1 import corpus_pb2, info_pb2, match_pb2, match_pb2_grpc

#: Stands in no log, no metric and no error.
SECRET = "the ostrich signed the ledger at half past nine in the greenhouse"


@dataclass
class Operated:
    """A server with everything switched on, and where its outputs are."""

    running: RunningServer
    stubs: Stubs
    folder: Path
    pages: str

    def page(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.pages}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric over the lines that have these labels."""
        total = 0.0
        for line in self.page("/metrics")[1].splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if labels.items() <= has.items():
                    total += float(found[3])
        return total


def operated(folder: Path, *options: str) -> Operated:
    folder.mkdir()
    pages = f"127.0.0.1:{free_port()}"
    running = start_server(folder / "data", "none", folder / "log", "--metrics", pages, *options)
    return Operated(running, Stubs(running.address), folder, pages)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    folder = tmp_path_factory.mktemp("operating") / "full"
    config = folder.parent / "kinprint.toml"
    config.write_text('log_format = "json"\n[limits]\ncorpora = 4\nstreams = 3\n')
    options = ("--config", str(config), "--audit", str(folder / "audit.jsonl"), "--limit", "streams=2")
    made = operated(folder, *options)
    yield made
    made.stubs.close()
    stop_server(made.running)


def eventually(true: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def audited(server: Operated, rpc: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (server.folder / "audit.jsonl").read_text().splitlines())
    return [line for line in lines if line.get("rpc") == rpc]


def info(stubs: Stubs) -> Any:
    return stubs.info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=DEADLINE)


def test_limits_are_advertised(server: Operated) -> None:
    limits = info(server.stubs).server_limits
    assert (limits.max_streams, limits.max_corpora, limits.max_calls) == (2, 4, 256)
    assert limits.max_inflight_bytes == 256 << 20
    assert limits.max_waiting_sentences == 4096
    assert limits.max_waiting_jobs == 64
    assert limits.rate == ""


def test_more_streams_than_may_be_are_refused(server: Operated) -> None:
    held = [OpenStream(server.stubs).send(start("a")) for _ in range(2)]
    for stream in held:
        stream.next("started")
    assert info(server.stubs).load.streams == 2
    found = refused(lambda: server.stubs.transcripts.UpsertTranscripts(iter([start("a"), stop()]), timeout=DEADLINE))
    expect(found, "RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
    assert found.retry_after == 1.0
    found = refused(lambda: server.stubs.match.StreamSearch(iter(()), timeout=DEADLINE))
    expect(found, "RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
    held[0].abandon()
    held[1].send(stop()).rest()
    eventually(lambda: info(server.stubs).load.streams == 0)
    assert upsert(server.stubs, "a", [row("1", SECRET)]).outcomes == ["CREATED"]


def test_more_corpora_than_may_be_are_refused(server: Operated) -> None:
    def create(name: str) -> Any:
        return server.stubs.corpora.CreateCorpus(corpus_pb2.CreateCorpusRequest(name=name), timeout=DEADLINE)

    for name in ("a", "b", "c", "d"):
        if name not in listed(server):
            create(name)
    expect(refused(lambda: create("e")), "RESOURCE_EXHAUSTED", "TOO_MANY_CORPORA")
    stream = [start("f"), batch(1, row("1", "some words")), stop()]
    found = refused(lambda: server.stubs.transcripts.UpsertTranscripts(iter(stream), timeout=DEADLINE))
    expect(found, "RESOURCE_EXHAUSTED", "TOO_MANY_CORPORA")
    expect(refused(lambda: create("a")), "ALREADY_EXISTS", "CORPUS_EXISTS", "name")
    server.stubs.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name="d"), timeout=DEADLINE)
    create("d")


def listed(server: Operated) -> list[str]:
    answer = server.stubs.corpora.ListCorpora(corpus_pb2.ListCorporaRequest(), timeout=DEADLINE)
    return [corpus.name for corpus in answer.corpora]


def test_metrics_tell_calls_rows_and_state(server: Operated) -> None:
    before = server.metric("kinprint_rows_total", outcome="created")
    upsert(server.stubs, "a", [row(f"m{i}", f"{SECRET} {i}") for i in range(7)])
    search(server.stubs, SECRET, "a")
    assert server.metric("kinprint_rows_total", outcome="created") == before + 7
    assert server.metric("kinprint_calls_total", rpc="MatchService/Search", code="OK") >= 1
    assert server.metric("kinprint_call_seconds_count", rpc="MatchService/Search") >= 1
    assert server.metric("kinprint_received_bytes_total", rpc="TranscriptService/UpsertTranscripts") > 7 * len(SECRET)
    assert server.metric("kinprint_sent_bytes_total", rpc="MatchService/Search") > 0
    refused(lambda: search(server.stubs, SECRET, "nowhere"))
    assert server.metric("kinprint_calls_total", rpc="MatchService/Search", code="NOT_FOUND") >= 1
    assert server.metric("kinprint_failures_total", reason="CORPUS_NOT_FOUND") >= 1
    assert server.metric("kinprint_corpora", state="open") >= 1
    assert server.metric("kinprint_transcripts") >= 7
    assert server.metric("kinprint_ready") == 1
    assert server.metric("kinprint_disk_free_bytes") > 0
    assert server.metric("kinprint_inflight_bytes") == 0
    text = server.page("/metrics")[1]
    for name in ("waiting", "dropped_texts_total", "loop_lag_seconds", "jobs_running", "audit_lines_total"):
        assert f"kinprint_{name}" in text
    assert "process_resident_memory_bytes" in text


def test_probes_answer(server: Operated) -> None:
    assert server.page("/readyz") == (200, "ready\n")
    assert server.page("/livez") == (200, "alive\n")
    assert server.page("/else")[0] == 404


def test_health_tells_readiness_apart(server: Operated) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(server.stubs.channel)
    for name in ("readiness", "liveness", ""):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_audit_log_holds_every_call_and_no_text(server: Operated) -> None:
    eventually(lambda: server.metric("kinprint_audit_waiting") == 0)
    before = len(audited(server, "MatchService/Search"))
    upsert(server.stubs, "a", [row("t1", SECRET), row("t2", "other words")])
    search(server.stubs, SECRET, "a")
    refused(lambda: search(server.stubs, SECRET, "nowhere"))
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    eventually(lambda: len(audited(server, "MatchService/Search")) == before + 2)
    last, failed = audited(server, "MatchService/Search")[-2:]
    assert (last["who"], last["corpora"], last["code"]) == ("anonymous", ["a"], "OK")
    assert last["texts"] == {"n": 1, "sha256": [digest]}
    assert (failed["corpora"], failed["reason"]) == (["nowhere"], "CORPUS_NOT_FOUND")
    begun, ended = audited(server, "TranscriptService/UpsertTranscripts")[-2:]
    assert begun["event"] == "began"
    assert ended["counts"] == {"transcripts": 2}
    assert digest in ended["texts"]["sha256"]
    assert ended["messages"] == 3
    command = [sys.executable, "-m", "kinprint.client.cli", "audit", "verify", str(server.folder / "audit.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "fit; head " in done.stdout


def test_no_text_stands_in_logs_metrics_or_the_audit_log(server: Operated) -> None:
    upsert(server.stubs, "a", [row("n1", SECRET)])
    refused(lambda: search(server.stubs, SECRET, "nowhere"))
    time.sleep(0.3)
    held = server.page("/metrics")[1]
    for path in (server.folder / "audit.jsonl", server.folder / "log", server.folder / "data" / "server.log"):
        held += path.read_text()
    assert "ostrich" not in held


def test_logs_are_json_and_begin_with_the_settings(server: Operated) -> None:
    for path in (server.folder / "log", server.folder / "data" / "server.log"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert {"time", "level", "logger", "message"} <= set(lines[0])
        messages = [line["message"] for line in lines]
        assert any(message.startswith("settings that differ from the defaults") for message in messages)
        assert "  limits: limits.streams = 2  # flag" in messages
        assert "  limits: limits.corpora = 4  # file" in messages
        assert not any("drain_seconds" in message for message in messages)


def test_the_load_is_shown_until_it_ends(server: Operated) -> None:
    command = [sys.executable, "-m", "kinprint.client.cli", "info", "--server", server.running.address, "--json"]
    process = subprocess.Popen([*command, "--watch", "0.1"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.terminate()
    process.wait(10)
    process.stdout.close()
    assert {"calls", "streams", "loop_lag", "stored_rows"} <= set(lines[0])
    assert lines[2]["answered"] > lines[0]["answered"]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A server with hardly any room."""
    options = ("--limit", "calls=2", "--limit", "inflight_bytes=256K", "--limit", "gathered_bytes=64K")
    made = operated(tmp_path_factory.mktemp("operating") / "narrow", *options)
    yield made
    made.stubs.close()
    stop_server(made.running)


def test_calls_beyond_the_room_are_told_when_to_come_again(narrow: Operated) -> None:
    request = match_pb2.FingerprintRequest(texts=["a longer text of many words " * 50] * 100)

    def call(_: int) -> str:
        try:
            narrow.stubs.match.Fingerprint(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            found = refusal(error)
            assert found.retry_after == 0.5
            return found.reason
        return "OK"

    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(call, range(64)))
    assert found == {"OK", "OVERLOADED"}
    assert call(0) == "OK", "what was refused holds nothing"
    eventually(lambda: narrow.metric("kinprint_calls_in_flight") == 0)
    assert info(narrow.stubs).load.inflight_bytes == 0


def test_streams_wait_for_room_and_all_is_stored(narrow: Operated) -> None:
    def load(stream: int) -> list[str]:
        rows = [[row(f"{stream}-{b}-{i}", f"{stream} {b} {i} " * 300) for i in range(40)] for b in range(8)]
        return upsert(narrow.stubs, "wide", *rows).outcomes

    with ThreadPoolExecutor(6) as pool:
        for outcomes in pool.map(load, range(6)):
            assert outcomes == ["CREATED"] * 320
    assert narrow.metric("kinprint_inflight_bytes") == 0
    assert narrow.metric("kinprint_inflight_waiting") == 0


def test_attributions_hold_no_more_texts_than_may_be(narrow: Operated) -> None:
    from kinprint.v1 import lineage_pb2

    upsert(narrow.stubs, "authors", [row("1", "words of an author", model="m")])
    texts = [lineage_pb2.AttributeText(text="w " * 20_000)]
    requests = [lineage_pb2.AttributeRequest(start=lineage_pb2.AttributeStart(corpus="authors"))]
    requests += [lineage_pb2.AttributeRequest(batch=lineage_pb2.AttributeBatch(texts=texts)) for _ in range(3)]
    found = refused(lambda: narrow.stubs.lineage.Attribute(iter(requests), timeout=DEADLINE))
    expect(found, "RESOURCE_EXHAUSTED", "OVERLOADED")
    eventually(lambda: narrow.metric("kinprint_gathered_bytes") == 0)


def test_who_does_not_read_has_nothing_further_taken(narrow: Operated) -> None:
    upsert(narrow.stubs, "slow", [row(str(i), f"{i} a text that is sought again and again") for i in range(50)])
    total, sent = 150, []

    def requests() -> Iterator[Any]:
        for number in range(total):
            sent.append(number)
            query = match_pb2.TextSource(text="a text that is sought again and again " * 1500)
            found = match_pb2.SearchRequest(query=query, corpora=["slow"], top=50)
            yield match_pb2.StreamSearchRequest(tag=number, search=found)

    # Windows that do not grow: what this side holds unread must not stand for what the server holds.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
    channel = grpc.insecure_channel(narrow.running.address, options=options)
    call = match_pb2_grpc.MatchServiceStub(channel).StreamSearch(requests(), timeout=DEADLINE)
    first = next(call)
    assert first.ByteSize() > 4096
    quiet, seen = 0, -1
    while quiet < 10:
        time.sleep(0.2)
        quiet, seen = (quiet + 1, seen) if len(sent) == seen else (0, len(sent))
    assert len(sent) < total, "requests were taken without an answer being read"
    tags = {first.tag, *(answer.tag for answer in call)}
    assert tags == set(range(total))
    channel.close()


def test_a_rate_is_enforced_but_for_the_operator(tmp_path: Path) -> None:
    made = operated(tmp_path / "rate", "--limit", "rate=20/hour", "--limit", "bytes_rate=1000000/hour")
    try:
        assert info(made.stubs).server_limits.rate == "20/hour"
        for _ in range(20):
            listed(made)
        found = refused(lambda: listed(made))
        expect(found, "RESOURCE_EXHAUSTED", "RATE_EXCEEDED")
        assert found.retry_after is not None
        assert found.retry_after > 1
        stream = [start("a"), stop()]
        found = refused(lambda: made.stubs.transcripts.UpsertTranscripts(iter(stream), timeout=DEADLINE))
        expect(found, "RESOURCE_EXHAUSTED", "RATE_EXCEEDED")
        assert info(made.stubs).load.failed >= 2
    finally:
        made.stubs.close()
        stop_server(made.running)


def test_traces_go_where_the_standard_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    made = operated(tmp_path / "traced")
    try:
        upsert(made.stubs, "a", [row("1", SECRET)])
        search(made.stubs, SECRET, "a")
        refused(lambda: search(made.stubs, SECRET, "nowhere"))
    finally:
        made.stubs.close()
        assert stop_server(made.running) == 0
        collector.shutdown()
        collector.server_close()
    assert {path for path, _ in got} == {"/v1/traces"}
    sent = b"".join(body for _, body in got)
    assert b"kinprint.v1.MatchService/Search" in sent
    assert b"kinprint.v1.TranscriptService/UpsertTranscripts" in sent
    assert b"ostrich" not in sent


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--config", "{folder}/none.toml"), "there is no configuration file"),
        (("--limit", "stream=2"), "limit stream"),
        (("--metrics", "nowhere"), "is no HOST:PORT"),
        (("--metrics", "203.0.113.1:1"), "cannot listen on 203.0.113.1:1 for metrics"),
        (("--audit", "{folder}/notes"), "none of an audit log"),
        (("--audit", "/proc/none/audit"), "cannot write the audit log"),
    ],
)
def test_what_cannot_be_done_ends_the_start_with_a_sentence(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    (tmp_path / "notes").write_text("milk\n")
    given = [option.format(folder=tmp_path) for option in options]
    command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(tmp_path / "data"), "--model", "none"]
    done = subprocess.run([*command, *given], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_configuration_is_shown(tmp_path: Path) -> None:
    config = tmp_path / "kinprint.toml"
    config.write_text(f'data = "{tmp_path}/d"\n')
    command = [sys.executable, "-m", "kinprint.client.cli", "config", "show", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f'data = "{tmp_path}/d"  # file' in done.stdout
    assert not (tmp_path / "d").exists()
