from google.protobuf import timestamp_pb2 as _timestamp_pb2
from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValueCount(_message.Message):
    __slots__ = ("value", "count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    value: str
    count: int
    def __init__(self, value: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Corpus(_message.Message):
    __slots__ = ("name", "description", "created_at", "transcripts", "blank", "coverage", "models", "languages", "record_version", "disk_bytes", "unavailable", "semantic")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    RECORD_VERSION_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    created_at: _timestamp_pb2.Timestamp
    transcripts: int
    blank: int
    coverage: _containers.RepeatedCompositeFieldContainer[_types_pb2.Coverage]
    models: _containers.RepeatedCompositeFieldContainer[ValueCount]
    languages: _containers.RepeatedCompositeFieldContainer[ValueCount]
    record_version: int
    disk_bytes: int
    unavailable: str
    semantic: SemanticIndex
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., transcripts: _Optional[int] = ..., blank: _Optional[int] = ..., coverage: _Optional[_Iterable[_Union[_types_pb2.Coverage, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[ValueCount, _Mapping]]] = ..., languages: _Optional[_Iterable[_Union[ValueCount, _Mapping]]] = ..., record_version: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., unavailable: _Optional[str] = ..., semantic: _Optional[_Union[SemanticIndex, _Mapping]] = ...) -> None: ...

class SemanticIndex(_message.Message):
    __slots__ = ("table_digest", "table_name", "model_digest", "indexed_rows", "indexed_sentences", "row_recall", "sentence_recall", "calibration_pairs")
    TABLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TABLE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INDEXED_ROWS_FIELD_NUMBER: _ClassVar[int]
    INDEXED_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    ROW_RECALL_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_RECALL_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_PAIRS_FIELD_NUMBER: _ClassVar[int]
    table_digest: str
    table_name: str
    model_digest: str
    indexed_rows: int
    indexed_sentences: int
    row_recall: float
    sentence_recall: float
    calibration_pairs: int
    def __init__(self, table_digest: _Optional[str] = ..., table_name: _Optional[str] = ..., model_digest: _Optional[str] = ..., indexed_rows: _Optional[int] = ..., indexed_sentences: _Optional[int] = ..., row_recall: _Optional[float] = ..., sentence_recall: _Optional[float] = ..., calibration_pairs: _Optional[int] = ...) -> None: ...

class CreateCorpusRequest(_message.Message):
    __slots__ = ("name", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class CreateCorpusResponse(_message.Message):
    __slots__ = ("corpus",)
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    corpus: Corpus
    def __init__(self, corpus: _Optional[_Union[Corpus, _Mapping]] = ...) -> None: ...

class GetCorpusRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCorpusResponse(_message.Message):
    __slots__ = ("corpus",)
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    corpus: Corpus
    def __init__(self, corpus: _Optional[_Union[Corpus, _Mapping]] = ...) -> None: ...

class ListCorporaRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCorporaResponse(_message.Message):
    __slots__ = ("corpora", "next_page_token")
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    corpora: _containers.RepeatedCompositeFieldContainer[Corpus]
    next_page_token: str
    def __init__(self, corpora: _Optional[_Iterable[_Union[Corpus, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteCorpusRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteCorpusResponse(_message.Message):
    __slots__ = ("transcripts",)
    TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    transcripts: int
    def __init__(self, transcripts: _Optional[int] = ...) -> None: ...
