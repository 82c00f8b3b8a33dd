"""A server for a data directory: find the one that holds it, or start one.

The server runs as a process of its own and talks over a Unix socket in the directory; this process never imports it
and never forks. One that a client started ends with the client. One that a command started lingers: it serves the
next commands too, and gives way to whoever needs the directory otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from kinprint.client import launch
from kinprint.client.errors import EmbeddedServerError, from_rpc_error
from kinprint.client.launch import read_lock
from kinprint.client.transport import Stubs, channel_options
from kinprint.v1 import info_pb2

__all__ = ["EmbeddedServer", "answers", "find_holder", "read_lock"]

_POLL = 0.01
#: Seconds between questions how far a start is.
_ASK = 0.2
#: Seconds after which another server is tried where one has just given up.
_AGAIN = 2.0
#: Seconds that a server has to drain.
_GRACE = 60.0


def answers(address: str, timeout: float) -> bool:
    """Whether a Kinprint server that is SERVING answers at `address` within `timeout` seconds."""
    with grpc.insecure_channel(address, options=channel_options(address)) as channel:
        try:
            Stubs(channel).info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=timeout)
        except grpc.RpcError:
            return False
    return True


def find_holder(directory: Path, timeout: float = 2.0) -> str | None:
    """Address of the server that holds `directory` and answers, else None."""
    holder = launch.read_holder(directory)
    if holder is None or holder.address is None or not holder.serving:
        return None
    return holder.address if answers(holder.address, timeout) else None


class _Watch:
    """Asks a server that starts how far it is, over one channel."""

    def __init__(self) -> None:
        self._address: str | None = None
        self._channel: grpc.Channel | None = None
        self._next = 0.0

    def ask(self, address: str) -> tuple[str, float] | None:
        """Step and share; None when it is too early to ask again, or the server does not tell."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _ASK
        if address != self._address:
            self.close()
            # Not again by itself: the refusal is the answer.
            options = [*channel_options(address), ("grpc.enable_retries", 0)]
            self._address, self._channel = address, grpc.insecure_channel(address, options=options)
        assert self._channel is not None
        try:
            Stubs(self._channel).info.GetServerInfo(info_pb2.GetServerInfoRequest(), timeout=1.0)
        except grpc.RpcError as error:
            told = from_rpc_error(error, address).metadata
            if "step" in told:
                try:
                    return told["step"], float(told.get("share", 0.0))
                except ValueError:
                    return None
        return None

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None


class EmbeddedServer:
    """The server of one data directory, ours or another process's.

    Args:
        directory: the data directory; created by the server if `create`.
        model: directory of the embedding model, "default" or "none"; None: whichever the server has, that of
            KINPRINT_MODEL or "default" for one that is started here. A lingering server with another model is replaced.
        start_timeout: seconds that a server may take to be SERVING (the first start compiles kernels).
        create: start a server on a directory that does not exist yet.
        on_start: called with the seconds waited so far while a server starts.
        on_progress: called with the step that a start is at, and the share of it that is done.
        linger: None: a server started here ends with `close`. Else it outlives this process, by so many seconds
            without a call.
    """

    def __init__(
        self,
        directory: Path,
        *,
        model: str | None = "default",
        start_timeout: float = 600.0,
        create: bool = True,
        on_start: Callable[[float], None] | None = None,
        on_progress: Callable[[str, float], None] | None = None,
        linger: float | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self._model = model
        self._start_timeout = start_timeout
        self._create = create
        self._on_start = on_start
        self._on_progress = on_progress
        self._linger = linger
        self._child: launch.Child | None = None
        self._served = False
        self._started = False
        self._closed = threading.Event()

    @property
    def owned(self) -> bool:
        """Whether the server was started here and runs."""
        return self._child is not None and self._child.process.poll() is None

    @property
    def started(self) -> bool:
        """Whether the server in use was started here."""
        return self._started

    def address(self) -> str:
        """Address of a server that is SERVING; starts one if nobody holds the directory.

        Raises:
            EmbeddedServerError: there is no such directory, or no server came up in time; says why.
        """
        self._check_open()
        if self.directory.exists() and not self.directory.is_dir():
            raise EmbeddedServerError(f"{self.directory} is not a directory")
        if not self._create and not self.directory.exists():
            raise EmbeddedServerError(f"no data directory at {self.directory}")
        watch = _Watch()
        try:
            return self._await_serving(watch)
        except BaseException:
            # Also Ctrl-C: a server that does not serve yet is nobody's.
            self._stop()
            raise
        finally:
            watch.close()

    def _await_serving(self, watch: _Watch) -> str:
        begun = time.monotonic()
        next_start = begun
        if self._child is None:
            self._child = launch.claim(self.directory, model=self._model, linger=self._linger)
        while time.monotonic() < begun + self._start_timeout:
            self._check_open()
            holder = launch.read_holder(self.directory)
            other_model = (
                holder is not None
                and holder.linger is not None
                and holder.model is not None
                and self._model not in (None, holder.model)
            )
            if holder is not None and holder.address is not None and not other_model:
                if holder.serving and answers(holder.address, 2.0):
                    self._started = self._child is not None and holder.pid == self._child.process.pid
                    if not self._started:
                        self._stop()  # another was quicker
                    self._served = self._started
                    return holder.address
                if not holder.serving and (told := watch.ask(holder.address)) and self._on_progress is not None:
                    self._on_progress(*told)
            # A holder that starts or drains needs a moment: no second server is tried while one holds the directory.
            free = not launch.held(self.directory) or other_model
            if self._child is None and free and time.monotonic() >= next_start:
                self._start(take_over=other_model)
                next_start = time.monotonic() + _AGAIN
            if self._child is not None and self._child.process.poll() is not None:
                if self._served:
                    self._stop()  # it was ours, served, and has gone: start another
                else:
                    self._after_exit(self._child.process.returncode)
            if self._on_start is not None:
                self._on_start(time.monotonic() - begun)
            time.sleep(_POLL)
        text = self._child.log_tail() if self._child is not None else ""
        raise EmbeddedServerError(
            f"no server for {self.directory} was ready within {self._start_timeout:.0f} s"
            + (f"; its log ends: {text}" if text else "; another process holds the directory without answering")
        )

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise EmbeddedServerError("the client is closed")

    def _start(self, *, take_over: bool) -> None:
        self._served = False
        try:
            self._child = launch.spawn(
                self.directory, model=self._model or launch.usual_model(), linger=self._linger, take_over=take_over
            )
        except OSError as error:
            raise EmbeddedServerError(f"cannot start a server: {error}") from error

    def _after_exit(self, code: int) -> None:
        assert self._child is not None
        text = self._child.log_tail()
        self._stop()
        if code == launch.HELD:
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

    def _stop(self, grace: float = _GRACE) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop(grace)

    def close(self) -> None:
        """Let go of the server; one that was started here drains and exits, unless it lingers."""
        self._closed.set()
        if self._linger is not None and self._served and self._child is not None:
            child, self._child = self._child, None
            child.let_go()
        else:
            self._stop()
