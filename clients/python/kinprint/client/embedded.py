"""A server for a data directory: find the one that holds it, or start one and stop it at the end.

The server runs as a child process and talks over a Unix socket in the directory; this process never imports
it and never forks. `<directory>/LOCK` names the holder. Whether the directory is free is decided by the
server alone, which takes the lock or exits with code 3: what is read here is a hint.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import grpc
from kinprint.client.convert import server as convert
from kinprint.client.errors import EmbeddedServerError
from kinprint.client.transport import Stubs, channel_options

_HELD = 3
_POLL = 0.05
_LOG_TAIL = 4000


def read_lock(directory: Path) -> dict[str, Any] | None:
    """What `<directory>/LOCK` says, None when there is none or it is being written."""
    try:
        # The first line counts: a rewrite may leave the end of a longer text for a moment.
        lock = json.loads((directory / "LOCK").read_text(encoding="utf-8").partition("\n")[0])
    except (OSError, ValueError):
        return None
    return lock if isinstance(lock, dict) else None


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(address: str, timeout: float) -> bool:
    """Whether a Kinprint server that is SERVING answers at `address` within `timeout` seconds."""
    with grpc.insecure_channel(address, options=channel_options()) as channel:
        try:
            Stubs(channel).info.GetServerInfo(convert.server_info_request(), timeout=timeout)
        except grpc.RpcError:
            return False
    return True


def find_holder(directory: Path, timeout: float = 2.0) -> str | None:
    """Address of the server that holds `directory` and answers, else None."""
    lock = read_lock(directory)
    if lock is None or not _alive(lock.get("pid")) or not isinstance(lock.get("address"), str):
        return None
    address: str = lock["address"]
    return address if answers(address, timeout) else None


class EmbeddedServer:
    """The server of one data directory, ours or another process's.

    Args:
        directory: the data directory; created by the server if `create`.
        model: directory of the embedding model, "default" or "none"; counts only for a server started here.
        start_timeout: seconds that a server may take to be SERVING (the first start compiles kernels).
        create: start a server on a directory that does not exist yet.
        on_start: called with the seconds waited so far while a server starts.
    """

    def __init__(
        self,
        directory: Path,
        *,
        model: str = "default",
        start_timeout: float = 600.0,
        create: bool = True,
        on_start: Callable[[float], None] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self._model = model
        self._start_timeout = start_timeout
        self._create = create
        self._on_start = on_start
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._served = False
        self._closed = False

    @property
    def owned(self) -> bool:
        """Whether the server was started here and runs."""
        return self._process is not None and self._process.poll() is None

    def address(self) -> str:
        """Address of a server that is SERVING; starts one if nobody holds the directory.

        Raises:
            EmbeddedServerError: there is no such directory, or no server came up in time; says why.
        """
        if self._closed:
            raise EmbeddedServerError("the client is closed")
        if self.directory.exists() and not self.directory.is_dir():
            raise EmbeddedServerError(f"{self.directory} is not a directory")
        if not self._create and not self.directory.exists():
            raise EmbeddedServerError(f"no data directory at {self.directory}")
        begun = time.monotonic()
        deadline = begun + self._start_timeout
        next_start = begun
        while time.monotonic() < deadline:
            found = find_holder(self.directory)
            if found is not None:
                self._served = self._process is not None
                return found
            if self._process is None and time.monotonic() >= next_start:
                self._spawn()
                # A holder that starts or drains needs a moment; every try costs a process.
                next_start = time.monotonic() + 2.0
            if self._process is not None and self._process.poll() is not None:
                if self._served:
                    self._stop()  # it was ours, served, and has gone: start another
                else:
                    self._after_exit(self._process.returncode)
            if self._on_start is not None:
                self._on_start(time.monotonic() - begun)
            time.sleep(_POLL)
        text = self._log_tail()
        self._stop()
        raise EmbeddedServerError(
            f"no server for {self.directory} was ready within {self._start_timeout:.0f} s"
            + (f"; its log ends: {text}" if text else "; another process holds the directory without answering")
        )

    def _spawn(self) -> None:
        self._discard_log()
        self._served = False
        # A file, not a pipe: nobody has to read it for the server to go on.
        self._log = tempfile.TemporaryFile(prefix="kinprint-server-")  # noqa: SIM115
        command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(self.directory)]
        command += ["--exit-with-stdin", "--lazy-model", "--model", self._model]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                # Ctrl-C is ours to handle: the server drains when its standard input closes.
                start_new_session=True,
            )
        except OSError as error:
            raise EmbeddedServerError(f"cannot start {sys.executable}: {error}") from error

    def _after_exit(self, code: int) -> None:
        text = self._log_tail()
        self._stop()
        if code == _HELD:
            return
        lines = text.splitlines() or [""]
        if "No module named" in lines[-1]:
            missing = lines[-1].rsplit("No module named", 1)[1].strip().strip("'\"")
            raise EmbeddedServerError(
                f"opening a directory needs the server, and {missing} is not installed: pip install 'kinprint[server]'"
            )
        told = [line for line in lines if line.startswith("error:")] or lines[-1:]
        detail = "; ".join(line.strip().removeprefix("error: ") for line in told)
        raise EmbeddedServerError(f"the server for {self.directory} exited with code {code}: {detail}")

    def _log_tail(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LOG_TAIL))
        return self._log.read().decode("utf-8", "replace").strip()

    def _discard_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _stop(self, grace: float = 60.0) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(10.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._discard_log()

    def close(self) -> None:
        """Let go of the server; one that was started here drains and exits."""
        self._closed = True
        self._stop()
