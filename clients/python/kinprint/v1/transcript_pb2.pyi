from google.protobuf import duration_pb2 as _duration_pb2
from kinprint.v1.google_rpc import status_pb2 as _status_pb2
from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpsertOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPSERT_OUTCOME_UNSPECIFIED: _ClassVar[UpsertOutcome]
    UPSERT_OUTCOME_CREATED: _ClassVar[UpsertOutcome]
    UPSERT_OUTCOME_REPLACED: _ClassVar[UpsertOutcome]
    UPSERT_OUTCOME_UNCHANGED: _ClassVar[UpsertOutcome]
    UPSERT_OUTCOME_FILLED: _ClassVar[UpsertOutcome]
    UPSERT_OUTCOME_SUPERSEDED: _ClassVar[UpsertOutcome]
UPSERT_OUTCOME_UNSPECIFIED: UpsertOutcome
UPSERT_OUTCOME_CREATED: UpsertOutcome
UPSERT_OUTCOME_REPLACED: UpsertOutcome
UPSERT_OUTCOME_UNCHANGED: UpsertOutcome
UPSERT_OUTCOME_FILLED: UpsertOutcome
UPSERT_OUTCOME_SUPERSEDED: UpsertOutcome

class UpsertTranscriptsRequest(_message.Message):
    __slots__ = ("start", "batch", "stop")
    START_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    start: UpsertStart
    batch: UpsertBatch
    stop: UpsertStop
    def __init__(self, start: _Optional[_Union[UpsertStart, _Mapping]] = ..., batch: _Optional[_Union[UpsertBatch, _Mapping]] = ..., stop: _Optional[_Union[UpsertStop, _Mapping]] = ...) -> None: ...

class UpsertStart(_message.Message):
    __slots__ = ("corpus", "create_corpus", "channels")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    CREATE_CORPUS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    create_corpus: bool
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    def __init__(self, corpus: _Optional[str] = ..., create_corpus: bool = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ...) -> None: ...

class UpsertBatch(_message.Message):
    __slots__ = ("sequence", "transcripts")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    transcripts: _containers.RepeatedCompositeFieldContainer[_types_pb2.Transcript]
    def __init__(self, sequence: _Optional[int] = ..., transcripts: _Optional[_Iterable[_Union[_types_pb2.Transcript, _Mapping]]] = ...) -> None: ...

class UpsertStop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UpsertTranscriptsResponse(_message.Message):
    __slots__ = ("started", "result", "ack", "backoff", "shutting_down", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    SHUTTING_DOWN_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: UpsertStarted
    result: UpsertResult
    ack: UpsertAck
    backoff: UpsertBackoff
    shutting_down: UpsertShuttingDown
    finished: UpsertFinished
    def __init__(self, started: _Optional[_Union[UpsertStarted, _Mapping]] = ..., result: _Optional[_Union[UpsertResult, _Mapping]] = ..., ack: _Optional[_Union[UpsertAck, _Mapping]] = ..., backoff: _Optional[_Union[UpsertBackoff, _Mapping]] = ..., shutting_down: _Optional[_Union[UpsertShuttingDown, _Mapping]] = ..., finished: _Optional[_Union[UpsertFinished, _Mapping]] = ...) -> None: ...

class UpsertStarted(_message.Message):
    __slots__ = ("limits", "channels")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    limits: Limits
    channels: _containers.RepeatedScalarFieldContainer[_types_pb2.Channel]
    def __init__(self, limits: _Optional[_Union[Limits, _Mapping]] = ..., channels: _Optional[_Iterable[_Union[_types_pb2.Channel, str]]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_text_bytes", "max_message_bytes", "max_batch_items", "max_metadata_bytes", "max_inflight_batches")
    MAX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MAX_METADATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_BATCHES_FIELD_NUMBER: _ClassVar[int]
    max_text_bytes: int
    max_message_bytes: int
    max_batch_items: int
    max_metadata_bytes: int
    max_inflight_batches: int
    def __init__(self, max_text_bytes: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_batch_items: _Optional[int] = ..., max_metadata_bytes: _Optional[int] = ..., max_inflight_batches: _Optional[int] = ...) -> None: ...

class UpsertedItem(_message.Message):
    __slots__ = ("id", "outcome")
    ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    id: str
    outcome: UpsertOutcome
    def __init__(self, id: _Optional[str] = ..., outcome: _Optional[_Union[UpsertOutcome, str]] = ...) -> None: ...

class UpsertItemResult(_message.Message):
    __slots__ = ("item", "error")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    item: UpsertedItem
    error: _status_pb2.Status
    def __init__(self, item: _Optional[_Union[UpsertedItem, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class UpsertResult(_message.Message):
    __slots__ = ("sequence", "items")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    items: _containers.RepeatedCompositeFieldContainer[UpsertItemResult]
    def __init__(self, sequence: _Optional[int] = ..., items: _Optional[_Iterable[_Union[UpsertItemResult, _Mapping]]] = ...) -> None: ...

class UpsertAck(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class UpsertBackoff(_message.Message):
    __slots__ = ("batch_items", "delay")
    BATCH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    batch_items: int
    delay: _duration_pb2.Duration
    def __init__(self, batch_items: _Optional[int] = ..., delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class UpsertShuttingDown(_message.Message):
    __slots__ = ("resume_from",)
    RESUME_FROM_FIELD_NUMBER: _ClassVar[int]
    resume_from: int
    def __init__(self, resume_from: _Optional[int] = ...) -> None: ...

class UpsertFinished(_message.Message):
    __slots__ = ("created", "replaced", "unchanged", "filled", "failed", "repeated_ids", "blank", "truncated")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    REPEATED_IDS_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    created: int
    replaced: int
    unchanged: int
    filled: int
    failed: int
    repeated_ids: int
    blank: int
    truncated: int
    def __init__(self, created: _Optional[int] = ..., replaced: _Optional[int] = ..., unchanged: _Optional[int] = ..., filled: _Optional[int] = ..., failed: _Optional[int] = ..., repeated_ids: _Optional[int] = ..., blank: _Optional[int] = ..., truncated: _Optional[int] = ...) -> None: ...

class GetTranscriptRequest(_message.Message):
    __slots__ = ("corpus", "id")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    id: str
    def __init__(self, corpus: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class GetTranscriptResponse(_message.Message):
    __slots__ = ("transcript",)
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    transcript: _types_pb2.Transcript
    def __init__(self, transcript: _Optional[_Union[_types_pb2.Transcript, _Mapping]] = ...) -> None: ...

class ListTranscriptsRequest(_message.Message):
    __slots__ = ("corpus", "filter", "page_size", "page_token")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    filter: _types_pb2.Filter
    page_size: int
    page_token: str
    def __init__(self, corpus: _Optional[str] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTranscriptsResponse(_message.Message):
    __slots__ = ("transcripts", "next_page_token")
    TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    transcripts: _containers.RepeatedCompositeFieldContainer[_types_pb2.Transcript]
    next_page_token: str
    def __init__(self, transcripts: _Optional[_Iterable[_Union[_types_pb2.Transcript, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteTranscriptsRequest(_message.Message):
    __slots__ = ("corpus", "ids")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, corpus: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteTranscriptsResponse(_message.Message):
    __slots__ = ("deleted", "not_found")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    not_found: int
    def __init__(self, deleted: _Optional[int] = ..., not_found: _Optional[int] = ...) -> None: ...

class PurgeTranscriptsRequest(_message.Message):
    __slots__ = ("corpus", "ids")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, corpus: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PurgeTranscriptsResponse(_message.Message):
    __slots__ = ("step", "done", "erased", "record_version", "held_by_snapshots", "snapshots")
    STEP_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    RECORD_VERSION_FIELD_NUMBER: _ClassVar[int]
    HELD_BY_SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    step: str
    done: bool
    erased: int
    record_version: int
    held_by_snapshots: int
    snapshots: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, step: _Optional[str] = ..., done: bool = ..., erased: _Optional[int] = ..., record_version: _Optional[int] = ..., held_by_snapshots: _Optional[int] = ..., snapshots: _Optional[_Iterable[str]] = ...) -> None: ...
