"""The programs in benchmarks/: each has a make target and starts; the rows that one draws are always the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted(
    path.name
    for path in (ROOT / "benchmarks").glob("*.py")
    if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def recipes() -> dict[str, list[str]]:
    """Lines of the recipe of every make target that `make help` lists."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if target := re.match(r"([a-z-]+):.*## ", line):
            lines = found.setdefault(target[1], [])
        elif line.startswith("\t"):
            lines.append(line)
        elif line and not line.startswith("#"):
            lines = []
    return found


def peers() -> set[str]:
    """Modules that only benchmarks need."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return {re.match(r"[\w-]+", name)[0] for name in groups["bench"]}  # type: ignore[index]


def test_there_are_programs() -> None:
    assert {"serving.py", "spine.py"} <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_make_target_runs_the_program(program: str) -> None:
    targets = [name for name, lines in recipes().items() if any(f"benchmarks/{program} " in line for line in lines)]
    assert targets
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony is not None
    assert set(targets) <= set(phony[1].split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_answers_help(program: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / program), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    missing = re.search(r"No module named '(\w+)", done.stderr)
    if missing and missing[1] in peers():
        pytest.skip(f"{missing[1]} is not installed")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"usage: {program}" in done.stdout


def test_rows_and_queries_of_serving_are_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import serving_rows

    words = [f"word{i}" for i in range(400)]
    answers = [" ".join(words[i : i + 200]) for i in range(120)]
    source = tmp_path / "answers.parquet"
    pl.DataFrame({"model": ["a", "b"] * 60, "response": answers}).write_parquet(source)
    made = []
    for name in ("one", "two"):
        work = tmp_path / name
        work.mkdir()
        serving_rows.make(source, 300, 12, work)
        made.append([pl.read_parquet(work / f"{of}.parquet") for of in ("rows", "queries")])
    (rows, queries), again = made
    assert rows.equals(again[0])
    assert queries.equals(again[1])
    assert rows.columns == ["model", "response"]
    # More rows than answers: those that repeat one are edited, so all differ.
    assert rows.height == rows["response"].n_unique() == 300
    shared = rows["response"].str.starts_with(serving_rows.BOILERPLATE)
    assert shared.sum() == -(-300 // serving_rows.SHARED_EVERY)
    assert queries["kind"].to_list() == [*serving_rows.KINDS] * 3
    by_kind = {kind: some["text"].to_list() for (kind,), some in queries.group_by("kind")}
    assert all(len(text.split()) == serving_rows.FRAGMENT for text in by_kind["fragment"])
    stored = set(rows["response"])
    assert not stored & set(by_kind["absent"])
    assert by_kind["near"][0] in stored
    assert by_kind["near"][1] not in stored


def test_rows_of_semantic_are_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import semantic_rows

    source = tmp_path / "answers.parquet"
    pl.DataFrame(
        {
            "prompt_id": [f"p{i % 100}" for i in range(600)],
            "response": [f"<think>no</think>Answer {i} of many." for i in range(600)],
            "language": ["zh" if i % 100 < 20 else "en" for i in range(600)],
        }
    ).write_parquet(source)
    drawn, again = (semantic_rows.draw(semantic_rows.read([source]), 500, 60) for _ in range(2))
    assert drawn.rows.equals(again.rows)
    assert drawn.accurate == again.accurate
    assert drawn.held_out.equals(again.held_out)
    assert drawn.rows.height == drawn.rows["id"].n_unique() == 500
    assert not drawn.rows["response"].str.contains("<think>").any()
    # What is held out answers other prompts, in every language.
    assert not set(drawn.rows["prompt_id"]) & set(drawn.held_out["prompt_id"])
    assert set(drawn.held_out["language"]) == {"en", "zh"}
    # Those that get accurate vectors are rows, the whole sample first, and not all of one language.
    hidden = semantic_rows.sample()
    assert drawn.accurate[: hidden.height] == hidden["id"].to_list()
    assert len(drawn.accurate) == len(set(drawn.accurate)) == hidden.height + 60
    chosen = drawn.rows.filter(pl.col("id").is_in(drawn.accurate[hidden.height :]))
    assert chosen.height == 60
    assert set(chosen["language"]) == {"en", "zh"}
    assert {name for pair in semantic_rows.relations("translation") for name in pair} <= set(hidden["id"])


def test_a_worker_answers_and_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import semantic_worker

    module = tmp_path / "some_tasks.py"
    module.write_text(
        "def add(a, b):\n    print('noise')\n    return a + b\n\n"
        "def fail():\n    raise ValueError('too bad')\n\nTASKS = {'add': add, 'fail': fail}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "path", [sys.path[0], str(tmp_path), *sys.path[1:]])
    with semantic_worker.working(sys.executable, "some_tasks", 1, tmp_path / "log") as worker:
        assert worker.ask("add", a=2, b=3) == 5
        with pytest.raises(semantic_worker.WorkerError, match="too bad"):
            worker.ask("fail")
        assert worker.ask("add", a=[1], b=[2]) == [1, 2]
    assert "noise" in (tmp_path / "log").read_text(encoding="utf-8")


def test_the_report_of_semantic_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import semantic_report

    processor = {"name": "one", "model": "family 1", "cores": 2, "vnni": True, "amx": False}
    found = {"version": "1", "machine": "2 cores", "processor": processor, "files": ["a.parquet"], "sections": {}}
    text = semantic_report.report(found)
    assert "VNNI" in text
    lines = [line for line in text.splitlines() if line.startswith("| ") and "| measured |" not in line]
    assert [line.split(" | ")[1] for line in lines if "---" not in line] == ["-"] * len(semantic_report.FIGURES)
