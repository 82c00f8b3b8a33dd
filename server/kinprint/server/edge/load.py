"""What a server does at the moment, as numbers: for InfoService and for the metrics, from any thread."""

from __future__ import annotations

from dataclasses import dataclass

from kinprint.server.state import State

#: Outcomes of rows that were written.
STORED = ("created", "replaced", "filled")


@dataclass(frozen=True, slots=True)
class Load:
    """See ServerLoad in proto/; seconds and bytes."""

    calls: int
    streams: int
    inflight_bytes: int
    waiting_reads: int
    waiting_writes: int
    waiting_sentences: int
    waiting_texts: int
    dropped_texts: int
    running_jobs: int
    waiting_jobs: int
    loop_lag: float
    answered: int
    failed: int
    stored_rows: int
    waiting_calls: int


def load_of(state: State) -> Load:
    """The numbers now."""
    services = [m.service for m in (state.model, *list(state.second_models.values())) if m.service is not None]
    waiting = [service.waiting for service in services]
    running, queued = state.jobs.counts()
    answered = dict(state.answered)
    return Load(
        calls=state.unary_calls,
        streams=state.streams,
        inflight_bytes=state.inflight.held,
        waiting_reads=state.readers._work_queue.qsize(),
        waiting_writes=state.writers_pool._work_queue.qsize(),
        waiting_sentences=sum(sentences for sentences, _ in waiting),
        waiting_texts=sum(texts for _, texts in waiting),
        dropped_texts=sum(service.dropped for service in services),
        running_jobs=running,
        waiting_jobs=queued,
        loop_lag=max(state.watchdog.lag, state.watchdog.silent),
        answered=answered.pop("OK", 0),
        failed=sum(answered.values()),
        stored_rows=sum(state.stored[outcome] for outcome in STORED),
        waiting_calls=state.turns.waiting,
    )
