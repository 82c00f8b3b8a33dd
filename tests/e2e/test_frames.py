"""Polars and Arrow, in and out, against a real server; and the example of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from kinprint.client import Client, InvalidArgumentError, NotFoundError, connect
from kinprint.client import frames as kp
from kinprint.client.errors import SourceError

ROOT = Path(__file__).resolve().parents[2]
WORDS = """
aloud bread culprit dough essay forum glide harbour island journal kettle lantern marble novel orchard
""".split()  # noqa: SIM905


def answer(number: int) -> str:
    """Twenty words that depend on the number."""
    return " ".join(WORDS[(number * 7 + place * (number % 5 + 1)) % len(WORDS)] + str(number) for place in range(20))


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    with connect(server.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    numbers = list(range(1200))
    return pl.DataFrame(
        {
            "transcript_id": [f"r{number}" for number in numbers],
            "model": ["m" if number % 2 else None for number in numbers],
            "response": [answer(number - number % 3) for number in numbers],
            "language": ["en"] * len(numbers),
            "created_at": [datetime(2026, 1, 1, 0, 0, number % 60, tzinfo=UTC) for number in numbers],
            "score": [number / 2 for number in numbers],
            "metadata": [{"n": str(number)} for number in numbers],
        }
    )


@pytest.fixture(scope="module")
def loaded(client: Client, frame: pl.DataFrame) -> str:
    report = kp.load(client, frame.lazy(), "frames", batch_rows=100)
    assert (report.created, report.failed) == (1200, 0)
    return "frames"


def test_every_kind_of_source_is_the_same_load(
    client: Client, frame: pl.DataFrame, loaded: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    frame.write_parquet(path)
    table = frame.to_arrow()
    sources: list[Any] = [
        frame,
        pl.scan_parquet(path),
        path,
        [str(path)],
        table,
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=100)),
    ]
    for source in sources:
        report = kp.load(client, source, loaded)
        assert (report.unchanged, report.rows) == (1200, 1200), type(source)


def test_what_was_loaded_comes_back(client: Client, frame: pl.DataFrame, loaded: str) -> None:
    found = kp.scan_transcripts(client, loaded).collect().sort("transcript_id")
    assert found.schema == kp.TRANSCRIPT_SCHEMA
    expected = frame.sort("transcript_id")
    for column in ("transcript_id", "model", "response", "created_at"):
        assert found[column].to_list() == expected[column].to_list()
    metadata = {item["key"]: item["value"] for item in found["metadata"][0].to_list()}
    assert metadata == {"n": "0", "score": "0.0"}
    assert kp.scan_transcripts(client, loaded).select("transcript_id").head(5).collect().shape == (5, 1)
    assert kp.load(client, found, loaded).unchanged == 1200


def test_hits_of_a_frame(client: Client, frame: pl.DataFrame, loaded: str) -> None:
    queries = pl.DataFrame({"key": [10, 11, 12], "text": [answer(30), None, answer(999)]})
    hits = kp.search_frame(client, queries, loaded, text="text", id="key", top=3, min_score=0.9)
    assert hits.schema == kp.HIT_SCHEMA
    assert hits.select("query", "query_id", "rank").rows() == [
        (0, "10", 1),
        (0, "10", 2),
        (0, "10", 3),
        (2, "12", 1),
        (2, "12", 2),
        (2, "12", 3),
    ]
    assert set(hits["id"].to_list()) == {"r30", "r31", "r32", "r999", "r1000", "r1001"}
    assert hits["jaccard"].to_list() == [1.0] * 6
    assert hits.to_arrow().num_rows == 6


def test_hits_by_id_leave_out_the_row_itself(client: Client, frame: pl.DataFrame, loaded: str) -> None:
    ids = frame.lazy().select("transcript_id").head(6)
    hits = kp.scan_search(client, ids, loaded, id="transcript_id", min_score=0.9, batch_rows=2).collect()
    assert sorted(hits.select("query_id", "id").rows()) == sorted(
        (f"r{a}", f"r{b}") for a in range(6) for b in range(6) if a // 3 == b // 3 and a != b
    )


def test_queries_that_fail(client: Client, loaded: str) -> None:
    queries = pl.DataFrame({"text": [answer(30), "  "]})
    with pytest.raises((InvalidArgumentError, pl.exceptions.ComputeError), match=r"(?i)blank|TEXT_BLANK|empty"):
        kp.search_frame(client, queries, loaded, text="text")
    hits = kp.search_frame(client, queries, loaded, text="text", top=1, on_error="row")
    assert hits["query"].to_list() == [0, 1]
    assert hits["error"][0] is None
    assert "BLANK" in hits["error"][1]
    with pytest.raises(InvalidArgumentError, match="no column 'response'"):
        kp.search_frame(client, queries, loaded, text="response")
    with pytest.raises(InvalidArgumentError, match="name the column"):
        kp.search_frame(client, queries, loaded)


def test_pairs_of_a_corpus(client: Client, loaded: str, tmp_path: Path) -> None:
    pairs = kp.scan_duplicates(client, loaded, threshold=0.9).collect()
    assert pairs.schema == kp.PAIR_SCHEMA
    assert pairs.height == 800
    kp.scan_duplicates(client, loaded, threshold=0.9, expand=True).filter(pl.col("id_a") == "r0").sink_parquet(
        tmp_path / "pairs.parquet"
    )
    assert sorted(pl.read_parquet(tmp_path / "pairs.parquet")["id_b"].to_list()) == ["r1", "r2"]


def test_pairs_between_corpora(client: Client, frame: pl.DataFrame, loaded: str) -> None:
    kp.load(client, frame.head(9).with_columns(transcript_id="s" + pl.col("transcript_id")), "frames-second")
    pairs = kp.scan_duplicates(client, loaded, threshold=0.9, exact=True, against="frames-second").collect()
    assert pairs.columns == [*kp.PAIR_SCHEMA, "corpus_a", "corpus_b"]
    assert sorted(pairs.select("id_a", "id_b").rows()) == [("r0", "sr0"), ("r3", "sr3"), ("r6", "sr6")]
    assert pairs.select("corpus_a", "corpus_b").unique().rows() == [(loaded, "frames-second")]


def test_clusters_of_a_corpus(client: Client, loaded: str, tmp_path: Path) -> None:
    path = tmp_path / "clusters.parquet"
    kp.scan_clusters(client, loaded, threshold=0.9).sink_parquet(path)
    found = pl.read_parquet(path)
    assert found.schema == kp.CLUSTER_SCHEMA
    assert found["id"].to_list() == sorted(f"r{number}" for number in range(1200))
    expected = {f"r{n}": min(f"r{m}" for m in range(n - n % 3, n - n % 3 + 3)) for n in range(1200)}
    assert dict(found.select("id", "cluster").rows()) == expected
    kept = kp.scan_clusters(client, loaded, threshold=0.9).filter("is_representative").select("id").collect()
    assert kept["id"].to_list() == sorted(set(expected.values()))
    both = kp.scan_clusters(client, [loaded, "frames-second"], threshold=0.9, exact=True).head(3).collect()
    assert both.columns == [*kp.CLUSTER_SCHEMA, "corpus", "cluster_corpus"]
    assert both["corpus"].to_list() == [loaded] * 3


def test_shared_passages_of_corpora(client: Client, frame: pl.DataFrame, loaded: str, tmp_path: Path) -> None:
    texts = ["Before it. " + answer(30) + " After it.", answer(999)]
    kp.load(client, pl.DataFrame({"transcript_id": ["x", "y"], "response": texts}), "frames-third")
    path = tmp_path / "spans.parquet"
    kp.scan_overlaps(client, "frames-third", loaded).sink_parquet(path)
    spans = pl.read_parquet(path)
    assert spans.schema == kp.SPAN_SCHEMA
    assert spans.select("id_a", "texts").rows() == [("x", 3), ("y", 3)]
    assert set(spans["id_b"]) <= {"r30", "r31", "r32", "r999", "r1000", "r1001"}
    for row in spans.iter_rows(named=True):
        response = client.get(loaded, row["id_b"]).response
        assert client.get("frames-third", row["id_a"]).response[row["start_a"] : row["end_a"]] == response
        assert (row["start_b"], row["end_b"]) == (0, len(response))
    every = kp.scan_overlaps(client, "frames-third", loaded, every=True).filter(pl.col("id_a") == "y")
    assert set(every.select("id_b").collect()["id_b"]) == {"r999", "r1000", "r1001"}
    assert kp.scan_overlaps(client, "frames-third", loaded, min_tokens=50).collect().schema == kp.SPAN_SCHEMA
    with pytest.raises((NotFoundError, pl.exceptions.ComputeError), match="frames-none"):
        kp.scan_overlaps(client, loaded, "frames-none").collect()


def test_frames_that_hold_no_transcripts(client: Client) -> None:
    with pytest.raises(SourceError, match="'output'"):
        kp.load(client, pl.DataFrame({"output": ["x"]}), "frames-bad")
    with pytest.raises(SourceError, match="response"):
        kp.load(client, pl.DataFrame({"response": [1]}), "frames-bad")
    with pytest.raises(InvalidArgumentError, match="cannot load"):
        kp.load(client, 3, "frames-bad")
    with pytest.raises((NotFoundError, pl.exceptions.ComputeError), match="frames-none"):
        kp.scan_transcripts(client, "frames-none").collect()


def test_the_documented_example_runs(
    server: Any, frame: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "scan_parquet" in block]
    frame.with_columns(
        response=pl.lit("Reading aloud slows the eye down to the speed of the voice. ") + pl.col("response")
    ).write_parquet(tmp_path / "answers.parquet")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    here = example.replace('"./data"', repr(server.address)).replace('"news"', '"documented"')
    exec(compile(here, "docs/client.md", "exec"), names)
    assert names["report"].created == 1200
    assert names["hits"]["query_id"].to_list() == ["q1"] * 3
    assert names["hits"]["containment_query"][0] == 1.0
    assert sorted(names["by_model"]["len"].to_list()) == [600, 600]
    assert pl.read_parquet(tmp_path / "pairs.parquet").height > 0
