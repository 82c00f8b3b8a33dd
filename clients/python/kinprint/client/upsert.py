"""The client's side of an upsert stream, without any I/O: what to send next, and what an answer means.

The clients drive one `UpsertSession` for each upsert. Rows go in by `add`; batches come out of `next_request`
while the window has room; every message of the server goes to `receive`. When a stream breaks, `broken` puts
the batches without a result back in front, to be sent again in a new stream: an upsert is idempotent.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kinprint.client import errors
from kinprint.client.chunking import DEFAULT_BYTES, DEFAULT_ITEMS, ITEM_OVERHEAD, MESSAGE_OVERHEAD, Batcher
from kinprint.client.convert.base import channels_to_proto, check_text
from kinprint.client.convert.server import limits_from_proto
from kinprint.client.convert.transcripts import transcript_to_proto
from kinprint.client.errors import InvalidArgumentError, KinprintError, UnavailableError
from kinprint.client.files.plain import plain_row
from kinprint.client.files.rows import RowError, SourceRow, transcripts_of_row
from kinprint.client.identity import IdDeriver
from kinprint.client.types import ItemError, Limits, LoadReport, Transcript
from kinprint.v1 import transcript_pb2, types_pb2

# Batches sent and not yet answered. More are no faster, show progress later and lose more when a server dies.
_WINDOW = 8
#: Ends a value of metadata that was cut.
_CUT = " [cut]"

Row = Transcript | Mapping[str, Any] | SourceRow
Progress = Callable[[LoadReport], None]
Origin = tuple[str | None, int]
"""Where a row came from: a file, None for what a caller gave, and its number there."""

_LIMITED_FIELDS = ("response", "prompt", "reasoning", "system_prompt")
_OUTCOMES = {
    transcript_pb2.UPSERT_OUTCOME_CREATED: "created",
    transcript_pb2.UPSERT_OUTCOME_REPLACED: "replaced",
    transcript_pb2.UPSERT_OUTCOME_UNCHANGED: "unchanged",
    transcript_pb2.UPSERT_OUTCOME_FILLED: "filled",
    transcript_pb2.UPSERT_OUTCOME_SUPERSEDED: "superseded",
}


class StreamEndedError(Exception):
    """The server drains or closed the stream early: go on in a new one."""


@dataclass(slots=True)
class _Batch:
    """Rows on their way: messages, and for each where it came from."""

    messages: list[types_pb2.Transcript]
    origins: list[Origin]


@dataclass(slots=True)
class RetryClock:
    """Exponential backoff with jitter, bounded by the time since the last progress.

    Args:
        deadline: seconds without progress after which to give up.
    """

    deadline: float
    _attempt: int = 0
    _since: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        """Something went well: start over."""
        self._attempt = 0
        self._since = time.monotonic()

    def next_delay(self, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next try, None to give up."""
        left = self._since + self.deadline - time.monotonic()
        if left <= 0:
            return None
        delay = min(0.1 * 2.0**self._attempt, 5.0) * random.uniform(0.5, 1.0)
        self._attempt += 1
        return min(max(delay, retry_after or 0.0), left)


def is_retryable(error: KinprintError) -> bool:
    """Whether an idempotent call may be sent again: nobody there, or asked to come back later."""
    return isinstance(error, UnavailableError) or (error.retry_after is not None and error.code == "RESOURCE_EXHAUSTED")


class UpsertSession:
    """State of one upsert, over as many streams as it takes.

    Args:
        corpus: name of the corpus.
        channels: channels to fill; empty: the server's default, copy and style.
        create: create the corpus if it is not there.
        progress: called with the report after every result.
        max_errors: errors of items kept in the report; all are counted.
    """

    def __init__(
        self,
        corpus: str,
        channels: str | Sequence[str] = (),
        *,
        create: bool = True,
        progress: Progress | None = None,
        max_errors: int = 100,
    ) -> None:
        self.corpus = check_text(corpus, "corpus")
        self._channels = channels_to_proto(channels)
        self._create = create
        self._progress = progress
        self._max_errors = max_errors
        self._ids = IdDeriver(corpus)
        self._limits: Limits | None = None
        self._batcher: Batcher[tuple[types_pb2.Transcript, Origin]] = Batcher()
        self._ready: deque[_Batch] = deque()
        self._inflight: dict[int, _Batch] = {}
        self._sequence = 0
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._failed_by_source: Counter[str] = Counter()
        self._errors: list[ItemError] = []
        self._cut: Counter[str] = Counter()
        self._items_read = 0
        self._rows = 0
        self._totals: Counter[str] = Counter()
        self._reconnects = 0
        self._begun = time.monotonic()
        self._delay = 0.0
        self._source_done = False
        self.source_error: Exception | None = None
        self.finished = False

    # Rows in

    def add(self, row: Row) -> None:
        """Take one row. A row that cannot be sent is counted as failed and goes no further."""
        if isinstance(row, SourceRow):
            origin: Origin = (row.source, row.row)
            if isinstance(row.item, RowError):
                self._fail(origin, None, row.item.reason, row.item.message)
                return
            self._add_transcript(row.item, origin)
            return
        origin = (None, self._items_read)
        self._items_read += 1
        if isinstance(row, Transcript):
            self._add_transcript(row, origin)
            return
        if not isinstance(row, Mapping):
            raise InvalidArgumentError(f"an item to upsert must be a Transcript or a mapping, not {type(row).__name__}")
        try:
            transcripts = transcripts_of_row(plain_row(row), id_alias=True)
        except RowError as error:
            self._fail(origin, None, error.reason, error.message)
            return
        for transcript in transcripts:
            self._add_transcript(transcript, origin)

    def _add_transcript(self, transcript: Transcript, origin: Origin) -> None:
        assert self._limits is not None, "rows are taken once the server has told its limits"
        if origin[0] is not None and transcript.metadata:
            transcript = self._with_room(transcript)
        try:
            message = transcript_to_proto(transcript)
        except InvalidArgumentError as error:
            self._fail(origin, _printable(transcript.id), error.reason, error.message)
            return
        if not message.id:
            created = message.created_at
            message.id = self._ids.next_id(
                transcript.model,
                transcript.prompt,
                transcript.response,
                prompt_id=transcript.prompt_id,
                account_id=transcript.account_id,
                conversation_id=transcript.conversation_id,
                turn=transcript.turn,
                created_us=(
                    created.seconds * 1_000_000 + created.nanos // 1000 if message.HasField("created_at") else None
                ),
            )
        size = message.ByteSize()
        if size > self._limits.max_text_bytes:
            reason, text = self._too_long(message, size)
            if reason:
                self._fail(origin, message.id, reason, text)
                return
        self._rows += 1
        full = self._batcher.add((message, origin), size)
        if full is not None:
            self._queue(full)

    def _with_room(self, transcript: Transcript) -> Transcript:
        """The row of a file with the longest values of its metadata cut to what the server takes.

        Nobody chose such columns one by one, and they must not cost the answer. What is cut is counted.
        """
        assert self._limits is not None
        limit = self._limits.max_metadata_bytes
        metadata = transcript.metadata
        if sum(map(len, metadata)) + sum(map(len, metadata.values())) <= limit // 4:
            return transcript
        sizes = {key: len(value.encode("utf-8", "surrogatepass")) for key, value in metadata.items()}
        over = sum(sizes.values()) + sum(len(key.encode("utf-8", "surrogatepass")) for key in metadata) - limit
        if over <= 0:
            return transcript
        kept = dict(metadata)
        for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
            room = max(0, sizes[key] - over - len(_CUT.encode()))
            text = metadata[key].encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore")
            kept[key] = text + _CUT if text else ""
            over -= sizes[key] - len(kept[key].encode())
            self._cut[key] += 1
            if over <= 0:
                break
        return replace(transcript, metadata=kept)

    def _too_long(self, message: types_pb2.Transcript, size: int) -> tuple[str, str]:
        assert self._limits is not None
        limit = self._limits.max_text_bytes
        for name in _LIMITED_FIELDS:
            length = len(getattr(message, name).encode("utf-8"))
            if length > limit:
                return "TEXT_TOO_LONG", f"{name} is {length} bytes of UTF-8; the server takes {limit}"
        whole = size + ITEM_OVERHEAD + MESSAGE_OVERHEAD
        if whole > self._limits.max_message_bytes:
            return (
                "ROW_TOO_LARGE",
                f"the row is {whole} bytes; a message holds {self._limits.max_message_bytes}",
            )
        return "", ""

    def source_done(self, error: Exception | None = None) -> None:
        """No more rows will come, because the source ended or failed; what it gave is still sent."""
        self.source_error = error
        if not self._source_done:
            self._source_done = True
            last = self._batcher.flush()
            if last is not None:
                self._queue(last)

    def _queue(self, items: list[tuple[types_pb2.Transcript, Origin]]) -> None:
        self._ready.append(_Batch([item[0] for item in items], [item[1] for item in items]))

    # Messages out

    def start_request(self) -> transcript_pb2.UpsertTranscriptsRequest:
        """The message that opens a stream."""
        return transcript_pb2.UpsertTranscriptsRequest(
            start=transcript_pb2.UpsertStart(corpus=self.corpus, create_corpus=self._create, channels=self._channels)
        )

    @property
    def wants_rows(self) -> bool:
        """Whether `add` should be called before the next send: the window has room and nothing waits."""
        return self.has_room and not self._ready and not self._source_done

    @property
    def has_room(self) -> bool:
        """Whether the window takes another batch."""
        return self._limits is not None and len(self._inflight) < min(_WINDOW, self._limits.max_inflight_batches)

    @property
    def drained(self) -> bool:
        """Whether every row of the source has its result."""
        return self._source_done and not self._ready and not self._inflight

    def next_request(self) -> transcript_pb2.UpsertTranscriptsRequest | None:
        """The next batch to send, None when the window is full or nothing waits."""
        if not self.has_room or not self._ready:
            return None
        batch = self._ready.popleft()
        limit = self._batcher.max_items
        if len(batch.messages) > limit:
            # The server asked for smaller batches after this one was made.
            rest = _Batch(batch.messages[limit:], batch.origins[limit:])
            self._ready.appendleft(rest)
            batch = _Batch(batch.messages[:limit], batch.origins[:limit])
        self._sequence += 1
        self._inflight[self._sequence] = batch
        return transcript_pb2.UpsertTranscriptsRequest(
            batch=transcript_pb2.UpsertBatch(sequence=self._sequence, transcripts=batch.messages)
        )

    def stop_request(self) -> transcript_pb2.UpsertTranscriptsRequest:
        """The message that ends a stream."""
        return transcript_pb2.UpsertTranscriptsRequest(stop=transcript_pb2.UpsertStop())

    def take_delay(self) -> float:
        """Seconds that the server asked to wait before the next batch; asked once."""
        delay, self._delay = self._delay, 0.0
        return delay

    # Messages in

    def receive(self, response: transcript_pb2.UpsertTranscriptsResponse) -> None:
        """Take a message of the server.

        Raises:
            StreamEndedError: the server drains.
            KinprintError: the server broke the protocol.
        """
        kind = response.WhichOneof("message")
        if kind == "result":
            self._result(response.result)
        elif kind == "started":
            self._started(response.started)
        elif kind == "backoff":
            if response.backoff.batch_items:
                self._batcher.max_items = response.backoff.batch_items
            delay = response.backoff.delay
            self._delay = delay.seconds + delay.nanos / 1e9
        elif kind == "shutting_down":
            raise StreamEndedError
        elif kind == "finished":
            for name in ("repeated_ids", "blank", "truncated"):
                self._totals[name] += getattr(response.finished, name)
            self.finished = True
        # An ack adds nothing: a result is sent when its batch is durable.

    def _started(self, started: transcript_pb2.UpsertStarted) -> None:
        limits = limits_from_proto(started.limits)
        self._limits = limits
        self._batcher.max_items = min(DEFAULT_ITEMS, limits.max_batch_items)
        self._batcher.max_bytes = min(DEFAULT_BYTES, limits.max_message_bytes)

    def _result(self, result: transcript_pb2.UpsertResult) -> None:
        batch = self._inflight.pop(result.sequence, None)
        if batch is None or len(result.items) != len(batch.messages):
            raise KinprintError(f"the server answered batch {result.sequence} in a way that does not fit it")
        for item, message, origin in zip(result.items, batch.messages, batch.origins, strict=True):
            if item.WhichOneof("result") == "item":
                self._counts[_OUTCOMES.get(item.item.outcome, "unchanged")] += 1
                self._counts["earlier_ids"] += bool(item.item.id) and item.item.id != message.id
            else:
                error = errors.from_status(item.error)
                self._rows -= 1
                self._fail(origin, message.id, error.reason or error.code, str(error))
        if self._progress is not None:
            self._progress(self.report())

    def _fail(self, origin: Origin, row_id: str | None, reason: str, message: str) -> None:
        self._rows += 1
        self._counts["failed"] += 1
        self._reasons[reason] += 1
        if origin[0] is not None:
            self._failed_by_source[origin[0]] += 1
        if len(self._errors) < self._max_errors:
            self._errors.append(ItemError(origin[1], origin[0], row_id, reason, message))

    # Streams that break

    def broken(self) -> None:
        """The stream ended early: batches without a result wait to be sent again, in their order."""
        self._ready.extendleft(reversed(self._inflight.values()))
        self._inflight.clear()
        self._sequence = 0
        self._delay = 0.0
        self._reconnects += 1

    def report(self) -> LoadReport:
        """What was done so far."""
        counts = self._counts
        return LoadReport(
            corpus=self.corpus,
            rows=self._rows,
            created=counts["created"],
            replaced=counts["replaced"],
            unchanged=counts["unchanged"],
            filled=counts["filled"],
            superseded=counts["superseded"],
            failed=counts["failed"],
            repeated_ids=self._totals["repeated_ids"],
            blank=self._totals["blank"],
            truncated=self._totals["truncated"],
            reconnects=self._reconnects,
            seconds=time.monotonic() - self._begun,
            reasons=dict(self._reasons),
            errors=tuple(self._errors),
            failed_by_source=dict(self._failed_by_source),
            cut=dict(self._cut),
            earlier_ids=counts["earlier_ids"],
        )


def _printable(value: Any) -> str | None:
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")
