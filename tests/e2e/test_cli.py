"""The command line on real files and a real server process: forms, exit codes, JSON, files, bad input."""

from __future__ import annotations

import json
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
    done = run(*arguments, **options)
    text = done.stderr
    assert done.exit_code == code, (text, done.stdout, done.exception)
    assert "Traceback" not in text
    assert text.strip()
    return text


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are not folded."""
    monkeypatch.setattr(terminal.out, "width", 200)


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
    assert list(found) == ["query", "coverage", "hits"]
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
    assert "kinprint load" in text
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
    assert "between 0.1 and 1" in refused("dedup", "--corpus", "news", "--data", data, "--threshold", "7")


def test_dedup_between_corpora(data: Path, files: Path, tmp_path: Path) -> None:
    ok("load", files / "rows.ndjson", "--corpus", "second", "--data", data)
    out = tmp_path / "pairs.ndjson"
    ok("dedup", "--corpus", "news", "--corpus", "second", "--data", data, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["corpus_b"] for row in rows} == {"news", "second"}
    ok("delete", "--corpus", "second", "--all", "--yes", "--data", data)


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
    assert "no file" in refused("compare", "nothing.txt", path, "--data", data)


def test_delete_and_purge(data: Path, files: Path) -> None:
    ok("load", files / "rows.ndjson", "--corpus", "brief", "--data", data)
    assert ok_json("delete", "--corpus", "brief", "--id", "bread", "--data", data)["deleted"] == 1
    assert run("delete", "--corpus", "brief", "--id", "bread", "--data", data).exit_code == 1
    assert ok_json("purge", "--corpus", "brief", "--id", "tides", "--data", data)["erased"] == 1
    refused("get", "--corpus", "brief", "--id", "tides", "--data", data)
    assert "--yes" in refused("delete", "--corpus", "brief", "--all", "--data", data)
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
    assert remote == local
    assert ok_json(*search, KINPRINT_SERVER=server.address)["hits"] == remote["hits"]


def test_semantic_over_the_command_line(server: Any, files: Path) -> None:
    load = ("load", files / "rows.ndjson", "--corpus", "meaning", "--server", server.address)
    assert ok_json(*load, "--channels", "copy")["created"] == 7
    report = ok_json(*load, "--channels", "semantic,style")
    assert report["filled"] + report["unchanged"] == 7
    found = ok_json("search", "--corpus", "meaning", "--server", server.address, "--text", BREAD, "--channel", "all")
    assert found["coverage"] == {"copy": 1.0, "semantic": 1.0, "style": 1.0}
    first = {hit["channel"]: hit["id"] for hit in found["hits"] if hit["rank"] == 1}
    assert first == {"copy": "bread", "semantic": "bread", "style": "bread"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--corpus", "news", "--text", "x"], "--data DIR"),
        (["search", "--corpus", "news", "--text", "x", "--data", ".", "--server", "h:1"], "not both"),
        (["search", "--corpus", "news", "--data", "/nowhere/at/all", "--text", "x"], "no data directory"),
        (["search", "--corpus", "news", "--server", "127.0.0.1:9", "--text", "x"], "127.0.0.1:9"),
        (["load", "none.csv", "--corpus", "news", "--data", "d"], "none.csv: no such file"),
        (["load", "none.csv", "--corpus", "news", "--data", "d", "--channels", "copy,smell"], "'smell'"),
    ],
)
def test_calls_that_cannot_work_say_why(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(*arguments)


def test_requests_that_cannot_work_say_why(data: Path, tmp_path: Path) -> None:
    base = ("search", "--corpus", "news", "--data", data)
    assert "give one of" in refused(*base)
    assert "give one of" in refused(*base, "--text", "x", "--id", "essay")
    assert "unexpected" in refused(*base, "words")
    assert "'smell'" in refused(*base, "--text", "x", "--channel", "smell")
    assert "--since" in refused(*base, "--text", "x", "--since", "soon")
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
    for name in ("serve", "load", "search", "compare", "dedup", "corpora", "get", "export", "delete", "purge"):
        assert f" {name} " in text
    assert " info " in text
    assert " model " in text
