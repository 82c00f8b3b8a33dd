"""What is logged of failures that nobody foresaw: where, and of what kind, but not in their own words.

A library that chokes on a value likes to quote it, and values here are people's texts. Messages of our own errors and
of the operating system's quote names and numbers, and stay. `KINPRINT_LOG=DEBUG` shows all of it, for whoever looks
for a fault with data that may be shown.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from kinprint.server.edge.errors import plain


def described(error: BaseException, *, whole: bool = False) -> str:
    """The traceback of an error and of those that led to it; `whole`: with the messages of all of them."""
    parts: list[str] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        frames = "".join(traceback.format_list(traceback.extract_tb(at.__traceback__)))
        ours = type(at).__module__.startswith("kinprint.") or isinstance(at, OSError)
        words = plain(str(at)) if ours or whole else "(its message is left out, since it may quote a text)"
        parts.append(f"{frames}{type(at).__module__}.{type(at).__qualname__}: {words}")
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\nled to:\n".join(reversed(parts))


def be_discreet(level: str) -> None:
    """Have every record of this process's log describe its error so, whoever formats it."""
    before = logging.getLogRecordFactory()
    whole = level.upper() == "DEBUG"

    def made(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = before(*arguments, **named)
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            record.exc_text = described(record.exc_info[1], whole=whole)
            record.exc_info = None
        return record

    logging.setLogRecordFactory(made)
