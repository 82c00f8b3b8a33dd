from google.protobuf import timestamp_pb2 as _timestamp_pb2
from kinprint.v1.google_rpc import status_pb2 as _status_pb2
from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DuplicatesOutput(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATES_OUTPUT_UNSPECIFIED: _ClassVar[DuplicatesOutput]
    DUPLICATES_OUTPUT_PAIRS: _ClassVar[DuplicatesOutput]
    DUPLICATES_OUTPUT_CLUSTERS: _ClassVar[DuplicatesOutput]

class DuplicatesLink(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DUPLICATES_LINK_UNSPECIFIED: _ClassVar[DuplicatesLink]
    DUPLICATES_LINK_COMPONENT: _ClassVar[DuplicatesLink]
    DUPLICATES_LINK_STAR: _ClassVar[DuplicatesLink]

class SpanMark(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPAN_MARK_UNSPECIFIED: _ClassVar[SpanMark]
    SPAN_MARK_PROMPT: _ClassVar[SpanMark]
    SPAN_MARK_CODE: _ClassVar[SpanMark]
    SPAN_MARK_LICENCE: _ClassVar[SpanMark]
DUPLICATES_OUTPUT_UNSPECIFIED: DuplicatesOutput
DUPLICATES_OUTPUT_PAIRS: DuplicatesOutput
DUPLICATES_OUTPUT_CLUSTERS: DuplicatesOutput
DUPLICATES_LINK_UNSPECIFIED: DuplicatesLink
DUPLICATES_LINK_COMPONENT: DuplicatesLink
DUPLICATES_LINK_STAR: DuplicatesLink
SPAN_MARK_UNSPECIFIED: SpanMark
SPAN_MARK_PROMPT: SpanMark
SPAN_MARK_CODE: SpanMark
SPAN_MARK_LICENCE: SpanMark

class FingerprintRequest(_message.Message):
    __slots__ = ("texts", "channels")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ...) -> None: ...

class FingerprintResponse(_message.Message):
    __slots__ = ("sketch_scheme", "sketches", "text_hashes", "style_scheme", "styles", "model_digest", "embeddings")
    SKETCH_SCHEME_FIELD_NUMBER: _ClassVar[int]
    SKETCHES_FIELD_NUMBER: _ClassVar[int]
    TEXT_HASHES_FIELD_NUMBER: _ClassVar[int]
    STYLE_SCHEME_FIELD_NUMBER: _ClassVar[int]
    STYLES_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    sketch_scheme: str
    sketches: _types_pb2.Matrix
    text_hashes: _types_pb2.Matrix
    style_scheme: str
    styles: _types_pb2.Matrix
    model_digest: str
    embeddings: _types_pb2.Matrix
    def __init__(self, sketch_scheme: _Optional[str] = ..., sketches: _Optional[_Union[_types_pb2.Matrix, _Mapping]] = ..., text_hashes: _Optional[_Union[_types_pb2.Matrix, _Mapping]] = ..., style_scheme: _Optional[str] = ..., styles: _Optional[_Union[_types_pb2.Matrix, _Mapping]] = ..., model_digest: _Optional[str] = ..., embeddings: _Optional[_Union[_types_pb2.Matrix, _Mapping]] = ...) -> None: ...

class TextSource(_message.Message):
    __slots__ = ("text", "transcript")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    text: str
    transcript: TranscriptRef
    def __init__(self, text: _Optional[str] = ..., transcript: _Optional[_Union[TranscriptRef, _Mapping]] = ...) -> None: ...

class TranscriptRef(_message.Message):
    __slots__ = ("corpus", "id")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    id: str
    def __init__(self, corpus: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("query", "corpora", "channels", "top", "filter", "min_score", "max_spans", "query_language", "max_evidence", "tier", "see_through")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MAX_SPANS_FIELD_NUMBER: _ClassVar[int]
    QUERY_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MAX_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    SEE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    query: TextSource
    corpora: _containers.RepeatedScalarFieldContainer[str]
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    top: int
    filter: _types_pb2.Filter
    min_score: float
    max_spans: int
    query_language: str
    max_evidence: int
    tier: _types_pb2.Tier
    see_through: bool
    def __init__(self, query: _Optional[_Union[TextSource, _Mapping]] = ..., corpora: _Optional[_Iterable[str]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ..., top: _Optional[int] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., min_score: _Optional[float] = ..., max_spans: _Optional[int] = ..., query_language: _Optional[str] = ..., max_evidence: _Optional[int] = ..., tier: _Optional[_Union[_types_pb2.Tier, str]] = ..., see_through: bool = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("channel", "rank", "corpus", "id", "model", "score", "language", "account_id", "created_at", "prompt_key", "copy", "semantic", "style", "snippet")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_KEY_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    SNIPPET_FIELD_NUMBER: _ClassVar[int]
    channel: _types_pb2.Channel
    rank: int
    corpus: str
    id: str
    model: str
    score: float
    language: str
    account_id: str
    created_at: _timestamp_pb2.Timestamp
    prompt_key: str
    copy: _types_pb2.CopyEvidence
    semantic: _types_pb2.SemanticEvidence
    style: _types_pb2.StyleEvidence
    snippet: str
    def __init__(self, channel: _Optional[_Union[_types_pb2.Channel, str]] = ..., rank: _Optional[int] = ..., corpus: _Optional[str] = ..., id: _Optional[str] = ..., model: _Optional[str] = ..., score: _Optional[float] = ..., language: _Optional[str] = ..., account_id: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., prompt_key: _Optional[str] = ..., copy: _Optional[_Union[_types_pb2.CopyEvidence, _Mapping]] = ..., semantic: _Optional[_Union[_types_pb2.SemanticEvidence, _Mapping]] = ..., style: _Optional[_Union[_types_pb2.StyleEvidence, _Mapping]] = ..., snippet: _Optional[str] = ...) -> None: ...

class QueryInfo(_message.Message):
    __slots__ = ("code_points", "shingles", "language", "transcript", "reasoning_removed", "copy_candidates", "copy_verified")
    CODE_POINTS_FIELD_NUMBER: _ClassVar[int]
    SHINGLES_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    REASONING_REMOVED_FIELD_NUMBER: _ClassVar[int]
    COPY_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    COPY_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    code_points: int
    shingles: int
    language: str
    transcript: TranscriptRef
    reasoning_removed: bool
    copy_candidates: int
    copy_verified: int
    def __init__(self, code_points: _Optional[int] = ..., shingles: _Optional[int] = ..., language: _Optional[str] = ..., transcript: _Optional[_Union[TranscriptRef, _Mapping]] = ..., reasoning_removed: bool = ..., copy_candidates: _Optional[int] = ..., copy_verified: _Optional[int] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_seconds", "embed_seconds", "total_seconds")
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EMBED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    queue_seconds: float
    embed_seconds: float
    total_seconds: float
    def __init__(self, queue_seconds: _Optional[float] = ..., embed_seconds: _Optional[float] = ..., total_seconds: _Optional[float] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("query", "coverage", "hits", "timings", "provenance")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    query: QueryInfo
    coverage: _containers.RepeatedCompositeFieldContainer[_types_pb2.Coverage]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    timings: Timings
    provenance: _types_pb2.Provenance
    def __init__(self, query: _Optional[_Union[QueryInfo, _Mapping]] = ..., coverage: _Optional[_Iterable[_Union[_types_pb2.Coverage, _Mapping]]] = ..., hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., provenance: _Optional[_Union[_types_pb2.Provenance, _Mapping]] = ...) -> None: ...

class StreamSearchRequest(_message.Message):
    __slots__ = ("tag", "search")
    TAG_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    tag: int
    search: SearchRequest
    def __init__(self, tag: _Optional[int] = ..., search: _Optional[_Union[SearchRequest, _Mapping]] = ...) -> None: ...

class StreamSearchResponse(_message.Message):
    __slots__ = ("tag", "response", "error")
    TAG_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    tag: int
    response: SearchResponse
    error: _status_pb2.Status
    def __init__(self, tag: _Optional[int] = ..., response: _Optional[_Union[SearchResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("a", "b", "channels", "max_spans", "see_through")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    MAX_SPANS_FIELD_NUMBER: _ClassVar[int]
    SEE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    a: TextSource
    b: TextSource
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    max_spans: int
    see_through: bool
    def __init__(self, a: _Optional[_Union[TextSource, _Mapping]] = ..., b: _Optional[_Union[TextSource, _Mapping]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ..., max_spans: _Optional[int] = ..., see_through: bool = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("copy", "semantic", "style", "provenance")
    COPY_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    copy: _types_pb2.CopyEvidence
    semantic: _types_pb2.SemanticEvidence
    style: _types_pb2.StyleEvidence
    provenance: _types_pb2.Provenance
    def __init__(self, copy: _Optional[_Union[_types_pb2.CopyEvidence, _Mapping]] = ..., semantic: _Optional[_Union[_types_pb2.SemanticEvidence, _Mapping]] = ..., style: _Optional[_Union[_types_pb2.StyleEvidence, _Mapping]] = ..., provenance: _Optional[_Union[_types_pb2.Provenance, _Mapping]] = ...) -> None: ...

class FindDuplicatesRequest(_message.Message):
    __slots__ = ("corpora", "threshold", "expand", "filter", "exact", "against", "output", "link", "see_through")
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    EXPAND_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    SEE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    corpora: _containers.RepeatedScalarFieldContainer[str]
    threshold: float
    expand: bool
    filter: _types_pb2.Filter
    exact: bool
    against: _containers.RepeatedScalarFieldContainer[str]
    output: DuplicatesOutput
    link: DuplicatesLink
    see_through: bool
    def __init__(self, corpora: _Optional[_Iterable[str]] = ..., threshold: _Optional[float] = ..., expand: bool = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., exact: bool = ..., against: _Optional[_Iterable[str]] = ..., output: _Optional[_Union[DuplicatesOutput, str]] = ..., link: _Optional[_Union[DuplicatesLink, str]] = ..., see_through: bool = ...) -> None: ...

class FindDuplicatesResponse(_message.Message):
    __slots__ = ("progress", "pairs", "finished", "clusters")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    progress: DuplicatesProgress
    pairs: DuplicatePairs
    finished: DuplicatesFinished
    clusters: DuplicateClusters
    def __init__(self, progress: _Optional[_Union[DuplicatesProgress, _Mapping]] = ..., pairs: _Optional[_Union[DuplicatePairs, _Mapping]] = ..., finished: _Optional[_Union[DuplicatesFinished, _Mapping]] = ..., clusters: _Optional[_Union[DuplicateClusters, _Mapping]] = ...) -> None: ...

class DuplicatesProgress(_message.Message):
    __slots__ = ("step", "share")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    step: str
    share: float
    def __init__(self, step: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class DuplicatePairs(_message.Message):
    __slots__ = ("id_a", "id_b", "jaccard", "containment_a", "containment_b", "corpus_a", "corpus_b")
    ID_A_FIELD_NUMBER: _ClassVar[int]
    ID_B_FIELD_NUMBER: _ClassVar[int]
    JACCARD_FIELD_NUMBER: _ClassVar[int]
    CONTAINMENT_A_FIELD_NUMBER: _ClassVar[int]
    CONTAINMENT_B_FIELD_NUMBER: _ClassVar[int]
    CORPUS_A_FIELD_NUMBER: _ClassVar[int]
    CORPUS_B_FIELD_NUMBER: _ClassVar[int]
    id_a: _containers.RepeatedScalarFieldContainer[str]
    id_b: _containers.RepeatedScalarFieldContainer[str]
    jaccard: _containers.RepeatedScalarFieldContainer[float]
    containment_a: _containers.RepeatedScalarFieldContainer[float]
    containment_b: _containers.RepeatedScalarFieldContainer[float]
    corpus_a: _containers.RepeatedScalarFieldContainer[int]
    corpus_b: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id_a: _Optional[_Iterable[str]] = ..., id_b: _Optional[_Iterable[str]] = ..., jaccard: _Optional[_Iterable[float]] = ..., containment_a: _Optional[_Iterable[float]] = ..., containment_b: _Optional[_Iterable[float]] = ..., corpus_a: _Optional[_Iterable[int]] = ..., corpus_b: _Optional[_Iterable[int]] = ...) -> None: ...

class DuplicateClusters(_message.Message):
    __slots__ = ("id", "corpus", "cluster", "cluster_corpus", "is_representative")
    ID_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_CORPUS_FIELD_NUMBER: _ClassVar[int]
    IS_REPRESENTATIVE_FIELD_NUMBER: _ClassVar[int]
    id: _containers.RepeatedScalarFieldContainer[str]
    corpus: _containers.RepeatedScalarFieldContainer[int]
    cluster: _containers.RepeatedScalarFieldContainer[str]
    cluster_corpus: _containers.RepeatedScalarFieldContainer[int]
    is_representative: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, id: _Optional[_Iterable[str]] = ..., corpus: _Optional[_Iterable[int]] = ..., cluster: _Optional[_Iterable[str]] = ..., cluster_corpus: _Optional[_Iterable[int]] = ..., is_representative: _Optional[_Iterable[bool]] = ...) -> None: ...

class DuplicatesFinished(_message.Message):
    __slots__ = ("pairs", "rows", "distinct", "candidates", "expected_recall", "blank", "clusters", "largest_cluster", "least_similarity", "least_is_exact")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_RECALL_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    LARGEST_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    LEAST_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    LEAST_IS_EXACT_FIELD_NUMBER: _ClassVar[int]
    pairs: int
    rows: int
    distinct: int
    candidates: int
    expected_recall: float
    blank: int
    clusters: int
    largest_cluster: int
    least_similarity: float
    least_is_exact: bool
    def __init__(self, pairs: _Optional[int] = ..., rows: _Optional[int] = ..., distinct: _Optional[int] = ..., candidates: _Optional[int] = ..., expected_recall: _Optional[float] = ..., blank: _Optional[int] = ..., clusters: _Optional[int] = ..., largest_cluster: _Optional[int] = ..., least_similarity: _Optional[float] = ..., least_is_exact: bool = ...) -> None: ...

class FindOverlapsRequest(_message.Message):
    __slots__ = ("corpora", "against", "filter", "against_filter", "min_tokens", "min_bits", "max_texts", "every", "unmarked")
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MIN_BITS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXTS_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    UNMARKED_FIELD_NUMBER: _ClassVar[int]
    corpora: _containers.RepeatedScalarFieldContainer[str]
    against: _containers.RepeatedScalarFieldContainer[str]
    filter: _types_pb2.Filter
    against_filter: _types_pb2.Filter
    min_tokens: int
    min_bits: float
    max_texts: int
    every: bool
    unmarked: bool
    def __init__(self, corpora: _Optional[_Iterable[str]] = ..., against: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., against_filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., min_tokens: _Optional[int] = ..., min_bits: _Optional[float] = ..., max_texts: _Optional[int] = ..., every: bool = ..., unmarked: bool = ...) -> None: ...

class FindOverlapsResponse(_message.Message):
    __slots__ = ("progress", "spans", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: DuplicatesProgress
    spans: OverlapSpans
    finished: OverlapsFinished
    def __init__(self, progress: _Optional[_Union[DuplicatesProgress, _Mapping]] = ..., spans: _Optional[_Union[OverlapSpans, _Mapping]] = ..., finished: _Optional[_Union[OverlapsFinished, _Mapping]] = ...) -> None: ...

class OverlapSpans(_message.Message):
    __slots__ = ("id_a", "id_b", "corpus_a", "corpus_b", "start_a", "end_a", "start_b", "end_b", "tokens", "texts", "bits", "mark", "others_with", "others", "prompt_others_with", "prompt_others", "differences")
    ID_A_FIELD_NUMBER: _ClassVar[int]
    ID_B_FIELD_NUMBER: _ClassVar[int]
    CORPUS_A_FIELD_NUMBER: _ClassVar[int]
    CORPUS_B_FIELD_NUMBER: _ClassVar[int]
    START_A_FIELD_NUMBER: _ClassVar[int]
    END_A_FIELD_NUMBER: _ClassVar[int]
    START_B_FIELD_NUMBER: _ClassVar[int]
    END_B_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    OTHERS_WITH_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_OTHERS_WITH_FIELD_NUMBER: _ClassVar[int]
    PROMPT_OTHERS_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    id_a: _containers.RepeatedScalarFieldContainer[str]
    id_b: _containers.RepeatedScalarFieldContainer[str]
    corpus_a: _containers.RepeatedScalarFieldContainer[int]
    corpus_b: _containers.RepeatedScalarFieldContainer[int]
    start_a: _containers.RepeatedScalarFieldContainer[int]
    end_a: _containers.RepeatedScalarFieldContainer[int]
    start_b: _containers.RepeatedScalarFieldContainer[int]
    end_b: _containers.RepeatedScalarFieldContainer[int]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    texts: _containers.RepeatedScalarFieldContainer[int]
    bits: _containers.RepeatedScalarFieldContainer[float]
    mark: _containers.RepeatedScalarFieldContainer[SpanMark]
    others_with: _containers.RepeatedScalarFieldContainer[int]
    others: _containers.RepeatedScalarFieldContainer[int]
    prompt_others_with: _containers.RepeatedScalarFieldContainer[int]
    prompt_others: _containers.RepeatedScalarFieldContainer[int]
    differences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id_a: _Optional[_Iterable[str]] = ..., id_b: _Optional[_Iterable[str]] = ..., corpus_a: _Optional[_Iterable[int]] = ..., corpus_b: _Optional[_Iterable[int]] = ..., start_a: _Optional[_Iterable[int]] = ..., end_a: _Optional[_Iterable[int]] = ..., start_b: _Optional[_Iterable[int]] = ..., end_b: _Optional[_Iterable[int]] = ..., tokens: _Optional[_Iterable[int]] = ..., texts: _Optional[_Iterable[int]] = ..., bits: _Optional[_Iterable[float]] = ..., mark: _Optional[_Iterable[_Union[SpanMark, str]]] = ..., others_with: _Optional[_Iterable[int]] = ..., others: _Optional[_Iterable[int]] = ..., prompt_others_with: _Optional[_Iterable[int]] = ..., prompt_others: _Optional[_Iterable[int]] = ..., differences: _Optional[_Iterable[int]] = ...) -> None: ...

class OverlapsFinished(_message.Message):
    __slots__ = ("spans", "texts", "texts_with_spans", "against", "common_seeds", "background")
    SPANS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_WITH_SPANS_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    COMMON_SEEDS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    spans: int
    texts: int
    texts_with_spans: int
    against: int
    common_seeds: int
    background: int
    def __init__(self, spans: _Optional[int] = ..., texts: _Optional[int] = ..., texts_with_spans: _Optional[int] = ..., against: _Optional[int] = ..., common_seeds: _Optional[int] = ..., background: _Optional[int] = ...) -> None: ...
