"""`kinprint fill` and `model distil` in words, and the rows of corpora, on a client that answers as told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kinprint.client import (
    CorpusInfo,
    Coverage,
    DistilReport,
    DuplicatesProgress,
    Fill,
    ModelComparison,
    ModelQuality,
    SemanticIndex,
)
from kinprint.client.cli import corpora, fill, model, terminal
from kinprint.client.cli.app import app
from typer.testing import CliRunner

RUNNER = CliRunner()
FILL = Fill(
    corpus="news",
    state="running",
    accurate=Coverage("semantic", 250, 1000, 0.25, "accurate"),
    fast=Coverage("semantic", 1000, 1000, 1.0, "fast"),
    rows_per_second=2.5,
    seconds_left=300.0,
    most_rows_per_second=0.0,
    problem="",
)
COMPLETE = replace(
    FILL,
    state="complete",
    accurate=Coverage("semantic", 1000, 1000, 1.0, "accurate"),
    rows_per_second=0.0,
    seconds_left=None,
)
CORPUS = CorpusInfo(
    name="news",
    description="",
    created_at=None,
    transcripts=1001,
    blank=1,
    coverage=(Coverage("copy", 1000, 1000, 1.0), Coverage("semantic", 250, 1000, 0.25, "accurate")),
    models=(),
    languages=(),
    record_version=1,
    disk_bytes=1,
    coverage_fast=FILL.fast,
    semantic=SemanticIndex("ab" * 16, "e5 table", "cd" * 16, 800, 0, 0.987, None, 50_000),
)
REPORT = DistilReport("ef" * 16, 40_000, 2_000, 0.5, 0.75, None, 0.99)


class Client:
    """Answers with what is left of `fills`, the last one again and again; notes what it was asked."""

    def __init__(self, *fills: Fill) -> None:
        self.fills = list(fills)
        self.asked: list[Any] = []

    def _next(self) -> Fill:
        return self.fills.pop(0) if len(self.fills) > 1 else self.fills[0]

    def start_fill(self, corpus: str, *, most_rows_per_second: float, model: str | None) -> Fill:
        self.asked.append(("start", corpus, most_rows_per_second, model))
        return self._next()

    def compare_models(self, corpus: str, *, queries: int) -> ModelComparison:
        self.asked.append(("compare", corpus, queries))
        return ModelComparison(
            ModelQuality("ab" * 16, 1000, 0.9, None), ModelQuality("cd" * 16, 900, 0.95, 0.25), 50, 0.625
        )

    def switch_model(self, corpus: str) -> Fill:
        self.asked.append(("switch", corpus))
        return self._next()

    def drop_model(self, corpus: str) -> Fill:
        self.asked.append(("drop", corpus))
        return self._next()

    def pause_fill(self, corpus: str) -> Fill:
        self.asked.append(("pause", corpus))
        return self._next()

    def get_fill(self, corpus: str) -> Fill:
        self.asked.append(("get", corpus))
        found = self._next()
        if found.problem == "interrupt":
            raise KeyboardInterrupt
        return found

    def get_corpus(self, name: str) -> CorpusInfo:
        return CORPUS

    def list_corpora(self) -> list[CorpusInfo]:
        return [CORPUS]

    def distil(self, corpus: str, *, sentences: int, progress: Any) -> DistilReport:
        self.asked.append(("distil", corpus, sentences))
        progress(DuplicatesProgress("embedding", 0.5))
        return REPORT


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have commands talk to a client that gives these, one after the other."""
    monkeypatch.setattr(terminal.out, "_width", 200)
    monkeypatch.setattr(fill, "_POLL", 0.0)

    def prepare(*fills: Fill) -> Client:
        client = Client(*fills)

        @contextmanager
        def opened(*_: Any, **options: Any) -> Iterator[Client]:
            client.asked.append(options)
            yield client

        for module in (fill, model, corpora):
            monkeypatch.setattr(module, "open_client", opened)
        return client

    return prepare


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    done = RUNNER.invoke(app, [*arguments, "--server", "host:1"])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done.stdout, done.stderr


def test_to_fill_is_to_start_and_to_say_how_to_look(answer: Any) -> None:
    client = answer(FILL)
    out, _ = run("fill", "--corpus", "news", "--rate", "20")
    assert client.asked == [{"embedding_model": "default"}, ("start", "news", 20.0, None)]
    assert out.count("\n") == 1
    assert "250 of 1,000 rows (25%), filling at 2.5 rows/s, 5 min left" in out
    assert "kinprint fill --corpus news --server host:1 --status" in out


def test_a_server_that_ends_with_the_command_is_not_said_to_go_on(
    answer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(FILL)
    done = RUNNER.invoke(app, ["fill", "--corpus", "news", "--data", str(tmp_path), "--linger", "0"])
    assert "whenever a server holds the directory" in done.stdout
    done = RUNNER.invoke(app, ["fill", "--corpus", "news", "--data", str(tmp_path), "--linger", "5m"])
    assert f"--data {tmp_path} --status" in done.stdout


def test_status_and_pause_start_nothing_and_need_no_model(answer: Any) -> None:
    client = answer(replace(FILL, state="paused", rows_per_second=0.0, seconds_left=None, problem="a word"))
    out, _ = run("fill", "--corpus", "news", "--status")
    assert client.asked == [{"embedding_model": None}, ("get", "news")]
    assert [line.strip() for line in out.splitlines()] == [
        "news: accurate tier 250 of 1,000 rows (25%), paused",
        "fast tier 1,000 of 1,000 rows (100%)",
        "a word",
    ]
    out, _ = run("fill", "--corpus", "news", "--pause")
    assert client.asked[-2:] == [{"embedding_model": None}, ("pause", "news")]


def test_the_json_has_both_tiers_and_the_coverage_of_searches(answer: Any) -> None:
    answer(FILL)
    for option in ((), ("--status",), ("--pause",)):
        told = json.loads(run("fill", "--corpus", "news", "--json", *option)[0])
        assert told["coverage"] == {"semantic": 0.25, "semantic_fast": 1.0}
        assert (told["state"], told["accurate"]["filled"], told["fast"]["filled"]) == ("running", 250, 1000)
        assert (told["rows_per_second"], told["seconds_left"]) == (2.5, 300.0)


def test_to_wait_ends_when_every_row_is_filled(answer: Any) -> None:
    client = answer(replace(FILL, state="waiting"), FILL, FILL, COMPLETE)
    out, _ = run("fill", "--corpus", "news", "--wait")
    assert [item[0] for item in client.asked[1:]] == ["start", "get", "get", "get"]
    assert "every row is filled, 1,000 of 1,000 rows" in out


def test_there_is_nothing_to_wait_for_in_a_corpus_without_answers(answer: Any) -> None:
    answer(replace(FILL, state="waiting", accurate=Coverage("semantic", 0, 0, 1.0, "accurate")))
    assert "0 of 0 rows" in run("fill", "--corpus", "news", "--wait")[0]


@pytest.mark.parametrize(("state", "words"), [("failed", "no room"), ("paused", "paused meanwhile")])
def test_to_wait_for_what_stops_is_a_failure(answer: Any, state: Any, words: str) -> None:
    answer(FILL, replace(FILL, state=state, problem="no room"))
    assert words in run("fill", "--corpus", "news", "--wait", code=1)[1]


def test_ctrl_c_leaves_it_going(answer: Any) -> None:
    client = answer(FILL, replace(FILL, problem="interrupt"))
    _, told = run("fill", "--corpus", "news", "--wait", code=130)
    assert "interrupted: 250 of 1,000 rows are filled; it goes on behind; kinprint fill" in told
    assert "pause" not in [item[0] for item in client.asked[1:]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fill", "--wait", "--pause"), "--wait and --pause"),
        (("fill", "--pause", "--status"), "--pause and --status"),
        (("fill", "--status", "--rate", "5"), "--rate goes with starting"),
        (("fill", "--pause", "--second", "default"), "--second goes with starting"),
        (("search", "--text", "x", "--tier", "fast"), "--channel semantic"),
        (("search", "--text", "x", "--channel", "semantic", "--tier", "quick"), "known: auto, fast, accurate"),
    ],
)
def test_options_that_do_not_go_together(answer: Any, arguments: tuple[str, ...], words: str) -> None:
    client = answer(FILL)
    assert words in run(*arguments, "--corpus", "news", code=2)[1]
    assert client.asked == []


@pytest.mark.parametrize(
    "arguments", [("fill", "--rate", "-1"), ("fill", "--rate", "fast"), ("model", "distil", "--sentences", "999")]
)
def test_numbers_that_are_none_are_wrong_usage(answer: Any, arguments: tuple[str, ...]) -> None:
    client = answer(FILL)
    run(*arguments, "--corpus", "news", code=2)
    assert client.asked == []


def test_a_fit_prints_what_it_is_worth(answer: Any) -> None:
    client = answer()
    out, _ = run("model", "distil", "--corpus", "news", "--sentences", "2000")
    assert client.asked == [{"embedding_model": "default"}, ("distil", "news", 2000)]
    for words in ("40,000 sentences", "held out: 2,000", "0.500", "0.750", "0.990", "efefefefefef"):
        assert words in out
    assert json.loads(run("model", "distil", "--corpus", "news", "--json")[0])["recall_after"] == 0.99
    assert client.asked[-1] == ("distil", "news", 0)


def test_a_second_model_is_filled_compared_and_takes_over(answer: Any, tmp_path: Path) -> None:
    client = answer(replace(FILL, second_model="cd" * 16, second_filled=900))
    run("fill", "--corpus", "news", "--second", "default")
    run("fill", "--corpus", "news", "--second", str(tmp_path))
    assert client.asked == [
        {"embedding_model": None},
        ("start", "news", 0.0, "default"),
        {"embedding_model": None},
        ("start", "news", 0.0, str(tmp_path)),
    ]
    assert "second model cdcdcdcdcdcd: 900 rows" in run("fill", "--corpus", "news", "--status")[0]
    text = run("model", "compare", "--corpus", "news", "--queries", "50")[0]
    assert client.asked[-1] == ("compare", "news", 50)
    for words in ("50 queries", "abababababab", "cdcdcdcdcdcd", "0.900", "0.950", "0.250", "62.5%"):
        assert words in text
    told = json.loads(run("model", "compare", "--corpus", "news", "--json")[0])
    assert (told["agreement"], told["second"]["same_prompt_share"]) == (0.625, 0.25)
    for command in ("switch", "drop"):
        assert "dropped" in run("model", command, "--corpus", "news")[0]
        assert client.asked[-1] == (command, "news")


def test_a_corpus_shows_what_meaning_is_searched_by(answer: Any) -> None:
    answer()
    text = run("info", "--corpus", "news")[0]
    assert text == run("corpora", "news")[0]
    for words in (
        "250 of 1,000 filled",
        "1,000 of 1,000 filled",
        "e5 table (abababababab)",
        "over 800 rows, which give 98.7% of the exact ten nearest",
        "none: all sentences are scanned",
        "model cdcdcdcdcdcd",
        "50,000 unrelated pairs of this corpus",
    ):
        assert words in text
    told = json.loads(run("info", "--corpus", "news", "--json")[0])
    assert told["semantic"]["row_recall"] == 0.987
    assert [item["channel"] for item in told["coverage"]] == ["copy", "semantic"]
    assert told["coverage_fast"]["share"] == 1.0


def test_corpora_are_listed_with_both_tiers(answer: Any, tmp_path: Path) -> None:
    answer()
    assert "25% (100%)" in run("corpora")[0]
    assert "semantic" not in json.loads(run("corpora", "--json")[0])["corpora"][0]
    path = tmp_path / "corpora.ndjson"
    run("corpora", "--out", str(path))
    row = json.loads(path.read_text())
    assert (row["semantic"], row["semantic_fast"]) == (0.25, 1.0)
