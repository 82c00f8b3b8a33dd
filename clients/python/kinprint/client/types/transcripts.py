"""Transcripts, which of them are meant, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kinprint.client.identity import ID_RULE
from kinprint.client.types.base import ChannelName


@dataclass(frozen=True, slots=True)
class Transcript:
    """One exchange with a model. Only `response` is required.

    `id` is derived from the other fields when None (see `kinprint.client.identity`).
    A `created_at` without a time zone is taken as UTC. `prompt_key`, `content_hash` and `channels` are set
    by the server and ignored on upsert.
    """

    response: str
    id: str | None = None
    model: str | None = None
    prompt_id: str | None = None
    prompt: str | None = None
    language: str | None = None
    account_id: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    system_prompt: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    reasoning: str | None = None
    prompt_key: str | None = None
    content_hash: bytes = b""
    channels: tuple[ChannelName, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows that a call may return: fields joined by AND, the values of one field by OR; empty means all."""

    models: str | Sequence[str] = ()
    exclude_models: str | Sequence[str] = ()
    languages: str | Sequence[str] = ()
    account_ids: str | Sequence[str] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None
    prompt_keys: str | Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TranscriptRef:
    """Names a stored transcript: its corpus and its id."""

    corpus: str
    id: str


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """What a delete did: ids deleted, and ids that were not there."""

    deleted: int
    not_found: int


@dataclass(frozen=True, slots=True)
class PurgeProgress:
    """A message of a running purge; all but `step` is set on the last (`done`).

    `held_by_snapshots` counts the snapshots that hold the corpus as it was before, which a purge does not reach;
    `snapshots` are their names, for callers who may see snapshots.
    """

    step: str
    done: bool
    erased: int
    record_version: int
    held_by_snapshots: int = 0
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemError:
    """A row that was not stored, and why.

    `row` counts from 0 through the iterable given to `upsert`; for rows of a file `source` names the file
    and `row` counts from 1, a header not included.
    """

    row: int
    source: str | None
    id: str | None
    reason: str
    message: str

    @property
    def where(self) -> str:
        """`file:row` for rows of a file, else `row N`."""
        return f"row {self.row}" if self.source is None else f"{self.source}:{self.row}"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What an upsert did.

    Every row is in exactly one of `created`, `replaced`, `unchanged`, `filled` (same content, a channel
    added), `superseded` (a later row of the same batch has its id), `failed` and `unfinished` (sent or read,
    but not confirmed when the load stopped). `stored` of them are durable. `repeated_ids` (rows whose id this
    load had already written), `blank` and `truncated` come with the totals that end a stream: with
    `reconnects` above 0 they leave out the streams that broke. `reasons` counts failures; `errors` holds the
    first few of them. `failed_by_source` counts failures by the file that they came from.
    first few of them. `cut` counts rows of files by the key of metadata that was cut, because all of a row's was
    more than the server takes. `id_rule` is the version of the rule for ids of rows that came without one, and
    `earlier_ids` counts rows that are stored under an id of an earlier rule, and keep it.
    """

    corpus: str
    rows: int
    created: int
    replaced: int
    unchanged: int
    filled: int
    superseded: int
    failed: int
    repeated_ids: int
    blank: int
    truncated: int
    reconnects: int
    seconds: float
    reasons: Mapping[str, int]
    errors: tuple[ItemError, ...]
    failed_by_source: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[str, int] = field(default_factory=dict)
    id_rule: int = ID_RULE
    earlier_ids: int = 0

    @property
    def stored(self) -> int:
        """Rows that are durable on the server."""
        return self.created + self.replaced + self.unchanged + self.filled + self.superseded

    @property
    def unfinished(self) -> int:
        """Rows read whose fate is not known; 0 after a load that completed."""
        return self.rows - self.stored - self.failed
