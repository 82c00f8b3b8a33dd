"""How the server logs: lines for people or JSON for programs, and no text of a transcript in either.

A failure that nobody foresaw may quote what it failed at, such as a value of a column.  Of those only the type and the
place are logged; messages of our own failures and of the operating system are logged as they are, because they are
written for operators.  `KINPRINT_DEBUG=1` logs all of them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import traceback
from types import TracebackType
from typing import IO

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: What a terminal acts upon, and what would begin a line that nobody logged.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def visible(text: str) -> str:
    """The text with control characters escaped."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def told(error: BaseException) -> str:
    """Type and message of an exception, the message withheld where it may quote a text."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    ours = type(error).__module__.startswith("kinprint.")
    if ours or isinstance(error, OSError | TimeoutError) or os.environ.get("KINPRINT_DEBUG") == "1":
        return f"{kind}: {visible(str(error))}"
    return f"{kind} (its message may quote a text and is withheld; KINPRINT_DEBUG=1 logs it)"


def stack(error: BaseException) -> str:
    """Where an exception and those behind it came from, without their messages' texts."""
    parts = []
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        parts.append("".join(traceback.format_tb(following.__traceback__)) + told(following))
        cause = following.__cause__
        following = cause if cause is not None or following.__suppress_context__ else following.__context__
    return "\nafter:\n".join(parts)


#: Lines of a traceback or of faulthandler that tell a place and quote nothing, and the type that an error begins with.
_PLACES = re.compile(r"\s*(File \"|Fatal Python error|Current thread|Thread 0x|Traceback )")
_TYPE = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*(?:Error|Exception|Panic\w*))\b")


def last_words(text: str) -> str:
    """Of what a process wrote before it died, the lines that cannot quote a text."""
    if os.environ.get("KINPRINT_DEBUG") == "1":
        return visible(text.replace("\n", " | "))
    kept = []
    for line in text.splitlines():
        if _PLACES.match(line):
            kept.append(line.strip())
        elif (found := _TYPE.match(line)) is not None:
            kept.append(found[1])
    return visible(" | ".join(kept))


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The first line."""
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _Raised) -> str:  # noqa: N802
        """The stack below it."""
        return stack(ei[1]) if ei[1] is not None else ""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and stack where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": visible(record.getMessage()),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["stack"] = stack(record.exc_info[1])
        elif record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, ensure_ascii=False)


def formatter(name: str) -> logging.Formatter:
    """The formatter "text" or "json"."""
    return JsonFormatter() if name == "json" else TextFormatter()


def log_to_stderr(level: str, name: str, stream: IO[str] | None = None) -> None:
    """Log to standard error, or to what stands for it."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(formatter(name))
    root = logging.getLogger()
    root.setLevel(level)
    root.addHandler(handler)
