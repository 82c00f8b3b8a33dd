"""How a server is told what to do; `settings.py` reads it from flags, environment and a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kinprint.server.limits import Capacity


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of one server process.

    model: "default" (built into the user's cache when missing), "none", or a model directory.
    lazy_model: load the model at its first use, so that a short job without embeddings starts quickly.
    jobs: long runs at once, each in a process of its own; None: half the cores, at least 1.
    job_memory: bytes of memory that each may hold, 0 for no limit; None: half of the machine's, shared by them.
    fast_tier: have the table of the model's tokens built and every row's fast vectors made, behind.
    lazy: serve as soon as the corpora are open; kernels and model are loaded when they are first used.
    linger: drain and end after this many seconds without a call; None: stay.
    exit_with_stdin: drain and end when standard input closes, that is when the parent has gone.
    capacity: what the server takes at a time.
    metrics: HOST:PORT of the pages for operators (metrics, liveness, readiness); None: none.
    audit: file of the audit log; None: none is written.
    audit_bytes: bytes from which on that file is put aside for a new one.
    """

    data_dir: Path
    listen: tuple[str, ...] = ()
    model: str = "default"
    lazy_model: bool = False
    fast_tier: bool = True
    lazy: bool = False
    linger: float | None = None
    exit_with_stdin: bool = False
    drain_seconds: float = 30.0
    cores: int = field(default=1)
    jobs: int | None = None
    job_memory: int | None = None
    capacity: Capacity = field(default_factory=Capacity)
    metrics: str | None = None
    audit: Path | None = None
    audit_bytes: int = 64 << 20
