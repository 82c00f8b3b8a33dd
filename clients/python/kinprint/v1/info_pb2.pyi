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

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "pid", "uptime", "limits", "channels", "pipeline", "sketch_scheme", "style_scheme", "unicode_version", "model", "thread_pools", "formats", "libraries", "corpora")
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
    def __init__(self, version: _Optional[str] = ..., pid: _Optional[int] = ..., uptime: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., limits: _Optional[_Union[_transcript_pb2.Limits, _Mapping]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ..., pipeline: _Optional[int] = ..., sketch_scheme: _Optional[str] = ..., style_scheme: _Optional[str] = ..., unicode_version: _Optional[str] = ..., model: _Optional[_Union[EmbeddingModel, _Mapping]] = ..., thread_pools: _Optional[_Iterable[_Union[ThreadPool, _Mapping]]] = ..., formats: _Optional[_Iterable[str]] = ..., libraries: _Optional[_Mapping[str, str]] = ..., corpora: _Optional[int] = ...) -> None: ...
