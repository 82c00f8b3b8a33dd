"""The audit log: who asked for what, when, and what came of it.  Texts stand in it by their SHA-256 alone.

One line a call, when it ends; of a call with a stream of requests also one when it begins, because its rows are
durable before it ends.  Lines are fsynced in batches, within about a tenth of a second, and answers do not wait for
that: a power cut may lose the last ones.  Where the log cannot be written no further call is taken: nothing is done
that it would not hold.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from kinprint.server.edge.audit_chain import ChainFile
from kinprint.server.edge.call import Call
from kinprint.server.edge.caller import caller_name
from kinprint.server.failures import AuditUnavailable
from kinprint.server.logs import visible

logger = logging.getLogger(__name__)

#: Seconds that lines wait for others before they are written, and between tries where that fails.
_TOGETHER, _AGAIN = 0.1, 1.0
#: Lines that may wait; further calls are refused.
_MOST_WAITING = 10_000
#: Texts and names of one call that stand in its line; of the rest their number, and one digest over all.
_MOST_TEXTS, _MOST_NAMES = 32, 100
#: Characters of a name, which is a caller's to choose.
_LONGEST_NAME = 100
#: Fields of requests: names of corpora, texts, and what is counted.
_CORPORA = frozenset(("corpus", "corpora", "against"))
_TEXTS = frozenset(("text", "texts"))
_COUNTED = frozenset(("ids", "transcripts", "texts", "models", "members", "also"))
_DEEPEST = 4


class AuditLog:
    """Writes lines in a thread of its own.

    Raises OSError and ChainDamaged when the file cannot be used.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._file = ChainFile(path, most)
        self._lines: deque[dict[str, Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._failing: str | None = None
        self._busy = 0
        #: Lines that are durable.
        self.written = 0
        self.add({"time": _now(), "event": "opened", "cut_off_bytes": self._file.removed})
        self._thread = threading.Thread(target=self._work, name="kinprint-audit", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Lines that are not durable yet."""
        return len(self._lines) + self._busy

    def check(self) -> None:
        """Raise AuditUnavailable when the log cannot take another call."""
        if self._failing is not None:
            raise AuditUnavailable(
                f"the audit log cannot be written ({self._failing}); calls are taken again when it can",
                retry_after=_AGAIN,
            )
        if len(self._lines) >= _MOST_WAITING:
            raise AuditUnavailable("the audit log is behind; try again in a moment", retry_after=_AGAIN)

    def add(self, line: dict[str, Any]) -> None:
        """Have a line written."""
        with self._changed:
            self._lines.append(line)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, once more where that failed, and let go of the file."""
        self.add({"time": _now(), "event": "closed"})
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._file.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closed:
                    self._changed.wait()
                if not self._closed:
                    self._changed.wait(_TOGETHER if self._failing is None else _AGAIN)
                lines = list(self._lines)
                self._lines.clear()
                self._busy = len(lines)
                closed = self._closed
            try:
                if lines:
                    self._file.append(lines)
            except OSError as error:
                if self._failing is None:
                    logger.error("the audit log %s cannot be written: %s", self._path, error.strerror)
                self._failing = error.strerror or type(error).__name__
                with self._changed:
                    self._lines.extendleft(reversed(lines))
                    self._busy = 0
            else:
                if self._failing is not None:
                    logger.info("the audit log %s is written again", self._path)
                self._failing = None
                self.written += len(lines)
                self._busy = 0
            if closed:
                return


class _Asked:
    """What a call asked for, as far as it is told."""

    __slots__ = ("corpora", "counts", "digests", "peer", "texts", "time", "whole")

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        peer = context.peer()
        self.peer = "unix" if peer.startswith("unix") else visible(peer)
        self.time = _now()
        self.corpora: dict[str, None] = {}
        self.counts: Counter[str] = Counter()
        self.digests: list[str] = []
        #: Texts, and the digest over the digests of all of them.
        self.texts = 0
        self.whole = hashlib.sha256()

    def line(self, call: Call) -> dict[str, Any]:
        """The beginning of its line."""
        # Now, not when the call came: who it is turns out further in.
        who = visible(caller_name(call)[:_LONGEST_NAME])
        line: dict[str, Any] = {"time": self.time, "who": who, "from": self.peer, "rpc": call.rpc}
        line["corpora"] = list(self.corpora)
        line["counts"] = dict(self.counts)
        if self.texts:
            line["texts"] = {"n": self.texts, "sha256": self.digests}
            if self.texts > len(self.digests):
                line["texts"]["all"] = self.whole.hexdigest()
        return line


class Auditor:
    """Tells the log of calls; an observer of the meter."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._calls: dict[int, _Asked] = {}

    def began(self, call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Note who calls."""
        self._calls[id(call)] = _Asked(context)

    def asked(self, call: Call, request: Any) -> None:
        """Note what is asked for."""
        asked = self._calls[id(call)]
        if isinstance(request, Message):
            self._note(asked, request, 0)
        if call.streaming and call.messages_in == 1:
            self._log.add({**asked.line(call), "event": "began"})

    def sent(self, call: Call, size: int) -> None:
        """Answers are not held."""

    def ended(self, call: Call, code: str, seconds: float) -> None:
        """Write the line."""
        asked = self._calls.pop(id(call))
        line = asked.line(call)
        line |= {"messages": call.messages_in, "bytes": call.bytes_in, "code": code}
        if call.reason:
            line["reason"] = call.reason
        line["seconds"] = round(seconds, 6)
        self._log.add(line)

    def _note(self, asked: _Asked, message: Message, depth: int) -> None:
        for field, value in message.ListFields():
            several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Message)
            if field.name in _COUNTED and several:
                asked.counts[field.name] += len(value)
            if field.type == FieldDescriptor.TYPE_STRING and not _is_map(field):
                values = list(value) if several else [value]
                if field.name in _CORPORA or (field.name == "name" and depth == 0):
                    for name in values[: _MOST_NAMES - len(asked.corpora)]:
                        asked.corpora[visible(name[:_LONGEST_NAME])] = None
                elif field.name in _TEXTS:
                    for text in values:
                        self._note_text(asked, text)
            elif field.name == "transcripts" and several:
                for row in value:
                    self._note_text(asked, row.response)
            elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < _DEEPEST and not _is_map(field):
                for inner in value if several else (value,):
                    self._note(asked, inner, depth + 1)

    @staticmethod
    def _note_text(asked: _Asked, text: str) -> None:
        digest = hashlib.sha256(text.encode(errors="surrogatepass"))
        asked.texts += 1
        asked.whole.update(digest.digest())
        if len(asked.digests) < _MOST_TEXTS:
            asked.digests.append(digest.hexdigest())


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
