"""The one place that sizes thread pools.

Polars, Numba, OpenMP (FAISS) and ONNX Runtime each bring a pool and read its size when they are
imported, so `configure` runs before any of them.  Never fork once they are loaded: FAISS, Polars and
Numba hang or die in the child; helpers are spawned.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Libraries that must not be imported before `configure`.
_POOLED = ("polars", "numba", "faiss", "onnxruntime")


def available_cores() -> int:
    """Cores this process may run on (respects affinity, unlike os.cpu_count)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure(cores: int | None = None) -> dict[str, int]:
    """Set the pool of each library from `KINPRINT_THREADS` or the cores at hand; return them by name.

    One OpenMP and one ONNX Runtime thread per online request: two queries at once use two cores, and one
    query is never slowed by a second pool fighting for them.  An already set variable wins.
    Raises RuntimeError when a pooled library is imported already, because its size is then fixed.
    """
    loaded = [name for name in _POOLED if name in sys.modules]
    if loaded:
        raise RuntimeError(f"thread pools must be set before importing {', '.join(loaded)}")
    cores = cores or int(os.environ.get("KINPRINT_THREADS") or available_cores())
    os.environ.setdefault("POLARS_MAX_THREADS", str(cores))
    os.environ.setdefault("NUMBA_NUM_THREADS", str(cores))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return pool_sizes()


def stay_behind() -> None:
    """Let the calling thread, and those that it starts, run when no other wants a core; for a pool's initializer."""
    if sys.platform == "linux":  # elsewhere a priority is that of the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)


def contained(work: Callable[[], T]) -> T:
    """What `work` returns, for a thread that others wait for.

    A panic in a library's Rust is no Exception, and would pass by whoever hands failures on: they would wait for ever.
    Raises RuntimeError in its place.
    """
    try:
        return work()
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def pool_sizes() -> dict[str, int]:
    """Threads per library as configured."""
    return {
        "polars": int(os.environ.get("POLARS_MAX_THREADS", 0)),
        "numba": int(os.environ.get("NUMBA_NUM_THREADS", 0)),
        "openmp": int(os.environ.get("OMP_NUM_THREADS", 0)),
    }
