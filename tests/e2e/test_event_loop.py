"""Nothing that grows with a request runs on the server's event loop.

Every RPC is called with about the worst that one mebibyte can hold, while the loop notes how long it was held up. A
machine that is busy with other things holds it up as well; that passes, and what the server does to itself does not:
the best of some tries counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import START_SECONDS, free_port
from contract.wire import ALL, COPY, SEMANTIC, STYLE, Stubs, row, upsert
from kinprint.client import KinprintError, connect
from kinprint.v1 import corpus_pb2, info_pb2, job_pb2, job_pb2_grpc, lineage_pb2, match_pb2, transcript_pb2, types_pb2

MIB = 1 << 20
#: Seconds.
MOST = 0.1
TRIES = 5

DOTS = "." * (MIB - 64) + "x end"
LINES = " \n" * (MIB // 2 - 64) + "text"
LETTERS = "a" + "\u0301" * (MIB // 2 - 64)
MANY_NAMES = [f"n{k}" for k in range(150_000)]
LONG_NAMES = [f"{k:04d}-" + "abcdefgh" * 40 for k in range(3_000)]


class Watched:
    """A server whose loop is watched."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.notes = folder / "lags"
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / "log"
        command = [sys.executable, str(Path(__file__).parent.parent / "lag_server.py"), str(folder / "data")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, str(model), self.address, str(self.notes)], stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connect(self.address, timeout=5.0).close()
                break
            except KinprintError:
                assert self.process.poll() is None, self.log.read_text()[-4000:]
                assert time.monotonic() < deadline
                time.sleep(0.1)
        self.stubs = Stubs(self.address)
        self.jobs = job_pb2_grpc.JobServiceStub(self.stubs.channel)

    def worst(self, since: float) -> float:
        """Longest delay that began since then, seconds."""
        found = [tuple(map(float, line.split())) for line in self.notes.read_text().splitlines()]
        return max((delay for ended, delay in found if ended - delay > since), default=0.0)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Watched]:
    server = Watched(tmp_path_factory.mktemp("watched"), tiny_model)
    upsert(
        server.stubs, "c", [row("dots", DOTS[: MIB - 100]), row("a", "an answer that is short enough")], channels=ALL
    )
    rows = [row(f"r{k}", f"the answer of model number {k}", model=name) for k, name in enumerate(LONG_NAMES)]
    for start in range(0, len(rows), 1000):
        upsert(server.stubs, "models", rows[start : start + 1000])
    yield server
    server.stubs.close()
    server.process.terminate()
    assert server.process.wait(60) == 0


def text(value: str) -> match_pb2.TextSource:
    return match_pb2.TextSource(text=value)


def names(**fields: Any) -> types_pb2.Filter:
    return types_pb2.Filter(**fields)


def search(stubs: Stubs, value: str, channels: Iterable[int] = ALL, **fields: Any) -> Any:
    return stubs.match.Search(
        match_pb2.SearchRequest(query=text(value), corpora=["c"], channels=channels, **fields), timeout=120
    )


def stream_search(stubs: Stubs) -> None:
    request = match_pb2.SearchRequest(query=text(DOTS), corpora=["c"], channels=ALL)
    list(stubs.match.StreamSearch(iter([match_pb2.StreamSearchRequest(tag=1, search=request)]), timeout=120))


def attribute(stubs: Stubs, start: lineage_pb2.AttributeStart, texts: Iterable[str]) -> None:
    batch = lineage_pb2.AttributeBatch(texts=[lineage_pb2.AttributeText(text=t) for t in texts])
    messages = [
        lineage_pb2.AttributeRequest(start=start),
        lineage_pb2.AttributeRequest(batch=batch),
        lineage_pb2.AttributeRequest(stop=lineage_pb2.AttributeStop()),
    ]
    list(stubs.lineage.Attribute(iter(messages), timeout=120))


def members(count: int) -> list[lineage_pb2.PanelMember]:
    return [lineage_pb2.PanelMember(model=f"m{k}", family=f"f{k}") for k in range(count)]


def pairs(count: int) -> list[lineage_pb2.EvidencePair]:
    return [lineage_pb2.EvidencePair(subject=LONG_NAMES[k % 9], source=LONG_NAMES[10 + k % 9]) for k in range(count)]


CALLS: dict[str, Callable[[Stubs], Any]] = {
    "GetServerInfo": lambda s: s.info.GetServerInfo(info_pb2.GetServerInfoRequest()),
    "CreateCorpus name": lambda s: s.corpora.CreateCorpus(corpus_pb2.CreateCorpusRequest(name="n" * MIB)),
    "CreateCorpus description": lambda s: s.corpora.CreateCorpus(
        corpus_pb2.CreateCorpusRequest(name="d", description="\u00e9" * (MIB // 2))
    ),
    "GetCorpus": lambda s: s.corpora.GetCorpus(corpus_pb2.GetCorpusRequest(name="n" * MIB)),
    "GetCorpus many models": lambda s: s.corpora.GetCorpus(corpus_pb2.GetCorpusRequest(name="models")),
    "ListCorpora": lambda s: s.corpora.ListCorpora(corpus_pb2.ListCorporaRequest(page_token="A" * MIB)),
    "DeleteCorpus": lambda s: s.corpora.DeleteCorpus(corpus_pb2.DeleteCorpusRequest(name="n" * MIB)),
    "UpsertTranscripts dots": lambda s: upsert(s, "u", [row("a", DOTS[: MIB - 100])], channels=ALL),
    "UpsertTranscripts lines": lambda s: upsert(s, "u", [row("b", LINES[: MIB - 100])], channels=ALL),
    "UpsertTranscripts many": lambda s: upsert(
        s, "u", [row(f"r{k}", "word " * 200) for k in range(1000)], channels=(COPY, STYLE)
    ),
    "UpsertTranscripts metadata": lambda s: upsert(
        s, "u", [row("m", "text", metadata={f"k{k}": "v" for k in range(60_000)})]
    ),
    "GetTranscript": lambda s: s.transcripts.GetTranscript(
        transcript_pb2.GetTranscriptRequest(corpus="c", id="i" * MIB)
    ),
    "ListTranscripts": lambda s: s.transcripts.ListTranscripts(
        transcript_pb2.ListTranscriptsRequest(corpus="models", filter=names(models=MANY_NAMES))
    ),
    "DeleteTranscripts": lambda s: s.transcripts.DeleteTranscripts(
        transcript_pb2.DeleteTranscriptsRequest(corpus="c", ids=MANY_NAMES)
    ),
    "DeleteTranscripts most": lambda s: s.transcripts.DeleteTranscripts(
        transcript_pb2.DeleteTranscriptsRequest(corpus="c", ids=[f"{k:0100d}" for k in range(10_000)])
    ),
    "PurgeTranscripts": lambda s: list(
        s.transcripts.PurgeTranscripts(transcript_pb2.PurgeTranscriptsRequest(corpus="c", ids=MANY_NAMES))
    ),
    "Fingerprint dots": lambda s: s.match.Fingerprint(match_pb2.FingerprintRequest(texts=[DOTS], channels=ALL)),
    "Fingerprint lines": lambda s: s.match.Fingerprint(match_pb2.FingerprintRequest(texts=[LINES], channels=ALL)),
    "Fingerprint many": lambda s: s.match.Fingerprint(
        match_pb2.FingerprintRequest(texts=["word " * 200] * 1000, channels=(COPY, STYLE))
    ),
    "Fingerprint too many": lambda s: s.match.Fingerprint(match_pb2.FingerprintRequest(texts=MANY_NAMES)),
    "Search dots": lambda s: search(s, DOTS),
    "Search lines": lambda s: search(s, LINES),
    "Search letters": lambda s: search(s, LETTERS),
    "Search reasoning": lambda s: search(s, "</ " * (MIB // 3 - 64) + "x", (COPY,)),
    "Search filter": lambda s: search(s, "a short text", filter=names(models=MANY_NAMES)),
    "Search channels": lambda s: search(s, "a short text", [COPY, STYLE, SEMANTIC] * (MIB // 3)),
    "Search corpora": lambda s: s.match.Search(match_pb2.SearchRequest(query=text("a"), corpora=MANY_NAMES)),
    "StreamSearch": stream_search,
    "Compare": lambda s: s.match.Compare(
        match_pb2.CompareRequest(a=text(DOTS[: MIB // 2]), b=text("." + DOTS[: MIB // 2]), channels=ALL), timeout=120
    ),
    "FindDuplicates": lambda s: list(
        s.match.FindDuplicates(
            match_pb2.FindDuplicatesRequest(corpora=["c"], threshold=0.5, filter=names(models=MANY_NAMES))
        )
    ),
    "FindDuplicates corpora": lambda s: list(
        s.match.FindDuplicates(match_pb2.FindDuplicatesRequest(corpora=MANY_NAMES, threshold=0.5))
    ),
    "FindOverlaps": lambda s: list(
        s.match.FindOverlaps(
            match_pb2.FindOverlapsRequest(corpora=["c"], against=["c"], filter=names(models=MANY_NAMES))
        )
    ),
    "FitPanel": lambda s: list(
        s.lineage.FitPanel(lineage_pb2.FitPanelRequest(corpus="models", members=members(50_000)))
    ),
    "InspectPanel": lambda s: s.lineage.InspectPanel(lineage_pb2.InspectPanelRequest(panel=b"[" * MIB)),
    "FindKinship": lambda s: list(
        s.lineage.FindKinship(lineage_pb2.FindKinshipRequest(corpus="models", models=[*LONG_NAMES, "abcdefgh" * 60]))
    ),
    "FindLineage": lambda s: list(
        s.lineage.FindLineage(lineage_pb2.FindLineageRequest(corpus="models", filter=names(models=MANY_NAMES)))
    ),
    "BuildEvidence": lambda s: list(
        s.lineage.BuildEvidence(
            lineage_pb2.BuildEvidenceRequest(
                corpus="models", subject=LONG_NAMES[0], source="no such model " * 30, also=pairs(1500)
            )
        )
    ),
    "Attribute start": lambda s: attribute(
        s, lineage_pb2.AttributeStart(corpus="models", models=[*LONG_NAMES[:2000], "nobody" * 50]), ["x"]
    ),
    "Attribute texts": lambda s: attribute(s, lineage_pb2.AttributeStart(corpus="models"), ["word " * 200] * 1000),
    "ListJobs": lambda s: job_pb2_grpc.JobServiceStub(s.channel).ListJobs(job_pb2.ListJobsRequest()),
    "GetJob": lambda s: job_pb2_grpc.JobServiceStub(s.channel).GetJob(job_pb2.GetJobRequest(id="j" * MIB)),
    "CancelJob": lambda s: job_pb2_grpc.JobServiceStub(s.channel).CancelJob(job_pb2.CancelJobRequest(id="j" * MIB)),
}


BAD = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)


def code_of(call: Callable[[], Any]) -> grpc.StatusCode:
    """Status that a call ends with."""
    try:
        call()
    except grpc.RpcError as refused:
        code: grpc.StatusCode = refused.code()
        return code
    return grpc.StatusCode.OK


def test_every_rpc_is_called() -> None:
    modules = (corpus_pb2, info_pb2, job_pb2, lineage_pb2, match_pb2, transcript_pb2)
    services = [s for module in modules for s in module.DESCRIPTOR.services_by_name.values()]
    called = {name.partition(" ")[0] for name in CALLS}
    assert called == {method.name for service in services for method in service.methods}


@pytest.mark.parametrize("name", CALLS)
def test_the_loop_is_never_held_up(watched: Watched, name: str) -> None:
    lags = []
    for _ in range(TRIES):
        begun = time.monotonic()
        answered = code_of(lambda: CALLS[name](watched.stubs))
        assert answered not in BAD
        time.sleep(0.05)
        lags.append(watched.worst(begun))
        if lags[-1] < MOST:
            return
    pytest.fail(f"the event loop was held up for {min(lags):.2f} s at best")
