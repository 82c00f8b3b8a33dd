"""Short forms of `make soak`: a server that is killed, and one that is called with nonsense."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.slow


def told(program: str, *options: str) -> dict[str, object]:
    command = [sys.executable, str(BENCHMARKS / program), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_server_that_is_killed_loses_nothing() -> None:
    found = told("soak.py", "--kills", "6", "--seed", "11")
    assert found["kills"] == 6
    assert (found["lost"], found["resurrected"], found["failed_starts"], found["faults"]) == (0, 0, 0, [])
    assert int(str(found["acknowledged"])) > 0


def test_nonsense_is_answered_or_refused() -> None:
    found = told("fuzz.py", "--cases", "1500", "--threads", "3", "--seed", "11")
    assert int(str(found["cases"])) >= 1500
    assert found["faults"] == []
    assert found["server_lives"] is True


def test_damaged_files_are_read_in_part_or_refused() -> None:
    command = [sys.executable, str(BENCHMARKS / "fuzz_files.py"), "--cases", "500", "--seed", "11", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.startswith("500 cases")
