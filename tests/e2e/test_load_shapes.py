"""`kinprint load` of files as tools write them: what it tells, what it previews, and loads day by day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kinprint.client import connect
from kinprint.client.cli.app import app
from typer.testing import CliRunner, Result

SAMPLES = Path(__file__).parent.parent / "data" / "shapes"
RUNNER = CliRunner()


def run(*arguments: object) -> Result:
    return RUNNER.invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    with connect(folder, model="none"):
        yield folder


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_load_tells_what_became_of_what(data: Path) -> None:
    done = run("load", SAMPLES / "wildchat.jsonl", "--corpus", "told", "--data", data)
    assert done.exit_code == 0, done.stderr
    assert "2 new" in done.stdout
    assert "read as wildchat" in done.stderr
    assert "hashed_ip -> account_id" in done.stderr
    assert "no row names" not in done.stderr
    done = run("load", SAMPLES / "messages.jsonl", SAMPLES / "otel.jsonl", "--corpus", "told", "--data", data, "--json")
    account = json.loads(done.stdout)["account"]
    assert account["presets"] == {"messages": 1, "otel": 1}
    assert account["left"] == {
        "image_url parts": 1,
        "assistant messages without text (calls of tools)": 1,
        "messages of tools": 1,
    }
    assert json.loads(done.stdout)["id_rule"] == 2


def test_a_preview_writes_nothing_and_needs_no_server(tmp_path: Path) -> None:
    done = run("load", "--preview", SAMPLES / "openai-batch.jsonl", "--data", tmp_path / "none")
    assert done.exit_code == 0
    assert "2 rows would be stored, 1 skipped: 1 no_answer" in done.stdout
    assert "custom_id -> prompt_id" in done.stdout
    assert "it came too late" in done.stdout
    assert not (tmp_path / "none").exists()
    told = json.loads(run("load", "--preview", "--json", SAMPLES / "openai-batch.jsonl").stdout)
    assert told["counts"] == {"stored": 2, "skipped": 1}
    assert told["reasons"] == {"no_answer": 1}
    assert told["columns"]["custom_id"] == "prompt_id"
    assert [row["prompt_id"] for row in told["rows"]] == ["fog-1", "fog-2"]
    nothing = lines(tmp_path / "x.jsonl", {"label": 1})
    done = run("load", "--preview", nothing)
    assert done.exit_code == 1
    assert "no column 'response'" in done.stderr


def test_control_characters_of_a_preview_are_shown_as_such(tmp_path: Path) -> None:
    done = run("load", "--preview", lines(tmp_path / "x.jsonl", {"response": "red \x1b[31m text"}))
    assert "\x1b" not in done.stdout
    assert "\\x1b[31m" in done.stdout


def test_options_that_cannot_be_meant(data: Path) -> None:
    sample = SAMPLES / "sharegpt.json"
    base = ("load", SAMPLES / "lmsys.jsonl", "--corpus", "c", "--data", data)
    assert run("load", sample).exit_code == 2
    for extra, told in (
        (("--preset", "lmsis"), "did you mean 'lmsys'"),
        (("--map", "answer=x"), "no column 'answer'"),
        (("--map", "response=x[", "--map", "model=m"), "no JMESPath expression"),
        (("--rename", "modl=model"), "did you mean 'model'"),
        (("--preset", "lmsys", "--map", "response=x"), "not both"),
    ):
        done = run(*base, *extra)
        assert done.exit_code == 1
        assert told in done.stderr, done.stderr


def test_paths_from_the_command_line(data: Path, tmp_path: Path) -> None:
    path = lines(tmp_path / "log.jsonl", {"q": {"text": "Why?"}, "a": [{"text": "Because."}], "who": "m", "app": "x"})
    done = run("load", path, "--corpus", "paths", "--data", data, "--map", "prompt=q.text,response=a[0].text,model=who")
    assert done.exit_code == 0, done.stderr
    with connect(data, model="none") as client:
        (row,) = client.list("paths")
    assert (row.prompt, row.response, row.model, row.metadata) == ("Why?", "Because.", "m", {"app": "x"})


def test_equal_answers_of_other_accounts_and_days_stay_and_come_once(data: Path, tmp_path: Path) -> None:
    hello = {"model": "m", "prompt": "hi", "response": "Hello! How can I help you today?"}
    days = [
        lines(tmp_path / f"{day}.jsonl", {**hello, "account_id": f"acct-{day}", "created_at": f"2026-05-0{day}"})
        for day in (1, 2, 3)
    ]
    for day in days:
        assert "1 new" in run("load", day, "--corpus", "days", "--data", data).stdout
    assert "3 unchanged" in run("load", *days, "--corpus", "days", "--data", data).stdout
    assert "1 unchanged" in run("load", days[1], "--corpus", "days", "--data", data).stdout
    with connect(data, model="none") as client:
        assert {row.account_id for row in client.list("days")} == {"acct-1", "acct-2", "acct-3"}


def test_three_models_that_answer_one_question_are_three_rows(data: Path, tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because the sea is wide."}]
    files = [lines(tmp_path / f"{m}.jsonl", {"id": "q1", "model": m, "messages": chat}) for m in "abc"]
    for path in files:
        assert "1 new" in run("load", path, "--corpus", "chats", "--data", data).stdout
    assert "3 unchanged" in run("load", *files, "--corpus", "chats", "--data", data).stdout


def test_long_columns_of_a_conversation_cost_no_answer(data: Path, tmp_path: Path) -> None:
    messages = [
        {"role": role, "content": f"{role} says {number}"} for number in range(20) for role in ("user", "assistant")
    ]
    row = {"id": "long", "messages": messages, "notes": "n" * 100_000, "topic": "sea"}
    done = run("load", lines(tmp_path / "x.jsonl", row), "--corpus", "long", "--data", data)
    assert "20 new" in done.stdout
    assert "cut: notes of 20 rows" in done.stderr
    with connect(data, model="none") as client:
        assert {row.metadata["topic"] for row in client.list("long")} == {"sea"}
