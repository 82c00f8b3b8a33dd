"""The table of calls is that of the contract."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from kinprint.client.contract import METHODS, SERVICES, Method
from kinprint.client.transport import Stubs
from kinprint.v1 import (
    corpus_pb2,
    info_pb2,
    job_pb2,
    lineage_pb2,
    match_pb2,
    semantic_pb2,
    snapshot_pb2,
    transcript_pb2,
)

CONTRACT: dict[tuple[str, str], MethodDescriptor] = {
    (service.name, method.name): method
    for file in (corpus_pb2, info_pb2, job_pb2, lineage_pb2, match_pb2, semantic_pb2, snapshot_pb2, transcript_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def test_every_call_of_the_contract_is_in_the_table_once() -> None:
    named = [(SERVICES[method.service], method.name) for method in METHODS]
    assert sorted(named) == sorted(CONTRACT)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_messages_are_those_of_the_contract(method: Method) -> None:
    described = CONTRACT[SERVICES[method.service], method.name]
    assert method.request.DESCRIPTOR is described.input_type
    assert method.response.DESCRIPTOR is described.output_type
    if method.repeatable:
        assert not described.server_streaming


def test_stubs_have_every_call() -> None:
    with grpc.insecure_channel("127.0.0.1:9") as channel:
        stubs = Stubs(channel)
        assert all(callable(stubs.of(method)) for method in METHODS)
