"""How a server is told what to do; `settings.py` reads it from flags, environment and a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kinprint.server.limits import Capacity


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """Bearer tokens (JWT) that are taken, as OpenID Connect providers issue them.

    jwks: URL or file of the issuer's public keys.
    role_claim, corpora_claim: claims that hold the role (read, write, admin), and the names of the corpora (a list, or
    "*" for all). A token without the first may do nothing, one without the second sees no corpus.
    """

    issuer: str
    audience: str
    jwks: str
    role_claim: str = "kinprint_role"
    corpora_claim: str = "kinprint_corpora"


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who gets in, and how.

    auth: calls over TCP need a key or a token even while no key was made; without, they do as soon as one was.
    insecure: listen wherever told to, without TLS and keys too.
    tls_cert, tls_key: chain and private key of the server, PEM; read again when they change.
    tls_client_ca: authorities, PEM; clients must show a certificate of one of them.
    reflection: answer for reflection; None: where no keys are asked for and no other machine gets in.
    tokens: None: none are taken.
    """

    auth: bool = False
    insecure: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    reflection: bool | None = None
    tokens: TokenConfig | None = None


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of one server process.

    model: "default" (built into the user's cache when missing), "none", or a model directory.
    lazy_model: load the model at its first use, so that a short job without embeddings starts quickly.
    jobs: long runs at once, each in a process of its own; None: half the cores, at least 1.
    job_memory: bytes of memory that each may hold, 0 for no limit; None: half of the machine's, shared by them.
    scrub_hours: hours between two rounds in which all files are compared with their digests; 0: none.
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
    scrub_hours: float = 24.0
    access: AccessConfig = field(default_factory=AccessConfig)
    capacity: Capacity = field(default_factory=Capacity)
    metrics: str | None = None
    audit: Path | None = None
    audit_bytes: int = 64 << 20
