from kinprint.v1 import transcript_pb2 as _transcript_pb2
from kinprint.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KinshipVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KINSHIP_VERDICT_UNSPECIFIED: _ClassVar[KinshipVerdict]
    KINSHIP_VERDICT_DERIVED: _ClassVar[KinshipVerdict]
    KINSHIP_VERDICT_KIN: _ClassVar[KinshipVerdict]
    KINSHIP_VERDICT_UNRESOLVED: _ClassVar[KinshipVerdict]
    KINSHIP_VERDICT_NO_BACKGROUND: _ClassVar[KinshipVerdict]

class KinshipBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KINSHIP_BASIS_UNSPECIFIED: _ClassVar[KinshipBasis]
    KINSHIP_BASIS_MATCHED: _ClassVar[KinshipBasis]
    KINSHIP_BASIS_BRIDGED: _ClassVar[KinshipBasis]
KINSHIP_VERDICT_UNSPECIFIED: KinshipVerdict
KINSHIP_VERDICT_DERIVED: KinshipVerdict
KINSHIP_VERDICT_KIN: KinshipVerdict
KINSHIP_VERDICT_UNRESOLVED: KinshipVerdict
KINSHIP_VERDICT_NO_BACKGROUND: KinshipVerdict
KINSHIP_BASIS_UNSPECIFIED: KinshipBasis
KINSHIP_BASIS_MATCHED: KinshipBasis
KINSHIP_BASIS_BRIDGED: KinshipBasis

class LineageProgress(_message.Message):
    __slots__ = ("step", "share")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    step: str
    share: float
    def __init__(self, step: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class PanelMember(_message.Message):
    __slots__ = ("model", "family", "shares_with")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SHARES_WITH_FIELD_NUMBER: _ClassVar[int]
    model: str
    family: str
    shares_with: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., family: _Optional[str] = ..., shares_with: _Optional[_Iterable[str]] = ...) -> None: ...

class PanelEdge(_message.Message):
    __slots__ = ("model", "related_to", "relation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELATED_TO_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    related_to: str
    relation: str
    def __init__(self, model: _Optional[str] = ..., related_to: _Optional[str] = ..., relation: _Optional[str] = ...) -> None: ...

class FitPanelRequest(_message.Message):
    __slots__ = ("corpus", "members", "edges", "filter", "seed")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    members: _containers.RepeatedCompositeFieldContainer[PanelMember]
    edges: _containers.RepeatedCompositeFieldContainer[PanelEdge]
    filter: _types_pb2.Filter
    seed: int
    def __init__(self, corpus: _Optional[str] = ..., members: _Optional[_Iterable[_Union[PanelMember, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[PanelEdge, _Mapping]]] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class FitPanelResponse(_message.Message):
    __slots__ = ("progress", "chunk", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: LineageProgress
    chunk: bytes
    finished: PanelSummary
    def __init__(self, progress: _Optional[_Union[LineageProgress, _Mapping]] = ..., chunk: _Optional[bytes] = ..., finished: _Optional[_Union[PanelSummary, _Mapping]] = ...) -> None: ...

class InspectPanelRequest(_message.Message):
    __slots__ = ("panel",)
    PANEL_FIELD_NUMBER: _ClassVar[int]
    panel: bytes
    def __init__(self, panel: _Optional[bytes] = ...) -> None: ...

class InspectPanelResponse(_message.Message):
    __slots__ = ("summary",)
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    summary: PanelSummary
    def __init__(self, summary: _Optional[_Union[PanelSummary, _Mapping]] = ...) -> None: ...

class PanelSize(_message.Message):
    __slots__ = ("prompts", "draws", "null_pairs", "log10_lr_min", "log10_lr_max", "threshold", "cllr", "cllr_min", "rates", "power_derived", "power_kin")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    NULL_PAIRS_FIELD_NUMBER: _ClassVar[int]
    LOG10_LR_MIN_FIELD_NUMBER: _ClassVar[int]
    LOG10_LR_MAX_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CLLR_FIELD_NUMBER: _ClassVar[int]
    CLLR_MIN_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    POWER_DERIVED_FIELD_NUMBER: _ClassVar[int]
    POWER_KIN_FIELD_NUMBER: _ClassVar[int]
    prompts: int
    draws: int
    null_pairs: int
    log10_lr_min: float
    log10_lr_max: float
    threshold: float
    cllr: float
    cllr_min: float
    rates: _containers.RepeatedCompositeFieldContainer[PanelRate]
    power_derived: float
    power_kin: float
    def __init__(self, prompts: _Optional[int] = ..., draws: _Optional[int] = ..., null_pairs: _Optional[int] = ..., log10_lr_min: _Optional[float] = ..., log10_lr_max: _Optional[float] = ..., threshold: _Optional[float] = ..., cllr: _Optional[float] = ..., cllr_min: _Optional[float] = ..., rates: _Optional[_Iterable[_Union[PanelRate, _Mapping]]] = ..., power_derived: _Optional[float] = ..., power_kin: _Optional[float] = ...) -> None: ...

class PanelSuspect(_message.Message):
    __slots__ = ("model_a", "model_b", "score")
    MODEL_A_FIELD_NUMBER: _ClassVar[int]
    MODEL_B_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    model_a: str
    model_b: str
    score: float
    def __init__(self, model_a: _Optional[str] = ..., model_b: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class PanelRate(_message.Message):
    __slots__ = ("false_alarms", "found")
    FALSE_ALARMS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    false_alarms: float
    found: float
    def __init__(self, false_alarms: _Optional[float] = ..., found: _Optional[float] = ...) -> None: ...

class PanelSummary(_message.Message):
    __slots__ = ("digest", "version", "kinprint", "scheme", "corpus", "members", "families", "independent_families", "prompts", "unrelated_pairs", "kin_pairs", "derived_pairs", "derived_from", "sizes", "bridged", "cautions", "suspects")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KINPRINT_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    INDEPENDENT_FAMILIES_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    UNRELATED_PAIRS_FIELD_NUMBER: _ClassVar[int]
    KIN_PAIRS_FIELD_NUMBER: _ClassVar[int]
    DERIVED_PAIRS_FIELD_NUMBER: _ClassVar[int]
    DERIVED_FROM_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    BRIDGED_FIELD_NUMBER: _ClassVar[int]
    CAUTIONS_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    version: int
    kinprint: str
    scheme: str
    corpus: str
    members: _containers.RepeatedCompositeFieldContainer[PanelMember]
    families: int
    independent_families: int
    prompts: int
    unrelated_pairs: int
    kin_pairs: int
    derived_pairs: int
    derived_from: str
    sizes: _containers.RepeatedCompositeFieldContainer[PanelSize]
    bridged: PanelSize
    cautions: _containers.RepeatedScalarFieldContainer[str]
    suspects: _containers.RepeatedCompositeFieldContainer[PanelSuspect]
    def __init__(self, digest: _Optional[str] = ..., version: _Optional[int] = ..., kinprint: _Optional[str] = ..., scheme: _Optional[str] = ..., corpus: _Optional[str] = ..., members: _Optional[_Iterable[_Union[PanelMember, _Mapping]]] = ..., families: _Optional[int] = ..., independent_families: _Optional[int] = ..., prompts: _Optional[int] = ..., unrelated_pairs: _Optional[int] = ..., kin_pairs: _Optional[int] = ..., derived_pairs: _Optional[int] = ..., derived_from: _Optional[str] = ..., sizes: _Optional[_Iterable[_Union[PanelSize, _Mapping]]] = ..., bridged: _Optional[_Union[PanelSize, _Mapping]] = ..., cautions: _Optional[_Iterable[str]] = ..., suspects: _Optional[_Iterable[_Union[PanelSuspect, _Mapping]]] = ...) -> None: ...

class FindKinshipRequest(_message.Message):
    __slots__ = ("corpus", "panel", "filter", "models")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    PANEL_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    panel: bytes
    filter: _types_pb2.Filter
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, corpus: _Optional[str] = ..., panel: _Optional[bytes] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...

class FindKinshipResponse(_message.Message):
    __slots__ = ("progress", "pairs", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: LineageProgress
    pairs: KinshipPairs
    finished: KinshipFinished
    def __init__(self, progress: _Optional[_Union[LineageProgress, _Mapping]] = ..., pairs: _Optional[_Union[KinshipPairs, _Mapping]] = ..., finished: _Optional[_Union[KinshipFinished, _Mapping]] = ...) -> None: ...

class KinshipPairs(_message.Message):
    __slots__ = ("model_a", "model_b", "prompts", "score", "log10_lr", "p_value", "p_floor", "verdict", "basis")
    MODEL_A_FIELD_NUMBER: _ClassVar[int]
    MODEL_B_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LOG10_LR_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    P_FLOOR_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    model_a: _containers.RepeatedScalarFieldContainer[str]
    model_b: _containers.RepeatedScalarFieldContainer[str]
    prompts: _containers.RepeatedScalarFieldContainer[int]
    score: _containers.RepeatedScalarFieldContainer[float]
    log10_lr: _containers.RepeatedScalarFieldContainer[float]
    p_value: _containers.RepeatedScalarFieldContainer[float]
    p_floor: _containers.RepeatedScalarFieldContainer[float]
    verdict: _containers.RepeatedScalarFieldContainer[KinshipVerdict]
    basis: _containers.RepeatedScalarFieldContainer[KinshipBasis]
    def __init__(self, model_a: _Optional[_Iterable[str]] = ..., model_b: _Optional[_Iterable[str]] = ..., prompts: _Optional[_Iterable[int]] = ..., score: _Optional[_Iterable[float]] = ..., log10_lr: _Optional[_Iterable[float]] = ..., p_value: _Optional[_Iterable[float]] = ..., p_floor: _Optional[_Iterable[float]] = ..., verdict: _Optional[_Iterable[_Union[KinshipVerdict, str]]] = ..., basis: _Optional[_Iterable[_Union[KinshipBasis, str]]] = ...) -> None: ...

class KinshipFinished(_message.Message):
    __slots__ = ("models", "prompts", "pairs", "answers", "left_out", "families", "panel_digest", "carries_over", "does_not_carry_over", "cautions", "provenance")
    class LeftOutEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    PANEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CARRIES_OVER_FIELD_NUMBER: _ClassVar[int]
    DOES_NOT_CARRY_OVER_FIELD_NUMBER: _ClassVar[int]
    CAUTIONS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    models: int
    prompts: int
    pairs: int
    answers: int
    left_out: _containers.ScalarMap[str, int]
    families: int
    panel_digest: str
    carries_over: _containers.RepeatedScalarFieldContainer[str]
    does_not_carry_over: _containers.RepeatedScalarFieldContainer[str]
    cautions: _containers.RepeatedScalarFieldContainer[str]
    provenance: _types_pb2.Provenance
    def __init__(self, models: _Optional[int] = ..., prompts: _Optional[int] = ..., pairs: _Optional[int] = ..., answers: _Optional[int] = ..., left_out: _Optional[_Mapping[str, int]] = ..., families: _Optional[int] = ..., panel_digest: _Optional[str] = ..., carries_over: _Optional[_Iterable[str]] = ..., does_not_carry_over: _Optional[_Iterable[str]] = ..., cautions: _Optional[_Iterable[str]] = ..., provenance: _Optional[_Union[_types_pb2.Provenance, _Mapping]] = ...) -> None: ...

class AttributeRequest(_message.Message):
    __slots__ = ("start", "batch", "stop")
    START_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    start: AttributeStart
    batch: AttributeBatch
    stop: AttributeStop
    def __init__(self, start: _Optional[_Union[AttributeStart, _Mapping]] = ..., batch: _Optional[_Union[AttributeBatch, _Mapping]] = ..., stop: _Optional[_Union[AttributeStop, _Mapping]] = ...) -> None: ...

class AttributeStart(_message.Message):
    __slots__ = ("corpus", "panel", "filter", "models", "seed")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    PANEL_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    panel: bytes
    filter: _types_pb2.Filter
    models: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, corpus: _Optional[str] = ..., panel: _Optional[bytes] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., models: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class AttributeBatch(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedCompositeFieldContainer[AttributeText]
    def __init__(self, texts: _Optional[_Iterable[_Union[AttributeText, _Mapping]]] = ...) -> None: ...

class AttributeText(_message.Message):
    __slots__ = ("text", "set_id", "id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SET_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    set_id: str
    id: str
    def __init__(self, text: _Optional[str] = ..., set_id: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class AttributeStop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AttributeResponse(_message.Message):
    __slots__ = ("started", "received", "progress", "sets", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: AttributeStarted
    received: AttributeReceived
    progress: LineageProgress
    sets: AttributedSets
    finished: AttributeFinished
    def __init__(self, started: _Optional[_Union[AttributeStarted, _Mapping]] = ..., received: _Optional[_Union[AttributeReceived, _Mapping]] = ..., progress: _Optional[_Union[LineageProgress, _Mapping]] = ..., sets: _Optional[_Union[AttributedSets, _Mapping]] = ..., finished: _Optional[_Union[AttributeFinished, _Mapping]] = ...) -> None: ...

class AttributeStarted(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _transcript_pb2.Limits
    def __init__(self, limits: _Optional[_Union[_transcript_pb2.Limits, _Mapping]] = ...) -> None: ...

class AttributeReceived(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: int
    def __init__(self, texts: _Optional[int] = ...) -> None: ...

class AttributedSets(_message.Message):
    __slots__ = ("sets",)
    SETS_FIELD_NUMBER: _ClassVar[int]
    sets: _containers.RepeatedCompositeFieldContainer[AttributedSet]
    def __init__(self, sets: _Optional[_Iterable[_Union[AttributedSet, _Mapping]]] = ...) -> None: ...

class AttributedSet(_message.Message):
    __slots__ = ("set_id", "id", "texts", "counted", "too_short", "repeated_texts", "beyond", "abstained", "reason", "candidates")
    SET_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    TOO_SHORT_FIELD_NUMBER: _ClassVar[int]
    REPEATED_TEXTS_FIELD_NUMBER: _ClassVar[int]
    BEYOND_FIELD_NUMBER: _ClassVar[int]
    ABSTAINED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    set_id: str
    id: str
    texts: int
    counted: int
    too_short: int
    repeated_texts: int
    beyond: int
    abstained: bool
    reason: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, set_id: _Optional[str] = ..., id: _Optional[str] = ..., texts: _Optional[int] = ..., counted: _Optional[int] = ..., too_short: _Optional[int] = ..., repeated_texts: _Optional[int] = ..., beyond: _Optional[int] = ..., abstained: bool = ..., reason: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("model", "log10_lr", "probability")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LOG10_LR_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    log10_lr: float
    probability: float
    def __init__(self, model: _Optional[str] = ..., log10_lr: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...

class AttributionPower(_message.Message):
    __slots__ = ("size", "sets", "accuracy", "named", "correct", "unknown_sets", "false_names", "auc", "cllr", "calibration_error")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_SETS_FIELD_NUMBER: _ClassVar[int]
    FALSE_NAMES_FIELD_NUMBER: _ClassVar[int]
    AUC_FIELD_NUMBER: _ClassVar[int]
    CLLR_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_ERROR_FIELD_NUMBER: _ClassVar[int]
    size: int
    sets: int
    accuracy: float
    named: float
    correct: float
    unknown_sets: int
    false_names: float
    auc: float
    cllr: float
    calibration_error: float
    def __init__(self, size: _Optional[int] = ..., sets: _Optional[int] = ..., accuracy: _Optional[float] = ..., named: _Optional[float] = ..., correct: _Optional[float] = ..., unknown_sets: _Optional[int] = ..., false_names: _Optional[float] = ..., auc: _Optional[float] = ..., cllr: _Optional[float] = ..., calibration_error: _Optional[float] = ...) -> None: ...

class AttributionModel(_message.Message):
    __slots__ = ("model", "texts_used", "texts_given")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_USED_FIELD_NUMBER: _ClassVar[int]
    TEXTS_GIVEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts_used: int
    texts_given: int
    def __init__(self, model: _Optional[str] = ..., texts_used: _Optional[int] = ..., texts_given: _Optional[int] = ...) -> None: ...

class AttributionLeftOut(_message.Message):
    __slots__ = ("model", "why")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    model: str
    why: str
    def __init__(self, model: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class AttributeFinished(_message.Message):
    __slots__ = ("sets", "named", "texts", "models", "left_out", "power", "prior_unknown", "notes", "provenance")
    SETS_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    PRIOR_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    sets: int
    named: int
    texts: int
    models: _containers.RepeatedCompositeFieldContainer[AttributionModel]
    left_out: _containers.RepeatedCompositeFieldContainer[AttributionLeftOut]
    power: _containers.RepeatedCompositeFieldContainer[AttributionPower]
    prior_unknown: float
    notes: _containers.RepeatedScalarFieldContainer[str]
    provenance: _types_pb2.Provenance
    def __init__(self, sets: _Optional[int] = ..., named: _Optional[int] = ..., texts: _Optional[int] = ..., models: _Optional[_Iterable[_Union[AttributionModel, _Mapping]]] = ..., left_out: _Optional[_Iterable[_Union[AttributionLeftOut, _Mapping]]] = ..., power: _Optional[_Iterable[_Union[AttributionPower, _Mapping]]] = ..., prior_unknown: _Optional[float] = ..., notes: _Optional[_Iterable[str]] = ..., provenance: _Optional[_Union[_types_pb2.Provenance, _Mapping]] = ...) -> None: ...

class EvidencePair(_message.Message):
    __slots__ = ("subject", "source")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    source: str
    def __init__(self, subject: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class BuildEvidenceRequest(_message.Message):
    __slots__ = ("corpus", "subject", "source", "panel", "filter", "also")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PANEL_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ALSO_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    subject: str
    source: str
    panel: bytes
    filter: _types_pb2.Filter
    also: _containers.RepeatedCompositeFieldContainer[EvidencePair]
    def __init__(self, corpus: _Optional[str] = ..., subject: _Optional[str] = ..., source: _Optional[str] = ..., panel: _Optional[bytes] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ..., also: _Optional[_Iterable[_Union[EvidencePair, _Mapping]]] = ...) -> None: ...

class BuildEvidenceResponse(_message.Message):
    __slots__ = ("progress", "chunk", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: LineageProgress
    chunk: bytes
    finished: EvidenceFinished
    def __init__(self, progress: _Optional[_Union[LineageProgress, _Mapping]] = ..., chunk: _Optional[bytes] = ..., finished: _Optional[_Union[EvidenceFinished, _Mapping]] = ...) -> None: ...

class EvidenceFinished(_message.Message):
    __slots__ = ("size", "sha256", "provenance")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    size: int
    sha256: str
    provenance: _types_pb2.Provenance
    def __init__(self, size: _Optional[int] = ..., sha256: _Optional[str] = ..., provenance: _Optional[_Union[_types_pb2.Provenance, _Mapping]] = ...) -> None: ...

class FindLineageRequest(_message.Message):
    __slots__ = ("corpus", "panel", "filter")
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    PANEL_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    corpus: str
    panel: bytes
    filter: _types_pb2.Filter
    def __init__(self, corpus: _Optional[str] = ..., panel: _Optional[bytes] = ..., filter: _Optional[_Union[_types_pb2.Filter, _Mapping]] = ...) -> None: ...

class FindLineageResponse(_message.Message):
    __slots__ = ("progress", "scores", "finished")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    progress: LineageProgress
    scores: _types_pb2.Matrix
    finished: LineageFinished
    def __init__(self, progress: _Optional[_Union[LineageProgress, _Mapping]] = ..., scores: _Optional[_Union[_types_pb2.Matrix, _Mapping]] = ..., finished: _Optional[_Union[LineageFinished, _Mapping]] = ...) -> None: ...

class LineageFinished(_message.Message):
    __slots__ = ("models", "newick", "order", "merges", "cautions", "provenance")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEWICK_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    MERGES_FIELD_NUMBER: _ClassVar[int]
    CAUTIONS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedScalarFieldContainer[str]
    newick: str
    order: _containers.RepeatedScalarFieldContainer[int]
    merges: _types_pb2.Matrix
    cautions: _containers.RepeatedScalarFieldContainer[str]
    provenance: _types_pb2.Provenance
    def __init__(self, models: _Optional[_Iterable[str]] = ..., newick: _Optional[str] = ..., order: _Optional[_Iterable[int]] = ..., merges: _Optional[_Union[_types_pb2.Matrix, _Mapping]] = ..., cautions: _Optional[_Iterable[str]] = ..., provenance: _Optional[_Union[_types_pb2.Provenance, _Mapping]] = ...) -> None: ...
