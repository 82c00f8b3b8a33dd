"""Searches, comparisons and fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from kinprint.client.types.base import ChannelName, Matrix, TierName
from kinprint.client.types.provenance import Provenance
from kinprint.client.types.server import Coverage
from kinprint.client.types.transcripts import Filter, TranscriptRef

if TYPE_CHECKING:
    from kinprint.client.errors import KinprintError


Difference = Literal["white_space", "case", "punctuation", "unicode_form"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of words that stands in both texts; offsets are half-open, in code points.

    `text` is how the query has it, `differences` how the match has it otherwise: none where it is the same, byte for
    byte.

    `bits` tell how rare it is among the texts that were searched, or among those of the corpora that compared texts are
    from: -log2 of how likely a text of a third model has it. None where nothing tells, as of fewer than eight words.
    """

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    text: str
    differences: tuple[Difference, ...] = ()
    bits: float | None = None


DisguiseName = Literal["zero_width", "confusable", "full_width", "spaced_letters"]


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """Evidence of copying; shares are exact, over sets of shingles. Spans come longest first.

    `disguises` are those that were undone where the texts match, and that one of them has and the other has not; the
    shares are those of the texts without them, `identical` and the offsets those of the texts themselves.
    """

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
    disguises: tuple[DisguiseName, ...] = ()


@dataclass(frozen=True, slots=True)
class SentenceMatch:
    """A sentence of the query and one of the match, each the other's nearest; half-open, in code points.

    `query_text` and `match_text` are the sentences, cut to 300 code points for display.
    """

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    cosine: float
    query_text: str = ""
    match_text: str = ""


CalibrationName = Literal["corpus", "background"]


@dataclass(frozen=True, slots=True)
class SemanticEvidence:
    """Evidence of saying the same thing; the score is `alignment`, and the pairs are `sentences`.

    What the score is worth is told by comparison with unrelated texts, which are rows of the corpus that answer other
    prompts, or the background texts that ship with Kinprint (`calibration`), in the same languages and for as many
    sentences of the query. None: the server did not tell.

    Attributes:
        tier: whose vectors the score was made of, on both sides.
        percentile: share of unrelated pairs that score less, 0 to 1.
        p_value: chance that the best of as many unrelated rows as were searched scores as high; in a comparison of two
            texts, that one unrelated pair does.
        p_floor: the least value that `p_value` can take: one that is no higher says "at most".
        same_prompt_p: chance that two different answers to one prompt score as high; None where the corpus has too few
            prompts with several answers.
        same_prompt_floor: the least value that `same_prompt_p` can take.
        calibration: what the unrelated pairs were.
        background_mean, background_sd, z: of unrelated background texts; no probability goes with them.
    """

    also: ClassVar[tuple[str, ...]] = ("score", "pairs")

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
    tier: TierName | None = None
    percentile: float | None = None
    p_value: float | None = None
    p_floor: float | None = None
    same_prompt_p: float | None = None
    same_prompt_floor: float | None = None
    calibration: CalibrationName | None = None

    @property
    def score(self) -> float:
        """The score: `alignment`."""
        return self.alignment

    @property
    def pairs(self) -> tuple[SentenceMatch, ...]:
        """The paired sentences, nearest first: `sentences`."""
        return self.sentences


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
    """A transcript that resembles the query. `rank` counts from 1 within the channel.

    `evidence` is None for hits beyond the `max_evidence` of the search.
    """

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
class Timings:
    """Where the time of a search went, seconds."""

    queue_seconds: float
    embed_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits of a search, by channel in the order asked for, then by rank.

    `coverage` has each channel searched once, the semantic one by its accurate tier; `coverage_fast` tells its fast
    one.
    """

    query: QueryInfo
    coverage: tuple[Coverage, ...]
    hits: tuple[Hit, ...]
    timings: Timings
    coverage_fast: Coverage | None = None
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search of `search_many`: either `text`, or `id` (with `corpus`, or one entry in `corpora`).

    `channels` empty means copy; `top` is per channel, 1 to 1000. `min_score` None leaves the default of the
    server; `max_spans` 0 means 20. `max_evidence` hits per channel get evidence; None leaves the default of the
    server. `tier` None searches both tiers of the semantic channel, each row by the best that it has. `see_through`
    has the copy channel undo disguises of letters. The fields are the arguments of `Client.search`.
    """

    text: str | None = None
    id: str | None = None
    corpus: str | None = None
    corpora: str | Sequence[str] = ()
    channels: ChannelName | Sequence[ChannelName] = ()
    top: int = 10
    filter: Filter | None = None
    min_score: float | None = None
    max_spans: int = 0
    max_evidence: int | None = None
    query_language: str | None = None
    tier: TierName | None = None
    see_through: bool = True


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
    provenance: Provenance | None = None


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
