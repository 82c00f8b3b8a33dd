"""Metrics for Prometheus: of calls as they end, and of the server's state whenever somebody asks.

Nothing here is labelled by corpus or caller: their number is not bounded, and their names are nobody else's business.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import grpc
from kinprint.server.edge.audit import AuditLog
from kinprint.server.edge.call import Call
from kinprint.server.edge.load import load_of
from kinprint.server.failures import Failure
from kinprint.server.state import State
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics import Counter, Histogram
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class CallMetrics:
    """Counts calls; an observer of the meter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter("kinprint_calls", "Calls that ended", ("rpc", "code"), registry=registry)
        self._refused = Counter("kinprint_failures", "Calls that failed, by reason", ("reason",), registry=registry)
        self._seconds = Histogram(
            "kinprint_call_seconds", "Time from request to status", ("rpc",), buckets=_SECONDS, registry=registry
        )
        self._received = Counter("kinprint_received_bytes", "Bytes of requests", ("rpc",), registry=registry)
        self._sent = Counter("kinprint_sent_bytes", "Bytes of answers", ("rpc",), registry=registry)

    def began(self, call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Nothing is counted yet."""

    def asked(self, call: Call, request: Any) -> None:
        """Count the bytes of a request."""
        self._received.labels(call.rpc).inc(call.size)

    def sent(self, call: Call, size: int) -> None:
        """Count the bytes of an answer."""
        self._sent.labels(call.rpc).inc(size)

    def ended(self, call: Call, code: str, seconds: float) -> None:
        """Count a call."""
        self._calls.labels(call.rpc, code).inc()
        self._seconds.labels(call.rpc).observe(seconds)
        if call.reason:
            self._refused.labels(call.reason).inc()


class StateCollector(Collector):
    """Reads the state of a server, in the thread of whoever asks."""

    def __init__(self, state: State, version: str, audit: AuditLog | None) -> None:
        self._state = state
        self._version = version
        self._audit = audit

    def describe(self) -> list[Any]:
        """Names are told with the values: at registration there is nothing to read yet."""
        return []

    def collect(self) -> Iterator[Any]:
        """All values now."""
        state = self._state
        load = load_of(state)
        about = GaugeMetricFamily("kinprint_server_info", "Version of the server", labels=("version",))
        about.add_metric((self._version,), 1)
        yield about
        yield _gauge("ready", "1 while calls are taken", int(state.serving and not state.draining.is_set()))
        yield _gauge("calls_in_flight", "Calls with one request under way", load.calls)
        yield _gauge("streams_open", "Calls with a stream of requests that are open", load.streams)
        yield _gauge("inflight_bytes", "Bytes of requests in work", load.inflight_bytes)
        yield _gauge("inflight_waiting", "Requests of streams that wait for room", state.inflight.waiting)
        yield _gauge("gathered_bytes", "Bytes of texts that attributions hold", state.gathered.held)
        queues = GaugeMetricFamily("kinprint_waiting", "What waits, by queue", labels=("queue",))
        for name, value in (
            ("calls", load.waiting_calls),
            ("reads", load.waiting_reads),
            ("writes", load.waiting_writes),
            ("sentences", load.waiting_sentences),
            ("texts", load.waiting_texts),
            ("jobs", load.waiting_jobs),
        ):
            queues.add_metric((name,), value)
        yield queues
        yield _counter("dropped_texts", "Texts not embedded because their caller had gone", load.dropped_texts)
        yield _gauge("jobs_running", "Long runs under way", load.running_jobs)
        rows = CounterMetricFamily("kinprint_rows", "Rows of upserts, by what became of them", labels=("outcome",))
        for outcome, count in sorted(dict(state.stored).items()):
            rows.add_metric((outcome,), count)
        yield rows
        names, unavailable = state.catalog.names(), state.catalog.unavailable
        corpora = GaugeMetricFamily("kinprint_corpora", "Corpora, by whether they could be opened", labels=("state",))
        corpora.add_metric(("open",), len(names))
        corpora.add_metric(("unavailable",), len(unavailable))
        yield corpora
        yield _gauge("transcripts", "Transcripts of all open corpora", _transcripts(state))
        yield from self._disk()
        yield _gauge("loop_lag_seconds", "How late the event loop is", load.loop_lag)
        yield _gauge("loop_lag_worst_seconds", "How late it was at most", state.watchdog.worst)
        yield _counter("loop_stuck", "How often it stood still for more than a second", state.watchdog.stuck)
        if self._audit is not None:
            yield _counter("audit_lines", "Lines of the audit log that are durable", self._audit.written)
            yield _gauge("audit_waiting", "Lines that are not yet", self._audit.waiting)

    def _disk(self) -> Iterator[Any]:
        try:
            disk = os.statvfs(self._state.config.data_dir)
        except OSError:
            return  # removed under the server, which ends
        yield _gauge("disk_free_bytes", "Free space of the data directory", disk.f_bavail * disk.f_frsize)
        yield _gauge("disk_size_bytes", "Size of its file system", disk.f_blocks * disk.f_frsize)
        yield _gauge("disk_free_inodes", "Free inodes of it", disk.f_favail)
        held = int(self._state.catalog.reserve_held)
        yield _gauge("reserve_held", "1 while room is kept for deletes and purges on a full disk", held)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"kinprint_{name}", text, value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"kinprint_{name}", text, value)


def _transcripts(state: State) -> int:
    rows = 0
    for name in state.catalog.names():
        with contextlib.suppress(Failure):  # deleted a moment ago
            rows += state.catalog.get(name).view.rows
    return rows


def registry_of(state: State, version: str, audit: AuditLog | None) -> tuple[CollectorRegistry, CallMetrics]:
    """The registry of a server, and what counts its calls."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(StateCollector(state, version, audit))
    return registry, CallMetrics(registry)
