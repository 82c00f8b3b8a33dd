"""Between protobuf messages and the dataclasses of `kinprint.client.types`; the only place that does so.

`kinprint.client.convert_lineage` does it for those of `kinprint.client.lineage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp
from kinprint.client.errors import FieldViolation, InvalidArgumentError
from kinprint.client.types import (
    CHANNELS,
    ChannelName,
    Comparison,
    CopyEvidence,
    CorpusInfo,
    Coverage,
    DuplicateClusters,
    DuplicatePairs,
    DuplicatesSummary,
    EmbeddingModel,
    Evidence,
    Filter,
    Fingerprints,
    Hit,
    Limits,
    Matrix,
    OverlapSpans,
    OverlapsSummary,
    PurgeProgress,
    QueryInfo,
    SearchQuery,
    SearchResult,
    SemanticEvidence,
    SentenceMatch,
    ServerInfo,
    Span,
    SpanMark,
    StyleEvidence,
    StyleFamily,
    StyleTrait,
    Timings,
    Transcript,
    TranscriptRef,
    ValueCount,
)
from kinprint.v1 import corpus_pb2, info_pb2, match_pb2, transcript_pb2, types_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TO_CHANNEL: dict[str, int] = {
    "copy": types_pb2.CHANNEL_COPY,
    "semantic": types_pb2.CHANNEL_SEMANTIC,
    "style": types_pb2.CHANNEL_STYLE,
}
_FROM_CHANNEL: dict[int, ChannelName] = {number: cast(ChannelName, name) for name, number in _TO_CHANNEL.items()}
_DTYPES = {
    types_pb2.DATA_TYPE_FLOAT32: "float32",
    types_pb2.DATA_TYPE_UINT32: "uint32",
    types_pb2.DATA_TYPE_INT8: "int8",
    types_pb2.DATA_TYPE_UINT64: "uint64",
    types_pb2.DATA_TYPE_FLOAT64: "float64",
}


def invalid(field: str, description: str, reason: str = "FIELD_INVALID") -> InvalidArgumentError:
    """The error for a field of a request that is wrong."""
    return InvalidArgumentError(
        f"{field}: {description}", reason=reason, field_violations=[FieldViolation(field, description)]
    )


def check_text(value: Any, field: str) -> str:
    """`value`, if it is text that UTF-8 can hold.

    Raises:
        InvalidArgumentError: not a string (reason FIELD_INVALID), or with a lone surrogate (INVALID_UTF8).
    """
    if not isinstance(value, str):
        raise invalid(field, f"must be a string, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise invalid(field, _surrogate(error), "INVALID_UTF8") from None
    return value


def _surrogate(error: UnicodeEncodeError) -> str:
    """What is wrong with a text that UTF-8 cannot hold, and where."""
    point = ord(error.object[error.start])
    # Readers of text files stand U+DC80 to U+DCFF for bytes that are no UTF-8 (PEP 383).
    byte = f" (byte 0x{point - 0xDC00:02x}, where a file is not UTF-8)" if 0xDC80 <= point <= 0xDCFF else ""
    return f"lone surrogate U+{point:04X}{byte} at code point {error.start}"


def channels_to_proto(channels: Iterable[str], field: str = "channels") -> Any:
    """Numbers of channel names.

    Raises:
        InvalidArgumentError: an unknown name.
    """
    if isinstance(channels, str):
        channels = (channels,)
    numbers = []
    for name in channels:
        if name not in _TO_CHANNEL:
            raise invalid(field, f"unknown channel {name!r}; known: {', '.join(CHANNELS)}")
        numbers.append(_TO_CHANNEL[name])
    return numbers


def channels_from_proto(numbers: Iterable[int]) -> tuple[ChannelName, ...]:
    """Names of channel numbers; those of a newer server are left out."""
    return tuple(_FROM_CHANNEL[number] for number in numbers if number in _FROM_CHANNEL)


def timestamp_to_proto(value: datetime, field: str) -> Timestamp:
    """A Timestamp; a time without zone is taken as UTC."""
    if not isinstance(value, datetime):
        raise invalid(field, f"must be a datetime, not {type(value).__name__}")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    seconds, micros = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def timestamp_from_proto(message: Any, field: str) -> datetime | None:
    """The UTC time of a Timestamp field, None when it is not set."""
    if not message.HasField(field):
        return None
    stamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def optional(message: Any, field: str) -> Any:
    """The value of an optional field, None where it is absent."""
    return getattr(message, field) if message.HasField(field) else None


_TEXT_FIELDS = (
    "model",
    "prompt_id",
    "prompt",
    "language",
    "account_id",
    "system_prompt",
    "conversation_id",
    "reasoning",
)


def transcript_to_proto(transcript: Transcript) -> Any:
    """A `kinprint.v1.Transcript`, without the fields that only the server sets.

    Raises:
        InvalidArgumentError: a field has the wrong type (FIELD_INVALID) or a lone surrogate (INVALID_UTF8);
            the violation names it.
    """
    message = types_pb2.Transcript()
    field = "response"
    try:
        message.response = transcript.response
        if transcript.id is not None:
            field = "id"
            message.id = transcript.id
        for field in _TEXT_FIELDS:
            value = getattr(transcript, field)
            if value is not None:
                setattr(message, field, value)
        if transcript.turn is not None:
            field = "turn"
            message.turn = transcript.turn
        if transcript.metadata:
            field = "metadata"
            for key, value in transcript.metadata.items():
                message.metadata[key] = value
    except UnicodeEncodeError as error:
        where = field if field != "metadata" else "a metadata key or value"
        raise invalid(field, f"{_surrogate(error)} of {where}: not valid Unicode text", "INVALID_UTF8") from None
    except (TypeError, ValueError) as error:
        raise invalid(field, str(error)) from None
    if transcript.created_at is not None:
        message.created_at.CopyFrom(timestamp_to_proto(transcript.created_at, "created_at"))
    return message


def transcript_from_proto(message: Any) -> Transcript:
    """The dataclass of a stored transcript."""
    return Transcript(
        response=message.response,
        id=message.id,
        model=optional(message, "model"),
        prompt_id=optional(message, "prompt_id"),
        prompt=optional(message, "prompt"),
        language=optional(message, "language"),
        account_id=optional(message, "account_id"),
        created_at=timestamp_from_proto(message, "created_at"),
        metadata=dict(message.metadata),
        system_prompt=optional(message, "system_prompt"),
        conversation_id=optional(message, "conversation_id"),
        turn=optional(message, "turn"),
        reasoning=optional(message, "reasoning"),
        prompt_key=optional(message, "prompt_key"),
        content_hash=bytes(message.content_hash),
        channels=channels_from_proto(message.channels),
    )


def strings(values: Iterable[str], field: str) -> list[str]:
    """Strings that UTF-8 can hold; one alone is taken for a list of it."""
    if isinstance(values, str):
        values = (values,)
    return [check_text(value, field) for value in values]


def filter_to_proto(value: Filter | None) -> Any | None:
    """A `kinprint.v1.Filter`, None for None."""
    if value is None:
        return None
    message = types_pb2.Filter(
        models=strings(value.models, "filter.models"),
        exclude_models=strings(value.exclude_models, "filter.exclude_models"),
        languages=strings(value.languages, "filter.languages"),
        account_ids=strings(value.account_ids, "filter.account_ids"),
        prompt_keys=strings(value.prompt_keys, "filter.prompt_keys"),
    )
    if value.created_from is not None:
        message.created_from.CopyFrom(timestamp_to_proto(value.created_from, "filter.created_from"))
    if value.created_before is not None:
        message.created_before.CopyFrom(timestamp_to_proto(value.created_before, "filter.created_before"))
    return message


def copy_from_proto(message: Any) -> CopyEvidence:
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
            Span(span.query_start, span.query_end, span.match_start, span.match_end, span.text)
            for span in message.spans
        ),
        spans_omitted=message.spans_omitted,
    )


def semantic_from_proto(message: Any) -> SemanticEvidence:
    """Evidence of saying the same."""
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
            )
            for pair in message.sentences
        ),
    )


def style_from_proto(message: Any) -> StyleEvidence:
    """Evidence of writing alike."""
    return StyleEvidence(
        cosine_delta=message.cosine_delta,
        families=tuple(StyleFamily(item.name, item.contribution) for item in message.families),
        traits=tuple(StyleTrait(item.name, item.query_value, item.match_value) for item in message.traits),
        reference_rows=message.reference_rows,
    )


def _evidence_from_proto(hit: Any) -> Evidence | None:
    kind = hit.WhichOneof("evidence")
    if kind == "copy":
        return copy_from_proto(hit.copy)
    if kind == "semantic":
        return semantic_from_proto(hit.semantic)
    if kind == "style":
        return style_from_proto(hit.style)
    return None


def coverage_from_proto(message: Any) -> Coverage:
    """How far a channel is filled."""
    return Coverage(_FROM_CHANNEL[message.channel], message.filled, message.fillable, message.share)


def _coverages(messages: Iterable[Any]) -> tuple[Coverage, ...]:
    return tuple(coverage_from_proto(item) for item in messages if item.channel in _FROM_CHANNEL)


def search_result_from_proto(message: Any) -> SearchResult:
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
        coverage=_coverages(message.coverage),
        hits=tuple(
            Hit(
                channel=_FROM_CHANNEL[hit.channel],
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
            if hit.channel in _FROM_CHANNEL
        ),
        timings=Timings(message.timings.queue_seconds, message.timings.embed_seconds, message.timings.total_seconds),
    )


def comparison_from_proto(message: Any) -> Comparison:
    """How alike two texts are."""
    return Comparison(
        copy=copy_from_proto(message.copy) if message.HasField("copy") else None,
        semantic=semantic_from_proto(message.semantic) if message.HasField("semantic") else None,
        style=style_from_proto(message.style) if message.HasField("style") else None,
    )


def text_source(text: str | None, ref: TranscriptRef | None, field: str) -> Any:
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


def search_request(query: SearchQuery) -> Any:
    """A `SearchRequest`.

    Raises:
        InvalidArgumentError: neither or both of text and id, an unknown channel, a wrong type, or an id whose
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
        top=_count(query.top, "top"),
        filter=filter_to_proto(query.filter),
        max_spans=_count(query.max_spans, "max_spans"),
    )
    if query.min_score is not None:
        message.min_score = query.min_score
    if query.query_language is not None:
        message.query_language = check_text(query.query_language, "query_language")
    return message


def _count(value: int, field: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise invalid(field, "must be a whole number, 0 or more")
    return value


def compare_request(a: str | TranscriptRef, b: str | TranscriptRef, channels: Sequence[str], max_spans: int) -> Any:
    """A `CompareRequest`."""
    return match_pb2.CompareRequest(
        a=_either(a, "a"),
        b=_either(b, "b"),
        channels=channels_to_proto(channels),
        max_spans=_count(max_spans, "max_spans"),
    )


def _either(value: str | TranscriptRef, field: str) -> Any:
    if isinstance(value, TranscriptRef):
        return text_source(None, value, field)
    return text_source(value, None, field)


def fingerprint_request(texts: Iterable[str], channels: Iterable[str]) -> Any:
    """A `FingerprintRequest`."""
    return match_pb2.FingerprintRequest(texts=strings(texts, "texts"), channels=channels_to_proto(channels))


def _matrix(message: Any, field: str) -> Matrix | None:
    return matrix_from_proto(getattr(message, field)) if message.HasField(field) else None


def matrix_from_proto(value: Any) -> Matrix:
    """A matrix."""
    return Matrix(bytes(value.data), _DTYPES[value.dtype], value.rows, value.columns)


def fingerprints_from_proto(message: Any) -> Fingerprints:
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


def duplicates_request(
    corpora: Sequence[str],
    threshold: float,
    row_filter: Filter | None,
    *,
    expand: bool = False,
    exact: bool = False,
    against: Sequence[str] = (),
    clusters: bool = False,
) -> Any:
    """A `FindDuplicatesRequest`."""
    output = match_pb2.DUPLICATES_OUTPUT_CLUSTERS if clusters else match_pb2.DUPLICATES_OUTPUT_PAIRS
    return match_pb2.FindDuplicatesRequest(
        corpora=strings(corpora, "corpora"),
        threshold=threshold,
        expand=expand,
        exact=exact,
        against=strings(against, "against"),
        output=output,
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
) -> Any:
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


def pairs_from_proto(message: Any, corpora: Sequence[str]) -> DuplicatePairs:
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


def clusters_from_proto(message: Any, corpora: Sequence[str]) -> DuplicateClusters:
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


def spans_from_proto(message: Any, corpora: Sequence[str], against: Sequence[str]) -> OverlapSpans:
    """A batch of shared passages; a mark of a newer server reads as none."""
    count = len(message.id_a)
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
        corpus_a=_named(message.corpus_a, corpora, count),
        corpus_b=_named(message.corpus_b, against, count),
    )


def summary_from_proto(message: Any) -> DuplicatesSummary:
    """Totals of a search for duplicates."""
    return DuplicatesSummary(
        pairs=message.pairs,
        rows=message.rows,
        distinct=message.distinct,
        candidates=message.candidates,
        expected_recall=message.expected_recall,
        blank=message.blank,
        clusters=message.clusters,
    )


def overlaps_summary_from_proto(message: Any) -> OverlapsSummary:
    """Totals of a search for shared passages."""
    return OverlapsSummary(
        spans=message.spans,
        texts=message.texts,
        texts_with_spans=message.texts_with_spans,
        against=message.against,
        common_seeds=message.common_seeds,
    )


def _counts(messages: Iterable[Any]) -> tuple[ValueCount, ...]:
    return tuple(ValueCount(optional(item, "value"), item.count) for item in messages)


def corpus_from_proto(message: Any) -> CorpusInfo:
    """A corpus."""
    return CorpusInfo(
        name=message.name,
        description=message.description,
        created_at=timestamp_from_proto(message, "created_at"),
        transcripts=message.transcripts,
        blank=message.blank,
        coverage=_coverages(message.coverage),
        models=_counts(message.models),
        languages=_counts(message.languages),
        record_version=message.record_version,
        disk_bytes=message.disk_bytes,
        unavailable=message.unavailable,
    )


def limits_from_proto(message: Any) -> Limits:
    """Limits of a server."""
    return Limits(
        max_text_bytes=message.max_text_bytes,
        max_message_bytes=message.max_message_bytes,
        max_batch_items=message.max_batch_items,
        max_metadata_bytes=message.max_metadata_bytes,
        max_inflight_batches=message.max_inflight_batches,
    )


def server_info_from_proto(message: Any) -> ServerInfo:
    """What a server is."""
    return ServerInfo(
        version=message.version,
        pid=message.pid,
        uptime=timedelta(seconds=message.uptime.seconds, microseconds=message.uptime.nanos // 1000),
        limits=limits_from_proto(message.limits),
        channels=channels_from_proto(message.channels),
        pipeline=message.pipeline,
        sketch_scheme=message.sketch_scheme,
        style_scheme=message.style_scheme,
        unicode_version=message.unicode_version,
        model=EmbeddingModel(
            message.model.name, message.model.digest, message.model.dimensions, message.model.max_tokens
        )
        if message.HasField("model")
        else None,
        thread_pools={pool.name: pool.threads for pool in message.thread_pools},
        formats=tuple(message.formats),
        libraries=dict(message.libraries),
        corpora=message.corpora,
    )


def purge_progress_from_proto(message: Any) -> PurgeProgress:
    """A message of a running purge."""
    return PurgeProgress(message.step, message.done, message.erased, message.record_version)


def create_corpus_request(name: str, description: str) -> Any:
    """A `CreateCorpusRequest`."""
    return corpus_pb2.CreateCorpusRequest(
        name=check_text(name, "name"), description=check_text(description, "description")
    )


def get_corpus_request(name: str) -> Any:
    """A `GetCorpusRequest`."""
    return corpus_pb2.GetCorpusRequest(name=check_text(name, "name"))


def list_corpora_request(page_size: int, page_token: str) -> Any:
    """A `ListCorporaRequest`."""
    return corpus_pb2.ListCorporaRequest(page_size=_count(page_size, "page_size"), page_token=page_token)


def delete_corpus_request(name: str) -> Any:
    """A `DeleteCorpusRequest`."""
    return corpus_pb2.DeleteCorpusRequest(name=check_text(name, "name"))


def get_transcript_request(corpus: str, transcript_id: str) -> Any:
    """A `GetTranscriptRequest`."""
    return transcript_pb2.GetTranscriptRequest(corpus=check_text(corpus, "corpus"), id=check_text(transcript_id, "id"))


def list_transcripts_request(corpus: str, row_filter: Any, page_size: int, page_token: str) -> Any:
    """A `ListTranscriptsRequest`; `row_filter` is a message already, shared by all pages."""
    return transcript_pb2.ListTranscriptsRequest(
        corpus=check_text(corpus, "corpus"),
        filter=row_filter,
        page_size=_count(page_size, "page_size"),
        page_token=page_token,
    )


def delete_transcripts_request(corpus: str, ids: Iterable[str]) -> Any:
    """A `DeleteTranscriptsRequest`."""
    return transcript_pb2.DeleteTranscriptsRequest(corpus=check_text(corpus, "corpus"), ids=strings(ids, "ids"))


def purge_request(corpus: str, ids: Iterable[str]) -> Any:
    """A `PurgeTranscriptsRequest`."""
    return transcript_pb2.PurgeTranscriptsRequest(corpus=check_text(corpus, "corpus"), ids=strings(ids, "ids"))


def server_info_request() -> Any:
    """A `GetServerInfoRequest`."""
    return info_pb2.GetServerInfoRequest()
