from google.protobuf import timestamp_pb2 as _timestamp_pb2
from kinprint.v1.google_rpc import status_pb2 as _status_pb2
from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
    __slots__ = ("query", "corpora", "channels", "top", "filter", "min_score", "max_spans", "query_language")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    MAX_SPANS_FIELD_NUMBER: _ClassVar[int]
    QUERY_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    query: TextSource
    corpora: _containers.RepeatedScalarFieldContainer[str]
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    top: int
    filter: _types_pb2.Filter
    min_score: float
    max_spans: int
    query_language: str
    def __init__(self, query: _Optional[_Union[TextSource, _Mapping]] = ..., corpora: _Optional[_Iterable[str]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ..., top: _Optional[int] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., min_score: _Optional[float] = ..., max_spans: _Optional[int] = ..., query_language: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("code_points", "shingles", "language", "transcript", "reasoning_removed")
    CODE_POINTS_FIELD_NUMBER: _ClassVar[int]
    SHINGLES_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    REASONING_REMOVED_FIELD_NUMBER: _ClassVar[int]
    code_points: int
    shingles: int
    language: str
    transcript: TranscriptRef
    reasoning_removed: bool
    def __init__(self, code_points: _Optional[int] = ..., shingles: _Optional[int] = ..., language: _Optional[str] = ..., transcript: _Optional[_Union[TranscriptRef, _Mapping]] = ..., reasoning_removed: bool = ...) -> None: ...

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
    __slots__ = ("query", "coverage", "hits", "timings")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    query: QueryInfo
    coverage: _containers.RepeatedCompositeFieldContainer[_types_pb2.Coverage]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    timings: Timings
    def __init__(self, query: _Optional[_Union[QueryInfo, _Mapping]] = ..., coverage: _Optional[_Iterable[_Union[_types_pb2.Coverage, _Mapping]]] = ..., hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("a", "b", "channels", "max_spans")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    MAX_SPANS_FIELD_NUMBER: _ClassVar[int]
    a: TextSource
    b: TextSource
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    max_spans: int
    def __init__(self, a: _Optional[_Union[TextSource, _Mapping]] = ..., b: _Optional[_Union[TextSource, _Mapping]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ..., max_spans: _Optional[int] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("copy", "semantic", "style")
    COPY_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    copy: _types_pb2.CopyEvidence
    semantic: _types_pb2.SemanticEvidence
    style: _types_pb2.StyleEvidence
    def __init__(self, copy: _Optional[_Union[_types_pb2.CopyEvidence, _Mapping]] = ..., semantic: _Optional[_Union[_types_pb2.SemanticEvidence, _Mapping]] = ..., style: _Optional[_Union[_types_pb2.StyleEvidence, _Mapping]] = ...) -> None: ...

class FindDuplicatesRequest(_message.Message):
    __slots__ = ("corpora", "threshold", "expand", "filter")
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    EXPAND_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    corpora: _containers.RepeatedScalarFieldContainer[str]
    threshold: float
    expand: bool
    filter: _types_pb2.Filter
    def __init__(self, corpora: _Optional[_Iterable[str]] = ..., threshold: _Optional[float] = ..., expand: bool = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ...) -> None: ...

class FindDuplicatesResponse(_message.Message):
    __slots__ = ("progress", "pairs", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: DuplicatesProgress
    pairs: DuplicatePairs
    finished: DuplicatesFinished
    def __init__(self, progress: _Optional[_Union[DuplicatesProgress, _Mapping]] = ..., pairs: _Optional[_Union[DuplicatePairs, _Mapping]] = ..., finished: _Optional[_Union[DuplicatesFinished, _Mapping]] = ...) -> None: ...

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

class DuplicatesFinished(_message.Message):
    __slots__ = ("pairs", "rows", "distinct", "candidates", "expected_recall", "blank")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_RECALL_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    pairs: int
    rows: int
    distinct: int
    candidates: int
    expected_recall: float
    blank: int
    def __init__(self, pairs: _Optional[int] = ..., rows: _Optional[int] = ..., distinct: _Optional[int] = ..., candidates: _Optional[int] = ..., expected_recall: _Optional[float] = ..., blank: _Optional[int] = ...) -> None: ...
