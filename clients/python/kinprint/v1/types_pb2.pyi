from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNSPECIFIED: _ClassVar[Channel]
    CHANNEL_COPY: _ClassVar[Channel]
    CHANNEL_SEMANTIC: _ClassVar[Channel]
    CHANNEL_STYLE: _ClassVar[Channel]

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_FAST: _ClassVar[Tier]
    TIER_ACCURATE: _ClassVar[Tier]

class CalibrationSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALIBRATION_SOURCE_UNSPECIFIED: _ClassVar[CalibrationSource]
    CALIBRATION_SOURCE_CORPUS: _ClassVar[CalibrationSource]
    CALIBRATION_SOURCE_BACKGROUND: _ClassVar[CalibrationSource]

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_UINT32: _ClassVar[DataType]
    DATA_TYPE_INT8: _ClassVar[DataType]
    DATA_TYPE_UINT64: _ClassVar[DataType]
    DATA_TYPE_FLOAT64: _ClassVar[DataType]

class Difference(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIFFERENCE_UNSPECIFIED: _ClassVar[Difference]
    DIFFERENCE_WHITE_SPACE: _ClassVar[Difference]
    DIFFERENCE_CASE: _ClassVar[Difference]
    DIFFERENCE_PUNCTUATION: _ClassVar[Difference]
    DIFFERENCE_UNICODE_FORM: _ClassVar[Difference]

class Disguise(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISGUISE_UNSPECIFIED: _ClassVar[Disguise]
    DISGUISE_ZERO_WIDTH: _ClassVar[Disguise]
    DISGUISE_CONFUSABLE: _ClassVar[Disguise]
    DISGUISE_FULL_WIDTH: _ClassVar[Disguise]
    DISGUISE_SPACED_LETTERS: _ClassVar[Disguise]
CHANNEL_UNSPECIFIED: Channel
CHANNEL_COPY: Channel
CHANNEL_SEMANTIC: Channel
CHANNEL_STYLE: Channel
TIER_UNSPECIFIED: Tier
TIER_FAST: Tier
TIER_ACCURATE: Tier
CALIBRATION_SOURCE_UNSPECIFIED: CalibrationSource
CALIBRATION_SOURCE_CORPUS: CalibrationSource
CALIBRATION_SOURCE_BACKGROUND: CalibrationSource
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_UINT32: DataType
DATA_TYPE_INT8: DataType
DATA_TYPE_UINT64: DataType
DATA_TYPE_FLOAT64: DataType
DIFFERENCE_UNSPECIFIED: Difference
DIFFERENCE_WHITE_SPACE: Difference
DIFFERENCE_CASE: Difference
DIFFERENCE_PUNCTUATION: Difference
DIFFERENCE_UNICODE_FORM: Difference
DISGUISE_UNSPECIFIED: Disguise
DISGUISE_ZERO_WIDTH: Disguise
DISGUISE_CONFUSABLE: Disguise
DISGUISE_FULL_WIDTH: Disguise
DISGUISE_SPACED_LETTERS: Disguise

class Transcript(_message.Message):
    __slots__ = ("id", "model", "prompt_id", "prompt", "response", "language", "account_id", "created_at", "metadata", "system_prompt", "conversation_id", "turn", "reasoning", "prompt_key", "content_hash", "channels")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    PROMPT_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    prompt_id: str
    prompt: str
    response: str
    language: str
    account_id: str
    created_at: _timestamp_pb2.Timestamp
    metadata: _containers.ScalarMap[str, str]
    system_prompt: str
    conversation_id: str
    turn: int
    reasoning: str
    prompt_key: str
    content_hash: bytes
    channels: _containers.RepeatedScalarFieldContainer[Channel]
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., prompt_id: _Optional[str] = ..., prompt: _Optional[str] = ..., response: _Optional[str] = ..., language: _Optional[str] = ..., account_id: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., system_prompt: _Optional[str] = ..., conversation_id: _Optional[str] = ..., turn: _Optional[int] = ..., reasoning: _Optional[str] = ..., prompt_key: _Optional[str] = ..., content_hash: _Optional[bytes] = ..., channels: _Optional[_Iterable[_Union[Channel, str]]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("models", "exclude_models", "languages", "account_ids", "created_from", "created_before", "prompt_keys")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_MODELS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FROM_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_KEYS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    exclude_models: _containers.RepeatedScalarFieldContainer[str]
    languages: _containers.RepeatedScalarFieldContainer[str]
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    created_from: _timestamp_pb2.Timestamp
    created_before: _timestamp_pb2.Timestamp
    prompt_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, models: _Optional[_Iterable[str]] = ..., exclude_models: _Optional[_Iterable[str]] = ..., languages: _Optional[_Iterable[str]] = ..., account_ids: _Optional[_Iterable[str]] = ..., created_from: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., created_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., prompt_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class Matrix(_message.Message):
    __slots__ = ("data", "dtype", "rows", "columns")
    DATA_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    dtype: DataType
    rows: int
    columns: int
    def __init__(self, data: _Optional[bytes] = ..., dtype: _Optional[_Union[DataType, str]] = ..., rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("query_start", "query_end", "match_start", "match_end", "text", "differences", "bits")
    QUERY_START_FIELD_NUMBER: _ClassVar[int]
    QUERY_END_FIELD_NUMBER: _ClassVar[int]
    MATCH_START_FIELD_NUMBER: _ClassVar[int]
    MATCH_END_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    query_start: int
    query_end: int
    match_start: int
    match_end: int
    text: str
    differences: _containers.RepeatedScalarFieldContainer[Difference]
    bits: float
    def __init__(self, query_start: _Optional[int] = ..., query_end: _Optional[int] = ..., match_start: _Optional[int] = ..., match_end: _Optional[int] = ..., text: _Optional[str] = ..., differences: _Optional[_Iterable[_Union[Difference, str]]] = ..., bits: _Optional[float] = ...) -> None: ...

class CopyEvidence(_message.Message):
    __slots__ = ("jaccard", "containment_query", "containment_match", "shared_shingles", "query_shingles", "match_shingles", "identical", "query_is_one_shingle", "spans", "spans_omitted", "disguises")
    JACCARD_FIELD_NUMBER: _ClassVar[int]
    CONTAINMENT_QUERY_FIELD_NUMBER: _ClassVar[int]
    CONTAINMENT_MATCH_FIELD_NUMBER: _ClassVar[int]
    SHARED_SHINGLES_FIELD_NUMBER: _ClassVar[int]
    QUERY_SHINGLES_FIELD_NUMBER: _ClassVar[int]
    MATCH_SHINGLES_FIELD_NUMBER: _ClassVar[int]
    IDENTICAL_FIELD_NUMBER: _ClassVar[int]
    QUERY_IS_ONE_SHINGLE_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    SPANS_OMITTED_FIELD_NUMBER: _ClassVar[int]
    DISGUISES_FIELD_NUMBER: _ClassVar[int]
    jaccard: float
    containment_query: float
    containment_match: float
    shared_shingles: int
    query_shingles: int
    match_shingles: int
    identical: bool
    query_is_one_shingle: bool
    spans: _containers.RepeatedCompositeFieldContainer[Span]
    spans_omitted: int
    disguises: _containers.RepeatedScalarFieldContainer[Disguise]
    def __init__(self, jaccard: _Optional[float] = ..., containment_query: _Optional[float] = ..., containment_match: _Optional[float] = ..., shared_shingles: _Optional[int] = ..., query_shingles: _Optional[int] = ..., match_shingles: _Optional[int] = ..., identical: bool = ..., query_is_one_shingle: bool = ..., spans: _Optional[_Iterable[_Union[Span, _Mapping]]] = ..., spans_omitted: _Optional[int] = ..., disguises: _Optional[_Iterable[_Union[Disguise, str]]] = ...) -> None: ...

class SentenceMatch(_message.Message):
    __slots__ = ("query_start", "query_end", "match_start", "match_end", "cosine", "query_text", "match_text")
    QUERY_START_FIELD_NUMBER: _ClassVar[int]
    QUERY_END_FIELD_NUMBER: _ClassVar[int]
    MATCH_START_FIELD_NUMBER: _ClassVar[int]
    MATCH_END_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    QUERY_TEXT_FIELD_NUMBER: _ClassVar[int]
    MATCH_TEXT_FIELD_NUMBER: _ClassVar[int]
    query_start: int
    query_end: int
    match_start: int
    match_end: int
    cosine: float
    query_text: str
    match_text: str
    def __init__(self, query_start: _Optional[int] = ..., query_end: _Optional[int] = ..., match_start: _Optional[int] = ..., match_end: _Optional[int] = ..., cosine: _Optional[float] = ..., query_text: _Optional[str] = ..., match_text: _Optional[str] = ...) -> None: ...

class SemanticEvidence(_message.Message):
    __slots__ = ("alignment", "cosine", "background_mean", "background_sd", "z", "query_language", "match_language", "truncated", "query_sentences", "match_sentences", "sentences", "tier", "percentile", "p_value", "p_floor", "same_prompt_p", "same_prompt_floor", "calibration")
    ALIGNMENT_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_MEAN_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_SD_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    QUERY_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MATCH_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    QUERY_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    MATCH_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    P_FLOOR_FIELD_NUMBER: _ClassVar[int]
    SAME_PROMPT_P_FIELD_NUMBER: _ClassVar[int]
    SAME_PROMPT_FLOOR_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    alignment: float
    cosine: float
    background_mean: float
    background_sd: float
    z: float
    query_language: str
    match_language: str
    truncated: bool
    query_sentences: int
    match_sentences: int
    sentences: _containers.RepeatedCompositeFieldContainer[SentenceMatch]
    tier: Tier
    percentile: float
    p_value: float
    p_floor: float
    same_prompt_p: float
    same_prompt_floor: float
    calibration: CalibrationSource
    def __init__(self, alignment: _Optional[float] = ..., cosine: _Optional[float] = ..., background_mean: _Optional[float] = ..., background_sd: _Optional[float] = ..., z: _Optional[float] = ..., query_language: _Optional[str] = ..., match_language: _Optional[str] = ..., truncated: bool = ..., query_sentences: _Optional[int] = ..., match_sentences: _Optional[int] = ..., sentences: _Optional[_Iterable[_Union[SentenceMatch, _Mapping]]] = ..., tier: _Optional[_Union[Tier, str]] = ..., percentile: _Optional[float] = ..., p_value: _Optional[float] = ..., p_floor: _Optional[float] = ..., same_prompt_p: _Optional[float] = ..., same_prompt_floor: _Optional[float] = ..., calibration: _Optional[_Union[CalibrationSource, str]] = ...) -> None: ...

class StyleTrait(_message.Message):
    __slots__ = ("name", "query_value", "match_value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUERY_VALUE_FIELD_NUMBER: _ClassVar[int]
    MATCH_VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    query_value: float
    match_value: float
    def __init__(self, name: _Optional[str] = ..., query_value: _Optional[float] = ..., match_value: _Optional[float] = ...) -> None: ...

class StyleFamily(_message.Message):
    __slots__ = ("name", "contribution")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    contribution: float
    def __init__(self, name: _Optional[str] = ..., contribution: _Optional[float] = ...) -> None: ...

class StyleEvidence(_message.Message):
    __slots__ = ("cosine_delta", "families", "traits", "reference_rows")
    COSINE_DELTA_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_ROWS_FIELD_NUMBER: _ClassVar[int]
    cosine_delta: float
    families: _containers.RepeatedCompositeFieldContainer[StyleFamily]
    traits: _containers.RepeatedCompositeFieldContainer[StyleTrait]
    reference_rows: int
    def __init__(self, cosine_delta: _Optional[float] = ..., families: _Optional[_Iterable[_Union[StyleFamily, _Mapping]]] = ..., traits: _Optional[_Iterable[_Union[StyleTrait, _Mapping]]] = ..., reference_rows: _Optional[int] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("channel", "filled", "fillable", "share", "tier")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    FILLABLE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    channel: Channel
    filled: int
    fillable: int
    share: float
    tier: Tier
    def __init__(self, channel: _Optional[_Union[Channel, str]] = ..., filled: _Optional[int] = ..., fillable: _Optional[int] = ..., share: _Optional[float] = ..., tier: _Optional[_Union[Tier, str]] = ...) -> None: ...

class CorpusState(_message.Message):
    __slots__ = ("corpus", "record_version", "record_entry", "transcripts", "model_digest", "table_digest")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    RECORD_VERSION_FIELD_NUMBER: _ClassVar[int]
    RECORD_ENTRY_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TABLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    record_version: int
    record_entry: str
    transcripts: int
    model_digest: str
    table_digest: str
    def __init__(self, corpus: _Optional[str] = ..., record_version: _Optional[int] = ..., record_entry: _Optional[str] = ..., transcripts: _Optional[int] = ..., model_digest: _Optional[str] = ..., table_digest: _Optional[str] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("kinprint", "pipeline", "sketch_scheme", "style_scheme", "corpora", "kinship_scheme", "panel_digest", "seed", "parameters")
    KINPRINT_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    SKETCH_SCHEME_FIELD_NUMBER: _ClassVar[int]
    STYLE_SCHEME_FIELD_NUMBER: _ClassVar[int]
    CORPORA_FIELD_NUMBER: _ClassVar[int]
    KINSHIP_SCHEME_FIELD_NUMBER: _ClassVar[int]
    PANEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    kinprint: str
    pipeline: int
    sketch_scheme: str
    style_scheme: str
    corpora: _containers.RepeatedCompositeFieldContainer[CorpusState]
    kinship_scheme: str
    panel_digest: str
    seed: int
    parameters: str
    def __init__(self, kinprint: _Optional[str] = ..., pipeline: _Optional[int] = ..., sketch_scheme: _Optional[str] = ..., style_scheme: _Optional[str] = ..., corpora: _Optional[_Iterable[_Union[CorpusState, _Mapping]]] = ..., kinship_scheme: _Optional[str] = ..., panel_digest: _Optional[str] = ..., seed: _Optional[int] = ..., parameters: _Optional[str] = ...) -> None: ...
