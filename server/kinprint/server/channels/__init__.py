"""The channels: each one class behind one protocol, and this one register of them.

A channel is added by a class like the three here and one entry in `CHANNELS`: a record column, a number in the
contract and a message for its evidence belong to it, and nothing else asks which channel it has before it.
"""

from __future__ import annotations

from typing import Any, Final

from kinprint.server.channels.copy import CopyChannel
from kinprint.server.channels.fast import FastTier
from kinprint.server.channels.protocol import Channel, Query
from kinprint.server.channels.semantic import SecondModel, SemanticChannel
from kinprint.server.channels.style import StyleChannel
from kinprint.server.store.segment import ChunkFormat

#: Every channel by name, in the order in which coverage is told.
CHANNELS: Final[dict[str, Channel[Any, Any, Any]]] = {
    channel.name: channel for channel in (CopyChannel(), StyleChannel(), SemanticChannel())
}
#: The fast tier of the semantic channel: kept beside the channels' chunks, made of texts alone.
FAST: Final = FastTier()
#: Sentence vectors of a second model, beside those that the semantic channel is searched by.
SECOND: Final = SecondModel()
#: Everything that segments keep of their rows, by name.
FORMATS: Final[dict[str, ChunkFormat]] = {**CHANNELS, FAST.name: FAST, SECOND.name: SECOND}
#: What a load fills when it names no channel.
DEFAULT: Final = tuple(name for name, channel in CHANNELS.items() if channel.default)
#: Channels that the embedding model fills.
EMBEDDED: Final = frozenset(name for name, channel in CHANNELS.items() if channel.embedded)


def schemes() -> dict[str, str]:
    """What saved chunks depend on, for a generation's manifest."""
    return {name: value for channel in CHANNELS.values() for name, value in channel.schemes.items()}


__all__ = ["CHANNELS", "DEFAULT", "EMBEDDED", "FAST", "FORMATS", "SECOND", "Channel", "Query", "schemes"]
