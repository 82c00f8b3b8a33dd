"""Cases that may end the process they run in: so many a process of its own, and what became of each."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def outcomes(
    command: list[str],
    cases: int,
    seed: int,
    *,
    a_process: int,
    workers: int,
    crashed: str,
    seconds: float | None = None,
) -> list[dict[str, Any]]:
    """What became of some cases.

    `command`, with the numbers of the first case and of the one after the last, and the seed, runs cases and prints two
    JSON lines for each: `case` and whatever tells which it is, before it begins, and `case` with its `outcome`. A case
    that ended the process, or with which it took longer than `seconds` and one more a case, has the outcome `crashed`,
    and `why`; those after it are run in another.
    """

    def ran(first: int) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        last = min(first + a_process, cases)
        while first < last:
            whole = [sys.executable, *command, str(first), str(last), str(seed)]
            limit = None if seconds is None else seconds + (last - first)
            try:
                done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=limit)
                output, why = done.stdout, f"exit status {done.returncode}: {done.stderr[-300:]}"
                if done.returncode == 0:
                    why = ""
            except subprocess.TimeoutExpired as error:
                output, why = (error.stdout or b"").decode(), "took too long"
            for line in output.splitlines():
                told = json.loads(line)
                found.setdefault(told["case"], {}).update(told)
            if not why:
                break
            begun = max(found, default=first - 1)
            if begun < first:
                raise RuntimeError(f"no case could be run: {why}")
            if "outcome" not in found[begun]:
                found[begun] |= {"outcome": crashed, "why": why}
            first = begun + 1
        return list(found.values())

    with ThreadPoolExecutor(workers) as pool:
        return [case for part in pool.map(ran, range(0, cases, a_process)) for case in part]
