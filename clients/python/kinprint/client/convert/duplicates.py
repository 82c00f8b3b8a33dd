"""Messages of FindDuplicates and FindOverlaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kinprint.client.convert.base import filter_to_proto, strings
from kinprint.client.convert.match import DIFFERENCES
from kinprint.client.types import (
    DuplicateClusters,
    DuplicatePairs,
    DuplicatesSummary,
    Filter,
    Link,
    OverlapSpans,
    OverlapsSummary,
    SpanMark,
)
from kinprint.v1 import match_pb2

_LINKS: dict[str, match_pb2.DuplicatesLink] = {
    "component": match_pb2.DUPLICATES_LINK_COMPONENT,
    "star": match_pb2.DUPLICATES_LINK_STAR,
}


def duplicates_request(
    corpora: Sequence[str],
    threshold: float,
    row_filter: Filter | None,
    *,
    expand: bool = False,
    exact: bool = False,
    see_through: bool = False,
    against: Sequence[str] = (),
    clusters: bool = False,
    link: Link = "component",
) -> match_pb2.FindDuplicatesRequest:
    """A `FindDuplicatesRequest`.

    Raises:
        ValueError: there is no such link.
    """
    if link not in _LINKS:
        raise ValueError(f"link must be one of {', '.join(_LINKS)}, not {link!r}")
    output = match_pb2.DUPLICATES_OUTPUT_CLUSTERS if clusters else match_pb2.DUPLICATES_OUTPUT_PAIRS
    return match_pb2.FindDuplicatesRequest(
        corpora=strings(corpora, "corpora"),
        threshold=threshold,
        expand=expand,
        exact=exact,
        see_through=see_through,
        against=strings(against, "against"),
        output=output,
        link=_LINKS[link] if clusters else match_pb2.DUPLICATES_LINK_UNSPECIFIED,
        filter=filter_to_proto(row_filter),
    )


def overlaps_request(
    corpora: Sequence[str],
    against: Sequence[str],
    row_filter: Filter | None,
    against_filter: Filter | None,
    *,
    min_tokens: int,
    min_bits: float,
    max_texts: int,
    every: bool,
    unmarked: bool,
) -> match_pb2.FindOverlapsRequest:
    """A `FindOverlapsRequest`."""
    return match_pb2.FindOverlapsRequest(
        corpora=strings(corpora, "corpora"),
        against=strings(against, "against"),
        filter=filter_to_proto(row_filter),
        against_filter=filter_to_proto(against_filter),
        min_tokens=min_tokens,
        min_bits=min_bits,
        max_texts=max_texts,
        every=every,
        unmarked=unmarked,
    )


def _named(places: Iterable[int], names: Sequence[str], count: int) -> list[str]:
    """Positions of corpora as their names; one corpus alone may go without positions."""
    return [names[place] for place in places] or [names[0]] * count


def pairs_from_proto(message: match_pb2.DuplicatePairs, corpora: Sequence[str]) -> DuplicatePairs:
    """A batch of pairs."""
    count = len(message.id_a)
    return DuplicatePairs(
        id_a=list(message.id_a),
        id_b=list(message.id_b),
        jaccard=list(message.jaccard),
        containment_a=list(message.containment_a),
        containment_b=list(message.containment_b),
        corpus_a=_named(message.corpus_a, corpora, count),
        corpus_b=_named(message.corpus_b, corpora, count),
    )


def clusters_from_proto(message: match_pb2.DuplicateClusters, corpora: Sequence[str]) -> DuplicateClusters:
    """A batch of rows with their clusters."""
    count = len(message.id)
    return DuplicateClusters(
        id=list(message.id),
        cluster=list(message.cluster),
        is_representative=list(message.is_representative),
        corpus=_named(message.corpus, corpora, count),
        cluster_corpus=_named(message.cluster_corpus, corpora, count),
    )


_MARKS: dict[int, SpanMark | None] = {
    match_pb2.SPAN_MARK_UNSPECIFIED: None,
    match_pb2.SPAN_MARK_PROMPT: "prompt",
    match_pb2.SPAN_MARK_CODE: "code",
    match_pb2.SPAN_MARK_LICENCE: "licence",
}


def spans_from_proto(message: match_pb2.OverlapSpans, corpora: Sequence[str], against: Sequence[str]) -> OverlapSpans:
    """A batch of shared passages; a mark of a newer server reads as none, and an older one lists equal bytes alone."""
    count = len(message.id_a)
    differences = message.differences or [0] * count
    return OverlapSpans(
        id_a=list(message.id_a),
        id_b=list(message.id_b),
        start_a=list(message.start_a),
        end_a=list(message.end_a),
        start_b=list(message.start_b),
        end_b=list(message.end_b),
        tokens=list(message.tokens),
        bits=list(message.bits),
        texts=list(message.texts),
        mark=[_MARKS.get(mark) for mark in message.mark],
        others_with=list(message.others_with),
        others=list(message.others),
        prompt_others_with=list(message.prompt_others_with),
        prompt_others=list(message.prompt_others),
        differences=[
            tuple(name for number, name in DIFFERENCES.items() if bits >> (number - 1) & 1) for bits in differences
        ],
        corpus_a=_named(message.corpus_a, corpora, count),
        corpus_b=_named(message.corpus_b, against, count),
    )


def summary_from_proto(message: match_pb2.DuplicatesFinished) -> DuplicatesSummary:
    """Totals of a search for duplicates."""
    return DuplicatesSummary(
        pairs=message.pairs,
        rows=message.rows,
        distinct=message.distinct,
        candidates=message.candidates,
        expected_recall=message.expected_recall,
        blank=message.blank,
        clusters=message.clusters,
        largest_cluster=message.largest_cluster,
        least_similarity=message.least_similarity if message.HasField("least_similarity") else None,
        least_is_exact=message.least_is_exact,
    )


def overlaps_summary_from_proto(message: match_pb2.OverlapsFinished) -> OverlapsSummary:
    """Totals of a search for shared passages."""
    return OverlapsSummary(
        spans=message.spans,
        texts=message.texts,
        texts_with_spans=message.texts_with_spans,
        against=message.against,
        common_seeds=message.common_seeds,
        background=message.background,
    )
