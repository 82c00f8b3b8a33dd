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
