"""Texts, channels, times and ids, as the options of searches and comparisons give them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from kinprint.client.cli.terminal import fail, give_up
from kinprint.client.types import CHANNELS, TIERS, ChannelName, TierName


def read_text(name: str) -> str:
    """The text of a file, or of standard input for "-".

    Raises:
        CommandError: it is not valid UTF-8; says where.
        OSError: it cannot be read.
    """
    data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = "standard input" if name == "-" else name
        give_up(f"{where} is not valid UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}")


def parse_time(text: str | None, option: str) -> datetime | None:
    """A time from an option: ISO 8601, UTC unless it says otherwise.

    Raises:
        CommandError: it cannot be read.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} wants a date or time like 2026-03-01 or 2026-03-01T12:00:00Z, not {text!r}")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def parse_channels(names: list[str]) -> list[ChannelName]:
    """Channels of an option that may be repeated, hold several, and say "all"; each once.

    Raises:
        CommandError: an unknown channel.
    """
    chosen: list[str] = []
    for name in (part.strip() for text in names for part in text.split(",")):
        if name == "all":
            chosen += CHANNELS
        elif name in CHANNELS:
            chosen.append(name)
        else:
            fail(f"unknown channel {name!r}; known: {', '.join(CHANNELS)}, all")
    return cast("list[ChannelName]", list(dict.fromkeys(chosen)))


def parse_tier(name: str) -> TierName | None:
    """The tier of an option; None for "auto": each row by the best that it has.

    Raises:
        CommandError: there is no such tier.
    """
    if name != "auto" and name not in TIERS:
        fail(f"unknown tier {name!r}; known: auto, {', '.join(TIERS)}")
    return None if name == "auto" else cast("TierName", name)
