"""Who gets in and sees what: a server with TLS and keys, called over every RPC by those who should not be let by."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from certificates import Issuer
from conftest import START_SECONDS, free_port
from contract.wire import DEADLINE, Refusal, refusal
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message_factory import GetMessageClass
from jwt.algorithms import ECAlgorithm
from kinprint.client import (
    Client,
    InvalidArgumentError,
    KinprintError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
    UpsertError,
    connect,
)
from kinprint.server.edge import keys
from kinprint.server.edge.principal import Role
from kinprint.server.edge.roles import ROLES
from kinprint.v1 import (
    corpus_pb2,
    info_pb2,
    job_pb2,
    lineage_pb2,
    match_pb2,
    semantic_pb2,
    snapshot_pb2,
    transcript_pb2,
    types_pb2,
)

MODULES = (corpus_pb2, info_pb2, job_pb2, lineage_pb2, match_pb2, semantic_pb2, snapshot_pb2, transcript_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ISSUER_KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "the-secret-corpus"
TEXT = "An owl hears a mouse under a hand of snow because its ears sit at different heights on its head."


def _text(text: str = TEXT) -> match_pb2.TextSource:
    return match_pb2.TextSource(text=text)


def _stored(corpus: str) -> match_pb2.TextSource:
    return match_pb2.TextSource(transcript=match_pb2.TranscriptRef(corpus=corpus, id="a"))


def _upserts(corpus: str, create: bool = False) -> list[Any]:
    start = transcript_pb2.UpsertStart(corpus=corpus, create_corpus=create)
    rows = transcript_pb2.UpsertBatch(sequence=1, transcripts=[types_pb2.Transcript(id="new", response=TEXT)])
    return [
        transcript_pb2.UpsertTranscriptsRequest(start=start),
        transcript_pb2.UpsertTranscriptsRequest(batch=rows),
        transcript_pb2.UpsertTranscriptsRequest(stop=transcript_pb2.UpsertStop()),
    ]


def _attributes(corpus: str) -> list[Any]:
    text = lineage_pb2.AttributeText(text=TEXT)
    return [
        lineage_pb2.AttributeRequest(start=lineage_pb2.AttributeStart(corpus=corpus)),
        lineage_pb2.AttributeRequest(batch=lineage_pb2.AttributeBatch(texts=[text])),
        lineage_pb2.AttributeRequest(stop=lineage_pb2.AttributeStop()),
    ]


#: Requests that name one corpus, by method; where several fields do, once for each.
REQUESTS: dict[str, list[Callable[[str], Any]]] = {
    "CreateCorpus": [lambda c: corpus_pb2.CreateCorpusRequest(name=c)],
    "GetCorpus": [lambda c: corpus_pb2.GetCorpusRequest(name=c)],
    "DeleteCorpus": [lambda c: corpus_pb2.DeleteCorpusRequest(name=c)],
    "FitPanel": [
        lambda c: lineage_pb2.FitPanelRequest(corpus=c, members=[lineage_pb2.PanelMember(model="m", family="f")])
    ],
    "FindKinship": [lambda c: lineage_pb2.FindKinshipRequest(corpus=c)],
    "FindLineage": [lambda c: lineage_pb2.FindLineageRequest(corpus=c)],
    "BuildEvidence": [lambda c: lineage_pb2.BuildEvidenceRequest(corpus=c, subject="m", source="n")],
    "Attribute": [_attributes],
    "Search": [
        lambda c: match_pb2.SearchRequest(query=_text(), corpora=[c]),
        lambda c: match_pb2.SearchRequest(query=_text(), corpora=["ours", c]),
        lambda c: match_pb2.SearchRequest(query=_stored(c), corpora=["ours"]),
    ],
    "Compare": [
        lambda c: match_pb2.CompareRequest(a=_stored(c), b=_text()),
        lambda c: match_pb2.CompareRequest(a=_text(), b=_stored(c)),
    ],
    "FindDuplicates": [
        lambda c: match_pb2.FindDuplicatesRequest(corpora=[c], threshold=0.5),
        lambda c: match_pb2.FindDuplicatesRequest(corpora=["ours"], against=[c], threshold=0.5),
    ],
    "FindOverlaps": [
        lambda c: match_pb2.FindOverlapsRequest(corpora=[c], against=["ours"]),
        lambda c: match_pb2.FindOverlapsRequest(corpora=["ours"], against=[c]),
    ],
    "StartFill": [lambda c: semantic_pb2.StartFillRequest(corpus=c)],
    "PauseFill": [lambda c: semantic_pb2.PauseFillRequest(corpus=c)],
    "GetFill": [lambda c: semantic_pb2.GetFillRequest(corpus=c)],
    "Distil": [lambda c: semantic_pb2.DistilRequest(corpus=c)],
    "CompareModels": [lambda c: semantic_pb2.CompareModelsRequest(corpus=c)],
    "SwitchModel": [lambda c: semantic_pb2.SwitchModelRequest(corpus=c)],
    "DropModel": [lambda c: semantic_pb2.DropModelRequest(corpus=c)],
    "UpsertTranscripts": [_upserts, lambda c: _upserts(c, create=True)],
    "GetTranscript": [lambda c: transcript_pb2.GetTranscriptRequest(corpus=c, id="a")],
    "ListTranscripts": [lambda c: transcript_pb2.ListTranscriptsRequest(corpus=c)],
    "DeleteTranscripts": [lambda c: transcript_pb2.DeleteTranscriptsRequest(corpus=c, ids=["a"])],
    "PurgeTranscripts": [lambda c: transcript_pb2.PurgeTranscriptsRequest(corpus=c)],
}
#: Methods whose requests name no corpus.
WITHOUT = {
    "ListCorpora",
    "GetServerInfo",
    "ListJobs",
    "GetJob",
    "CancelJob",
    "InspectPanel",
    "Fingerprint",
    *(method.name for method in snapshot_pb2.DESCRIPTOR.services_by_name["SnapshotService"].methods),
    "StreamSearch",  # answers a search with its status, and is tested by itself
}


@dataclass
class Guarded:
    """A server with TLS and keys, what its owner's client shows, and keys by their name."""

    address: str
    data: Path
    issuer: Issuer
    process: subprocess.Popen[bytes]
    log: Path
    keys: dict[str, str]
    ids: dict[str, str]
    owner: Client

    def make(self, name: str, role: str, corpora: list[str] | None = None, expires: float | None = None) -> str:
        made, token = keys.create(self.data, role, corpora, expires, name)
        self.keys[name], self.ids[name] = token, made.id
        return token

    def client(self, name: str) -> Client:
        """A client with a key."""
        return connect(self.address, ca=self.issuer.ca, api_key=self.keys[name])

    def call(self, channel: grpc.Channel, path: str, request: Any, token: str | None) -> Any:
        """Call a method; the last answer. Raises grpc.RpcError."""
        method = METHODS[path]
        kinds = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
        stub = getattr(channel, "_".join(kinds))(
            path,
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        sent = iter(request if isinstance(request, list) else [request]) if method.client_streaming else request
        answer = stub(sent, timeout=DEADLINE, metadata=metadata)
        return list(answer)[-1:] if method.server_streaming else answer

    def refused(self, channel: grpc.Channel, path: str, request: Any, token: str | None) -> Refusal:
        try:
            answer = self.call(channel, path, request, token)
        except grpc.RpcError as error:
            return refusal(error)
        raise AssertionError(f"{path} was answered: {answer}")


def serve(data: Path, address: str, log: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(data), "--listen", address]
    with log.open("wb") as stream:
        return subprocess.Popen([*command, "--model", "none", "--lazy", *options], stderr=stream)


def reached(process: subprocess.Popen[bytes], log: Path, *arguments: Any, **named: Any) -> Client:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return connect(*arguments, **named)
        except UnavailableError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(log.read_text()[-4000:])
            time.sleep(0.1)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    base = tmp_path_factory.mktemp("guarded")
    data, address, log = base / "data", f"127.0.0.1:{free_port()}", base / "log"
    issuer = Issuer(base / "tls")
    cert, key = issuer.issue("server")
    jwks = base / "jwks.json"
    public = json.loads(ECAlgorithm.to_jwk(ISSUER_KEY.public_key()))
    jwks.write_text(json.dumps({"keys": [{**public, "kid": "one"}]}), encoding="utf-8")
    keys.create(data, "admin")  # so that keys are asked for from the start
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINPRINT_CACHE", str(base / "cache"))
        tls = ("--tls-cert", str(cert), "--tls-key", str(key))
        tokens = ("--oidc-issuer", "https://issuer.example", "--oidc-audience", "kinprint", "--oidc-jwks", str(jwks))
        process = serve(data, address, log, *tls, *tokens, "--reflection")
    owner = reached(process, log, f"unix:{data / 'kinprint.sock'}")
    for corpus in ("ours", "theirs", SECRET):
        rows = [{"id": "a", "model": "m", "response": TEXT}, {"id": "b", "model": "n", "response": TEXT + " So it is."}]
        owner.upsert(corpus, rows, create=True)
    made = Guarded(address, data, issuer, process, log, {}, {}, owner)
    for role in ("read", "write", "admin"):
        made.make(role, role)
        made.make(f"{role} ours", role, ["ours"])
    made.make("expired", "admin", None, time.time() - 1)
    made.make("revoked", "admin")
    keys.revoke(data, made.ids["revoked"])
    time.sleep(0.6)  # the server looks twice a second
    yield made
    owner.close()
    process.terminate()
    assert process.wait(60) == 0


@pytest.fixture(scope="module")
def channel(guarded: Guarded) -> Iterator[grpc.Channel]:
    with grpc.secure_channel(guarded.address, grpc.ssl_channel_credentials(guarded.issuer.ca.read_bytes())) as made:
        yield made


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def request_of(path: str) -> Any:
    if name_of(path) in REQUESTS:
        return REQUESTS[name_of(path)][0]("ours")
    return GetMessageClass(METHODS[path].input_type)()


def test_the_table_of_roles_and_this_test_name_every_rpc() -> None:
    assert ROLES.keys() == METHODS.keys()
    assert REQUESTS.keys() | WITHOUT == {name_of(path) for path in METHODS}
    assert not REQUESTS.keys() & WITHOUT


@pytest.mark.parametrize("path", METHODS, ids=name_of)
def test_nobody_gets_in_without_a_good_key(guarded: Guarded, channel: grpc.Channel, path: str) -> None:
    good = guarded.keys["admin"]
    other = keys.split(guarded.keys["read"])
    assert other is not None
    mixed = f"kp_{guarded.ids['admin']}_{other[1]}"
    for token, reason in (
        (None, "CREDENTIALS_MISSING"),
        ("", "CREDENTIALS_INVALID"),
        ("nonsense", "CREDENTIALS_INVALID"),
        (good[:-1], "CREDENTIALS_INVALID"),
        (mixed, "CREDENTIALS_INVALID"),
        (guarded.keys["expired"], "CREDENTIALS_EXPIRED"),
        (guarded.keys["revoked"], "CREDENTIALS_REVOKED"),
    ):
        found = guarded.refused(channel, path, request_of(path), token)
        assert (found.code, found.reason) == ("UNAUTHENTICATED", reason), (token, found)
        assert "kinprint keys" in found.message or "ask" in found.message or "Bearer" in found.message
        assert SECRET not in found.message


@pytest.mark.parametrize("path", METHODS, ids=name_of)
def test_a_role_covers_what_it_should_and_no_more(guarded: Guarded, channel: grpc.Channel, path: str) -> None:
    for role in Role:
        if role < ROLES[path]:
            found = guarded.refused(channel, path, request_of(path), guarded.keys[role.word])
            assert (found.code, found.reason) == ("PERMISSION_DENIED", "ROLE_TOO_LOW"), found
            assert ROLES[path].word in found.message
    if ROLES[path] is not Role.READ:
        return
    code = grpc.StatusCode.OK
    try:
        guarded.call(channel, path, request_of(path), guarded.keys["read"])
    except grpc.RpcError as error:
        code = error.code()
    assert code not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@pytest.mark.parametrize("path", [path for path in METHODS if name_of(path) in REQUESTS], ids=name_of)
def test_a_corpus_of_others_does_not_exist(guarded: Guarded, channel: grpc.Channel, path: str) -> None:
    token = guarded.keys["admin ours"]
    for made in REQUESTS[name_of(path)]:
        there = guarded.refused(channel, path, made("theirs"), token)
        nowhere = guarded.refused(channel, path, made("nowhere"), token)
        assert there.reason in ("CORPUS_NOT_FOUND", "CORPUS_FORBIDDEN"), there
        assert (there.reason == "CORPUS_FORBIDDEN") == (there.code == "PERMISSION_DENIED")
        assert str(there).replace("theirs", "nowhere") == str(nowhere)
        assert SECRET not in str(there)
        # A key for all of them is told of all of them.
        if name_of(path) not in ("CreateCorpus", "UpsertTranscripts"):
            told = guarded.refused(channel, path, made("nowhere"), guarded.keys["admin"])
            assert SECRET in told.message
            assert told.reason == "CORPUS_NOT_FOUND"


def test_streamed_searches_see_no_corpus_of_others(guarded: Guarded) -> None:
    with guarded.client("read ours") as client:
        outcomes = list(client.search_many([TEXT], corpora=["ours", SECRET]))
    assert len(outcomes) == 1
    assert outcomes[0].error is not None
    assert outcomes[0].error.reason == "CORPUS_NOT_FOUND"


def test_lists_and_counts_hold_what_may_be_seen(guarded: Guarded) -> None:
    with guarded.client("read ours") as client:
        assert [corpus.name for corpus in client.list_corpora()] == ["ours"]
        assert client.server_info().corpora == 1
        assert client.search(TEXT, corpus="ours").hits
    with guarded.client("read") as client:
        assert [corpus.name for corpus in client.list_corpora()] == ["ours", SECRET, "theirs"]
        assert client.server_info().corpora == 3


def test_a_key_creates_the_corpora_that_it_is_bound_to(guarded: Guarded) -> None:
    guarded.make("own", "admin", ["own", "owned"])
    time.sleep(0.6)
    with guarded.client("own") as client:
        with pytest.raises(PermissionDeniedError, match="CORPUS_FORBIDDEN"):
            client.create_corpus("another")
        with pytest.raises(UpsertError, match="CORPUS_FORBIDDEN"):
            client.upsert("theirs", [{"response": "x"}], create=True)
        client.create_corpus("own")
        client.upsert("owned", [{"response": TEXT}], create=True)
        assert [corpus.name for corpus in client.list_corpora()] == ["own", "owned"]
        client.delete_corpus("own")
        client.delete_corpus("owned")
    assert guarded.owner.get("theirs", "a").response == TEXT


def test_jobs_are_their_owners_and_those_who_administer(guarded: Guarded) -> None:
    guarded.make("read theirs", "read", ["theirs"])
    guarded.make("read ours too", "read", ["ours"])
    time.sleep(0.6)
    with guarded.client("read ours") as client:
        assert list(client.find_duplicates("ours", threshold=0.5))
        mine = client.jobs()
        assert [(job.kind, job.corpora) for job in mine] == [("FindDuplicates", ("ours",))] * len(mine)
        assert mine
        assert client.get_job(mine[0].id).id == mine[0].id
    for name, seen in (("read theirs", False), ("read ours too", False), ("admin ours", True), ("admin", True)):
        with guarded.client(name) as client:
            assert (mine[0].id in [job.id for job in client.jobs()]) is seen
            if seen:
                assert client.get_job(mine[0].id).id == mine[0].id
                continue
            for call in (client.get_job, client.cancel_job):
                with pytest.raises(NotFoundError) as there:
                    call(mine[0].id)
                with pytest.raises(NotFoundError) as nowhere:
                    call("j-000000000000")
                assert there.value.message.replace(mine[0].id, "j-000000000000") == nowhere.value.message


def test_snapshots_are_for_administrators_of_everything(guarded: Guarded, channel: grpc.Channel) -> None:
    for path in METHODS:
        if "SnapshotService" in path:
            found = guarded.refused(channel, path, request_of(path), guarded.keys["admin ours"])
            assert (found.code, found.reason) == ("PERMISSION_DENIED", "ROLE_TOO_LOW"), found
            assert SECRET not in str(found)
    with guarded.client("admin") as client:
        made = client.create_snapshot("guarded", ["ours", SECRET])
        assert [held.name for held in made.corpora] == ["ours", SECRET]
    with guarded.client("admin ours") as client:
        purged = client.purge("ours")
        assert (purged.held_by_snapshots, purged.snapshots) == (1, ())
        assert "guarded" not in purged.step
    with guarded.client("admin") as client:
        assert client.purge("ours").snapshots == ("guarded",)
        assert client.delete_snapshot("guarded") > 0
        assert client.purge("ours").held_by_snapshots == 0


def test_a_second_model_is_for_administrators(guarded: Guarded) -> None:
    with guarded.client("write") as client, pytest.raises(PermissionDeniedError, match="ROLE_TOO_LOW"):
        client.start_fill("ours", model="/etc")


def test_a_revoked_key_is_refused_within_a_second_and_its_stream_ends(guarded: Guarded) -> None:
    guarded.make("short", "write", ["ours"])
    time.sleep(0.6)

    def rows() -> Iterator[dict[str, str]]:
        for count in range(200_000):
            if count == 3000:
                keys.revoke(guarded.data, guarded.ids["short"])
                time.sleep(0.6)
            yield {"id": f"short-{count}", "response": f"{TEXT} {count}"}

    with guarded.client("short") as client:
        with pytest.raises(KinprintError) as ended:
            client.upsert("ours", rows())
        assert ended.value.reason == "CREDENTIALS_REVOKED"
        with pytest.raises(UnauthenticatedError, match="CREDENTIALS_REVOKED"):
            client.get_corpus("ours")


def test_a_key_ends_when_its_time_is_over(guarded: Guarded) -> None:
    guarded.make("brief", "read", None, time.time() + 2.5)
    time.sleep(0.6)
    with guarded.client("brief") as client:
        client.get_corpus("ours")
        time.sleep(2.2)
        with pytest.raises(UnauthenticatedError, match="CREDENTIALS_EXPIRED"):
            client.get_corpus("ours")


def test_a_token_stands_for_what_its_claims_say(guarded: Guarded) -> None:
    def token(seconds: float, key: ec.EllipticCurvePrivateKey = ISSUER_KEY, **claims: Any) -> str:
        told = {
            "iss": "https://issuer.example",
            "aud": "kinprint",
            "sub": "ada",
            "exp": time.time() + seconds,
            **claims,
        }
        return jwt.encode(told, key, algorithm="ES256", headers={"kid": "one"})

    role: dict[str, Any] = {"kinprint_role": "read", "kinprint_corpora": ["ours"]}
    with connect(guarded.address, ca=guarded.issuer.ca, api_key=token(60, **role)) as client:
        assert [corpus.name for corpus in client.list_corpora()] == ["ours"]
        with pytest.raises(PermissionDeniedError, match="ROLE_TOO_LOW"):
            client.create_corpus("ours")
    for made, reason in (
        (token(-60, **role), "CREDENTIALS_EXPIRED"),
        (token(60, ec.generate_private_key(ec.SECP256R1()), **role), "CREDENTIALS_INVALID"),
    ):
        with pytest.raises(UnauthenticatedError, match=reason):
            connect(guarded.address, ca=guarded.issuer.ca, api_key=made)
    with pytest.raises(PermissionDeniedError, match="ROLE_TOO_LOW"):
        connect(guarded.address, ca=guarded.issuer.ca, api_key=token(60))


@pytest.mark.parametrize(
    "name", ["x" * 20_000, "\u00fc" * 20_000, "\x1b[31m" * 4000], ids=["ascii", "letters", "escapes"]
)
def test_a_name_of_any_length_and_kind_is_refused_in_words(guarded: Guarded, name: str) -> None:
    calls: tuple[Callable[[], Any], ...] = (
        lambda: guarded.owner.get_corpus(name),
        lambda: guarded.owner.search(TEXT, corpora=["ours", name]),
        lambda: guarded.owner.get("ours", name),
        lambda: guarded.owner.get_job(name),
        lambda: guarded.owner.create_corpus(name),
    )
    for call in calls:
        with pytest.raises((NotFoundError, InvalidArgumentError)) as refused:
            call()
        assert refused.value.message.isprintable()
        assert len(refused.value.message) <= 1500


def test_health_is_open_and_reflection_is_not(guarded: Guarded, channel: grpc.Channel) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.ServerReflectionInfo(iter(ask), timeout=DEADLINE))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    metadata = (("authorization", f"Bearer {guarded.keys['read ours']}"),)
    found = list(stub.ServerReflectionInfo(iter(ask), timeout=DEADLINE, metadata=metadata))
    assert "kinprint.v1.MatchService" in {one.name for one in found[0].list_services_response.service}


def test_the_socket_is_the_owners_and_a_key_shown_there_counts(guarded: Guarded) -> None:
    path = guarded.data / "kinprint.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with connect(f"unix:{path}", api_key=guarded.keys["read ours"]) as client:
        assert [corpus.name for corpus in client.list_corpora()] == ["ours"]


def test_everything_stored_is_private(guarded: Guarded) -> None:
    loose = [
        f"{path}: {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in (guarded.data, *guarded.data.rglob("*"))
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]
    assert loose == []


def test_nothing_secret_is_stored_or_logged(guarded: Guarded) -> None:
    stored = (guarded.data / "keys.json").read_text(encoding="utf-8")
    logged = guarded.log.read_text(encoding="utf-8") + (guarded.data / "server.log").read_text(encoding="utf-8")
    for token in guarded.keys.values():
        secret = token.rpartition("_")[2]
        assert secret not in stored
        assert secret not in logged
    assert "An owl hears" not in logged


def test_plaintext_and_strange_authorities_are_refused(guarded: Guarded, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        connect(guarded.address, api_key=guarded.keys["admin"], timeout=3.0)
    with pytest.raises(UnavailableError):
        connect(guarded.address, ca=Issuer(tmp_path, "strangers").ca, api_key=guarded.keys["admin"], timeout=3.0)


def test_keys_come_from_the_environment(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINPRINT_CA", str(guarded.issuer.ca))
    with pytest.raises(UnauthenticatedError, match="KINPRINT_API_KEY"):
        connect(guarded.address)
    monkeypatch.setenv("KINPRINT_API_KEY", guarded.keys["read ours"])
    with connect(guarded.address) as client:
        assert client.server_info().corpora == 1
    command = [sys.executable, "-m", "kinprint.client.cli", "corpora", "--server", guarded.address, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [corpus["name"] for corpus in json.loads(done.stdout)["corpora"]] == ["ours"]


def test_keys_are_made_listed_and_revoked_by_command(guarded: Guarded) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "kinprint.client.cli", "keys", *arguments, "--data", str(guarded.data)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    made = json.loads(
        run("create", "--role", "write", "--corpus", "ours", "--expires", "90d", "--name", "by command", "--json")
    )
    assert (made["role"], made["corpora"], made["name"]) == ("write", ["ours"], "by command")
    token = run("create", "--corpus", "theirs").strip()
    time.sleep(0.6)
    for key, seen in ((made["key"], "ours"), (token, "theirs")):
        with connect(guarded.address, ca=guarded.issuer.ca, api_key=key) as client:
            assert [corpus.name for corpus in client.list_corpora()] == [seen]
    told = run("list")
    assert f"{made['id']}  write on corpora ours, until 20" in told
    assert token.rpartition("_")[2] not in told
    assert f"key {made['id']} is revoked" in run("revoke", made["id"])
    listed = {key["id"]: key for key in json.loads(run("list", "--json"))["keys"]}
    assert listed[made["id"]]["revoked_at"] is not None
    assert {"hash", "salt", "key"}.isdisjoint(listed[made["id"]])
    assert "there is no key" in run("revoke", "nonesuch", code=1)
    assert "cannot be the name" in run("create", "--corpus", "no name", code=1)
    run("create", "--role", "king", code=2)
    run("create", "--expires", "2001-01-01", code=2)


def test_no_key_goes_over_a_network_in_the_clear() -> None:
    with pytest.raises(InvalidArgumentError, match="in the clear"):
        connect("192.0.2.1:50051", api_key="kp_x", timeout=0.1)


# ---- certificates ----


def _serial(address: str) -> int:
    from cryptography import x509

    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain) as wrapped:
        found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def test_certificates_are_read_again_without_a_restart(guarded: Guarded) -> None:
    before = _serial(guarded.address)
    assert _serial(guarded.address) == before
    broken = guarded.issuer._folder / "server-key.pem"
    kept = broken.read_bytes()
    broken.write_bytes(b"half of a renewal")
    assert _serial(guarded.address) == before
    broken.write_bytes(kept)
    guarded.issuer.issue("server")
    assert _serial(guarded.address) != before
    with guarded.client("read") as client:
        assert client.server_info().corpora >= 3


def test_a_client_certificate_is_asked_for_and_stands_for_a_key(tmp_path: Path) -> None:
    data, address, log = tmp_path / "data", f"127.0.0.1:{free_port()}", tmp_path / "log"
    issuer = Issuer(tmp_path / "tls")
    cert, key = issuer.issue("server")
    made, token = keys.create(data, "read", ["ours"])
    mine, my_key = issuer.issue(made.id, "mine")
    strange, strange_key = issuer.issue("nobody")
    other, other_key = Issuer(tmp_path / "other", "others").issue(made.id, "theirs")
    tls = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(issuer.ca))
    process = serve(data, address, log, *tls)
    try:
        client = reached(process, log, address, ca=issuer.ca, cert=mine, key=my_key)
        with client, pytest.raises(PermissionDeniedError, match="ROLE_TOO_LOW"):
            client.create_corpus("ours")
        with pytest.raises(UnauthenticatedError, match="CREDENTIALS_MISSING"):
            connect(address, ca=issuer.ca, cert=strange, key=strange_key)
        connect(address, ca=issuer.ca, cert=strange, key=strange_key, api_key=token).close()
        for shown in ({}, {"cert": other, "key": other_key}):
            with pytest.raises(UnavailableError):
                connect(address, ca=issuer.ca, api_key=token, timeout=3.0, **shown)
        keys.revoke(data, made.id)
        time.sleep(0.6)
        with pytest.raises(UnauthenticatedError, match="CREDENTIALS_REVOKED"):
            connect(address, ca=issuer.ca, cert=mine, key=my_key)
    finally:
        process.terminate()
        process.wait(60)


# ---- where a server listens ----


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "unix-abstract:kinprint-test"])
def test_a_server_does_not_open_itself_to_others_by_accident(tmp_path: Path, address: str) -> None:
    log = tmp_path / "log"
    process = serve(tmp_path / "data", address, log)
    assert process.wait(120) == 1
    told = log.read_text()
    assert f"refusing to listen on {address}" in told
    assert "--insecure" in told


def test_a_server_that_is_told_to_be_open_is(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    process = serve(tmp_path / "data", f"0.0.0.0:{port}", log, "--insecure")
    try:
        reached(process, log, f"127.0.0.1:{port}").close()
        assert "may do everything" in log.read_text()
    finally:
        process.terminate()
        process.wait(60)


def test_tls_without_keys_is_not_enough(tmp_path: Path) -> None:
    cert, key = Issuer(tmp_path / "tls").issue("server")
    process = serve(tmp_path / "data", "0.0.0.0:0", tmp_path / "log", "--tls-cert", str(cert), "--tls-key", str(key))
    assert process.wait(120) == 1
    assert "without API keys" in (tmp_path / "log").read_text()


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    data, address, log = tmp_path / "data", f"127.0.0.1:{free_port()}", tmp_path / "log"
    data.mkdir(mode=0o755)
    os.chmod(data, 0o755)
    process = serve(data, address, log)
    try:
        with reached(process, log, address) as client:
            # A key that is made while it serves closes it to all others.
            client.server_info()
            made, token = keys.create(data, "read")
            time.sleep(0.6)
            with pytest.raises(UnauthenticatedError, match="CREDENTIALS_MISSING"):
                client.server_info()
        connect(address, api_key=token).close()
        # And a file that is gone opens nothing.
        (data / "keys.json").unlink()
        time.sleep(0.6)
        with pytest.raises(UnauthenticatedError, match="CREDENTIALS_INVALID"):
            connect(address, api_key=token)
        assert made.id
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert "open to other users" in log.read_text()
    finally:
        process.terminate()
        process.wait(60)
