"""The project's own columns: `response` and what goes with it; the names of docs/your-data.md."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.client.files.rows import KNOWN_COLUMNS
from kinprint.client.files.shapes.preset import Raw, Shaped
from kinprint.client.files.values import plain

_KNOWN = frozenset(KNOWN_COLUMNS)


class Columns:
    """Rows that have the project's columns already; they are passed on as they are."""

    name = "columns"
    title = "columns named response, prompt, model ..."

    def recognise(self, rows: Sequence[Raw]) -> float:
        """Sure of rows with a text as `response`; of others with such a column only when nothing else is known."""
        return sum(map(_sureness, rows)) / max(len(rows), 1)

    def begin(self) -> Columns:
        """The preset itself: it keeps nothing from row to row."""
        return self

    def shape(self, raw: Raw) -> Shaped:
        """The row itself."""
        return Shaped([dict(raw)])


def home_of(column: str) -> str:
    """What becomes of a column of such rows."""
    if column == "metadata":
        return "metadata, each key"
    if column == "messages":
        return "prompt, response, system_prompt, turn"
    return column if column in _KNOWN else "metadata"


def _sureness(raw: Raw) -> float:
    response = plain(raw.get("response"))
    if isinstance(response, str):
        return 0.9
    if "response" in raw:
        return 0.05 if response is not None else 0.1
    return 0.1 if "messages" in raw else 0.0


PRESETS = (Columns(),)
