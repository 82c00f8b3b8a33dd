from google.protobuf import timestamp_pb2 as _timestamp_pb2
from kinprint.v1 import corpus_pb2 as _corpus_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SnapshotCorpus(_message.Message):
    __slots__ = ("name", "transcripts", "record_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    RECORD_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    transcripts: int
    record_version: int
    def __init__(self, name: _Optional[str] = ..., transcripts: _Optional[int] = ..., record_version: _Optional[int] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("name", "created_at", "kinprint_version", "corpora", "left_out", "bytes", "own_bytes", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    KINPRINT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    OWN_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    created_at: _timestamp_pb2.Timestamp
    kinprint_version: str
    corpora: _containers.RepeatedCompositeFieldContainer[SnapshotCorpus]
    left_out: _containers.RepeatedScalarFieldContainer[str]
    bytes: int
    own_bytes: int
    problem: str
    def __init__(self, name: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., kinprint_version: _Optional[str] = ..., corpora: _Optional[_Iterable[_Union[SnapshotCorpus, _Mapping]]] = ..., left_out: _Optional[_Iterable[str]] = ..., bytes: _Optional[int] = ..., own_bytes: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class CreateSnapshotRequest(_message.Message):
    __slots__ = ("name", "corpora")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    name: str
    corpora: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., corpora: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateSnapshotResponse(_message.Message):
    __slots__ = ("step", "share", "snapshot")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    step: str
    share: float
    snapshot: Snapshot
    def __init__(self, step: _Optional[str] = ..., share: _Optional[float] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ...) -> None: ...

class DeleteSnapshotRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteSnapshotResponse(_message.Message):
    __slots__ = ("freed_bytes",)
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    freed_bytes: int
    def __init__(self, freed_bytes: _Optional[int] = ...) -> None: ...

class VerifySnapshotRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class SnapshotFinding(_message.Message):
    __slots__ = ("file", "what", "remedy", "harmless")
    FILE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    HARMLESS_FIELD_NUMBER: _ClassVar[int]
    file: str
    what: str
    remedy: str
    harmless: bool
    def __init__(self, file: _Optional[str] = ..., what: _Optional[str] = ..., remedy: _Optional[str] = ..., harmless: bool = ...) -> None: ...

class VerifySnapshotResponse(_message.Message):
    __slots__ = ("step", "done", "ok", "findings", "corpora", "files", "bytes", "rows")
    STEP_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    step: str
    done: bool
    ok: bool
    findings: _containers.RepeatedCompositeFieldContainer[SnapshotFinding]
    corpora: int
    files: int
    bytes: int
    rows: int
    def __init__(self, step: _Optional[str] = ..., done: bool = ..., ok: bool = ..., findings: _Optional[_Iterable[_Union[SnapshotFinding, _Mapping]]] = ..., corpora: _Optional[int] = ..., files: _Optional[int] = ..., bytes: _Optional[int] = ..., rows: _Optional[int] = ...) -> None: ...

class RestoreSnapshotRequest(_message.Message):
    __slots__ = ("name", "corpus", "as_name", "replace")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    AS_NAME_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    corpus: str
    as_name: str
    replace: bool
    def __init__(self, name: _Optional[str] = ..., corpus: _Optional[str] = ..., as_name: _Optional[str] = ..., replace: bool = ...) -> None: ...

class RestoreSnapshotResponse(_message.Message):
    __slots__ = ("step", "share", "corpus")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    step: str
    share: float
    corpus: _corpus_pb2.Corpus
    def __init__(self, step: _Optional[str] = ..., share: _Optional[float] = ..., corpus: _Optional[_Union[_corpus_pb2.Corpus, _Mapping]] = ...) -> None: ...
