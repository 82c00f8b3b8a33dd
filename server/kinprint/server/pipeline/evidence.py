"""Evidence: what a person can check behind a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinprint.kernels import jaccard, shingle, spans, stylometry
from kinprint.server.embed.background import Background, centre
from kinprint.server.pipeline.match import CopyMatch, SemanticMatch, StyleMatch
from kinprint.server.store.columns import encode_texts
from kinprint.server.threads import kernels

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
class SemanticEvidence:
    """Cosines, raw and centred, beside those of unrelated texts."""

    cosine: float
    centred_cosine: float
    background_mean: float
    background_sd: float
    query_language: str | None
    match_language: str | None
    truncated: bool
    aligned_cosine: float | None = None

    @property
    def z(self) -> float:
        """Standard deviations above unrelated texts."""
        return (self.centred_cosine - self.background_mean) / self.background_sd if self.background_sd else 0.0


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
    with kernels():
        found = spans.shared_spans(a, b)
        shown = found[:most]
        a_points = spans.codepoint_offsets(a, np.ascontiguousarray(shown[:, :2].reshape(-1))).reshape(-1, 2)
        b_points = spans.codepoint_offsets(b, np.ascontiguousarray(shown[:, 2:].reshape(-1))).reshape(-1, 2)
    listed = [
        Span(int(qa), int(qb), int(ma), int(mb), query[qa : min(qb, qa + SPAN_TEXT)])
        for (qa, qb), (ma, mb) in zip(a_points, b_points, strict=True)
    ]
    return listed, len(found) - len(listed)


def copy_evidence(query: str, match_text: str, most_spans: int) -> CopyEvidence:
    """Compare two texts exactly."""
    data, offsets = encode_texts([query, match_text])
    with kernels():
        hashes, indptr, flags = shingle.shingle_sets(data, offsets)
        shared = jaccard.intersections(hashes, indptr, np.array([0]), np.array([1]))
        text_hashes = shingle.text_hashes(data, offsets)
    sizes = np.diff(indptr)
    listed, omitted = shared_spans(query, match_text, most_spans)
    return CopyEvidence(
        shared=int(shared[0]),
        query_size=int(sizes[0]),
        match_size=int(sizes[1]),
        identical=bool((text_hashes[0] == text_hashes[1]).all()) and not flags[0] & shingle.BLANK,
        query_is_one_shingle=bool(flags[0] & shingle.WHOLE_TEXT),
        spans=listed,
        spans_omitted=omitted,
    )


def semantic_evidence(
    match: SemanticMatch, background: Background, query_language: str | None, match_language: str | None, truncated: bool
) -> SemanticEvidence:
    """The score of a semantic match beside the background."""
    return SemanticEvidence(
        cosine=match.cosine,
        centred_cosine=match.score,
        background_mean=background.unrelated_mean,
        background_sd=background.unrelated_sd,
        query_language=query_language,
        match_language=match_language,
        truncated=truncated,
    )


def compare_embeddings(
    a: NDArray[np.float32], b: NDArray[np.float32], background: Background, languages: tuple[str | None, str | None], truncated: bool
) -> SemanticEvidence:
    """Compare two embeddings float32[dim] of unit length."""
    centred = centre(np.stack([a, b]), background.mean)
    return SemanticEvidence(
        cosine=float(a @ b),
        centred_cosine=float(centred[0] @ centred[1]),
        background_mean=background.unrelated_mean,
        background_sd=background.unrelated_sd,
        query_language=languages[0],
        match_language=languages[1],
        truncated=truncated,
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
    with kernels():
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
    with kernels():
        vectors = stylometry.style_vectors(*encode_texts([a, b]))
        score = float(stylometry.scores(vectors[0], vectors[1:2], scale[1], scale[2])[0])
    return style_evidence(a, b, (vectors[0], vectors[1]), score, scale)
