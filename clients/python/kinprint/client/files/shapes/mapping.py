"""`--map`: where the project's columns stand in nested rows, as JMESPath expressions (jmespath.org)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from kinprint.client.errors import SourceError
from kinprint.client.files.rows import KNOWN_COLUMNS, RowError
from kinprint.client.files.shapes.preset import Raw, Reading, Shaped
from kinprint.client.files.values import structured

_NEXT = re.compile(r"\s*([a-z_]+(?:\.[^=,\s]+)?)\s*=(?!=)")


def parse_map(texts: Sequence[str]) -> dict[str, str]:
    """Expressions by column, of texts such as `prompt=a.b[-1].c,response=d`; commas inside expressions are theirs.

    Raises:
        SourceError: a part without "=", or a column that is none.
    """
    found: dict[str, str] = {}
    for text in texts:
        for part in _split(text):
            match = _NEXT.match(part)
            if match is None or not part[match.end() :].strip():
                raise SourceError(f"--map wants COLUMN=PATH, not {part.strip()!r}")
            column = match.group(1)
            if column not in KNOWN_COLUMNS and not column.startswith("metadata."):
                near = get_close_matches(column, KNOWN_COLUMNS, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(KNOWN_COLUMNS)}, metadata.NAME"
                raise SourceError(f"--map: no column {column!r}{hint}")
            found[column] = part[match.end() :].strip()
    return found


def _split(text: str) -> list[str]:
    """Parts at commas outside of brackets and quotes after which a column and "=" come."""
    parts, depth, quote, start = [], 0, "", 0
    place = 0
    while place < len(text):
        sign = text[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "'\"`":
            quote = sign
        elif sign in "[({":
            depth += 1
        elif sign in "])}":
            depth -= 1
        elif sign == "," and depth == 0 and _NEXT.match(text, place + 1):
            parts.append(text[start:place])
            start = place + 1
        place += 1
    return [*parts, text[start:]]


class Mapped:
    """A preset of expressions that the user gave.

    Args:
        paths: JMESPath expressions by column (`metadata.NAME` for a key of metadata).

    Raises:
        SourceError: an expression is none, neither a response nor messages are mapped, or JMESPath is not installed.
    """

    name = "map"
    title = "as --map says"

    def __init__(self, paths: Mapping[str, str]) -> None:
        try:
            import jmespath
        except ModuleNotFoundError as error:
            raise SourceError(f"--map needs {error.name}: pip install 'kinprint[polars]'") from error
        if "response" not in paths and "messages" not in paths:
            raise SourceError("--map names neither a response nor messages")
        self._paths = dict(paths)
        self._compiled = {}
        for column, path in paths.items():
            try:
                self._compiled[column] = jmespath.compile(path)
            except jmespath.exceptions.JMESPathError as error:
                reason = str(error).strip().splitlines()[0]
                raise SourceError(f"--map {column}={path}: no JMESPath expression: {reason}") from error
        self._roots = {column: _roots(made.parsed) for column, made in self._compiled.items()}

    def begin(self) -> Mapped:
        """The preset itself."""
        return self

    def recognise(self, rows: Sequence[Raw]) -> float:
        """1 when each expression that must be there finds something in one of the rows.

        Raises:
            SourceError: one finds nothing; the message names it.
        """
        for column in self._compiled:
            if rows and not any(self._value(column, _opened(row)) is not None for row in rows):
                found = ", ".join(dict.fromkeys(str(key) for row in rows for key in row))
                where = f"the first {len(rows)} rows; their columns: {found}"
                raise SourceError(f"--map {column}={self._paths[column]} finds nothing in {where}")
        return 1.0

    def _value(self, column: str, row: Raw) -> Any:
        import jmespath

        try:
            return self._compiled[column].search(row)
        except jmespath.exceptions.JMESPathError as error:
            reason = str(error).strip().splitlines()[0]
            raise RowError("MAP_FAILED", f"--map {column}={self._paths[column]}: {reason}") from None

    def shape(self, raw: Raw) -> Shaped:
        """The row that the expressions make; columns that none of them begins with are metadata.  Raises RowError."""
        opened = _opened(raw)
        reading = Reading(opened)
        row: dict[str, Any] = {}
        given: dict[str, Any] = {}
        for column in self._compiled:
            value = self._value(column, opened)
            if value is None:
                continue
            if column.startswith("metadata."):
                given[column.removeprefix("metadata.")] = value
            else:
                row[column] = value
        roots: dict[str, list[str]] = {}
        for column, names in self._roots.items():
            for name in names:
                roots.setdefault(name, []).append(column)
        for name, columns in roots.items():
            if reading.get(name) is not None:
                nested = any(self._paths[column] != name for column in columns)
                home = ", ".join(columns) + (" (what else it holds is left out)" if nested else "")
                reading.take(home, name)
        if row.get("response") is None and row.get("messages") is None:
            raise RowError("MISSING_RESPONSE", "--map finds no response in the row")
        metadata = row.pop("metadata", None)
        if isinstance(metadata, Mapping):
            given = {**metadata, **given}
        return reading.shaped([{**row, "metadata": given}])


def _opened(row: Raw) -> Raw:
    """The row with columns that hold JSON as text opened, so that paths go into them."""
    return {key: structured(value) for key, value in row.items()}


def _roots(node: Mapping[str, Any]) -> list[str]:
    """Columns of the row that an expression begins with."""
    kind, children = node["type"], node.get("children", [])
    if kind == "field":
        return [node["value"]]
    if kind in (
        "subexpression",
        "index_expression",
        "projection",
        "filter_projection",
        "flatten",
        "value_projection",
        "pipe",
    ):
        return _roots(children[0]) if children else []
    return list(dict.fromkeys(name for child in children if isinstance(child, Mapping) for name in _roots(child)))
