"""Messages of Search, Compare and Fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from kinprint.client.convert.base import (
    FROM_CHANNEL,
    FROM_TIER,
    channels_to_proto,
    check_text,
    count,
    filter_to_proto,
    invalid,
    matrix_from_proto,
    optional,
    strings,
    tier_to_proto,
    timestamp_from_proto,
)
from kinprint.client.convert.provenance import provenance_from_proto
from kinprint.client.convert.server import coverages, fast_coverage
from kinprint.client.types import (
    CalibrationName,
    Comparison,
    CopyEvidence,
    Difference,
    DisguiseName,
    Evidence,
    Fingerprints,
    Hit,
    Matrix,
    QueryInfo,
    SearchQuery,
    SearchResult,
    SemanticEvidence,
    SentenceMatch,
    Span,
    StyleEvidence,
    StyleFamily,
    StyleTrait,
    Timings,
    TranscriptRef,
)
from kinprint.v1 import match_pb2, types_pb2

#: How stretches of the same words differ; what a newer server names besides is left out.
DIFFERENCES: dict[int, Difference] = {
    types_pb2.DIFFERENCE_WHITE_SPACE: "white_space",
    types_pb2.DIFFERENCE_CASE: "case",
    types_pb2.DIFFERENCE_PUNCTUATION: "punctuation",
    types_pb2.DIFFERENCE_UNICODE_FORM: "unicode_form",
}


def copy_from_proto(message: types_pb2.CopyEvidence) -> CopyEvidence:
    """Evidence of copying."""
    return CopyEvidence(
        jaccard=message.jaccard,
        containment_query=message.containment_query,
        containment_match=message.containment_match,
        shared_shingles=message.shared_shingles,
        query_shingles=message.query_shingles,
        match_shingles=message.match_shingles,
        identical=message.identical,
        query_is_one_shingle=message.query_is_one_shingle,
        spans=tuple(
            Span(
                span.query_start,
                span.query_end,
                span.match_start,
                span.match_end,
                span.text,
                tuple(DIFFERENCES[number] for number in span.differences if number in DIFFERENCES),
                span.bits if span.HasField("bits") else None,
            )
            for span in message.spans
        ),
        spans_omitted=message.spans_omitted,
        disguises=tuple(_DISGUISES[value] for value in message.disguises if value in _DISGUISES),
    )


_DISGUISES: dict[int, DisguiseName] = {
    types_pb2.DISGUISE_ZERO_WIDTH: "zero_width",
    types_pb2.DISGUISE_CONFUSABLE: "confusable",
    types_pb2.DISGUISE_FULL_WIDTH: "full_width",
    types_pb2.DISGUISE_SPACED_LETTERS: "spaced_letters",
}


_CALIBRATIONS: dict[int, CalibrationName] = {
    types_pb2.CALIBRATION_SOURCE_CORPUS: "corpus",
    types_pb2.CALIBRATION_SOURCE_BACKGROUND: "background",
}


def semantic_from_proto(message: types_pb2.SemanticEvidence) -> SemanticEvidence:
    """Evidence of saying the same.

    Where the server named nothing that the score was held against, its figures are no figures: they read as None, as a
    p-value of 0 would say the most.
    """
    held = message.calibration != types_pb2.CALIBRATION_SOURCE_UNSPECIFIED
    return SemanticEvidence(
        cosine=message.cosine,
        alignment=message.alignment,
        background_mean=message.background_mean,
        background_sd=message.background_sd,
        z=message.z,
        query_language=optional(message, "query_language"),
        match_language=optional(message, "match_language"),
        truncated=message.truncated,
        query_sentences=message.query_sentences,
        match_sentences=message.match_sentences,
        sentences=tuple(
            SentenceMatch(
                query_start=pair.query_start,
                query_end=pair.query_end,
                match_start=pair.match_start,
                match_end=pair.match_end,
                cosine=pair.cosine,
                query_text=pair.query_text,
                match_text=pair.match_text,
            )
            for pair in message.sentences
        ),
        tier=FROM_TIER.get(message.tier),
        percentile=message.percentile if held else None,
        p_value=message.p_value if held else None,
        p_floor=message.p_floor if held else None,
        same_prompt_p=optional(message, "same_prompt_p"),
        same_prompt_floor=optional(message, "same_prompt_floor"),
        calibration=_CALIBRATIONS.get(message.calibration),
    )


def style_from_proto(message: types_pb2.StyleEvidence) -> StyleEvidence:
    """Evidence of writing alike."""
    return StyleEvidence(
        cosine_delta=message.cosine_delta,
        families=tuple(StyleFamily(item.name, item.contribution) for item in message.families),
        traits=tuple(StyleTrait(item.name, item.query_value, item.match_value) for item in message.traits),
        reference_rows=message.reference_rows,
    )


def _evidence_from_proto(hit: match_pb2.Hit) -> Evidence | None:
    kind = hit.WhichOneof("evidence")
    if kind == "copy":
        return copy_from_proto(hit.copy)
    if kind == "semantic":
        return semantic_from_proto(hit.semantic)
    if kind == "style":
        return style_from_proto(hit.style)
    return None


def search_result_from_proto(message: match_pb2.SearchResponse) -> SearchResult:
    """Hits of a search."""
    query = message.query
    return SearchResult(
        query=QueryInfo(
            code_points=query.code_points,
            shingles=query.shingles,
            language=optional(query, "language"),
            transcript=TranscriptRef(query.transcript.corpus, query.transcript.id)
            if query.HasField("transcript")
            else None,
            reasoning_removed=query.reasoning_removed,
            copy_candidates=query.copy_candidates,
            copy_verified=query.copy_verified,
        ),
        coverage=coverages(message.coverage),
        hits=tuple(
            Hit(
                channel=FROM_CHANNEL[hit.channel],
                rank=hit.rank,
                corpus=hit.corpus,
                id=hit.id,
                model=optional(hit, "model"),
                score=hit.score,
                language=optional(hit, "language"),
                account_id=optional(hit, "account_id"),
                created_at=timestamp_from_proto(hit, "created_at"),
                prompt_key=optional(hit, "prompt_key"),
                evidence=_evidence_from_proto(hit),
                snippet=hit.snippet,
            )
            for hit in message.hits
            if hit.channel in FROM_CHANNEL
        ),
        timings=Timings(message.timings.queue_seconds, message.timings.embed_seconds, message.timings.total_seconds),
        provenance=provenance_from_proto(message),
        coverage_fast=fast_coverage(message.coverage),
    )


def comparison_from_proto(message: match_pb2.CompareResponse) -> Comparison:
    """How alike two texts are."""
    return Comparison(
        copy=copy_from_proto(message.copy) if message.HasField("copy") else None,
        semantic=semantic_from_proto(message.semantic) if message.HasField("semantic") else None,
        style=style_from_proto(message.style) if message.HasField("style") else None,
        provenance=provenance_from_proto(message),
    )


def text_source(text: str | None, ref: TranscriptRef | None, field: str) -> match_pb2.TextSource:
    """A `TextSource` of either a text or a stored transcript.

    Raises:
        InvalidArgumentError: both, or neither.
    """
    if (text is None) == (ref is None):
        raise invalid(field, "give either a text or the id of a stored transcript")
    if ref is not None:
        return match_pb2.TextSource(
            transcript=match_pb2.TranscriptRef(
                corpus=check_text(ref.corpus, f"{field}.corpus"), id=check_text(ref.id, f"{field}.id")
            )
        )
    return match_pb2.TextSource(text=check_text(text, f"{field}.text"))


_QUERY_FIELDS = tuple(field.name for field in fields(SearchQuery))


def query_of(item: str | SearchQuery | Mapping[str, Any], common: SearchQuery) -> SearchQuery:
    """One query of many: a text or a mapping has the fields of `common` where it says nothing else.

    Raises:
        InvalidArgumentError: it is none of these, or names a field that queries do not have.
    """
    if isinstance(item, SearchQuery):
        return item
    if isinstance(item, str):
        return replace(common, text=item)
    if not isinstance(item, Mapping):
        raise invalid("query", f"must be a text, a SearchQuery or a mapping, not {type(item).__name__}")
    for name in item:
        if name not in _QUERY_FIELDS:
            raise invalid(str(name), f"queries have no such field; known: {', '.join(_QUERY_FIELDS)}")
    return replace(common, **item)


def search_request(query: SearchQuery) -> match_pb2.SearchRequest:
    """A `SearchRequest`.

    Raises:
        InvalidArgumentError: neither or both of text and id, an unknown channel or tier, a wrong type, or an id whose
            corpus cannot be told.
    """
    corpora = strings(query.corpora, "corpora")
    if not corpora and query.corpus is not None:
        corpora = [check_text(query.corpus, "corpus")]
    ref = None
    if query.id is not None:
        corpus = query.corpus if query.corpus is not None else (corpora[0] if len(corpora) == 1 else None)
        if corpus is None:
            raise invalid("corpus", "name the corpus that the id belongs to: several are searched")
        ref = TranscriptRef(corpus, query.id)
    message = match_pb2.SearchRequest(
        query=text_source(query.text, ref, "query"),
        corpora=corpora,
        channels=channels_to_proto(query.channels),
        top=count(query.top, "top"),
        filter=filter_to_proto(query.filter),
        max_spans=count(query.max_spans, "max_spans"),
        max_evidence=None if query.max_evidence is None else count(query.max_evidence, "max_evidence"),
        tier=tier_to_proto(query.tier),
        see_through=query.see_through,
    )
    if query.min_score is not None:
        message.min_score = query.min_score
    if query.query_language is not None:
        message.query_language = check_text(query.query_language, "query_language")
    return message


def compare_request(
    a: str | TranscriptRef, b: str | TranscriptRef, channels: Sequence[str], max_spans: int, see_through: bool = True
) -> match_pb2.CompareRequest:
    """A `CompareRequest`."""
    return match_pb2.CompareRequest(
        a=_either(a, "a"),
        b=_either(b, "b"),
        channels=channels_to_proto(channels),
        max_spans=count(max_spans, "max_spans"),
        see_through=see_through,
    )


def _either(value: str | TranscriptRef, field: str) -> match_pb2.TextSource:
    if isinstance(value, TranscriptRef):
        return text_source(None, value, field)
    return text_source(value, None, field)


def fingerprint_request(texts: Iterable[str], channels: Iterable[str]) -> match_pb2.FingerprintRequest:
    """A `FingerprintRequest`."""
    return match_pb2.FingerprintRequest(texts=strings(texts, "texts"), channels=channels_to_proto(channels))


def _matrix(message: match_pb2.FingerprintResponse, field: str) -> Matrix | None:
    return matrix_from_proto(getattr(message, field)) if message.HasField(field) else None


def fingerprints_from_proto(message: match_pb2.FingerprintResponse) -> Fingerprints:
    """Fingerprints of texts."""
    return Fingerprints(
        sketch_scheme=message.sketch_scheme,
        sketches=_matrix(message, "sketches"),
        text_hashes=_matrix(message, "text_hashes"),
        style_scheme=message.style_scheme,
        styles=_matrix(message, "styles"),
        model_digest=message.model_digest,
        embeddings=_matrix(message, "embeddings"),
    )
