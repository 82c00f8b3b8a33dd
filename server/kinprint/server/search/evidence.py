"""Evidence: what a person can check behind a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from kinprint.kernels.copy import overlap, shingle, spans
from kinprint.kernels.style import stylometry
from kinprint.server.embed import Alignment, EmbeddingSpace, align, grouped_spans
from kinprint.server.search.match import CopyMatch, Query, SemanticMatch, StyleMatch
from kinprint.server.store.columns import encode_texts
from numpy.typing import NDArray

#: Code points of a shared span that are quoted; its offsets are always whole.
SPAN_TEXT = 500
SNIPPET = 160


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch that stands, byte for byte, in both texts; half-open, in code points."""

    query_start: int
    query_end: int
    match_start: int
    match_end: int
    text: str


@dataclass(frozen=True, slots=True)
class CopyEvidence:
    """Shared shingles, exact, and shared spans, longest first."""

    shared: int
    query_size: int
    match_size: int
    identical: bool
    query_is_one_shingle: bool
    spans: list[Span]
    spans_omitted: int

    @property
    def jaccard(self) -> float:
        """|A and B| / |A or B|; 0 when both are empty."""
        union = self.query_size + self.match_size - self.shared
        return self.shared / union if union else 0.0

    @property
    def containment_query(self) -> float:
        """|A and B| / |A|."""
        return self.shared / self.query_size if self.query_size else 0.0

    @property
    def containment_match(self) -> float:
        """|A and B| / |B|."""
        return self.shared / self.match_size if self.match_size else 0.0


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
    """Aligned sentences, and the score beside that of unrelated texts."""

    alignment: float
    cosine: float
    background_mean: float
    background_sd: float
    query_sentences: int
    match_sentences: int
    sentences: list[SentenceMatch]
    query_language: str | None
    match_language: str | None
    truncated: bool

    @property
    def z(self) -> float:
        """Standard deviations above unrelated texts."""
        return (self.alignment - self.background_mean) / self.background_sd


@dataclass(frozen=True, slots=True)
class StyleEvidence:
    """Cosine Delta, what each family of features adds, and readable habits of both texts."""

    cosine_delta: float
    families: list[tuple[str, float]]
    traits: list[tuple[str, float, float]]
    reference_rows: int


def response_of(match: CopyMatch | SemanticMatch | StyleMatch) -> str:
    """The answer of a matched row."""
    segment = match.view.parts[match.place.part].segment
    text: str = segment.array("response")[match.place.row].as_py()
    return text


def snippet(text: str) -> str:
    """Beginning of a text for display, white space collapsed."""
    short = " ".join(text[: SNIPPET * 4].split())
    return short if len(short) <= SNIPPET else short[: SNIPPET - 1] + "…"


def shared_spans(query: str, match: str, most: int) -> tuple[list[Span], int]:
    """The `most` longest shared spans, and how many more there are."""
    a = np.frombuffer(query.encode(), np.uint8)
    b = np.frombuffer(match.encode(), np.uint8)
    found = spans.shared_spans(a, b)
    shown = found[:most]
    a_points = spans.codepoint_offsets(a, np.ascontiguousarray(shown[:, :2].reshape(-1))).reshape(-1, 2)
    b_points = spans.codepoint_offsets(b, np.ascontiguousarray(shown[:, 2:].reshape(-1))).reshape(-1, 2)
    listed = [
        Span(int(qa), int(qb), int(ma), int(mb), query[qa : min(qb, qa + SPAN_TEXT)])
        for (qa, qb), (ma, mb) in zip(a_points, b_points, strict=True)
    ]
    return listed, len(found) - len(listed)


def copy_evidence(query: Query, match: CopyMatch, most_spans: int) -> CopyEvidence:
    """The exact sizes behind a score, and the shared spans."""
    listed, omitted = shared_spans(query.text, response_of(match), most_spans)
    return CopyEvidence(
        match.shared, match.query_size, match.match_size, match.identical, match.one_shingle, listed, omitted
    )


def compare_texts(a: str, b: str, most_spans: int) -> CopyEvidence:
    """Compare two texts exactly."""
    data, offsets = encode_texts([a, b])
    hashes, indptr, flags = shingle.shingle_sets(data, offsets)
    shared = overlap.intersections(hashes, indptr, np.array([0]), np.array([1]))
    text_hashes = shingle.text_hashes(data, offsets)
    sizes = np.diff(indptr)
    listed, omitted = shared_spans(a, b, most_spans)
    return CopyEvidence(
        shared=int(shared[0]),
        query_size=int(sizes[0]),
        match_size=int(sizes[1]),
        identical=bool((text_hashes[0] == text_hashes[1]).all()),
        query_is_one_shingle=bool(flags[0] & shingle.WHOLE_TEXT),
        spans=listed,
        spans_omitted=omitted,
    )


def semantic_evidence(
    query: Query,
    match_text: str,
    match_language: str | None,
    alignment: Alignment,
    cosine: float,
    space: EmbeddingSpace,
    truncated: bool,
) -> SemanticEvidence:
    """Which sentences of two texts say the same, best first."""
    query_spans, match_spans = grouped_spans(query.text), grouped_spans(match_text)
    mean, spread = space.unrelated_at(len(query_spans))
    pairs = [
        SentenceMatch(*query_spans[pair.left], *match_spans[pair.right], pair.cosine)
        for pair in sorted(alignment.pairs, key=lambda pair: -pair.cosine)
    ]
    return SemanticEvidence(
        alignment=alignment.score,
        cosine=cosine,
        background_mean=mean,
        background_sd=spread,
        query_sentences=len(query_spans),
        match_sentences=len(match_spans),
        sentences=pairs,
        query_language=query.language,
        match_language=match_language,
        truncated=truncated,
    )


def compare_meanings(
    a: tuple[Query, NDArray[np.float32]],
    b: tuple[Query, NDArray[np.float32]],
    space: EmbeddingSpace,
    truncated: bool,
) -> SemanticEvidence:
    """Compare two texts by the vectors float32[k, dim] of their sentences, background and language removed."""
    left, right = a[1], b[1]
    whole = [space.pool(v, np.array([0, len(v)]))[0] for v in (left, right)]
    return semantic_evidence(
        a[0], b[0].text, b[0].language, align(left, right), float(whole[0] @ whole[1]), space, truncated
    )


def style_evidence(
    query: str,
    match_text: str,
    vectors: tuple[NDArray[np.int8], NDArray[np.int8]],
    score: float,
    scale: tuple[stylometry.Stats, NDArray[np.float32], NDArray[np.float32]],
) -> StyleEvidence:
    """What makes two texts alike in style, in families of features and in readable habits."""
    total, mean, inverse = scale
    shares = stylometry.contributions(vectors[0], vectors[1], mean, inverse)
    habits = stylometry.traits(*encode_texts([query, match_text]))
    return StyleEvidence(
        cosine_delta=score,
        families=[(name, float(s)) for name, s in zip(stylometry.FAMILIES, shares, strict=True)],
        traits=[(name, float(a), float(b)) for name, a, b in zip(stylometry.TRAITS, habits[0], habits[1], strict=True)],
        reference_rows=int(total.count),
    )


def compare_styles(
    a: str, b: str, scale: tuple[stylometry.Stats, NDArray[np.float32], NDArray[np.float32]]
) -> StyleEvidence:
    """Compare the style of two texts on a scale from `match.style_scale`."""
    vectors = stylometry.style_vectors(*encode_texts([a, b]))
    score = float(stylometry.scores(vectors[0], vectors[1:2], scale[1], scale[2])[0])
    return style_evidence(a, b, (vectors[0], vectors[1]), score, scale)
