"""Messages of the services for server information and corpora."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import timedelta

from kinprint.client.convert.base import (
    FROM_CHANNEL,
    FROM_TIER,
    channels_from_proto,
    check_text,
    count,
    optional,
    timestamp_from_proto,
)
from kinprint.client.types import (
    CorpusInfo,
    Coverage,
    EmbeddingModel,
    Limits,
    SemanticIndex,
    ServerInfo,
    ServerLimits,
    ServerLoad,
    ValueCount,
)
from kinprint.v1 import corpus_pb2, info_pb2, transcript_pb2, types_pb2


def coverage_from_proto(message: types_pb2.Coverage) -> Coverage:
    """How far a channel is filled."""
    return Coverage(
        FROM_CHANNEL[message.channel],
        message.filled,
        message.fillable,
        message.share,
        FROM_TIER.get(message.tier),
    )


def coverages(messages: Iterable[types_pb2.Coverage]) -> tuple[Coverage, ...]:
    """How far each channel is filled, once each: the fast tier is left to `fast_coverage`.

    A mapping by channel then tells what it did when there was one tier.
    """
    known = (coverage_from_proto(item) for item in messages if item.channel in FROM_CHANNEL)
    return tuple(item for item in known if item.tier != "fast")


def fast_coverage(messages: Iterable[types_pb2.Coverage]) -> Coverage | None:
    """How far the fast tier of the semantic channel is filled, None where it is not told."""
    return next((coverage_from_proto(item) for item in messages if item.tier == types_pb2.TIER_FAST), None)


def _semantic_index(message: corpus_pb2.SemanticIndex) -> SemanticIndex:
    return SemanticIndex(
        table_digest=message.table_digest,
        table_name=message.table_name,
        model_digest=message.model_digest,
        indexed_rows=message.indexed_rows,
        indexed_sentences=message.indexed_sentences,
        row_recall=optional(message, "row_recall"),
        sentence_recall=optional(message, "sentence_recall"),
        calibration_pairs=message.calibration_pairs,
    )


def _counts(messages: Iterable[corpus_pb2.ValueCount]) -> tuple[ValueCount, ...]:
    return tuple(ValueCount(optional(item, "value"), item.count) for item in messages)


def corpus_from_proto(message: corpus_pb2.Corpus) -> CorpusInfo:
    """A corpus."""
    return CorpusInfo(
        name=message.name,
        description=message.description,
        created_at=timestamp_from_proto(message, "created_at"),
        transcripts=message.transcripts,
        blank=message.blank,
        coverage=coverages(message.coverage),
        models=_counts(message.models),
        languages=_counts(message.languages),
        record_version=message.record_version,
        disk_bytes=message.disk_bytes,
        unavailable=message.unavailable,
        coverage_fast=fast_coverage(message.coverage),
        semantic=_semantic_index(message.semantic) if message.HasField("semantic") else None,
    )


def limits_from_proto(message: transcript_pb2.Limits) -> Limits:
    """Limits of a server."""
    return Limits(
        max_text_bytes=message.max_text_bytes,
        max_message_bytes=message.max_message_bytes,
        max_batch_items=message.max_batch_items,
        max_metadata_bytes=message.max_metadata_bytes,
        max_inflight_batches=message.max_inflight_batches,
    )


def server_info_from_proto(message: info_pb2.GetServerInfoResponse) -> ServerInfo:
    """What a server is."""
    return ServerInfo(
        version=message.version,
        pid=message.pid,
        uptime=timedelta(seconds=message.uptime.seconds, microseconds=message.uptime.nanos // 1000),
        limits=limits_from_proto(message.limits),
        channels=channels_from_proto(message.channels),
        pipeline=message.pipeline,
        sketch_scheme=message.sketch_scheme,
        style_scheme=message.style_scheme,
        unicode_version=message.unicode_version,
        model=EmbeddingModel(
            message.model.name, message.model.digest, message.model.dimensions, message.model.max_tokens
        )
        if message.HasField("model")
        else None,
        thread_pools={pool.name: pool.threads for pool in message.thread_pools},
        formats=tuple(message.formats),
        libraries=dict(message.libraries),
        corpora=message.corpora,
        server_limits=_server_limits(message.server_limits) if message.HasField("server_limits") else None,
        load=_server_load(message.load) if message.HasField("load") else None,
    )


def _server_limits(message: info_pb2.ServerLimits) -> ServerLimits:
    return ServerLimits(**{field.name: getattr(message, field.name) for field in fields(ServerLimits)})


def _server_load(message: info_pb2.ServerLoad) -> ServerLoad:
    values = {field.name: getattr(message, field.name) for field in fields(ServerLoad)}
    lag = timedelta(seconds=message.loop_lag.seconds, microseconds=message.loop_lag.nanos // 1000)
    return ServerLoad(**{**values, "loop_lag": lag})


def create_corpus_request(name: str, description: str) -> corpus_pb2.CreateCorpusRequest:
    """A `CreateCorpusRequest`."""
    return corpus_pb2.CreateCorpusRequest(
        name=check_text(name, "name"), description=check_text(description, "description")
    )


def get_corpus_request(name: str) -> corpus_pb2.GetCorpusRequest:
    """A `GetCorpusRequest`."""
    return corpus_pb2.GetCorpusRequest(name=check_text(name, "name"))


def list_corpora_request(page_size: int, page_token: str) -> corpus_pb2.ListCorporaRequest:
    """A `ListCorporaRequest`."""
    return corpus_pb2.ListCorporaRequest(page_size=count(page_size, "page_size"), page_token=page_token)


def delete_corpus_request(name: str) -> corpus_pb2.DeleteCorpusRequest:
    """A `DeleteCorpusRequest`."""
    return corpus_pb2.DeleteCorpusRequest(name=check_text(name, "name"))


def server_info_request() -> info_pb2.GetServerInfoRequest:
    """A `GetServerInfoRequest`."""
    return info_pb2.GetServerInfoRequest()
