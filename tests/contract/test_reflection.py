"""A client that knows nothing of Kinprint: it learns the services from the server and uses them.

Nothing here imports `kinprint`; messages are built from what reflection tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICES = (
    "kinprint.v1.CorpusService",
    "kinprint.v1.InfoService",
    "kinprint.v1.JobService",
    "kinprint.v1.LineageService",
    "kinprint.v1.MatchService",
    "kinprint.v1.SemanticService",
    "kinprint.v1.SnapshotService",
    "kinprint.v1.TranscriptService",
)
DEADLINE = 60.0
TEXT = (
    "An owl hears a mouse under a hand of snow because its ears sit at different heights, and the sound "
    "that reaches one a little later tells it how far up the mouse is."
)


class Reflected:
    """Calls methods by name with plain dicts, as grpcurl does."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self._database)

    def services(self) -> list[str]:
        return sorted(self._database.get_services())

    def methods(self, service: str) -> dict[str, Any]:
        return dict(self._pool.FindServiceByName(service).methods_by_name)

    def call(self, service: str, method: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """All answers of a call with one or, for a request stream, several requests."""
        found = self.methods(service)[method]
        asks, answers = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        messages = [json_format.ParseDict(r, asks(), descriptor_pool=self._pool) for r in requests]
        kind = f"{'stream' if found.client_streaming else 'unary'}_{'stream' if found.server_streaming else 'unary'}"
        stub = getattr(self._channel, kind)(
            f"/{service}/{method}", request_serializer=asks.SerializeToString, response_deserializer=answers.FromString
        )
        sent = iter(messages) if found.client_streaming else messages[0]
        made = stub(sent, timeout=DEADLINE)
        return [
            json_format.MessageToDict(m, descriptor_pool=self._pool)
            for m in (made if found.server_streaming else [made])
        ]


@pytest.fixture(scope="module")
def channel(server: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as made:
        yield made


@pytest.fixture(scope="module")
def reflected(channel: grpc.Channel) -> Reflected:
    return Reflected(channel)


def test_all_services_are_listed(reflected: Reflected) -> None:
    assert reflected.services() == sorted(
        [*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    )


def test_every_method_and_message_resolves(reflected: Reflected) -> None:
    methods = {service: sorted(reflected.methods(service)) for service in SERVICES}
    assert methods == {
        "kinprint.v1.CorpusService": ["CreateCorpus", "DeleteCorpus", "GetCorpus", "ListCorpora"],
        "kinprint.v1.InfoService": ["GetServerInfo"],
        "kinprint.v1.JobService": ["CancelJob", "GetJob", "ListJobs"],
        "kinprint.v1.LineageService": [
            "Attribute",
            "BuildEvidence",
            "FindKinship",
            "FindLineage",
            "FitPanel",
            "InspectPanel",
        ],
        "kinprint.v1.MatchService": [
            "Compare",
            "FindDuplicates",
            "FindOverlaps",
            "Fingerprint",
            "Search",
            "StreamSearch",
        ],
        "kinprint.v1.SemanticService": [
            "CompareModels",
            "Distil",
            "DropModel",
            "GetFill",
            "PauseFill",
            "StartFill",
            "SwitchModel",
        ],
        "kinprint.v1.SnapshotService": [
            "CreateSnapshot",
            "DeleteSnapshot",
            "ListSnapshots",
            "RestoreSnapshot",
            "VerifySnapshot",
        ],
        "kinprint.v1.TranscriptService": [
            "DeleteTranscripts",
            "GetTranscript",
            "ListTranscripts",
            "PurgeTranscripts",
            "UpsertTranscripts",
        ],
    }
    for service in SERVICES:
        for method in reflected.methods(service).values():
            for message in (method.input_type, method.output_type):
                GetMessageClass(message)()


def test_the_main_job_by_reflection_alone(reflected: Reflected) -> None:
    corpora, transcripts, match = (
        "kinprint.v1.CorpusService",
        "kinprint.v1.TranscriptService",
        "kinprint.v1.MatchService",
    )
    (made,) = reflected.call(corpora, "CreateCorpus", {"name": "reflected", "description": "by a stranger"})
    assert made["corpus"]["name"] == "reflected"
    answers = reflected.call(
        transcripts,
        "UpsertTranscripts",
        {"start": {"corpus": "reflected", "channels": ["CHANNEL_COPY", "CHANNEL_SEMANTIC", "CHANNEL_STYLE"]}},
        {
            "batch": {
                "sequence": 1,
                "transcripts": [
                    {"id": "owl", "response": TEXT, "model": "m1", "createdAt": "2026-01-02T03:04:05Z"},
                    {"id": "bad", "response": TEXT, "language": "?"},
                    {"id": "other", "response": "Bread wants time more than it wants yeast.", "metadata": {"a": "b"}},
                ],
            }
        },
        {"stop": {}},
    )
    assert "started" in answers[0]
    assert answers[-1] == {"finished": {"created": "2", "failed": "1"}}
    items = next(a["result"]["items"] for a in answers if "result" in a)
    assert items[0] == {"item": {"id": "owl", "outcome": "UPSERT_OUTCOME_CREATED"}}
    # The details of the status resolve through reflection too.
    assert items[1]["error"]["code"] == 3
    details = {d["@type"].rpartition(".")[2]: d for d in items[1]["error"]["details"]}
    assert details["ErrorInfo"]["reason"] == "LANGUAGE_INVALID"
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "language"
    (found,) = reflected.call(
        match,
        "Search",
        {"query": {"text": f"Somebody told me: {TEXT}"}, "corpora": ["reflected"], "channels": ["CHANNEL_COPY"]},
    )
    assert [hit["id"] for hit in found["hits"]] == ["owl"]
    assert found["hits"][0]["copy"]["containmentMatch"] == 1.0
    (shown,) = reflected.call(transcripts, "GetTranscript", {"corpus": "reflected", "id": "owl"})
    assert shown["transcript"]["createdAt"] == "2026-01-02T03:04:05Z"
    streamed = reflected.call(
        match,
        "StreamSearch",
        *({"tag": k, "search": {"query": {"text": TEXT}, "corpora": ["reflected"]}} for k in "12"),
    )
    assert sorted(a["tag"] for a in streamed) == ["1", "2"]
    runs = reflected.call(match, "FindDuplicates", {"corpora": ["reflected"], "threshold": 0.5})
    assert runs[-1]["finished"]["rows"] == "2"
    (info,) = reflected.call("kinprint.v1.InfoService", "GetServerInfo", {})
    assert info["limits"]["maxTextBytes"] == 1 << 20
    assert reflected.call(corpora, "DeleteCorpus", {"name": "reflected"}) == [{"transcripts": "2"}]


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health(channel: grpc.Channel, service: str) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    serving = health_pb2.HealthCheckResponse.SERVING
    assert health.Check(request, timeout=DEADLINE).status == serving
    watch = health.Watch(request, timeout=DEADLINE)
    assert next(watch).status == serving
    watch.cancel()


def test_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="kinprint.v1.NoService")
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(request, timeout=DEADLINE)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = health.Watch(request, timeout=DEADLINE)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()
