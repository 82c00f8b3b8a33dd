"""Columns of the frames that `kinprint.client.frames` returns."""

from __future__ import annotations

import polars as pl

_TIME = pl.Datetime("us", "UTC")
_SPAN = pl.Struct(
    {
        "query_start": pl.UInt32,
        "query_end": pl.UInt32,
        "match_start": pl.UInt32,
        "match_end": pl.UInt32,
        "text": pl.String,
        "differences": pl.List(pl.String),
        "bits": pl.Float64,
    }
)
_PAIR = pl.Struct(
    {
        "query_start": pl.UInt32,
        "query_end": pl.UInt32,
        "match_start": pl.UInt32,
        "match_end": pl.UInt32,
        "cosine": pl.Float64,
        "query_text": pl.String,
        "match_text": pl.String,
    }
)
TRANSCRIPT_SCHEMA = pl.Schema(
    {
        "transcript_id": pl.String(),
        "model": pl.String(),
        "prompt_id": pl.String(),
        "prompt": pl.String(),
        "response": pl.String(),
        "language": pl.String(),
        "account_id": pl.String(),
        "created_at": _TIME,
        "system_prompt": pl.String(),
        "conversation_id": pl.String(),
        "turn": pl.Int32(),
        "reasoning": pl.String(),
        "metadata": pl.List(pl.Struct({"key": pl.String, "value": pl.String})),
    }
)
"""Columns of `scan_transcripts`; `load` reads them back without loss."""
HIT_SCHEMA = pl.Schema(
    {
        "query": pl.UInt32(),
        "query_id": pl.String(),
        "channel": pl.String(),
        "rank": pl.UInt32(),
        "corpus": pl.String(),
        "id": pl.String(),
        "model": pl.String(),
        "score": pl.Float64(),
        "language": pl.String(),
        "account_id": pl.String(),
        "created_at": _TIME,
        "snippet": pl.String(),
        "jaccard": pl.Float64(),
        "containment_query": pl.Float64(),
        "containment_match": pl.Float64(),
        "identical": pl.Boolean(),
        "spans": pl.List(_SPAN),
        "disguises": pl.List(pl.String),
        "cosine": pl.Float64(),
        "z": pl.Float64(),
        "tier": pl.String(),
        "percentile": pl.Float64(),
        "p_value": pl.Float64(),
        "p_floor": pl.Float64(),
        "same_prompt_p": pl.Float64(),
        "same_prompt_floor": pl.Float64(),
        "calibration": pl.String(),
        "pairs": pl.List(_PAIR),
        "cosine_delta": pl.Float64(),
        "error": pl.String(),
    }
)
"""Columns of `search_frame` and `scan_search`; evidence of other channels than the hit's is null."""
PAIR_SCHEMA = pl.Schema(
    {
        "id_a": pl.String(),
        "id_b": pl.String(),
        "jaccard": pl.Float64(),
        "containment_a": pl.Float64(),
        "containment_b": pl.Float64(),
    }
)
"""Columns of `scan_duplicates` for one corpus; several corpora add `corpus_a` and `corpus_b`."""
CLUSTER_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "cluster": pl.String(),
        "is_representative": pl.Boolean(),
    }
)
"""Columns of `scan_clusters` for one corpus; several corpora add `corpus` and `cluster_corpus`."""
SPAN_SCHEMA = pl.Schema(
    {
        "id_a": pl.String(),
        "id_b": pl.String(),
        "start_a": pl.Int64(),
        "end_a": pl.Int64(),
        "start_b": pl.Int64(),
        "end_b": pl.Int64(),
        "tokens": pl.Int64(),
        "bits": pl.Float64(),
        "texts": pl.Int64(),
        "mark": pl.String(),
        "differences": pl.List(pl.String()),
        "others_with": pl.Int64(),
        "others": pl.Int64(),
        "prompt_others_with": pl.Int64(),
        "prompt_others": pl.Int64(),
        "corpus_a": pl.String(),
        "corpus_b": pl.String(),
    }
)
"""Columns of `scan_overlaps`."""
KINSHIP_SCHEMA = pl.Schema(
    {
        "model_a": pl.String(),
        "model_b": pl.String(),
        "prompts": pl.Int64(),
        "score": pl.Float64(),
        "log10_lr": pl.Float64(),
        "p_value": pl.Float64(),
        "p_floor": pl.Float64(),
        "verdict": pl.String(),
        "basis": pl.String(),
    }
)
"""Columns of `scan_kinship`; null where there is no such figure."""
ATTRIBUTION_SCHEMA = pl.Schema(
    {
        "set_id": pl.String(),
        "rank": pl.Int64(),
        "model": pl.String(),
        "log10_lr": pl.Float64(),
        "probability": pl.Float64(),
        "abstained": pl.Boolean(),
        "reason": pl.String(),
    }
)
"""Columns of `attribute_frame`; a null model is "none of these", a null reason that a model is named."""
