"""Transcripts of files as a LazyFrame, without a server."""

from __future__ import annotations

from pathlib import Path

import kinprint.polars as kp
import polars as pl
import pytest
from kinprint.client.errors import SourceError
from kinprint.client.schemas import TRANSCRIPT_SCHEMA

SAMPLES = Path(__file__).parent.parent / "data" / "shapes"


def test_files_of_several_forms_become_one_frame() -> None:
    frame = kp.scan_transcripts([SAMPLES / "lmsys.jsonl", SAMPLES / "alpaca.csv", SAMPLES / "mt-bench.jsonl"])
    assert frame.collect_schema() == TRANSCRIPT_SCHEMA
    found = frame.collect()
    assert found.height == 8
    assert found["model"].to_list() == ["heron-1", "egret-2", None, None, *["heron-1"] * 2, *["egret-2"] * 2]
    chosen = frame.filter(pl.col("language") == "pt").select("response", "conversation_id").collect()
    assert chosen.rows() == [("Then their lamps do the talking.", "c-2")]
    assert frame.head(1).collect().height == 1


def test_rows_that_are_skipped_are_told() -> None:
    with pytest.warns(kp.SkippedRowsWarning, match=r"1 no_answer; the first is .*too late"):
        found = kp.scan_transcripts(SAMPLES / "openai-batch.jsonl").collect()
    assert found.height == 2


def test_paths_and_names_that_cannot_be_meant_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no preset"):
        kp.scan_transcripts(SAMPLES / "lmsys.jsonl", preset="lmsis")
    with pytest.raises(SourceError, match="no such file"):
        kp.scan_transcripts(tmp_path / "nowhere.jsonl")
    found = kp.scan_transcripts(
        SAMPLES / "openai-batch.jsonl",
        map={"response": "response.body.choices[0].message.content", "prompt_id": "custom_id"},
    )
    with pytest.warns(kp.SkippedRowsWarning):
        assert found.collect()["prompt_id"].to_list() == ["fog-1"]
