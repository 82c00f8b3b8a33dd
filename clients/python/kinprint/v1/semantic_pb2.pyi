from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FillState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILL_STATE_UNSPECIFIED: _ClassVar[FillState]
    FILL_STATE_OFF: _ClassVar[FillState]
    FILL_STATE_WAITING: _ClassVar[FillState]
    FILL_STATE_RUNNING: _ClassVar[FillState]
    FILL_STATE_PAUSED: _ClassVar[FillState]
    FILL_STATE_COMPLETE: _ClassVar[FillState]
    FILL_STATE_FAILED: _ClassVar[FillState]
FILL_STATE_UNSPECIFIED: FillState
FILL_STATE_OFF: FillState
FILL_STATE_WAITING: FillState
FILL_STATE_RUNNING: FillState
FILL_STATE_PAUSED: FillState
FILL_STATE_COMPLETE: FillState
FILL_STATE_FAILED: FillState

class Fill(_message.Message):
    __slots__ = ("corpus", "state", "coverage", "rows_per_second", "seconds_left", "most_rows_per_second", "problem", "second_model", "second_filled")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    MOST_ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    SECOND_MODEL_FIELD_NUMBER: _ClassVar[int]
    SECOND_FILLED_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    state: FillState
    coverage: _containers.RepeatedCompositeFieldContainer[_types_pb2.Coverage]
    rows_per_second: float
    seconds_left: float
    most_rows_per_second: float
    problem: str
    second_model: str
    second_filled: int
    def __init__(self, corpus: _Optional[str] = ..., state: _Optional[_Union[FillState, str]] = ..., coverage: _Optional[_Iterable[_Union[_types_pb2.Coverage, _Mapping]]] = ..., rows_per_second: _Optional[float] = ..., seconds_left: _Optional[float] = ..., most_rows_per_second: _Optional[float] = ..., problem: _Optional[str] = ..., second_model: _Optional[str] = ..., second_filled: _Optional[int] = ...) -> None: ...

class StartFillRequest(_message.Message):
    __slots__ = ("corpus", "most_rows_per_second", "model")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    MOST_ROWS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    most_rows_per_second: float
    model: str
    def __init__(self, corpus: _Optional[str] = ..., most_rows_per_second: _Optional[float] = ..., model: _Optional[str] = ...) -> None: ...

class StartFillResponse(_message.Message):
    __slots__ = ("fill",)
    FILL_FIELD_NUMBER: _ClassVar[int]
    fill: Fill
    def __init__(self, fill: _Optional[_Union[Fill, _Mapping]] = ...) -> None: ...

class PauseFillRequest(_message.Message):
    __slots__ = ("corpus",)
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    def __init__(self, corpus: _Optional[str] = ...) -> None: ...

class PauseFillResponse(_message.Message):
    __slots__ = ("fill",)
    FILL_FIELD_NUMBER: _ClassVar[int]
    fill: Fill
    def __init__(self, fill: _Optional[_Union[Fill, _Mapping]] = ...) -> None: ...

class GetFillRequest(_message.Message):
    __slots__ = ("corpus",)
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    def __init__(self, corpus: _Optional[str] = ...) -> None: ...

class GetFillResponse(_message.Message):
    __slots__ = ("fill",)
    FILL_FIELD_NUMBER: _ClassVar[int]
    fill: Fill
    def __init__(self, fill: _Optional[_Union[Fill, _Mapping]] = ...) -> None: ...

class DistilRequest(_message.Message):
    __slots__ = ("corpus", "sentences")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    sentences: int
    def __init__(self, corpus: _Optional[str] = ..., sentences: _Optional[int] = ...) -> None: ...

class DistilResponse(_message.Message):
    __slots__ = ("progress", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: DistilProgress
    finished: DistilReport
    def __init__(self, progress: _Optional[_Union[DistilProgress, _Mapping]] = ..., finished: _Optional[_Union[DistilReport, _Mapping]] = ...) -> None: ...

class DistilProgress(_message.Message):
    __slots__ = ("step", "share")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    step: str
    share: float
    def __init__(self, step: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class DistilReport(_message.Message):
    __slots__ = ("table_digest", "sentences", "held_out", "cosine_before", "cosine_after", "recall_before", "recall_after")
    TABLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    COSINE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    COSINE_AFTER_FIELD_NUMBER: _ClassVar[int]
    RECALL_BEFORE_FIELD_NUMBER: _ClassVar[int]
    RECALL_AFTER_FIELD_NUMBER: _ClassVar[int]
    table_digest: str
    sentences: int
    held_out: int
    cosine_before: float
    cosine_after: float
    recall_before: float
    recall_after: float
    def __init__(self, table_digest: _Optional[str] = ..., sentences: _Optional[int] = ..., held_out: _Optional[int] = ..., cosine_before: _Optional[float] = ..., cosine_after: _Optional[float] = ..., recall_before: _Optional[float] = ..., recall_after: _Optional[float] = ...) -> None: ...

class CompareModelsRequest(_message.Message):
    __slots__ = ("corpus", "queries")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    queries: int
    def __init__(self, corpus: _Optional[str] = ..., queries: _Optional[int] = ...) -> None: ...

class ModelQuality(_message.Message):
    __slots__ = ("digest", "filled", "same_prompt_auc", "same_prompt_share")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    SAME_PROMPT_AUC_FIELD_NUMBER: _ClassVar[int]
    SAME_PROMPT_SHARE_FIELD_NUMBER: _ClassVar[int]
    digest: str
    filled: int
    same_prompt_auc: float
    same_prompt_share: float
    def __init__(self, digest: _Optional[str] = ..., filled: _Optional[int] = ..., same_prompt_auc: _Optional[float] = ..., same_prompt_share: _Optional[float] = ...) -> None: ...

class CompareModelsResponse(_message.Message):
    __slots__ = ("first", "second", "queries", "agreement")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    first: ModelQuality
    second: ModelQuality
    queries: int
    agreement: float
    def __init__(self, first: _Optional[_Union[ModelQuality, _Mapping]] = ..., second: _Optional[_Union[ModelQuality, _Mapping]] = ..., queries: _Optional[int] = ..., agreement: _Optional[float] = ...) -> None: ...

class SwitchModelRequest(_message.Message):
    __slots__ = ("corpus",)
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    def __init__(self, corpus: _Optional[str] = ...) -> None: ...

class SwitchModelResponse(_message.Message):
    __slots__ = ("fill",)
    FILL_FIELD_NUMBER: _ClassVar[int]
    fill: Fill
    def __init__(self, fill: _Optional[_Union[Fill, _Mapping]] = ...) -> None: ...

class DropModelRequest(_message.Message):
    __slots__ = ("corpus",)
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    def __init__(self, corpus: _Optional[str] = ...) -> None: ...

class DropModelResponse(_message.Message):
    __slots__ = ("fill",)
    FILL_FIELD_NUMBER: _ClassVar[int]
    fill: Fill
    def __init__(self, fill: _Optional[_Union[Fill, _Mapping]] = ...) -> None: ...
