"""Columns of the files that commands write."""

from __future__ import annotations

from collections.abc import Mapping

# Names of column types, as Arrow's functions call them; see `tables`.
Schema = Mapping[str, str]

TRANSCRIPTS: Schema = {
    "transcript_id": "string",
    "model": "string",
    "prompt_id": "string",
    "prompt": "string",
    "response": "string",
    "language": "string",
    "account_id": "string",
    "created_at": "time",
    "system_prompt": "string",
    "conversation_id": "string",
    "turn": "int32",
    "reasoning": "string",
    "metadata": "map",
}
PAIRS: Schema = {
    "id_a": "string",
    "id_b": "string",
    "jaccard": "float64",
    "containment_a": "float64",
    "containment_b": "float64",
}
PAIRS_OF_SEVERAL: Schema = {**PAIRS, "corpus_a": "string", "corpus_b": "string"}
CLUSTERS: Schema = {"id": "string", "cluster": "string", "is_representative": "bool_"}
CLUSTERS_OF_SEVERAL: Schema = {**CLUSTERS, "corpus": "string", "cluster_corpus": "string"}
KEPT: Schema = {"id": "string"}
KEPT_OF_SEVERAL: Schema = {**KEPT, "corpus": "string"}
SPANS: Schema = {
    "id_a": "string",
    "id_b": "string",
    "start_a": "int64",
    "end_a": "int64",
    "start_b": "int64",
    "end_b": "int64",
    "length": "int64",
    "tokens": "int64",
    "bits": "float64",
    "texts": "int64",
    "mark": "string",
    "differences": "string",
    "others_with": "int64",
    "others": "int64",
    "prompt_others_with": "int64",
    "prompt_others": "int64",
    "corpus_a": "string",
    "corpus_b": "string",
}
KINSHIP: Schema = {
    "model_a": "string",
    "model_b": "string",
    "prompts": "int64",
    "score": "float64",
    "log10_lr": "float64",
    "p_value": "float64",
    "p_floor": "float64",
    "verdict": "string",
    "basis": "string",
}
ATTRIBUTION: Schema = {
    "transcript_id": "string",
    "rank": "int64",
    "model": "string",
    "log10_lr": "float64",
    "probability": "float64",
    "abstained": "bool_",
    "reason": "string",
}
ATTRIBUTION_OF_SETS: Schema = {"set_id": "string", **{k: v for k, v in ATTRIBUTION.items() if k != "transcript_id"}}
HITS: Schema = {
    "channel": "string",
    "rank": "int64",
    "id": "string",
    "corpus": "string",
    "model": "string",
    "score": "float64",
    "language": "string",
    "account_id": "string",
    "created_at": "time",
    "snippet": "string",
    "evidence": "json",
}
JOBS: Schema = {
    "id": "string",
    "kind": "string",
    "corpora": "json",
    "state": "string",
    "queue_place": "int64",
    "caller": "string",
    "step": "string",
    "share": "float64",
    "memory_bytes": "int64",
    "memory_limit_bytes": "int64",
    "created_at": "time",
    "started_at": "time",
    "ended_at": "time",
    "problem": "string",
    "pid": "int64",
}
CORPORA: Schema = {
    "name": "string",
    "description": "string",
    "created_at": "time",
    "transcripts": "int64",
    "blank": "int64",
    "copy": "float64",
    "semantic": "float64",
    "style": "float64",
    "semantic_fast": "float64",
    "unavailable": "string",
}
