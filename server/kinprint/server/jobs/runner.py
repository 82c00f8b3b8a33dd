"""One worker process, as the server drives it. All methods but `kill` block, and are for threads."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kinprint.server.jobs import pins, pipe
from kinprint.server.jobs.worker import Failed, Finished, Made, Opened, Run, own_memory
from kinprint.server.logs import last_words

#: Last bytes of a worker's standard error that are told when it dies.
_LAST_WORDS = 2000


class WorkerDied(RuntimeError):  # noqa: N818 - says what happened
    """The process ended by itself, or was ended; the message says how."""


class Worker:
    """A worker process. It runs one thing at a time."""

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile(prefix="kinprint-job-")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kinprint.server.jobs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            # Ctrl-C in a terminal is for the server, which ends its workers.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._pins: Path | None = None
        # Held by whoever uses the pipes, so that `close` does not close them under a reader.
        self._using = threading.Lock()
        self._closed = False
        #: Bytes that it held when its run began; None before.
        self.base_memory: int | None = None
        #: Whether it takes another run.
        self.reusable = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def memory(self) -> int:
        """Bytes that it alone holds now."""
        return own_memory(self.pid)

    def begin(
        self,
        function: Callable[..., Iterator[Any]],
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
        *,
        folder: Path,
        memory: int,
    ) -> None:
        """Hand over a run; views among its arguments are pinned in `folder`, a new one.

        Raises WorkerDied; OSError when files cannot be linked.
        """
        self.reusable = False
        self.base_memory = None
        self._pins = folder
        try:
            pinned = pins.pin(arguments, folder), {key: pins.pin(value, folder) for key, value in named.items()}
            with self._using:
                self._check_open()
                pipe.send(self._in, Run(function, *pinned, memory))
        except pipe.PipeClosed as error:
            raise self._died() from error
        except BaseException:
            self._unpin()
            raise

    def receive(self) -> Made | None:
        """The next thing that the run yields; None when it has ended.

        Raises what the run raised, and WorkerDied.
        """
        try:
            while True:
                with self._using:
                    self._check_open()
                    message = pipe.receive(self._out)
                match message:
                    case Opened(memory):
                        self.base_memory = memory
                        self._unpin()
                    case Made():
                        return message
                    case Failed(error):
                        self._unpin()
                        self.reusable = self._settled()
                        raise error
                    case Finished(reusable):
                        self.reusable = reusable
                        return None
        except pipe.PipeClosed as error:
            raise self._died() from error

    def kill(self) -> None:
        """End the process at once; whoever waits in `receive` gets WorkerDied."""
        self.reusable = False
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """Let go of it: it is ended, waited for, and its pins are removed."""
        self.kill()
        self._process.wait()
        with self._using:
            self._closed = True
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        self._unpin()

    def _check_open(self) -> None:
        if self._closed:  # the numbers of its pipes may be others' by now
            raise pipe.PipeClosed("the worker was let go")

    def _settled(self) -> bool:
        """Whether the process says that it is fit for another run, after a failure."""
        message = pipe.receive(self._out)
        return isinstance(message, Finished) and message.reusable

    def _died(self) -> WorkerDied:
        self._unpin()
        code = self._process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, self._words.tell() - _LAST_WORDS))
        words = last_words(self._words.read().decode("utf-8", "replace"))
        return WorkerDied(f"its process {how}" + (f"; its last words: {words}" if words else ""))

    def _unpin(self) -> None:
        if self._pins is not None:
            shutil.rmtree(self._pins, ignore_errors=True)
            self._pins = None
