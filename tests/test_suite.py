"""What the suite itself promises: where tests run, and what the programs that they start inherit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numba

ROOT = Path(__file__).parents[1]


def test_tests_run_in_an_empty_directory_of_their_own() -> None:
    here = Path.cwd()
    assert list(here.iterdir()) == []
    assert ROOT not in (here, *here.parents)


def test_what_tests_start_can_be_interrupted() -> None:
    program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"True\n"


def test_kernels_are_compared_on_several_threads() -> None:
    assert numba.config.NUMBA_NUM_THREADS >= 2


def test_every_benchmark_has_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    programs = [
        path
        for path in (ROOT / "benchmarks").rglob("*.py")
        if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
    ]
    assert programs
    assert [path.name for path in programs if f"benchmarks/{path.name} " not in makefile] == []
