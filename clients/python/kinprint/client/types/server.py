"""Servers and corpora."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kinprint.client.types.base import ChannelName, TierName


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rows have a channel filled; `share` is `filled / fillable`, 1 when nothing is fillable.

    `tier` says which of the semantic channel's two this is about; None for other channels.
    """

    channel: ChannelName
    filled: int
    fillable: int
    share: float
    tier: TierName | None = None


@dataclass(frozen=True, slots=True)
class ValueCount:
    """Rows that share a value; `value` is None for rows without one."""

    value: str | None
    count: int


@dataclass(frozen=True, slots=True)
class SemanticIndex:
    """What the semantic channel of a corpus searches.

    `indexed_rows` (fast tier) and `indexed_sentences` (accurate tier) stand in inverted files, the others are scanned.
    `row_recall` and `sentence_recall` are the shares, 0 to 1, of the exact ten nearest that these gave when they were
    built; None without. `calibration_pairs` counts the unrelated pairs of the corpus that scores are read by; 0: those
    of the background texts are taken. Digests are "" before the first vector.
    """

    table_digest: str
    table_name: str
    model_digest: str
    indexed_rows: int
    indexed_sentences: int
    row_recall: float | None
    sentence_recall: float | None
    calibration_pairs: int


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """A corpus. `models`, `languages`, `disk_bytes` and `semantic` are filled by `get_corpus` only.

    `coverage` has each channel once, the semantic one by its accurate tier; `coverage_fast` tells its fast one.
    `unavailable` says why the server could not open it, and what to do; "" for one that is open.
    """

    name: str
    description: str
    created_at: datetime | None
    transcripts: int
    blank: int
    coverage: tuple[Coverage, ...]
    models: tuple[ValueCount, ...]
    languages: tuple[ValueCount, ...]
    record_version: int
    disk_bytes: int
    unavailable: str = ""
    coverage_fast: Coverage | None = None
    semantic: SemanticIndex | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server: bytes of UTF-8, messages in bytes, batches in items."""

    max_text_bytes: int
    max_message_bytes: int
    max_batch_items: int
    max_metadata_bytes: int
    max_inflight_batches: int


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server takes at a time, all callers together, and what one caller may ask for; "" or 0: not told."""

    max_calls: int = 0
    max_streams: int = 0
    max_inflight_bytes: int = 0
    max_gathered_bytes: int = 0
    max_corpora: int = 0
    max_waiting_sentences: int = 0
    max_waiting_jobs: int = 0
    rate: str = ""
    bytes_rate: str = ""


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What a server does at the moment, and has done since its start.

    Attributes:
        calls: calls with one request under way.
        streams: calls with a stream of requests that are open.
        inflight_bytes: bytes of requests in work.
        waiting_reads: reads and searches that wait for a thread.
        waiting_writes: commits and publications that wait for a thread.
        waiting_sentences: sentences of searches that wait for the embedding model.
        waiting_texts: stored texts that wait for it.
        dropped_texts: texts whose caller went before they were embedded.
        running_jobs: long runs under way.
        waiting_jobs: long runs that wait for a place.
        loop_lag: how late the event loop was.
        answered: calls answered since the start.
        failed: calls that ended with another status than OK since the start.
        stored_rows: rows stored since the start.
        waiting_calls: calls with one request that wait for their turn.
    """

    calls: int = 0
    streams: int = 0
    inflight_bytes: int = 0
    waiting_reads: int = 0
    waiting_writes: int = 0
    waiting_sentences: int = 0
    waiting_texts: int = 0
    dropped_texts: int = 0
    running_jobs: int = 0
    waiting_jobs: int = 0
    loop_lag: timedelta = timedelta(0)
    answered: int = 0
    failed: int = 0
    stored_rows: int = 0
    waiting_calls: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The embedding model of a server."""

    name: str
    digest: str
    dimensions: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is: versions, limits, model, threads. `model` is None when it runs without.

    `server_limits` and `load` are None where an older server does not tell them.
    """

    version: str
    pid: int
    uptime: timedelta
    limits: Limits
    channels: tuple[ChannelName, ...]
    pipeline: int
    sketch_scheme: str
    style_scheme: str
    unicode_version: str
    model: EmbeddingModel | None
    thread_pools: Mapping[str, int]
    formats: tuple[str, ...]
    libraries: Mapping[str, str]
    corpora: int
    server_limits: ServerLimits | None = None
    load: ServerLoad | None = None
