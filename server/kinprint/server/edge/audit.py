"""The audit log: who asked for what, when, and what came of it.  Texts stand in it by their SHA-256 alone, ids of
transcripts and jobs as they are.

One line a call, when it ends; of a call with a stream of requests also one when it begins, because its rows are
durable before it ends.  Lines are fsynced in batches, within about a tenth of a second, and answers do not wait for
that: a power cut may lose the last ones.  Where the log cannot be written no further call is taken: nothing is done
that it would not hold.
"""

from __future__ import annotations

import hashlib
import logging
import pwd
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from kinprint.server.edge.audit_chain import ChainFile
from kinprint.server.edge.call import Call
from kinprint.server.edge.caller import caller_name
from kinprint.server.edge.keys import Key
from kinprint.server.failures import AuditUnavailable
from kinprint.server.logs import visible

logger = logging.getLogger(__name__)

#: Seconds that lines wait for others before they are written, and between tries where that fails.
_TOGETHER, _AGAIN = 0.1, 1.0
#: Lines that may wait; further calls are refused.
_MOST_WAITING = 10_000
#: Texts, ids and names of one call that stand in its line; of the rest their number, and one digest over all.
_MOST_TEXTS, _MOST_IDS, _MOST_NAMES = 32, 32, 100
#: Characters of a name and of an id, which are a caller's to choose; no stored id is longer.
_LONGEST_NAME, _LONGEST_ID = 100, 512
#: Fields of requests: names of corpora, texts, and what is counted.
_CORPORA = frozenset(("corpus", "corpora", "against"))
_TEXTS = frozenset(("text", "texts"))
_COUNTED = frozenset(("ids", "transcripts", "texts", "models", "members", "also"))
#: Messages whose `id` names what is stored here; that of others is the caller's mark on a text.
_NAMING = frozenset(("TranscriptRef", "GetTranscriptRequest", "GetJobRequest", "CancelJobRequest"))
_DEEPEST = 4


class _Digested:
    """The first of many values as they are told; of all their number, and one digest over the digests of each."""

    __slots__ = ("_most", "_whole", "number", "shown")

    def __init__(self, most: int) -> None:
        self._most = most
        self.number = 0
        self.shown: list[str] = []
        self._whole = hashlib.sha256()

    def add(self, value: str, shown: str | None = None) -> None:
        """Another one; it is told as `shown`, None: by its digest."""
        digest = hashlib.sha256(value.encode(errors="surrogatepass"))
        self.number += 1
        self._whole.update(digest.digest())
        if len(self.shown) < self._most:
            self.shown.append(digest.hexdigest() if shown is None else shown)

    def told(self, key: str) -> dict[str, Any]:
        """As it stands in a line, the values under `key`."""
        told: dict[str, Any] = {"n": self.number, key: self.shown}
        if self.number > len(self.shown):
            told["all"] = self._whole.hexdigest()
        return told


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

    __slots__ = ("corpora", "counts", "ids", "peer", "texts", "time")

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        peer = context.peer()
        self.peer = "unix" if peer.startswith("unix") else visible(peer)
        self.time = _now()
        self.corpora: dict[str, None] = {}
        self.counts: Counter[str] = Counter()
        self.ids = _Digested(_MOST_IDS)
        self.texts = _Digested(_MOST_TEXTS)

    def line(self, call: Call) -> dict[str, Any]:
        """The beginning of its line."""
        # Now, not when the call came: who it is turns out further in.
        who = visible(caller_name(call)[:_LONGEST_NAME])
        line: dict[str, Any] = {"time": self.time, "who": who, "from": self.peer, "rpc": call.rpc}
        line["corpora"] = list(self.corpora)
        line["counts"] = dict(self.counts)
        if self.ids.number:
            line["ids"] = self.ids.told("first")
        if self.texts.number:
            line["texts"] = self.texts.told("sha256")
        return line

    def add_id(self, identifier: str) -> None:
        """Note an id that is asked for."""
        self.ids.add(identifier, visible(identifier[:_LONGEST_ID]))


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
                        asked.texts.add(text)
                elif field.name == "ids" or (field.name == "id" and message.DESCRIPTOR.name in _NAMING):
                    for identifier in values:
                        asked.add_id(identifier)
            elif field.name == "transcripts" and several:
                for row in value:
                    asked.texts.add(row.response)
                    if row.id:  # else it is made of the row
                        asked.add_id(row.id)
            elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < _DEEPEST and not _is_map(field):
                for inner in value if several else (value,):
                    self._note(asked, inner, depth + 1)


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def _now() -> str:
    return _moment(time.time())


#: Keys that one line lists.
_MOST_KEYS = 200


class KeyWatch:
    """Tells the log of API keys: which there are when it begins to look, and each that is made, taken back or gone.

    They are made by `kinprint keys`, which works on the file whether a server runs or not: what happened before this
    one began to look is told by the times in the list.  A line names no secret and no hash; `by` is the user of the
    operating system that the file belongs to: who wrote it last, or, where root did, the owner of the directory.
    """

    def __init__(self, log: AuditLog, path: Path) -> None:
        self._log = log
        self._path = path
        self._known: dict[str, Key] = {}

    def found(self, keys: Mapping[str, Key]) -> None:
        """Begin with the keys that there are."""
        listed = [_key_told(key) for key in list(keys.values())[-_MOST_KEYS:]]
        self._log.add({"time": _now(), "event": "keys", "held": len(keys), "keys": listed})
        self._known = dict(keys)

    def changed(self, keys: Mapping[str, Key], problem: str | None = None) -> None:
        """Another state of the file; `problem`: it cannot be read, and no key is taken."""
        by: dict[str, Any] = {"by": self._writer()}
        if problem is not None:
            self._log.add({"time": _now(), "event": "keys unreadable", **by, "problem": visible(problem)})
            return
        for identifier, key in keys.items():
            before = self._known.get(identifier)
            if before is None:
                self._log.add({"time": _now(), "event": "key created", **by, **_key_told(key)})
            elif before != key:
                event = "key revoked" if before.revoked_at is None and key.revoked_at is not None else "key changed"
                self._log.add({"time": _now(), "event": event, **by, **_key_told(key)})
        for identifier in self._known.keys() - keys.keys():
            self._log.add({"time": _now(), "event": "key gone", **by, **_key_told(self._known[identifier])})
        self._known = dict(keys)

    def _writer(self) -> str | None:
        try:
            number = self._path.stat().st_uid
        except OSError:
            return None
        try:
            return f"{pwd.getpwuid(number).pw_name} ({number})"
        except KeyError:
            return str(number)


def _key_told(key: Key) -> dict[str, Any]:
    """What the log tells of a key."""
    corpora = None if key.corpora is None else [visible(name[:_LONGEST_NAME]) for name in key.corpora[:_MOST_NAMES]]
    told: dict[str, Any] = {"key": key.id, "role": key.role, "bound_to": corpora, "created": _moment(key.created_at)}
    if key.name:
        told["name"] = visible(key.name[:_LONGEST_NAME])
    for name, moment in (("expires", key.expires_at), ("revoked", key.revoked_at)):
        if moment is not None:
            told[name] = _moment(moment)
    return told


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
