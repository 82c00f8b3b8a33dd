"""One upsert stream: start, batches, stop in; results, acks, totals out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

import numpy as np
from google.protobuf import duration_pb2
from kinprint.server.channels import DEFAULT, EMBEDDED
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.normalise import Normalised, Submission, normalise
from kinprint.server.corpus.plan import Batch
from kinprint.server.corpus.writer import Stored, Writer
from kinprint.server.edge.call import complete
from kinprint.server.edge.visible import visible
from kinprint.server.failures import Failure, InvalidField, Unavailable
from kinprint.server.limits import LIMITS, Lease
from kinprint.server.services.messages import types as convert
from kinprint.server.services.messages.transcripts import upsert_result
from kinprint.server.services.streams import Incoming, let_go, protocol_error
from kinprint.server.state import State
from kinprint.v1 import transcript_pb2, types_pb2


class UpsertStream:
    """State of one stream; `run` yields what the client is sent.

    Batches are normalised one after another, so that equal rows without ids get the same ids in every
    run, and committed side by side.  Results come as batches become durable; an ack covers every batch
    up to its sequence.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        # Bounded: who does not read its answers has no further batches taken.
        self._out: asyncio.Queue[transcript_pb2.UpsertTranscriptsResponse | BaseException | None] = asyncio.Queue(
            2 * LIMITS.max_inflight_batches
        )
        self._failing: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(LIMITS.max_inflight_batches)
        self._tasks: set[asyncio.Task[None]] = set()
        self._occurrences: Counter[bytes] = Counter()
        self._durable: set[int] = set()
        self._acked = 0
        self._received = 0
        self._totals: Counter[str] = Counter()
        self._name = ""
        self._corpus: Corpus | None = None
        self._writer: Writer
        self._channels: frozenset[str] = frozenset()
        self._started_seq = 0
        self._begun = False

    async def run(
        self, requests: AsyncIterator[transcript_pb2.UpsertTranscriptsRequest]
    ) -> AsyncGenerator[transcript_pb2.UpsertTranscriptsResponse, None]:
        """Answer a stream of requests."""
        reader = asyncio.create_task(self._read(requests))
        try:
            while (message := await self._out.get()) is not None:
                if isinstance(message, BaseException):
                    raise message
                if message.HasField("finished"):
                    complete()
                yield message
        finally:
            # What is queued for the record is committed all the same; only embedding stops.
            reader.cancel()
            for task in (*self._tasks, *([self._failing] if self._failing is not None else [])):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await reader

    async def _read(self, requests: AsyncIterator[transcript_pb2.UpsertTranscriptsRequest]) -> None:
        try:
            drained = False
            async with Incoming(self._state, requests, "send the rest to the next") as incoming:
                while not drained:
                    try:
                        request = await incoming.next()
                    except Unavailable:
                        drained = True
                    else:
                        if request is None:
                            # Half-closed without stop: what was sent is committed, and the client is told.
                            await self._finish_batches()
                            raise protocol_error("the stream ended without stop; every acked batch is stored")
                        if await self._take(request, incoming):
                            break
            await self._finish_batches()
            if drained:
                await self._send(shutting_down=transcript_pb2.UpsertShuttingDown(resume_from=self._acked + 1))
            else:
                await self._send(finished=self._finished())
            await self._out.put(None)
        except Exception as error:  # handed to `run`, which ends the RPC with its status
            await self._out.put(error)
        finally:
            if self._corpus is not None and self._corpus.detach() and not self._state.draining.is_set():
                self._state.background(self._corpus.settle)

    async def _take(self, request: transcript_pb2.UpsertTranscriptsRequest, incoming: Incoming[Any]) -> bool:
        """Act on one message; whether it was the last."""
        kind = request.WhichOneof("message")
        if kind == "start":
            if self._begun:
                raise protocol_error("start was sent twice")
            await self._start(request.start)
        elif not self._begun:
            raise protocol_error("the first message must be start")
        elif kind == "batch":
            await self._batch(request.batch, incoming)
        elif kind != "stop":
            raise protocol_error("the message holds none of start, batch, stop")
        return bool(kind == "stop")

    async def _send(self, **message: Any) -> None:
        await self._out.put(transcript_pb2.UpsertTranscriptsResponse(**message))

    async def _start(self, start: transcript_pb2.UpsertStart) -> None:
        channels = convert.channel_names(start.channels, DEFAULT)
        catalog = visible(self._state)
        self._name = start.corpus
        self._channels = frozenset(channels)
        if start.create_corpus and start.corpus not in catalog.names():
            # Made with the first row, so that a load of nothing leaves nothing.
            catalog.check_room(start.corpus, self._state.config.capacity.corpora)
            if EMBEDDED.intersection(channels):
                await self._state.model.require()
        else:
            await self._attach(catalog.get(start.corpus))
        self._begun = True
        await self._send(
            started=transcript_pb2.UpsertStarted(
                limits=convert.limits(), channels=[convert.channel_number(c) for c in channels]
            )
        )
        if EMBEDDED.intersection(channels):
            await self._send(
                backoff=transcript_pb2.UpsertBackoff(
                    batch_items=LIMITS.embedding_batch_items, delay=duration_pb2.Duration()
                )
            )

    async def _attach(self, corpus: Corpus) -> None:
        """Take a corpus to write to.  Raises ModelMismatch."""
        if EMBEDDED & self._channels:
            _service, space = await self._state.model.require()
            corpus.check_space(space)
        self._state.tables.want()
        if (table := self._state.tables.table) is not None and corpus.meaning.table is None:
            await self._state.change(lambda: corpus.adopt_usual(table))
        corpus.attach()
        self._corpus = corpus  # at once: the call may be cancelled at the next await
        self._writer = self._state.writer(corpus)
        self._started_seq = await self._state.change(lambda: corpus.next_seq(0))

    async def _batch(self, batch: transcript_pb2.UpsertBatch, incoming: Incoming[Any]) -> None:
        if batch.sequence != self._received + 1:
            raise protocol_error(f"batch {batch.sequence} came where {self._received + 1} was due")
        if not 1 <= len(batch.transcripts) <= LIMITS.max_batch_items:
            raise InvalidField(
                "batch.transcripts", f"a batch holds 1 to {LIMITS.max_batch_items} transcripts", "BATCH_SIZE"
            )
        self._received += 1
        # First a place in this stream: one that is not read must not hold what others wait for.
        await self._room.acquire()
        try:
            lease = await incoming.hold()
            rows = await self._state.read(lambda: self._normalise(batch.transcripts))
            if self._corpus is None and rows.frame.height:
                catalog = visible(self._state)
                catalog.check_room(self._name, self._state.config.capacity.corpora)
                await self._attach(await self._state.change(lambda: catalog.get_or_create(self._name)))
        except BaseException:
            self._room.release()
            raise
        task = asyncio.create_task(self._store(batch.sequence, len(batch.transcripts), rows, lease))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None and self._failing is None:
            # The first failure ends the stream.
            self._failing = asyncio.create_task(self._out.put(error))

    def _normalise(self, messages: Iterable[types_pb2.Transcript]) -> Normalised:
        submissions: list[Submission] = []
        places: list[int] = []
        refused: list[tuple[int, Failure]] = []
        for position, message in enumerate(messages):
            try:
                submissions.append(convert.submission(message))
                places.append(position)
            except InvalidField as failure:
                refused.append((position, failure))
        made = normalise(self._name, submissions, self._occurrences)
        refused += [(places[i], failure) for i, failure in made.refused]
        return Normalised(made.frame, np.array(places, np.int64)[made.items], refused, made.sent)

    async def _store(self, sequence: int, size: int, rows: Normalised, lease: Lease | None) -> None:
        stored: Stored | None = None
        if rows.frame.height:
            stored = await self._writer.store(Batch(rows, self._channels, self._started_seq), self._state.model.require)
        result, totals = await self._state.read(lambda: upsert_result(sequence, size, rows, stored))
        self._totals.update(totals)
        self._state.stored.update(totals)
        # Before the answer is sent: whoever does not read it must not keep others waiting.
        let_go(lease)
        await self._send(result=result)
        self._durable.add(sequence)
        before = self._acked
        while self._acked + 1 in self._durable:
            self._acked += 1
            self._durable.discard(self._acked)
        if self._acked > before:
            await self._send(ack=transcript_pb2.UpsertAck(sequence=self._acked))

    async def _finish_batches(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _finished(self) -> transcript_pb2.UpsertFinished:
        names = ("created", "replaced", "unchanged", "filled", "failed", "repeated_ids", "blank", "truncated")
        return transcript_pb2.UpsertFinished(**{name: self._totals[name] for name in names})
