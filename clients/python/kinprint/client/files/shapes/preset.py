"""What a preset is, and the reading of a raw row that it is written with.

A preset takes the rows that one tool writes and gives rows in the project's own columns (`kinprint.client.files.rows`
makes transcripts of those). It is a pure function of one row; what it does not take becomes metadata, and what it
leaves out is counted, so that all of a row can be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kinprint.client.files.rows import RowError, metadata_items
from kinprint.client.files.values import plain, structured

Raw = Mapping[str, Any]
"""A row as it stands in a file: values by name, nested as they are."""


@dataclass(slots=True)
class Shaped:
    """What became of a raw row.

    rows: rows in the project's columns, further values under "metadata".
    homes: what each path of the raw row became ("messages" -> "prompt, response").
    left: what was left out, counted by kind.
    """

    rows: list[dict[str, Any]]
    homes: dict[str, str] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)


class Preset(Protocol):
    """The form that one tool gives its rows."""

    @property
    def name(self) -> str:
        """What --preset calls it."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    def recognise(self, rows: Sequence[Raw]) -> float:
        """How sure it is that the first rows of a file are of this form: 0 (they are not) to 1."""

    def begin(self) -> Preset:
        """The preset for the rows of one file: itself, unless it keeps something from row to row."""

    def shape(self, raw: Raw) -> Shaped:
        """Rows in the project's columns; none where the row only adds to a later one.

        Raises:
            RowError: the row holds no answer, or one that cannot be read.
        """


class Reading:
    """A raw row while it is read: notes what is taken and where it goes.

    `take` looks a path up, through mappings, lists (by number) and JSON in text. What was taken, or left out with
    `skip`, is no metadata any more; `rest` gives everything else, under dotted names where it was nested beside
    something that was taken.
    """

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.homes: dict[str, str] = {}
        self.left: Counter[str] = Counter()
        self._taken: dict[tuple[Any, ...], None] = {}

    def get(self, *path: Any) -> Any:
        """The value at a path, None where there is none; it stays what becomes metadata."""
        value: Any = self.raw
        for step in path:
            value = structured(value)
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, (list, tuple)) and isinstance(step, int) and -len(value) <= step < len(value):
                value = value[step]
            else:
                return None
        return plain(value)

    def take(self, home: str, *path: Any) -> Any:
        """The value at a path, which goes to `home`; None (or "") where there is none."""
        value = self.get(*path)
        if value is not None and value != "":
            self.homes[dotted(path)] = home
            self._taken[path] = None
        return value

    def first(self, home: str, *paths: tuple[Any, ...]) -> Any:
        """`take` of the first path with a value; the others stay."""
        for path in paths:
            if self.get(*path) not in (None, ""):
                return self.take(home, *path)
        return None

    def skip(self, why: str, *path: Any) -> None:
        """Leave a value out, and say so."""
        if self.get(*path) is not None:
            self.homes[dotted(path)] = f"left out: {why}"
            self._taken[path] = None

    def rest(self) -> dict[str, Any]:
        """What nothing was made of: metadata, by name."""
        found: dict[str, Any] = {}
        self._rest(self.raw, (), found)
        merged: dict[str, Any] = {}
        for name, value in found.items():
            if name == "metadata":
                merged |= {str(key): one for key, one in metadata_items(value)}
                self.homes["metadata"] = "metadata, each key"
            else:
                merged[name] = value
                self.homes.setdefault(name, "metadata")
        return merged

    def _rest(self, value: Mapping[str, Any], path: tuple[Any, ...], found: dict[str, Any]) -> None:
        for key, inner in value.items():
            here = (*path, key)
            inner = plain(inner)
            if inner is None or inner == "" or here in self._taken:
                continue
            if any(len(taken) > len(here) and taken[: len(here)] == here for taken in self._taken):
                inner = structured(inner)
                if isinstance(inner, (list, tuple)):
                    # Of a list something was taken: the rest of its items is told by number.
                    inner = dict(enumerate(inner))
                    if not all(isinstance(one, Mapping) for one in inner.values()):
                        continue
                if isinstance(inner, Mapping):
                    self._rest(inner, here, found)
                continue
            if isinstance(inner, (list, tuple, Mapping)) and not inner:
                continue
            found[dotted(here)] = inner

    def shaped(self, rows: Sequence[Mapping[str, Any]]) -> Shaped:
        """The rows with what is left of the raw row as their metadata."""
        rest = self.rest()
        return Shaped(
            [{**row, "metadata": {**rest, **(row.get("metadata") or {})}} for row in rows], self.homes, self.left
        )


def inner_rows(
    reading: Reading, record: Raw, label: str, read: Callable[[Reading], Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The rows of a record inside a row, each with what is left of that record; told as `label`.

    Raises:
        RowError: as `read`.
    """
    inner = Reading(record)
    shaped = inner.shaped(read(inner))
    reading.left.update(shaped.left)
    reading.homes |= {f"{label}.{path}": home for path, home in shaped.homes.items()}
    return shaped.rows


def dotted(path: Sequence[Any]) -> str:
    """A path as it is told: request.messages[0].content."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


@dataclass(frozen=True, slots=True)
class RowPreset:
    """A preset that sees from each row alone whether it is of its form.

    test: sureness from one row, 0 to 1. read: takes what it knows from a `Reading` and gives the rows.
    """

    name: str
    title: str
    test: Callable[[Raw], float]
    read: Callable[[Reading], Sequence[Mapping[str, Any]]]

    def recognise(self, rows: Sequence[Raw]) -> float:
        """The mean over the rows: a row that failed, or an odd one, does not hide what the file is."""
        return sum(map(self.test, rows)) / max(len(rows), 1)

    def begin(self) -> RowPreset:
        """The preset itself."""
        return self

    def shape(self, raw: Raw) -> Shaped:
        """Rows in the project's columns.  Raises RowError."""
        reading = Reading(raw)
        rows = self.read(reading)
        if not rows:
            raise RowError("NO_ANSWER", f"no answer in this row (read as {self.name})")
        return reading.shaped(rows)
