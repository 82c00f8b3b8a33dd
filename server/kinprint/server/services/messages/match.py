"""Messages of MatchService."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from kinprint.server.progress import Progress
from kinprint.server.search import duplicates, passages
from kinprint.server.search.evidence import Evidence
from kinprint.server.search.run import Hit, SearchOutcome
from kinprint.server.services.messages import types as convert
from kinprint.v1 import match_pb2
from numpy.typing import NDArray

#: gRPC clients take 4 MiB unless told otherwise; some room is left for what wraps an answer.
_ANSWER_BYTES = (4 << 20) - (16 << 10)

#: Rows of a message: two ids of 512 bytes and a dozen numbers each stay below the limit.
_MESSAGE_ROWS = 2500


def search_response(outcome: SearchOutcome) -> match_pb2.SearchResponse:
    """A search's answer, without its timings, cut to what a message holds."""
    info = outcome.info
    query = match_pb2.QueryInfo(
        code_points=info.code_points,
        shingles=info.shingles,
        language=info.language or None,
        transcript=info.transcript and match_pb2.TranscriptRef(corpus=info.transcript[0], id=info.transcript[1]),
        reasoning_removed=info.reasoning_removed,
        copy_candidates=info.copy_candidates,
        copy_verified=info.copy_verified,
    )
    response = match_pb2.SearchResponse(
        query=query,
        coverage=[convert.coverage(cover) for cover in outcome.coverage],
        hits=[_hit(hit) for hit in outcome.hits],
    )
    fit(response)
    return response


def _hit(hit: Hit) -> match_pb2.Hit:
    evidence: dict[str, Any] = {} if hit.evidence is None else {hit.channel: _EVIDENCE[hit.channel](hit.evidence)}
    return match_pb2.Hit(
        channel=convert.channel_number(hit.channel),
        rank=hit.rank,
        corpus=hit.view.corpus,
        id=hit.id,
        model=hit.model,
        score=hit.score,
        language=hit.language,
        account_id=hit.account_id,
        created_at=convert.timestamp(hit.created_at),
        prompt_key=hit.prompt_key,
        snippet=hit.snippet,
        **evidence,
    )


def compare_response(found: Mapping[str, Evidence]) -> match_pb2.CompareResponse:
    """Evidence on two texts, by channel."""
    made: dict[str, Any] = {channel: _EVIDENCE[channel](evidence) for channel, evidence in found.items()}
    return match_pb2.CompareResponse(**made)


#: The message of each channel's evidence; its field is named after the channel.
_EVIDENCE: Mapping[str, Callable[[Any], Any]] = {
    "copy": convert.copy_evidence,
    "semantic": convert.semantic_evidence,
    "style": convert.style_evidence,
}


def duplicates_messages(
    made: Progress | duplicates.Pairs | duplicates.Clusters | duplicates.Totals,
    positions: NDArray[np.int64],
) -> Iterator[match_pb2.FindDuplicatesResponse]:
    """What a run of duplicates yields; `positions` int64[corpora] are their places in the request."""
    if isinstance(made, Progress):
        yield match_pb2.FindDuplicatesResponse(progress=_progress(made))
        return
    if isinstance(made, duplicates.Totals):
        finished = match_pb2.DuplicatesFinished(
            pairs=made.pairs,
            rows=made.rows,
            distinct=made.distinct,
            candidates=made.candidates,
            expected_recall=made.expected_recall,
            blank=made.blank,
            clusters=made.clusters,
            largest_cluster=made.largest_cluster,
            least_similarity=made.least_similarity,
            least_is_exact=made.least_is_exact,
        )
        yield match_pb2.FindDuplicatesResponse(finished=finished)
        return
    if isinstance(made, duplicates.Clusters):
        for start in range(0, len(made.id), _MESSAGE_ROWS):
            some = slice(start, start + _MESSAGE_ROWS)
            clusters = match_pb2.DuplicateClusters(
                id=made.id[some],
                corpus=positions[made.corpus[some]],
                cluster=made.cluster[some],
                cluster_corpus=positions[made.cluster_corpus[some]],
                is_representative=made.is_representative[some],
            )
            yield match_pb2.FindDuplicatesResponse(clusters=clusters)
        return
    for start in range(0, len(made.id_a), _MESSAGE_ROWS):
        some = slice(start, start + _MESSAGE_ROWS)
        pairs = match_pb2.DuplicatePairs(
            id_a=made.id_a[some],
            id_b=made.id_b[some],
            jaccard=made.jaccard[some],
            containment_a=made.containment_a[some],
            containment_b=made.containment_b[some],
            corpus_a=positions[made.corpus_a[some]],
            corpus_b=positions[made.corpus_b[some]],
        )
        yield match_pb2.FindDuplicatesResponse(pairs=pairs)


def _progress(made: Progress) -> match_pb2.DuplicatesProgress:
    return match_pb2.DuplicatesProgress(step=made.step, share=made.share)


def overlaps_messages(
    made: Progress | passages.Spans | passages.Totals, positions: Sequence[NDArray[np.int64]], first: int
) -> Iterator[match_pb2.FindOverlapsResponse]:
    """What a run of overlaps yields.

    `positions`: places in the request of the corpora of each side; `first`: number of corpora of the first side.
    """
    if isinstance(made, Progress):
        yield match_pb2.FindOverlapsResponse(progress=_progress(made))
        return
    if isinstance(made, passages.Totals):
        finished = match_pb2.OverlapsFinished(
            spans=made.spans,
            texts=made.texts,
            texts_with_spans=made.texts_with_spans,
            against=made.against,
            common_seeds=made.common_seeds,
            background=made.background,
        )
        yield match_pb2.FindOverlapsResponse(finished=finished)
        return
    # One set of corpora on both sides is gone through once; of two the second is numbered after the first.
    corpus_b = made.corpus_b if len(made.corpus_b) == 0 or made.corpus_b.min() < first else made.corpus_b - first
    for start in range(0, len(made.id_a), _MESSAGE_ROWS):
        some = slice(start, start + _MESSAGE_ROWS)
        spans = match_pb2.OverlapSpans(
            id_a=made.id_a[some],
            id_b=made.id_b[some],
            corpus_a=positions[0][made.corpus_a[some]],
            corpus_b=positions[1][corpus_b[some]],
            start_a=made.start_a[some],
            end_a=made.end_a[some],
            start_b=made.start_b[some],
            end_b=made.end_b[some],
            tokens=made.tokens[some],
            texts=made.texts[some],
            bits=made.bits[some],
            mark=made.mark[some],
            others_with=made.counts[some, 0],
            others=made.counts[some, 1],
            prompt_others_with=made.counts[some, 2],
            prompt_others=made.counts[some, 3],
            differences=made.differences[some],
        )
        yield match_pb2.FindOverlapsResponse(spans=spans)


def fit(response: match_pb2.SearchResponse) -> None:
    """Leave out the spans of the last copy hits, counted in `spans_omitted`, where an answer outgrows a message."""
    excess = response.ByteSize() - _ANSWER_BYTES
    for hit in reversed(response.hits):
        if excess <= 0:
            return
        if hit.HasField("copy"):
            before = hit.copy.ByteSize()
            hit.copy.spans_omitted += len(hit.copy.spans)
            hit.copy.ClearField("spans")
            excess -= before - hit.copy.ByteSize()
