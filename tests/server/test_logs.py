"""Logs: lines and JSON, control characters escaped, no text of what an exception met."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from kinprint.server.failures import CorpusNotFound
from kinprint.server.logs import formatter, last_words


def _record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    raised = None
    if error is not None:
        try:
            raise error
        except BaseException:
            raised = sys.exc_info()
    return logging.LogRecord("kinprint.server.x", logging.WARNING, "file.py", 1, message, None, raised)


@pytest.mark.parametrize("name", ["text", "json"])
def test_control_characters_reach_no_terminal(name: str) -> None:
    line = formatter(name).format(_record("disk \x1b[31mfull\nERROR root: forged\u2028"))
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\u2028" not in line
    assert "forged" in line


@pytest.mark.parametrize("name", ["text", "json"])
def test_what_an_unforeseen_failure_quotes_is_withheld(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINPRINT_DEBUG", raising=False)
    error = ValueError("cannot parse 'my private words'")
    error.__cause__ = KeyError("my private words")
    line = formatter(name).format(_record("it failed", error))
    assert "private" not in line
    assert "ValueError" in line
    assert "KeyError" in line
    assert "test_logs.py" in line
    monkeypatch.setenv("KINPRINT_DEBUG", "1")
    assert "private" in formatter(name).format(_record("it failed", error))


@pytest.mark.parametrize("error", [CorpusNotFound("there is no corpus 'a'"), OSError(28, "No space left on device")])
def test_what_is_written_for_operators_is_told(error: Exception) -> None:
    line = formatter("text").format(_record("it failed", error))
    assert str(error) in line


def test_a_line_of_json_holds_its_parts() -> None:
    held = json.loads(formatter("json").format(_record('a "quoted" word', OSError("gone"))))
    assert (held["level"], held["logger"], held["message"]) == ("WARNING", "kinprint.server.x", 'a "quoted" word')
    assert held["time"].endswith("Z")
    assert "OSError: gone" in held["stack"]


def test_last_words_of_a_process_tell_places_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINPRINT_DEBUG", raising=False)
    words = (
        "thread 'main' panicked: byte index 1 is not a char boundary of `my private words`\n"
        "Traceback (most recent call last):\n"
        '  File "judge.py", line 3, in judge\n'
        "    raise ValueError(text)\n"
        "ValueError: my private words\n"
    )
    told = last_words(words)
    assert "private" not in told
    assert 'File "judge.py", line 3' in told
    assert told.endswith("ValueError")
