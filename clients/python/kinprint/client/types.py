"""What the client takes and returns: frozen dataclasses, one for each message of the contract.

Field names, units and meanings are those of `proto/kinprint/v1`; times are timezone-aware UTC datetimes, and
`None` stands for "absent" wherever the contract says `optional`.
"""

from __future__ import annotations

import dataclasses
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from kinprint.client.errors import KinprintError
    from numpy.typing import NDArray

ChannelName = Literal["copy", "semantic", "style"]
CHANNELS: tuple[ChannelName, ...] = ("copy", "semantic", "style")


@dataclass(frozen=True, slots=True)
class Transcript:
    """One exchange with a model. Only `response` is required.

    `id` is derived from corpus, model, prompt and response when None (see `kinprint.client.identity`).
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

    models: Sequence[str] = ()
    exclude_models: Sequence[str] = ()
    languages: Sequence[str] = ()
    account_ids: Sequence[str] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None
    prompt_keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TranscriptRef:
    """Names a stored transcript: its corpus and its id."""

    corpus: str
    id: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch that stands in both texts; offsets are half-open, in code points."""

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    text: str


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """Evidence of copying; shares are exact, over sets of shingles. Spans come longest first."""

    jaccard: float
    containment_query: float
    containment_match: float
    shared_shingles: int
    query_shingles: int
    match_shingles: int
    identical: bool
    query_is_one_shingle: bool
    spans: tuple[Span, ...]
    spans_omitted: int


@dataclass(frozen=True, slots=True)
class SentenceMatch:
    """A sentence of the query and one of the match, each the other's nearest; half-open, in code points."""

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    cosine: float


@dataclass(frozen=True, slots=True)
class SemanticEvidence:
    """Evidence of saying the same thing; the score is `alignment`."""

    alignment: float
    cosine: float
    background_mean: float
    background_sd: float
    z: float
    query_language: str | None
    match_language: str | None
    truncated: bool
    query_sentences: int
    match_sentences: int
    sentences: tuple[SentenceMatch, ...]


@dataclass(frozen=True, slots=True)
class StyleTrait:
    """A habit of writing, measured in both texts."""

    name: str
    query_value: float
    match_value: float


@dataclass(frozen=True, slots=True)
class StyleFamily:
    """Share of a style score that one family of features adds."""

    name: str
    contribution: float


@dataclass(frozen=True, slots=True)
class StyleEvidence:
    """Evidence of writing alike: a lead, not an attribution. The score is `cosine_delta`."""

    cosine_delta: float
    families: tuple[StyleFamily, ...]
    traits: tuple[StyleTrait, ...]
    reference_rows: int


Evidence = CopyEvidence | SemanticEvidence | StyleEvidence


@dataclass(frozen=True, slots=True)
class Hit:
    """A transcript that resembles the query. `rank` counts from 1 within the channel."""

    channel: ChannelName
    rank: int
    corpus: str
    id: str
    model: str | None
    score: float
    language: str | None
    account_id: str | None
    created_at: datetime | None
    prompt_key: str | None
    evidence: Evidence | None
    snippet: str


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """What the server understood of the query."""

    code_points: int
    shingles: int
    language: str | None
    transcript: TranscriptRef | None
    reasoning_removed: bool
    #: Distinct texts that share a stretch with the query, and how many of them were compared with it exactly.
    copy_candidates: int = 0
    copy_verified: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rows have a channel filled; `share` is `filled / fillable`, 1 when nothing is fillable."""

    channel: ChannelName
    filled: int
    fillable: int
    share: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a search went, seconds."""

    queue_seconds: float
    embed_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits of a search, by channel in the order asked for, then by rank."""

    query: QueryInfo
    coverage: tuple[Coverage, ...]
    hits: tuple[Hit, ...]
    timings: Timings


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search of `search_many`: either `text`, or `id` (with `corpus`, or one entry in `corpora`).

    `channels` empty means copy; `top` is per channel, 1 to 1000. `min_score` None leaves the default of the
    server; `max_spans` 0 means 20.
    """

    text: str | None = None
    id: str | None = None
    corpus: str | None = None
    corpora: Sequence[str] = ()
    channels: Sequence[ChannelName] = ()
    top: int = 10
    filter: Filter | None = None
    min_score: float | None = None
    max_spans: int = 0
    query_language: str | None = None


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """One answer of `search_many`: `index` of its query, and `result` or `error`."""

    index: int
    result: SearchResult | None
    error: KinprintError | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike two texts are, for the channels that were asked for. A stands as the query."""

    copy: CopyEvidence | None
    semantic: SemanticEvidence | None
    style: StyleEvidence | None


@dataclass(frozen=True, slots=True)
class DuplicatesProgress:
    """How far a run over whole corpora is: the step under way, and the share done (0 to 1)."""

    step: str
    share: float


@dataclass(frozen=True, slots=True)
class DuplicatePairs:
    """A batch of near-duplicate pairs, column by column; all lists have one length."""

    id_a: list[str]
    id_b: list[str]
    jaccard: list[float]
    containment_a: list[float]
    containment_b: list[float]
    corpus_a: list[str]
    corpus_b: list[str]

    def __len__(self) -> int:
        return len(self.id_a)

    def rows(self) -> Iterator[tuple[str, str, float, float, float, str, str]]:
        """Rows of (id_a, id_b, jaccard, containment_a, containment_b, corpus_a, corpus_b)."""
        return zip(
            self.id_a,
            self.id_b,
            self.jaccard,
            self.containment_a,
            self.containment_b,
            self.corpus_a,
            self.corpus_b,
            strict=True,
        )


@dataclass(frozen=True, slots=True)
class DuplicateClusters:
    """A batch of rows with their clusters, column by column; all lists have one length.

    A cluster is named by its smallest member, which is its representative.
    """

    id: list[str]
    cluster: list[str]
    is_representative: list[bool]
    corpus: list[str]
    cluster_corpus: list[str]

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, slots=True)
class DuplicatesSummary:
    """Totals of a search for duplicates; `clusters` is 0 where pairs were sought."""

    pairs: int
    rows: int
    distinct: int
    candidates: int
    expected_recall: float
    blank: int
    clusters: int = 0


SpanMark = Literal["prompt", "code", "licence"]


@dataclass(frozen=True, slots=True)
class OverlapSpans:
    """A batch of passages that stand in two answers, column by column; all lists have one length.

    Offsets are half-open, in code points of the stored answers. `bits` is the rarity of a passage (0 where it is
    marked), `texts` how many answers of the other side hold it, `mark` why it is no evidence. `others` counts the
    answers of models other than the two, `others_with` those that have the passage; `prompt_others` and
    `prompt_others_with` the same among answers to the prompt of the first.
    """

    id_a: list[str]
    id_b: list[str]
    start_a: list[int]
    end_a: list[int]
    start_b: list[int]
    end_b: list[int]
    tokens: list[int]
    bits: list[float]
    texts: list[int]
    mark: list[SpanMark | None]
    others_with: list[int]
    others: list[int]
    prompt_others_with: list[int]
    prompt_others: list[int]
    corpus_a: list[str]
    corpus_b: list[str]

    def __len__(self) -> int:
        return len(self.id_a)


@dataclass(frozen=True, slots=True)
class OverlapsSummary:
    """Totals of a search for shared passages; `common_seeds` were passed over as common phrases."""

    spans: int
    texts: int
    texts_with_spans: int
    against: int
    common_seeds: int


@dataclass(frozen=True, slots=True)
class ValueCount:
    """Rows that share a value; `value` is None for rows without one."""

    value: str | None
    count: int


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """A corpus. `models`, `languages` and `disk_bytes` are filled by `get_corpus` only.

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


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server: bytes of UTF-8, messages in bytes, batches in items."""

    max_text_bytes: int
    max_message_bytes: int
    max_batch_items: int
    max_metadata_bytes: int
    max_inflight_batches: int


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The embedding model of a server."""

    name: str
    digest: str
    dimensions: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is: versions, limits, model, threads. `model` is None when it runs without."""

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


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """What a delete did: ids deleted, and ids that were not there."""

    deleted: int
    not_found: int


@dataclass(frozen=True, slots=True)
class PurgeProgress:
    """A message of a running purge; `erased` and `record_version` are set on the last (`done`)."""

    step: str
    done: bool
    erased: int
    record_version: int


_TYPECODES = {"float32": "f", "uint32": "I", "int8": "b", "uint64": "Q", "float64": "d"}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A dense row-major matrix: little-endian bytes, `dtype` float32, float64, uint32, int8 or uint64."""

    data: bytes
    dtype: str
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (self.rows, self.columns)

    def tolist(self) -> list[list[Any]]:
        """The matrix as lists of Python numbers, without NumPy."""
        values: array[Any] = array(_TYPECODES[self.dtype])
        values.frombytes(self.data)
        if sys.byteorder == "big":
            values.byteswap()
        width = self.columns
        return [values[row * width : (row + 1) * width].tolist() for row in range(self.rows)]

    def numpy(self) -> NDArray[np.generic]:
        """The matrix as a read-only NumPy array over the same memory.

        Raises:
            ModuleNotFoundError: NumPy is not installed.
        """
        import numpy

        dtype = numpy.dtype(self.dtype).newbyteorder("<")
        return numpy.frombuffer(self.data, dtype=dtype).reshape(self.rows, self.columns)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Fingerprints, one row a text in the order asked; None for channels that were not asked for.

    `sketches` are uint32, `text_hashes` uint64 (2 columns: one 128-bit hash), `styles` int8, `embeddings`
    float32 of unit length.
    """

    sketch_scheme: str
    sketches: Matrix | None
    text_hashes: Matrix | None
    style_scheme: str
    styles: Matrix | None
    model_digest: str
    embeddings: Matrix | None


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
    first few of them.
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

    @property
    def stored(self) -> int:
        """Rows that are durable on the server."""
        return self.created + self.replaced + self.unchanged + self.filled + self.superseded

    @property
    def unfinished(self) -> int:
        """Rows read whose fate is not known; 0 after a load that completed."""
        return self.rows - self.stored - self.failed


def as_dict(value: Any) -> Any:
    """Plain data of a result: dataclasses become dicts, times ISO 8601 strings, bytes hexadecimal."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_dict(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_dict(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return value
