"""What every test stands on: an empty working directory, no settings of the user's, and servers to talk to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 240.0
"""The first start on a machine compiles the kernels."""

# Kernels are compared on one thread and on two: Numba must have two, also where there is one core. It reads this when
# it is imported, which is after this file.
os.environ["NUMBA_NUM_THREADS"] = "2"

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that; once it is handled here,
# they start with the default, and tests can interrupt them.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class RunningServer:
    """A server process: where it listens, what it serves, and its process."""

    address: str
    data: Path
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(data: Path, model: Path | str, log: Path, *options: str) -> RunningServer:
    """Start `kinprint serve` on a loopback port and wait until it is SERVING."""
    from kinprint.client import KinprintError, connect

    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(data), "--listen", address]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command, "--model", str(model), *options], stderr=stream)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connect(address, timeout=5.0).close()
        except KinprintError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"no server: {error}\n{log.read_text()[-4000:]}") from error
            time.sleep(0.1)
        else:
            return RunningServer(address, data, process)


def stop_server(server: RunningServer) -> int:
    """SIGTERM, wait for the drain, and return the exit code."""
    server.process.terminate()
    return server.process.wait(60)


@pytest.fixture(scope="session", autouse=True)
def working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty working directory, and an environment without the user's settings, for the whole session."""
    directory = tmp_path_factory.mktemp("working-directory")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        own = ("KINPRINT_SERVER", "KINPRINT_DATA", "KINPRINT_MODEL", "KINPRINT_DEBUG", "KINPRINT_LOG")
        access = ("KINPRINT_API_KEY", "KINPRINT_TLS", "KINPRINT_CA", "KINPRINT_CLIENT_CERT", "KINPRINT_CLIENT_KEY")
        for name in (*own, *access, "KINPRINT_AUTH", "KINPRINT_INSECURE"):
            patch.delenv(name, raising=False)
        yield directory


@pytest.fixture(autouse=True)
def _left_as_it_was(working_directory: Path) -> Iterator[None]:
    """A test writes to its `tmp_path`, never to where it happens to run."""
    yield
    assert list(working_directory.iterdir()) == []


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory of the session, empty at its start."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def _no_lingering() -> Iterator[None]:
    """No test leaves a server behind; those on lingering servers say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINPRINT_LINGER", "0")
        yield


@pytest.fixture(autouse=True)
def _private_cache(request: pytest.FixtureRequest, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache, but for those that use the real default model."""
    if request.node.get_closest_marker("model") is None:
        monkeypatch.setenv("KINPRINT_CACHE", str(session_cache))
    else:
        # Two minutes of both cores, behind the test that runs.
        monkeypatch.setenv("KINPRINT_FAST_TIER", "off")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a tiny deterministic embedding model."""
    from tiny_model import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, session_cache: Path) -> Iterator[RunningServer]:
    """One server for the session; tests keep apart by using corpora of their own."""
    base = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINPRINT_CACHE", str(session_cache))
        running = start_server(base / "data", tiny_model, base / "log")
    yield running
    stop_server(running)
