"""Waiting for what a server makes behind its calls: the token table, and fast vectors of rows that came before it."""

from __future__ import annotations

import time
from typing import Any


def await_fast(client: Any, corpus: str, seconds: float = 240.0) -> None:
    """Return when every row of a corpus has its fast vector.

    Args:
        client: one with synchronous calls.
        corpus: its name.
        seconds: after so many the test fails.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = client.get_fill(corpus)
        if found.fast is not None and found.fast.filled == found.fast.fillable:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
