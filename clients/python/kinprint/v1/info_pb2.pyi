from google.protobuf import duration_pb2 as _duration_pb2
from kinprint.v1 import transcript_pb2 as _transcript_pb2
from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EmbeddingModel(_message.Message):
    __slots__ = ("name", "digest", "dimensions", "max_tokens")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    dimensions: int
    max_tokens: int
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., dimensions: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class ThreadPool(_message.Message):
    __slots__ = ("name", "threads")
    NAME_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    name: str
    threads: int
    def __init__(self, name: _Optional[str] = ..., threads: _Optional[int] = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("max_calls", "max_streams", "max_inflight_bytes", "max_gathered_bytes", "max_corpora", "max_waiting_sentences", "max_waiting_jobs", "rate", "bytes_rate")
    MAX_CALLS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_GATHERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CORPORA_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_JOBS_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    BYTES_RATE_FIELD_NUMBER: _ClassVar[int]
    max_calls: int
    max_streams: int
    max_inflight_bytes: int
    max_gathered_bytes: int
    max_corpora: int
    max_waiting_sentences: int
    max_waiting_jobs: int
    rate: str
    bytes_rate: str
    def __init__(self, max_calls: _Optional[int] = ..., max_streams: _Optional[int] = ..., max_inflight_bytes: _Optional[int] = ..., max_gathered_bytes: _Optional[int] = ..., max_corpora: _Optional[int] = ..., max_waiting_sentences: _Optional[int] = ..., max_waiting_jobs: _Optional[int] = ..., rate: _Optional[str] = ..., bytes_rate: _Optional[str] = ...) -> None: ...

class ServerLoad(_message.Message):
    __slots__ = ("calls", "streams", "inflight_bytes", "waiting_reads", "waiting_writes", "waiting_sentences", "waiting_texts", "dropped_texts", "running_jobs", "waiting_jobs", "loop_lag", "answered", "failed", "stored_rows", "waiting_calls")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITING_READS_FIELD_NUMBER: _ClassVar[int]
    WAITING_WRITES_FIELD_NUMBER: _ClassVar[int]
    WAITING_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    WAITING_TEXTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_TEXTS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_JOBS_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOBS_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    STORED_ROWS_FIELD_NUMBER: _ClassVar[int]
    WAITING_CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    streams: int
    inflight_bytes: int
    waiting_reads: int
    waiting_writes: int
    waiting_sentences: int
    waiting_texts: int
    dropped_texts: int
    running_jobs: int
    waiting_jobs: int
    loop_lag: _duration_pb2.Duration
    answered: int
    failed: int
    stored_rows: int
    waiting_calls: int
    def __init__(self, calls: _Optional[int] = ..., streams: _Optional[int] = ..., inflight_bytes: _Optional[int] = ..., waiting_reads: _Optional[int] = ..., waiting_writes: _Optional[int] = ..., waiting_sentences: _Optional[int] = ..., waiting_texts: _Optional[int] = ..., dropped_texts: _Optional[int] = ..., running_jobs: _Optional[int] = ..., waiting_jobs: _Optional[int] = ..., loop_lag: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., answered: _Optional[int] = ..., failed: _Optional[int] = ..., stored_rows: _Optional[int] = ..., waiting_calls: _Optional[int] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "pid", "uptime", "limits", "channels", "pipeline", "sketch_scheme", "style_scheme", "unicode_version", "model", "thread_pools", "formats", "libraries", "corpora", "server_limits", "load")
    class LibrariesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    SKETCH_SCHEME_FIELD_NUMBER: _ClassVar[int]
    STYLE_SCHEME_FIELD_NUMBER: _ClassVar[int]
    UNICODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    THREAD_POOLS_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    SERVER_LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    version: str
    pid: int
    uptime: _duration_pb2.Duration
    limits: _transcript_pb2.Limits
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    pipeline: int
    sketch_scheme: str
    style_scheme: str
    unicode_version: str
    model: EmbeddingModel
    thread_pools: _containers.RepeatedCompositeFieldContainer[ThreadPool]
    formats: _containers.RepeatedScalarFieldContainer[str]
    libraries: _containers.ScalarMap[str, str]
    corpora: int
    server_limits: ServerLimits
    load: ServerLoad
    def __init__(self, version: _Optional[str] = ..., pid: _Optional[int] = ..., uptime: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., limits: _Optional[_Union[_transcript_pb2.Limits, _Mapping]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ..., pipeline: _Optional[int] = ..., sketch_scheme: _Optional[str] = ..., style_scheme: _Optional[str] = ..., unicode_version: _Optional[str] = ..., model: _Optional[_Union[EmbeddingModel, _Mapping]] = ..., thread_pools: _Optional[_Iterable[_Union[ThreadPool, _Mapping]]] = ..., formats: _Optional[_Iterable[str]] = ..., libraries: _Optional[_Mapping[str, str]] = ..., corpora: _Optional[int] = ..., server_limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., load: _Optional[_Union[ServerLoad, _Mapping]] = ...) -> None: ...
