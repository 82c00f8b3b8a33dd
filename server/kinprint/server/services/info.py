"""InfoService."""

from __future__ import annotations

import os
import time
from typing import Any

import grpc
from google.protobuf import duration_pb2
from kinprint.kernels.unicode import UNICODE_VERSION
from kinprint.server import threads
from kinprint.server.channels import CHANNELS
from kinprint.server.corpus.normalise import PIPELINE
from kinprint.server.edge.load import load_of
from kinprint.server.edge.principal import ANONYMOUS, current
from kinprint.server.edge.versions import package_version
from kinprint.server.edge.visible import visible
from kinprint.server.services.messages import types as convert
from kinprint.server.services.messages.info import server_limits, server_load
from kinprint.server.state import State
from kinprint.server.store import generation, record
from kinprint.v1 import info_pb2, info_pb2_grpc

_LIBRARIES = (
    "polars",
    "deltalake",
    "faiss-cpu",
    "onnxruntime",
    "tokenizers",
    "numba",
    "numpy",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "grpcio",
    "protobuf",
)


class InfoService(info_pb2_grpc.InfoServiceServicer):
    """Describes the server."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def GetServerInfo(  # noqa: N802
        self, request: info_pb2.GetServerInfoRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> info_pb2.GetServerInfoResponse:
        uptime = duration_pb2.Duration()
        uptime.FromMilliseconds(int((time.monotonic() - self._state.started) * 1000))
        model = self._state.model
        channels = [name for name, channel in CHANNELS.items() if model.available or not channel.embedded]
        response = info_pb2.GetServerInfoResponse(
            version=package_version("kinprint"),
            pid=os.getpid(),
            uptime=uptime,
            limits=convert.limits(),
            channels=[convert.channel_number(name) for name in channels],
            pipeline=PIPELINE,
            sketch_scheme=CHANNELS["copy"].scheme,
            style_scheme=CHANNELS["style"].scheme,
            unicode_version=UNICODE_VERSION,
            thread_pools=[info_pb2.ThreadPool(name=n, threads=k) for n, k in threads.pool_sizes().items()],
            formats=[f"record/{record.FORMAT}", f"generation/{generation.FORMAT}"],
            libraries={name: package_version(name) for name in _LIBRARIES},
            corpora=len(visible(self._state).names()),
            server_limits=server_limits(self._state.config.capacity),
            # What others load and ask shows in it.
            load=server_load(load_of(self._state)) if current().keeper or current() is ANONYMOUS else None,
        )
        if model.service is not None:
            embedder = model.service.embedder
            response.model.CopyFrom(
                info_pb2.EmbeddingModel(
                    name=embedder.name,
                    digest=embedder.digest,
                    dimensions=embedder.dim,
                    max_tokens=embedder.max_tokens,
                )
            )
        return response
