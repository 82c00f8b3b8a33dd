"""The command line on real files and a real server process: forms, exit codes, JSON, files, bad input."""

from __future__ import annotations

import gzip
import json
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kinprint.client import connect
from kinprint.client.cli import terminal
from kinprint.client.cli.app import app
from typer.testing import CliRunner, Result

KINPRINT = [sys.executable, "-m", "kinprint.client.cli"]

ESSAY = (
    "Reading aloud slows the eye down to the speed of the voice, and at that speed mistakes that silent reading "
    "glides over become audible: a missing word, a sentence that never ends, a claim without support."
)
BREAD = (
    "Most dense bread is underproofed: the yeast had too little time to fill the dough with gas, so let it rise "
    "until it has almost doubled, whatever the clock says, and check that the yeast still foams in warm water."
)
TIDES = (
    "The moon pulls the near side of the ocean harder than the far side, so the water swells in two bulges, and "
    "the turning earth carries every harbour through both of them in little more than a day."
)


RUNNER = CliRunner()


def run(*arguments: object, data: bytes | None = None, **environment: str) -> Result:
    """Run a command in this process, as `kinprint` would."""
    return RUNNER.invoke(app, [*map(str, arguments)], input=data, env=environment)


def run_process(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*KINPRINT, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=240)


def ok(*arguments: object, **options: Any) -> str:
    done = run(*arguments, **options)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done.stdout


def ok_json(*arguments: object, **options: Any) -> Any:
    return json.loads(ok(*arguments, "--json", **options))


def refused(*arguments: object, code: int = 1, **options: Any) -> str:
    """What a command says that was called well and fails."""
    done = run(*arguments, **options)
    text = done.stderr
    assert done.exit_code == code, (text, done.stdout, done.exception)
    assert "Traceback" not in text
    assert text.strip()
    return text


def misused(*arguments: object) -> str:
    """What a command says that was called in a way that cannot work."""
    return refused(*arguments, code=2)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are not folded."""
    monkeypatch.setattr(terminal.out, "_width", 200)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    rows = [
        {"transcript_id": "essay", "model": "anna", "prompt_id": "p", "response": ESSAY, "language": "en"},
        {"transcript_id": "essay-again", "model": "bert", "prompt_id": "p", "response": ESSAY},
        {"transcript_id": "essay-third", "model": "dora", "response": ESSAY},
        {
            "transcript_id": "essay-edited",
            "model": "carl",
            "response": ESSAY.replace("audible", "plain to hear"),
            "created_at": "2026-03-01T12:00:00Z",
            "account_id": "k1",
            "topic": "reading",
        },
        {"transcript_id": "bread", "model": "anna", "response": BREAD},
        {"transcript_id": "tides", "model": "bert", "response": TIDES},
        {"transcript_id": "blank", "model": "bert", "response": ""},
    ]
    (folder / "rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pl.DataFrame(rows).write_parquet(folder / "rows.parquet")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, files: Path, session_cache: Path) -> Iterator[Path]:
    """A data directory with the rows, and a server that holds it, so that each command starts quickly."""
    directory = tmp_path_factory.mktemp("cli") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINPRINT_CACHE", str(session_cache))
        ok("load", files / "rows.ndjson", "--corpus", "news", "--data", directory, "--embedding-model", "none")
        holder = connect(directory, model="none")
    with holder:
        yield directory


def test_load_reports_what_it_did_and_again_changes_nothing(data: Path, files: Path) -> None:
    report = ok_json("load", files / "rows.parquet", "--corpus", "news", "--data", data)
    # The Parquet file has a null where a line lacks a key: the same transcripts.
    assert (report["rows"], report["unchanged"], report["stored"], report["failed"]) == (7, 7, 7, 0)
    assert report["blank"] == 1
    assert "7 unchanged" in ok("load", files / "rows.parquet", "--corpus", "news", "--data", data)


def test_search_json_has_the_promised_shape(data: Path) -> None:
    found = ok_json("search", "--corpus", "news", "--data", data, "--text", ESSAY[:120])
    assert list(found) == ["query", "coverage", "hits", "provenance"]
    assert found["coverage"] == {"copy": 1.0}
    hit = found["hits"][0]
    assert list(hit)[:7] == ["channel", "rank", "id", "corpus", "model", "score", "evidence"]
    assert (hit["channel"], hit["rank"], hit["corpus"]) == ("copy", 1, "news")
    assert [item["rank"] for item in found["hits"]] == list(range(1, len(found["hits"]) + 1))
    assert {item["id"] for item in found["hits"]} == {"essay", "essay-again", "essay-third", "essay-edited"}
    evidence = hit["evidence"]
    assert hit["score"] == pytest.approx(max(evidence["jaccard"], evidence["containment_query"]))
    span = evidence["spans"][0]
    assert ESSAY[span["match_start"] : span["match_end"]] == span["text"]
    assert ESSAY[:120][span["query_start"] : span["query_end"]] == span["text"]


def test_search_sources_agree(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "query.txt"
    path.write_text(ESSAY)

    def ids(*source: object, **options: Any) -> list[tuple[str, float]]:
        found = ok_json("search", "--corpus", "news", "--data", data, *source, **options)
        return [(hit["id"], hit["score"]) for hit in found["hits"]]

    by_text = ids("--text", ESSAY)
    assert ids("--file", path) == ids("-", data=ESSAY.encode()) == ids("--file", "-", data=ESSAY.encode()) == by_text
    by_id = ids("--id", "essay")
    assert by_id == [item for item in by_text if item[0] != "essay"]
    assert ids("--id", "news/essay") == by_id


def test_search_options(data: Path) -> None:
    base = ("search", "--corpus", "news", "--data", data, "--text", ESSAY)

    def ids(*options: object) -> list[str]:
        return [hit["id"] for hit in ok_json(*base, *options)["hits"]]

    assert len(ids("--top", "1")) == 1
    assert ids("--model", "carl") == ["essay-edited"]
    assert "essay-edited" not in ids("--not-model", "carl", "--not-model", "dora")
    assert ids("--account", "k1", "--since", "2026-03-01", "--until", "2026-04-01") == ["essay-edited"]
    assert ids("--until", "2026-03-01") == []
    everything = ok_json(*base, "--channel", "all", "--top", "2")
    assert everything["coverage"] == {"copy": 1.0, "semantic": 0.0, "style": 1.0}
    assert [hit["channel"] for hit in everything["hits"]] == ["copy", "copy", "style", "style"]


def test_search_for_people(data: Path) -> None:
    text = ok("search", "--corpus", "news", "--data", data, "--text", ESSAY, "--channel", "all")
    assert "essay-edited" in text
    assert "a lead, not an attribution" in text
    assert "code points in" in text
    assert "nothing found" in ok("search", "--corpus", "news", "--data", data, "--text", "entirely different words")


def test_a_channel_never_filled_fails_and_says_how_to_fill_it(data: Path) -> None:
    text = refused("search", "--corpus", "news", "--data", data, "--text", ESSAY, "--channel", "semantic")
    assert "kinprint fill" in text
    assert f"--data {data}" in text
    assert "semantic" in text


def test_search_out(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "hits.parquet"
    ok("search", "--corpus", "news", "--data", data, "--text", ESSAY, "--out", out)
    frame = pl.read_parquet(out)
    assert frame["id"].to_list()[:2] == ["essay", "essay-again"]
    assert json.loads(frame["evidence"][0])["identical"] is True


def test_dedup(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.parquet"
    ok("dedup", "--corpus", "news", "--data", data, "--threshold", "0.7", "--out", out)
    frame = pl.read_parquet(out)
    assert frame.columns == ["id_a", "id_b", "jaccard", "containment_a", "containment_b"]
    assert frame.select("id_a", "id_b").rows() == [
        ("essay", "essay-again"),
        ("essay", "essay-edited"),
        ("essay", "essay-third"),
    ]
    assert frame["jaccard"].min() >= 0.7
    totals = ok_json("dedup", "--corpus", "news", "--data", data, "--threshold", "0.7", "--expand")
    assert totals["pairs"] == 6
    empty = tmp_path / "none.csv"
    ok("dedup", "--corpus", "news", "--data", data, "--threshold", "0.99", "--out", empty)
    assert empty.read_text().splitlines()[0] == "id_a,id_b,jaccard,containment_a,containment_b"
    assert "essay-again" in ok("dedup", "--corpus", "news", "--data", data)
    assert "between 0.1 and 1" in misused("dedup", "--corpus", "news", "--data", data, "--threshold", "7")


def test_dedup_between_corpora(data: Path, files: Path, tmp_path: Path) -> None:
    ok("load", files / "rows.ndjson", "--corpus", "second", "--data", data)
    out = tmp_path / "pairs.ndjson"
    ok("dedup", "--corpus", "news", "--corpus", "second", "--data", data, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["corpus_b"] for row in rows} == {"news", "second"}
    ok("delete", "--corpus", "second", "--all", "--yes", "--data", data)


WRITTEN = ("parquet", "csv", "tsv", "ndjson")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a file that a command wrote; numbers and truths of CSV are read as such."""
    readers: dict[str, Any] = {
        ".parquet": pl.read_parquet,
        ".csv": pl.read_csv,
        ".tsv": lambda source: pl.read_csv(source, separator="\t"),
        ".ndjson": pl.read_ndjson,
    }
    return readers[path.suffix](path).to_dicts()  # type: ignore[no-any-return]


def test_dedup_exact_and_against(data: Path, files: Path, tmp_path: Path) -> None:
    ok("load", files / "rows.ndjson", "--corpus", "third", "--data", data)
    sketched, exact = tmp_path / "sketched.ndjson", tmp_path / "exact.ndjson"
    base = ("dedup", "--corpus", "news", "--data", data)
    ok(*base, "--out", sketched)
    totals = ok_json(*base, "--exact", "--out", exact)
    assert (totals["exact"], totals["expected_recall"], totals["out"]) == (True, 1.0, str(exact))
    assert rows_of(exact) == rows_of(sketched)
    found = []
    for suffix in WRITTEN:
        path = tmp_path / f"against.{suffix}"
        text = ok(*base, "--against", "third", "--out", path)
        assert f"written to {path}" in text
        found.append(rows_of(path))
    assert all(rows == found[0] for rows in found)
    assert {(row["corpus_a"], row["corpus_b"]) for row in found[0]} == {("news", "third")}
    assert [(row["id_a"], row["id_b"]) for row in found[0]] == [
        ("bread", "bread"),
        ("essay", "essay"),
        ("essay", "essay-edited"),
        ("essay-edited", "essay"),
        ("essay-edited", "essay-edited"),
        ("tides", "tides"),
    ]
    shown = ok(*base, "--against", "third")
    assert "news/bread" in shown
    assert "third/bread" in shown
    assert "6 pairs" in shown
    assert "both sides" in refused(*base, "--against", "news")
    assert "nowhere" in refused(*base, "--against", "nowhere")
    ok("delete", "--corpus", "third", "--all", "--yes", "--data", data)


def test_dedup_clusters_and_keep_first(data: Path, files: Path, tmp_path: Path) -> None:
    base = ("dedup", "--corpus", "news", "--data", data)
    for suffix in WRITTEN:
        path, kept = tmp_path / f"clusters.{suffix}", tmp_path / f"kept.{suffix}"
        assert "3 clusters" in ok(*base, "--clusters", "--out", path)
        assert [tuple(row.values()) for row in rows_of(path)] == [
            ("bread", "bread", True),
            ("essay", "essay", True),
            ("essay-again", "essay", False),
            ("essay-edited", "essay", False),
            ("essay-third", "essay", False),
            ("tides", "tides", True),
        ]
        text = ok(*base, "--keep-first", "--out", kept)
        assert "3 of 6 texts remain (not counting 1 blank): 3 are duplicates" in text
        assert rows_of(kept) == [{"id": name} for name in ("bread", "essay", "tides")]
    assert list(rows_of(tmp_path / "clusters.csv")[0]) == ["id", "cluster", "is_representative"]
    totals = ok_json(*base, "--clusters")
    assert (totals["clusters"], totals["rows"], totals["blank"], totals["out"]) == (3, 6, 1, None)
    assert (totals["link"], totals["largest_cluster"], totals["least_is_exact"]) == ("component", 4, True)
    kept_first = ok_json(*base, "--keep-first")
    # The pair that links the two clusters is compared again for who represents whom.
    assert kept_first == {**totals, "link": "star", "candidates": 2}
    # Without a file: what is a duplicate of what, and how to get the rest.
    for option, hint in (("--clusters", "--out clusters.parquet"), ("--keep-first", "--out kept.parquet")):
        text = ok(*base, option)
        assert "essay-again" in text
        assert hint in text
    ok("load", files / "rows.ndjson", "--corpus", "fourth", "--data", data)
    both = ("dedup", "--corpus", "fourth", "--corpus", "news", "--data", data)
    ok(*both, "--clusters", "--out", tmp_path / "both.parquet")
    frame = pl.read_parquet(tmp_path / "both.parquet")
    assert frame.columns == ["id", "cluster", "is_representative", "corpus", "cluster_corpus"]
    assert frame.filter("is_representative")["corpus"].unique().to_list() == ["fourth"]
    ok(*both, "--keep-first", "--out", tmp_path / "both.csv")
    assert [tuple(row.values()) for row in rows_of(tmp_path / "both.csv")] == [
        (name, "fourth") for name in ("bread", "essay", "tides")
    ]
    assert "fourth/essay" in ok(*both, "--clusters")
    ok("delete", "--corpus", "fourth", "--all", "--yes", "--data", data)


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ([], "--corpus NAME, or files", 2),
        (["{rows}", "--corpus", "news"], "not both", 2),
        (["{rows}", "--data", "d"], "without a server", 2),
        (["{rows}", "--server", "h:1"], "without a server", 2),
        (["--corpus", "news", "--clusters", "--keep-first"], "choose one", 2),
        (["--corpus", "news", "--link", "star"], "--link goes with --clusters and --keep-first", 2),
        (["--corpus", "news", "--clusters", "--against", "other"], "go with pairs", 2),
        (["{rows}", "--keep-first", "--expand"], "go with pairs", 2),
        (["--corpus", "news", "--data", "d", "--text", "response"], "columns of files", 2),
        (["--corpus", "news", "--data", "d", "--id", "id"], "columns of files", 2),
        (["{rows}", "--threshold", "nan"], "between 0.1 and 1", 2),
        (["none.csv"], "none.csv: no such file", 1),
        (["{rows}", "--against", "none.csv"], "none.csv: no such file", 1),
        (["{rows}", "--text", "output"], "no column 'output'; found: transcript_id, model", 2),
        (["{rows}", "--id", "key"], "no column 'key'", 2),
        (["{rows}", "--against", "{other}", "--text", "response"], "other.csv: no column 'response'; found: text", 2),
        (["{rows}", "{other}"], "other.csv: no column 'response'", 1),
        (["{rows}", "{rows}"], "has the id 'blank' in rows 6 and 13", 1),
        (["{rows}", "--text", "created_at", "--id", "model"], "has the id 'anna' in rows 0 and 4", 1),
        (["{cut}"], "cut.parquet: cannot be read", 1),
        (["{rows}", "--out", "pairs.txt"], "pairs.txt: write to .parquet", 2),
        (["{rows}", "--out", "nowhere/pairs.csv"], "there is no directory", 2),
        (["{nested}", "--keep-first", "--out", "kept.csv"], "column 'metadata' is List(String)", 2),
    ],
)
def test_dedup_that_cannot_work_says_why(
    files: Path, tmp_path: Path, arguments: list[str], message: str, code: int
) -> None:
    names = {"rows": files / "rows.ndjson", "other": tmp_path / "other.csv", "cut": tmp_path / "cut.parquet"}
    names["nested"] = tmp_path / "nested.parquet"
    names["other"].write_text("text\nwords\n")
    names["cut"].write_bytes((files / "rows.parquet").read_bytes()[:-30])
    pl.DataFrame({"response": [ESSAY], "metadata": [["a", "b"]]}).write_parquet(names["nested"])
    before = sorted(tmp_path.iterdir())
    assert message in refused("dedup", *(argument.format(**names) for argument in arguments), code=code)
    assert sorted(tmp_path.iterdir()) == before


def test_dedup_of_files_is_dedup_of_a_corpus(data: Path, files: Path, tmp_path: Path) -> None:
    first = pl.read_ndjson(files / "rows.ndjson")
    # A file of each kind, with other columns in another order.
    first.slice(0, 2).write_ndjson(tmp_path / "1.ndjson")
    first.slice(2, 2).select("response", "transcript_id").write_csv(tmp_path / "2.csv")
    first.slice(4, 1).write_csv(tmp_path / "3.tsv", separator="\t")
    first.slice(5).write_parquet(tmp_path / "4.parquet")
    parts = sorted(tmp_path.iterdir())
    for option in ((), ("--exact",), ("--expand",), ("--threshold", "0.3")):
        for suffix in WRITTEN:
            of_files, of_corpus = tmp_path / f"files.{suffix}", tmp_path / f"corpus.{suffix}"
            totals = ok_json("dedup", *parts, *option, "--out", of_files)
            same = ok_json("dedup", "--corpus", "news", "--data", data, *option, "--out", of_corpus)
            assert {**totals, "out": None} == {**same, "out": None}
            assert rows_of(of_files) == rows_of(of_corpus)
    shown = [ok("dedup", *source).splitlines() for source in (parts, ("--corpus", "news", "--data", data))]
    assert sorted(shown[0]) == sorted(shown[1])  # pairs of a corpus come in no set order
    of_files, of_corpus = tmp_path / "files.parquet", tmp_path / "corpus.parquet"
    ok("dedup", files / "rows.parquet", "--clusters", "--out", of_files)
    ok("dedup", "--corpus", "news", "--data", data, "--clusters", "--out", of_corpus)
    # A file keeps its order, and its blank rows.
    rows = [row for row in rows_of(of_files) if row["id"] != "blank"]
    assert sorted(rows, key=lambda row: str(row["id"])) == rows_of(of_corpus)
    assert "blank" in pl.read_parquet(of_files)["id"]
    assert ok_json("dedup", files / "rows.parquet", "--keep-first") == ok_json(
        "dedup", "--corpus", "news", "--data", data, "--keep-first"
    )
    assert ok("dedup", files / "rows.parquet", "--clusters").splitlines()[-1] == (
        "3 clusters at Jaccard 0.7 or more among 6 texts: 3 are duplicates of another; "
        "write all with --out clusters.parquet"
    )


def test_dedup_keeps_whole_rows_of_files(files: Path, tmp_path: Path) -> None:
    before = pl.read_parquet(files / "rows.parquet")
    expected = before.filter(pl.col("transcript_id").is_in(["essay", "bread", "tides", "blank"]))
    for suffix in ("parquet", "ndjson", "csv", "tsv"):
        path = tmp_path / f"kept.{suffix}"
        text = ok("dedup", files / "rows.parquet", "--keep-first", "--out", path)
        assert "3 of 6 texts remain (not counting 1 blank)" in text
        assert list(rows_of(path)[0]) == before.columns
        assert [row["transcript_id"] for row in rows_of(path)] == expected["transcript_id"].to_list()
    assert pl.read_parquet(tmp_path / "kept.parquet").equals(expected)
    # Values of CSV stay as they are written.
    (tmp_path / "in.csv").write_text(f"number,text\n007,{BREAD.split(',')[0]}\n1e3,{TIDES.split(',')[0]}\n")
    ok("dedup", tmp_path / "in.csv", "--text", "text", "--keep-first", "--out", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "in.csv").read_text()
    # The file that is read may be the one that is written.
    ok("dedup", tmp_path / "kept.parquet", "--keep-first", "--out", tmp_path / "kept.parquet")
    assert pl.read_parquet(tmp_path / "kept.parquet").equals(expected)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"kept.{suffix}" for suffix in ("parquet", "ndjson", "csv", "tsv")),
        "in.csv",
        "out.csv",
    }


CHATS = (
    ("first", [{"role": "user", "content": "What of tides?"}, {"role": "assistant", "content": TIDES}]),
    (
        "second",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "And bread?"},
            {"role": "assistant", "content": f"<think>What do they want?</think>{BREAD}"},
            {"role": "user", "content": "What of tides, then?"},
            {"role": "assistant", "content": TIDES + " So it is."},
        ],
    ),
    ("third", [{"role": "user", "content": "Bread!"}, {"role": "assistant", "content": BREAD}]),
)


def chats(path: Path) -> None:
    rows = [{"transcript_id": name, "model": "anna", "messages": messages} for name, messages in CHATS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("kind", ["chats", "two answers", "a pattern", "gzip"])
def test_dedup_prints_the_same_of_a_file_and_of_a_corpus(data: Path, tmp_path: Path, kind: str) -> None:
    """Shapes that loading knows, counts, reasoning that is no answer, and names that are no patterns."""
    path = tmp_path / {"gzip": "rows.ndjson.gz", "a pattern": "run[1].ndjson"}.get(kind, "rows.ndjson")
    if kind == "chats":
        chats(path)
    else:
        rows = [
            {"transcript_id": f"r{k}", "response": text} for k, text in enumerate((TIDES, f"<think>hm</think> {BREAD}"))
        ]
        if kind != "two answers":
            rows.append({"transcript_id": "again", "response": BREAD})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(lines.encode()) if kind == "gzip" else lines.encode())
    (tmp_path / "run1.ndjson").write_text(json.dumps({"transcript_id": "x", "response": "none of it"}) + "\n")
    corpus = f"same-{kind}".replace(" ", "-")
    ok("load", path, "--corpus", corpus, "--data", data)
    for options in ((), ("--expand",), ("--clusters",), ("--clusters", "--link", "star"), ("--keep-first",)):
        of_file = ok_json("dedup", path, *options)
        assert of_file == ok_json("dedup", "--corpus", corpus, "--data", data, *options)
        assert of_file["rows"] == (4 if kind == "chats" else 2 if kind == "two answers" else 3)
        if not options:
            assert len(of_file["found"]) == of_file["pairs"]
        shown = [ok("dedup", *source, *options) for source in ((path,), ("--corpus", corpus, "--data", data))]
        assert shown[0] == shown[1]
        assert f"{of_file['rows']} texts" in shown[0]
    pairs = [(row["id_a"], row["id_b"]) for row in ok_json("dedup", path)["found"]]
    assert pairs == {
        "chats": [("first#0", "second#1"), ("second#0", "third#0")],
        "two answers": [],
    }.get(kind, [("again", "r1")])
    for suffix in WRITTEN:
        kept = tmp_path / f"kept.{suffix}"
        ok("dedup", path, "--keep-first", "--out", kept)
        assert len(rows_of(kept)) == 2
    ok("delete", "--corpus", corpus, "--all", "--yes", "--data", data)


def test_dedup_warns_of_chains(tmp_path: Path) -> None:
    texts = [" ".join(f"w{k}" for k in range(8 * i, 8 * i + 60)) for i in range(6)]
    path = tmp_path / "chain.ndjson"
    path.write_text("".join(json.dumps({"transcript_id": str(i), "response": t}) + "\n" for i, t in enumerate(texts)))
    told = run("dedup", path, "--clusters").output
    assert "the largest cluster holds 6 texts" in told
    assert "--link star" in told
    made = ok_json("dedup", path, "--keep-first")
    assert (made["link"], made["clusters"], made["largest_cluster"], made["least_is_exact"]) == ("star", 3, 2, True)
    assert [row["cluster"] for row in made["found"]] == ["0", "0", "2", "2", "4", "4"]


def test_dedup_of_files_numbers_rows_without_ids(files: Path, tmp_path: Path) -> None:
    before = pl.read_parquet(files / "rows.parquet").select(answer="response")
    before.write_parquet(tmp_path / "rows.parquet")
    ok("dedup", tmp_path / "rows.parquet", "--text", "answer", "--out", tmp_path / "pairs.csv")
    assert [(row["id_a"], row["id_b"]) for row in rows_of(tmp_path / "pairs.csv")] == [(0, 1), (0, 2), (0, 3)]
    # Against another file: ids are of each.
    before.slice(4).write_csv(tmp_path / "other.csv")
    base = ("dedup", tmp_path / "rows.parquet", "--text", "answer", "--against", tmp_path / "other.csv")
    ok(*base, "--out", tmp_path / "pairs.ndjson")
    assert [(row["id_a"], row["id_b"]) for row in rows_of(tmp_path / "pairs.ndjson")] == [(4, 0), (5, 1)]
    assert "2 pairs" in ok(*base)


def overlap_rows(path: Path) -> None:
    rows = [
        {"transcript_id": "inside", "model": "eve", "response": f"So they say: {TIDES} Or so I read."},
        {"transcript_id": "other", "model": "eve", "response": "Nothing of this stands anywhere else at all, I hope."},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_overlap_of_files_is_overlap_of_corpora(data: Path, files: Path, tmp_path: Path) -> None:
    path, chat = tmp_path / "run[1].ndjson", tmp_path / "chats.ndjson"
    overlap_rows(path)
    chats(chat)
    ok("load", path, "--corpus", "sixth", "--data", data)
    ok("load", chat, "--corpus", "chats", "--data", data)
    of_files = {"news": files / "rows.ndjson", "sixth": path, "chats": chat}
    for a, b, *options in (
        ("sixth", "news"),
        ("sixth", "chats"),
        ("chats", "news", "--every"),
        ("news", "news"),
        ("news", "news", "--model", "anna", "--against-model", "carl"),
        ("news", "news", "--model", "anna"),
        ("sixth", "news", "--against-model", "bert"),
        ("chats", "chats", "--model", "nobody"),
    ):
        found = ok_json("overlap", of_files[a], "--against", of_files[b], *options)
        same = ok_json("overlap", "--corpus", a, "--against", b, "--data", data, *options)
        for row in same["top"]:
            del row["corpus_a"], row["corpus_b"]
        key = operator.itemgetter("id_a", "id_b", "start_a")
        assert sorted(found.pop("top"), key=key) == sorted(same.pop("top"), key=key)
        assert found == same
    assert ok_json("overlap", of_files["news"]) == ok_json("overlap", of_files["news"], "--against", of_files["news"])
    for suffix in WRITTEN:
        out = tmp_path / f"out.{suffix}"
        assert "1 of 2 answers" in ok("overlap", path, "--against", of_files["news"], "--out", out)
        (row,) = rows_of(out)
        assert (row["id_a"], row["id_b"], row["length"]) == ("inside", "tides", len(TIDES.rstrip(".")))
    assert "not both" in misused("overlap", path, "--corpus", "news")
    assert "without a server" in misused("overlap", path, "--data", data)
    assert "say what to compare" in refused("overlap", "--corpus", "news", "--data", data, code=2)
    assert "columns of files" in misused("overlap", "--corpus", "news", "--against", "news", "--text", "response")
    for name in ("sixth", "chats"):
        ok("delete", "--corpus", name, "--all", "--yes", "--data", data)


def test_overlap(data: Path, tmp_path: Path) -> None:
    overlap_rows(tmp_path / "rows.ndjson")
    ok("load", tmp_path / "rows.ndjson", "--corpus", "fifth", "--data", data)
    base = ("overlap", "--corpus", "fifth", "--against", "news", "--data", data)
    found = []
    for suffix in WRITTEN:
        path = tmp_path / f"spans.{suffix}"
        text = ok(*base, "--out", path)
        assert "1 spans: 1 of 2 answers share one with 6 others" in text
        assert f"written to {path}" in text
        # NDJSON leaves out what is null.
        found.append([{**row, "mark": row.get("mark")} for row in rows_of(path)])
    assert all(rows == found[0] for rows in found)
    assert pl.read_parquet(tmp_path / "spans.parquet").columns == [
        "id_a",
        "id_b",
        "start_a",
        "end_a",
        "start_b",
        "end_b",
        "length",
        "tokens",
        "bits",
        "texts",
        "mark",
        "differences",
        "others_with",
        "others",
        "prompt_others_with",
        "prompt_others",
        "corpus_a",
        "corpus_b",
    ]
    (row,) = found[0]
    assert (row["id_a"], row["corpus_a"], row["id_b"], row["corpus_b"]) == ("inside", "fifth", "tides", "news")
    stretch = TIDES.removesuffix(".")
    assert (row["start_a"], row["end_a"]) == (13, 13 + len(stretch))
    assert (row["start_b"], row["end_b"], row["length"]) == (0, len(stretch), len(stretch))
    assert (row["tokens"], row["texts"], row["mark"]) == (len(TIDES.split()), 1, None)
    assert row["differences"] == "identical"
    summary = ok_json(*base)
    assert (summary["spans"], summary["texts"], summary["texts_with_spans"], summary["against"]) == (1, 2, 1, 6)
    assert summary["top"] == [{**row, "text": stretch}]
    text = ok(*base)
    assert "fifth/inside" in text
    assert "news/tides" in text
    assert TIDES[:60] in text
    # Options.
    assert ok_json(*base, "--min-tokens", "200")["spans"] == 0
    assert ok_json(*base, "--min-bits", "99")["spans"] == 0
    assert ok_json(*base, "--model", "nobody")["texts"] == 0
    assert ok_json(*base, "--against-model", "bert")["against"] == 2
    itself = ("overlap", "--corpus", "news", "--against", "news", "--data", data)
    once, every = ok_json(*itself), ok_json(*itself, "--every")
    assert once["texts_with_spans"] == every["texts_with_spans"] == 4
    assert every["spans"] > once["spans"]
    assert ok_json(*itself, "--model", "carl", "--unmarked")["against"] == 5
    assert "essay-again" in ok(*itself)
    # What cannot work.
    assert "--against" in refused("overlap", "--corpus", "news", "--data", data, code=2)
    assert "nowhere" in refused("overlap", "--corpus", "news", "--against", "nowhere", "--data", data)
    assert "both sides" in refused(*base, "--against", "fifth")
    assert "--min-tokens" in refused(*base, "--min-tokens", "0", code=2)
    assert "min_bits" in refused(*base, "--min-bits", "nan")
    assert "write to .parquet" in misused(*base, "--out", tmp_path / "spans.txt")
    before = sorted(tmp_path.iterdir())
    refused(*base, "--against", "fifth", "--out", tmp_path / "never.parquet")
    assert sorted(tmp_path.iterdir()) == before
    ok("delete", "--corpus", "fifth", "--all", "--yes", "--data", data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["--keep-first", "--clusters", "--exact"])
def test_an_interrupted_dedup_of_a_file_leaves_none(tmp_path: Path, kind: str) -> None:
    numbers = pl.Series(range(300_000)).cast(pl.String)
    frame = pl.DataFrame({"response": pl.select(pl.lit(BREAD) + " " + numbers + " " + numbers.reverse()).to_series()})
    frame.write_parquet(tmp_path / "rows.parquet")
    command = [*KINPRINT, "dedup", str(tmp_path / "rows.parquet"), kind, "--out", str(tmp_path / "out.parquet")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 200
    while running.poll() is None and time.monotonic() < deadline and len(list(tmp_path.iterdir())) == 1:
        time.sleep(0.01)
    time.sleep(1.0)
    assert running.poll() is None, running.communicate()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130, err.decode()
    assert err.decode().splitlines()[-1] == "interrupted"
    assert b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("dedup", "--expand"), ("overlap", "--against", "big", "--every")])
def test_an_interrupted_search_leaves_no_file(data: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    rows = pl.DataFrame({"response": [f"{BREAD} {TIDES} {number % 3}" for number in range(1500)]})
    rows.with_columns(transcript_id=pl.int_range(pl.len()).cast(pl.String)).write_parquet(tmp_path / "rows.parquet")
    ok("load", tmp_path / "rows.parquet", "--corpus", "big", "--data", data)
    command = [*KINPRINT, *arguments, "--corpus", "big", "--data", str(data), "--out", str(tmp_path / "out.ndjson")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # The first rows are there, and the rest takes seconds: the blow falls in the middle of the writing.
    deadline = time.monotonic() + 200
    while running.poll() is None and time.monotonic() < deadline and len(list(tmp_path.iterdir())) == 1:
        time.sleep(0.001)
    assert running.poll() is None, running.communicate()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130, err.decode()
    assert err.decode().splitlines()[-1] == "interrupted"
    assert b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize("suffix", ["parquet", "ndjson"])
def test_export_and_load_keep_everything(data: Path, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    ok("export", "--corpus", "news", "--data", data, "--out", first)
    name = f"copy-{suffix}"
    ok("load", first, "--corpus", name, "--data", data)
    ok("export", "--corpus", name, "--data", data, "--out", second)
    with connect(data) as client:
        left, right = ({row.id: row for row in client.list(corpus)} for corpus in ("news", name))
    assert left == right
    assert ok_json("load", second, "--corpus", name, "--data", data)["unchanged"] == 7


def test_get_corpora_info(data: Path) -> None:
    row = ok_json("get", "--corpus", "news", "--data", data, "--id", "essay-edited")
    assert (row["id"], row["metadata"], row["created_at"]) == (
        "essay-edited",
        {"topic": "reading"},
        "2026-03-01T12:00:00Z",
    )
    assert ESSAY in ok("get", "--corpus", "news", "--data", data, "--id", "essay")
    listed = ok_json("corpora", "--data", data)["corpora"]
    assert next(item for item in listed if item["name"] == "news")["transcripts"] == 7
    assert ok_json("corpora", "news", "--data", data)["models"][0]["count"] >= 2
    assert "news" in ok("corpora", "--data", data)
    info = ok_json("info", "--data", data)
    assert info["address"].startswith("unix:")
    assert "Kinprint" in ok("info", "--data", data)


def test_compare(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(ESSAY)
    found = ok_json("compare", path, "id:news/essay-edited", "--data", data)
    assert found["copy"]["jaccard"] > 0.7
    assert ok_json("compare", "text:a b c", "id:bread", "--corpus", "news", "--data", data)["copy"]["jaccard"] == 0
    assert "the same text" in ok("compare", path, "id:news/essay", "--data", data)
    assert "no file" in misused("compare", "nothing.txt", path, "--data", data)


def test_delete_and_purge(data: Path, files: Path) -> None:
    ok("load", files / "rows.ndjson", "--corpus", "brief", "--data", data)
    assert ok_json("delete", "--corpus", "brief", "--id", "bread", "--data", data)["deleted"] == 1
    assert run("delete", "--corpus", "brief", "--id", "bread", "--data", data).exit_code == 1
    assert ok_json("purge", "--corpus", "brief", "--id", "tides", "--data", data)["erased"] == 1
    refused("get", "--corpus", "brief", "--id", "tides", "--data", data)
    assert "--yes" in misused("delete", "--corpus", "brief", "--all", "--data", data)
    assert ok_json("delete", "--corpus", "brief", "--all", "--yes", "--data", data)["deleted"] == 5
    assert "brief" in refused("corpora", "brief", "--data", data)


def test_server_and_data_give_the_same(server: Any, data: Path, files: Path) -> None:
    ok("load", files / "rows.ndjson", "--corpus", "news", "--server", server.address)
    search = ("search", "--corpus", "news", "--text", ESSAY, "--channel", "copy")
    remote, local = (
        ok_json(*search, "--server", server.address),
        ok_json(*search, KINPRINT_DATA=str(data)),
    )
    for found in (remote, local):
        del found["query"]["seconds"]
        for state in found["provenance"][0]["corpora"]:  # each directory has a record of its own
            assert state.pop("record_version") > 0
            assert len(state.pop("record_entry")) == 64
            state.pop("table_digest")  # named once the fast tier's table is there, which is made in the background
    assert remote == local
    assert ok_json(*search, KINPRINT_SERVER=server.address)["hits"] == remote["hits"]


def test_semantic_over_the_command_line(server: Any, files: Path) -> None:
    load = ("load", files / "rows.ndjson", "--corpus", "meaning", "--server", server.address)
    assert ok_json(*load, "--channels", "copy")["created"] == 7
    report = ok_json(*load, "--channels", "semantic,style")
    assert report["filled"] + report["unchanged"] == 7
    found = ok_json("search", "--corpus", "meaning", "--server", server.address, "--text", BREAD, "--channel", "all")
    assert 0.0 <= found["coverage"].pop("semantic_fast") <= 1.0
    assert found["coverage"] == {"copy": 1.0, "semantic": 1.0, "style": 1.0}
    first = {hit["channel"]: hit["id"] for hit in found["hits"] if hit["rank"] == 1}
    assert first == {"copy": "bread", "semantic": "bread", "style": "bread"}


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["search", "--corpus", "news", "--text", "x"], "--data DIR", 2),
        (["search", "--corpus", "news", "--text", "x", "--data", ".", "--server", "h:1"], "not both", 2),
        (["search", "--corpus", "news", "--data", "/nowhere/at/all", "--text", "x"], "no data directory", 1),
        (["search", "--corpus", "news", "--server", "127.0.0.1:9", "--text", "x"], "127.0.0.1:9", 1),
        (["load", "none.csv", "--corpus", "news", "--data", "d"], "none.csv: no such file", 1),
        (["load", "none.csv", "--corpus", "news", "--data", "d", "--channels", "copy,smell"], "'smell'", 2),
    ],
)
def test_calls_that_cannot_work_say_why(tmp_path: Path, arguments: list[str], message: str, code: int) -> None:
    assert message in refused(*arguments, code=code)


def test_requests_that_cannot_work_say_why(data: Path, tmp_path: Path) -> None:
    base = ("search", "--corpus", "news", "--data", data)
    assert "give one of" in misused(*base)
    assert "give one of" in misused(*base, "--text", "x", "--id", "essay")
    assert "unexpected" in misused(*base, "words")
    assert "'smell'" in misused(*base, "--text", "x", "--channel", "smell")
    assert "--since" in misused(*base, "--text", "x", "--since", "soon")
    assert "essay-none" in refused(*base, "--id", "essay-none")
    assert "nothing-here" in refused("search", "--corpus", "nothing-here", "--data", data, "--text", "x")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"abc\xff")
    assert "offset 3" in refused(*base, "--file", bad)
    assert "surrogate" in refused(*base, "--text", os.fsdecode(b"abc\xff"))
    refused(*base, "--text", "   ")
    assert "--top" in refused(*base, "--text", "x", "--top", "many", code=2)
    long = tmp_path / "long.txt"
    long.write_text("word " * 2_000_000)
    assert "1048576" in refused(*base, "--file", long).replace(",", "").replace("_", "")


def test_bad_rows_are_counted_and_named(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "mixed.ndjson"
    lines = [
        json.dumps({"response": "fine one, with enough words to be a text"}).encode(),
        b'{"response": "bad \xff byte"}',
        b'{"response": "lone \\ud800 surrogate"}',
        b'{"response": "cut',
        b'{"response": null}',
        b'{"response": 3}',
        json.dumps({"response": "x" * 10_000_000}).encode(),
        json.dumps({"response": "nul \0 is kept", "transcript_id": "nul"}).encode(),
        json.dumps({"response": "混合 mixed письмо", "transcript_id": "mixed"}).encode(),
        json.dumps({"response": "first", "transcript_id": "twice"}).encode(),
        json.dumps({"response": "second", "transcript_id": "twice"}).encode(),
    ]
    path.write_bytes(b"\n".join(lines))
    done = run("load", path, "--corpus", "mixed", "--data", data, "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["reasons"] == {
        "invalid_utf8": 2,
        "invalid_json": 1,
        "missing_response": 1,
        "response_not_text": 1,
        "text_too_long": 1,
    }
    assert (report["stored"], report["failed"], report["repeated_ids"]) == (5, 6, 1)
    text = done.stderr
    assert "6 rows skipped" in text
    assert f"{path}:2" in text
    assert run("load", path, "--corpus", "mixed", "--data", data, "--strict").exit_code == 1
    with connect(data) as client:
        assert client.get("mixed", "nul").response == "nul \0 is kept"
        assert client.get("mixed", "twice").response == "second"


def test_files_that_cannot_be_read_end_the_load_and_keep_the_rest(data: Path, files: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.parquet"
    cut.write_bytes((files / "rows.parquet").read_bytes()[:-30])
    text = refused("load", files / "rows.ndjson", cut, "--corpus", "kept", "--data", data)
    assert "cut.parquet" in text
    assert ok_json("corpora", "kept", "--data", data)["transcripts"] == 7
    columns = tmp_path / "columns.csv"
    columns.write_text("prompt,output\na,b\n")
    text = refused("load", columns, "--corpus", "kept", "--data", data)
    assert "columns.csv" in text
    assert "--rename output=response" in text
    assert "1 new" in ok("load", columns, "--corpus", "kept", "--data", data, "--rename", "output=response")


def test_a_load_of_a_directory_tells_what_each_file_gave(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    (folder / "model=kite").mkdir(parents=True)
    pl.DataFrame({"response": [ESSAY, BREAD]}).write_parquet(folder / "model=kite/0.parquet")
    (folder / "rows.json").write_text(json.dumps([{"response": TIDES}, {"response": 7}, {"response": "\ud800"}]))
    (folder / "rows.csv").write_text(f',response\n0,"{BREAD} from a table"\n1,"{TIDES}\n2,"{ESSAY} from a table"\n')
    (folder / "README.md").write_text("Answers about bread and tides.")
    done = run("load", folder, "--corpus", "kinds", "--data", data)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert f"  {folder}/model=kite/0.parquet: 2 rows" in lines
    assert f"  {folder}/rows.json: 3 rows, 2 skipped" in lines
    assert f"  {folder}/rows.csv: 3 rows, 1 skipped" in lines
    assert f"note: {folder}: passed over what holds no rows: README.md" in done.stderr
    assert f"note: {folder}/rows.csv: its first column, an index without a name, is left out" in done.stderr
    report = ok_json("load", folder, "--corpus", "kinds", "--data", data)
    assert [(Path(item["file"]).name, item["rows"], item["skipped"]) for item in report["files"]] == [
        ("0.parquet", 2, 0),
        ("rows.csv", 3, 1),
        ("rows.json", 3, 2),
    ]
    assert len(report["notes"]) == 2
    assert ok_json("corpora", "kinds", "--data", data)["transcripts"] == 5


def test_load_takes_what_comes_through_a_pipe(data: Path) -> None:
    text = f"response;model\n{TIDES};Müller\n".encode("latin-1")
    arguments = ("load", "-", "--corpus", "piped", "--data", data)
    assert "standard input:1" in run(*arguments, data=text).stderr
    assert "1 new" in ok(*arguments, "--encoding", "latin-1", data=text)
    assert "unknown encoding" in refused(*arguments, "--encoding", "latin-17", data=text)


def test_dedup_reads_what_load_reads(tmp_path: Path) -> None:
    array, table, other = tmp_path / "run[1].json", tmp_path / "run[1].csv", tmp_path / "run1.csv"
    array.write_text(
        json.dumps([{"transcript_id": "a", "response": ESSAY}, 5, {"transcript_id": "b", "response": BREAD}])
    )
    table.write_text(f'transcript_id;response\nc;"{ESSAY}"\nd;"{TIDES}"\n')
    other.write_text("transcript_id,response\n")
    done = run("dedup", array, table, "--json")
    assert (done.exit_code, json.loads(done.stdout)["rows"], json.loads(done.stdout)["pairs"]) == (0, 4, 1)
    assert "1 row cannot be read and is left out" in done.stderr
    assert f"{array}:2" in done.stderr
    assert "divided by ';'" in done.stderr


def test_a_reader_that_goes_away_is_no_failure(data: Path) -> None:
    command = [*KINPRINT, "search", "--corpus", "news", "--data", str(data), "--text", ESSAY, "--json"]
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    assert reader.stdin is not None
    writer = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, timeout=60)
    assert writer.stderr == b""
    reader.stdin.close()


def many_rows(path: Path, count: int) -> None:
    with path.open("w") as stream:
        for number in range(count):
            text = f"Answer number {number}. {BREAD if number % 2 else TIDES} It ends with {number * 7}."
            stream.write(json.dumps({"response": text, "language": "en"}) + "\n")


def rows_in(directory: Path, corpus: str) -> int:
    with connect(directory, model="none") as client:
        return client.get_corpus(corpus).transcripts


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_load_goes_on_where_it_stopped(tmp_path: Path, number: signal.Signals) -> None:
    path, directory, count = tmp_path / "many.ndjson", tmp_path / "data", 20_000
    many_rows(path, count)
    command = [*KINPRINT, "load", str(path), "--corpus", "c", "--data", str(directory), "--embedding-model", "none"]
    loading = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Wait until the record of the corpus grows, so that the blow falls in the middle of the load.
    deadline = time.monotonic() + 200
    while loading.poll() is None and time.monotonic() < deadline:
        if sum(1 for _ in directory.rglob("*.parquet")) >= 2:
            break
        time.sleep(0.01)
    loading.send_signal(number)
    out, err = loading.communicate(timeout=120)
    if number == signal.SIGINT:
        assert loading.returncode == 130, err.decode()
        assert "goes on from there" in err.decode()
    else:
        assert loading.returncode == -signal.SIGKILL
    before = rows_in(directory, "c")
    assert 0 < before < count, out.decode()
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["unchanged"] == before
    assert report["created"] == count - before
    assert rows_in(directory, "c") == count


def test_the_command_as_a_process(data: Path) -> None:
    done = run_process("search", "--corpus", "news", "--data", data, "--text", ESSAY, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["hits"][0]["id"] == "essay"
    done = run_process("search", "--corpus", "none", "--data", data, "--text", ESSAY)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Traceback" not in done.stderr


def test_help_lists_every_command() -> None:
    text = ok("--help")
    for name in (
        "serve",
        "load",
        "search",
        "compare",
        "dedup",
        "overlap",
        "corpora",
        "get",
        "export",
        "delete",
        "purge",
        "jobs",
        "stop",
    ):
        assert f" {name} " in text
    assert " info " in text
    assert " model " in text
