"""The server, with thresholds so low that what happens rarely happens often; `soak.py` starts and kills it.

It appends a line to the file in `KINPRINT_SOAK_MOMENTS` when a publish, a compaction, a purge, a snapshot or a restore
begins, and when it ends: a kill between the two has hit it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any


def _noted(name: str, work: Callable[..., Any], moments: int) -> Callable[..., Any]:
    @functools.wraps(work)
    def run(*arguments: Any, **named: Any) -> Any:
        os.write(moments, f"begin {name}\n".encode())
        try:
            return work(*arguments, **named)
        finally:
            os.write(moments, f"end {name}\n".encode())

    return run


def main() -> int:
    """Run the server."""
    from kinprint.server import threads

    pools = threads.configure()
    threads.configure = lambda: pools  # once a process, before the imports below
    from kinprint.server.corpus import corpus, snapshots, writer
    from kinprint.server.store import generation, maintenance

    fd = os.open(os.environ["KINPRINT_SOAK_MOMENTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    corpus.PUBLISH_FROM = 20
    corpus.COMPACT_FROM = 6
    maintenance.SMALL_FILES = 6  # type: ignore[misc]
    writer.QUIET_SECONDS, writer.SETTLE_SECONDS = 0.02, 0.1
    generation.publish = _noted("publish", generation.publish, fd)
    maintenance.run_compact = _noted("compaction", maintenance.run_compact, fd)
    snapshots.Snapshots.create = _noted("snapshot", snapshots.Snapshots.create, fd)  # type: ignore[method-assign]
    snapshots.Snapshots.restore = _noted("restore", snapshots.Snapshots.restore, fd)  # type: ignore[method-assign]
    maintenance.run_purge = _noted("purge", maintenance.run_purge, fd)
    from kinprint.server import __main__ as program

    sys.argv[0] = "kinprint.server"
    return program.main()
