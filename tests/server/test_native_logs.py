"""What native code writes to standard error is lines of the log where those are for programs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kinprint.server.native_logs import quiet_core, told

WITHHELD = "a line of native code, which may quote a text, is withheld; KINPRINT_DEBUG=1 logs it"
SCRIPT = """
import logging, os, sys
from kinprint.server.logs import log_to_stderr
from kinprint.server.native_logs import quiet_core, take_over_stderr
quiet_core("json")
log_to_stderr("INFO", "json", take_over_stderr())
logging.getLogger("a").info("before")
os.write(2, b"thread '<unnamed>' panicked at crates/core/src/lib.rs:12:5:\\nmy private words\\n")
os.write(2, b"E1129 12:55:51.843783   30638 tls.cc:2563] Handshake failed with \\x1b[31m\\n")
os.write(2, b"x" * 3_000_000)  # more than the pipe holds: some is lost, and nobody waits
print("of Python", file=sys.stderr)
logging.getLogger("a").info("after")
"""


def test_lines_stay_lines_of_json(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GRPC_VERBOSITY", "KINPRINT_DEBUG")
    }
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    lines.remove("of Python")  # a refusal at the start is for people
    held = [json.loads(line) for line in lines]
    messages = [line["message"] for line in held]
    assert {"before", "after", "thread '<unnamed>' panicked at crates/core/src/lib.rs:12:5"} <= set(messages)
    assert "tls.cc:2563] Handshake failed with \\x1b[31m" in messages
    assert WITHHELD in messages
    assert "private" not in done.stderr
    assert {line["logger"] for line in held} == {"a", "native"}


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("W1129 12:55:51.8 3 a.cc:1] words", logging.WARNING, "a.cc:1] words"),
        ("thread 'main' (71) panicked at src/a.rs:1:2:", logging.ERROR, "thread 'main' panicked at src/a.rs:1:2"),
        (
            "thread '<unnamed>' panicked at 'private words', src/a.rs:1:2",
            logging.ERROR,
            "thread '<unnamed>' panicked at src/a.rs:1:2",
        ),
        ("private words", logging.WARNING, WITHHELD),
    ],
)
def test_what_is_told_of_a_line(line: str, level: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINPRINT_DEBUG", raising=False)
    assert told(line) == (level, message)
    monkeypatch.setenv("KINPRINT_DEBUG", "1")
    assert told(line)[1] in (line, message)


def test_the_core_is_quiet_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for log_format, verbosity in (("text", "ERROR"), ("json", "NONE")):
        monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
        quiet_core(log_format)
        assert os.environ["GRPC_VERBOSITY"] == verbosity
    monkeypatch.setenv("GRPC_VERBOSITY", "DEBUG")
    quiet_core("json")
    assert os.environ["GRPC_VERBOSITY"] == "DEBUG"
