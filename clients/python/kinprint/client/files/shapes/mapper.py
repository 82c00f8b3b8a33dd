"""The mapper: sees from the first rows of a file what they are, and makes transcripts of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from kinprint.client.errors import SourceError
from kinprint.client.files.rows import RowError, SourceRow, missing_response_hint, near_names, source_rows
from kinprint.client.files.shapes.columns import Columns, home_of
from kinprint.client.files.shapes.mapping import Mapped
from kinprint.client.files.shapes.preset import Preset, Raw

#: Rows that are looked at before it is decided what a file is, and the sureness at which its first row is enough.
FIRST_ROWS, ENOUGH = 20, 0.85
#: Keys of answers that list rows as `data`.
_ENVELOPE = frozenset(
    ("data", "object", "has_more", "first_id", "last_id", "next_page", "meta", "error", "total", "cursor", "pagination")
)
#: Paths of raw rows whose homes are remembered: rows with a key of their own each must not fill the memory.
_PATHS = 2_000


class NotRecognisedError(SourceError):
    """No preset knows what the rows of a file are: a side file of a folder, or rows that want --map."""


@lru_cache(maxsize=1)
def presets() -> tuple[Preset, ...]:
    """All presets, in the order in which they are listed."""
    from kinprint.client.files.shapes import (
        anthropic,
        columns,
        conversations,
        exports,
        gemini,
        logs,
        openai,
        otel,
        training,
    )

    families = (columns, openai, anthropic, gemini, conversations, exports, logs, otel, training)
    return tuple(preset for family in families for preset in family.PRESETS)


def preset_named(name: str) -> Preset:
    """A preset by its name.

    Raises:
        SourceError: there is none; the message lists them.
    """
    for preset in presets():
        if preset.name == name:
            return preset
    names = [preset.name for preset in presets()]
    near = get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise SourceError(f"no preset {name!r}{hint} (known: {', '.join(names)})")


def recognise(rows: Sequence[Raw], source: str = "rows") -> Preset | None:
    """The preset that is surest of some rows; None where none is sure at all. Deterministic.

    Raises:
        SourceError: two are equally sure; the message names both.
    """
    sure = sorted(((preset.recognise(rows), preset.name) for preset in presets()), key=lambda one: (-one[0], one[1]))
    if not sure or sure[0][0] <= 0:
        return None
    if len(sure) > 1 and sure[0][0] - sure[1][0] < 1e-9:
        first, second = sure[0][1], sure[1][1]
        raise SourceError(f"{source}: the rows may be {first} or {second}: say --preset {first} or --preset {second}")
    return preset_named(sure[0][1])


@dataclass(slots=True)
class Account:
    """What became of the rows that a mapper has read.

    presets: files by preset. homes: what each column or path became. left: what was left out, by kind.
    near: columns that became metadata although they look like a known one, and that one.
    transcripts, models, prompts: transcripts made, and how many of them name a model and a prompt.
    """

    presets: dict[str, list[str]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    near: dict[str, str] = field(default_factory=dict)
    transcripts: int = 0
    models: int = 0
    prompts: int = 0


class Mapper:
    """Makes transcripts of raw rows, file by file.

    Args:
        preset: name of the preset of all files; None: each file's is recognised by its first rows.
        paths: JMESPath expressions by column, which overrule presets.
        rename: columns to rename before anything else, old name to new.

    Raises:
        SourceError: no such preset, or an expression that is none.
    """

    def __init__(
        self,
        preset: str | None = None,
        paths: Mapping[str, str] | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> None:
        if preset is not None and paths:
            raise SourceError("give --preset or --map, not both")
        self._given: Preset | None = preset_named(preset) if preset is not None else Mapped(paths) if paths else None
        self.rename = dict(rename or {})
        self.has_paths = bool(paths)
        self.account = Account()
        self._source = ""
        self._columns: list[str] = []
        self._preset: Preset | None = None
        self._waiting: list[tuple[str, int, Raw]] = []
        self._seen: set[str] = set()
        #: Names of columns of the first rows, before any is renamed.
        self._named: dict[str, None] = {}

    def begin(self, source: str, columns: Sequence[str] | None = None) -> None:
        """A file begins; `columns` are its columns where they are known beforehand.

        Raises:
            SourceError: a column to rename is not among them.
        """
        self._source, self._preset, self._columns = source, None, list(columns or ())
        self._seen, self._named = set(), {}
        if columns is not None:
            self._check_renames(columns)

    def rows(self, source: str, number: int, raw: Raw) -> Iterator[SourceRow]:
        """What can be told after one more row: nothing while the file is not recognised yet.

        Raises:
            SourceError: the file cannot be recognised.
        """
        if "data" in raw and raw.keys() <= _ENVELOPE and isinstance(raw["data"], (list, tuple)):
            # The answer of an interface that lists: its items are the rows.
            for item in raw["data"]:
                if isinstance(item, Mapping):
                    yield from self.rows(source, number, item)
            return
        if self.rename:
            self._check_places(raw)
            if self._preset is None:
                self._named |= dict.fromkeys(map(str, raw))
            blank = [old for old, new in self.rename.items() if new == "response" and old in self._columns]
            raw = {self.rename.get(column, column): value for column, value in raw.items()}
            if blank and "response" not in raw:
                raw["response"] = ""  # an empty cell of a table: an answer, though a blank one
        if self._preset is not None:
            yield from self._made(source, number, raw)
            return
        self._waiting.append((source, number, raw))
        if len(self._waiting) >= FIRST_ROWS or self._is_plain(raw):
            yield from self._decided()

    def _is_plain(self, raw: Raw) -> bool:
        """Whether a file's first row tells what it is; where the user names columns, further ones are looked at."""
        if len(self._waiting) > 1 or self.rename or isinstance(self._given, Mapped):
            return False
        if self._given is not None:
            return True
        first, second = sorted((preset.recognise([raw]) for preset in presets()), reverse=True)[:2]
        return first >= ENOUGH and first > second

    def end(self, *, broken: bool = False) -> Iterator[SourceRow]:
        """What is left to tell of a file when its rows have ended, or it broke off.

        Raises:
            SourceError: the file cannot be recognised, and is whole.
        """
        if self._preset is None and (self._waiting or (self._columns and not broken)):
            try:
                yield from self._decided()
            except SourceError:
                if not broken:
                    raise
        self._preset, self._columns = None, []

    def _check_renames(self, columns: Sequence[str]) -> None:
        for old in self.rename:
            if old not in columns:
                near = get_close_matches(old, list(columns), n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise SourceError(
                    f"{self._source}: no column {old!r} to rename{hint}; found: {', '.join(map(str, columns))}"
                )
        self._check_places(dict.fromkeys(columns, ""))

    def _check_places(self, raw: Raw) -> None:
        """A column that is renamed must not push another one out."""
        for old, new in self.rename.items():
            if old in raw and raw.get(new) is not None and new not in self.rename:
                raise SourceError(f"{self._source}: {old!r} cannot become {new!r}: there is such a column already")

    def _decided(self) -> Iterator[SourceRow]:
        waiting, self._waiting = self._waiting, []
        first = [raw for _, _, raw in waiting]
        if not self._columns and self.rename:
            self._check_renames(list(self._named))
        columns = [self.rename.get(column, column) for column in self._columns]
        columns = list(dict.fromkeys([*columns, *(str(key) for raw in first for key in raw)]))
        if self._given is not None:
            self._given.recognise(first) if isinstance(self._given, Mapped) else None
            preset = self._given
        else:
            # Of a table without rows its columns tell.
            found = recognise(first or [dict.fromkeys(columns, "x")], self._source)
            if found is None:
                raise NotRecognisedError(f"{self._source}: {missing_response_hint(columns)}")
            preset = found
        self._preset = preset.begin()
        self.account.presets.setdefault(preset.name, []).append(self._source)
        self.account.titles[preset.name] = preset.title
        for source, number, raw in waiting:
            yield from self._made(source, number, raw)

    def _made(self, source: str, number: int, raw: Raw) -> Iterator[SourceRow]:
        assert self._preset is not None
        account = self.account
        if isinstance(self._preset, Columns):
            # Most rows of most corpora: nothing is to be shaped.
            self._note_columns(raw)
            yield from self._counted(source, number, raw)
            return
        try:
            shaped = self._preset.shape(raw)
        except RowError as error:
            yield SourceRow(source, number, error)
            return
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            # Rows can be malformed in ways that no preset foresees; one costs itself and no other.
            told = f"no {self._preset.name} row: {type(error).__name__}: {str(error)[:120]}"
            yield SourceRow(source, number, RowError("ROW_MALFORMED", told))
            return
        if len(account.homes) < _PATHS:
            account.homes |= shaped.homes
        account.left.update(shaped.left)
        for row in shaped.rows:
            yield from self._counted(source, number, row)

    def _counted(self, source: str, number: int, row: Raw) -> Iterator[SourceRow]:
        account = self.account
        for made in source_rows(source, number, row, left=account.left):
            if not isinstance(made.item, RowError):
                account.transcripts += 1
                account.models += bool(made.item.model)
                account.prompts += bool(made.item.prompt or made.item.prompt_id)
            yield made

    def _note_columns(self, raw: Raw) -> None:
        if raw.keys() <= self._seen:
            return
        new = [column for column in raw if column not in self._seen]
        if len(self._seen) < _PATHS:
            self._seen.update(new)
            self.account.homes |= {column: home_of(column) for column in new}
            self.account.near = near_names([c for c, home in self.account.homes.items()])


def as_told(account: Account) -> dict[str, Any]:
    """The account for machines: presets, columns and what was left out."""
    return {
        "presets": {name: len(files) for name, files in account.presets.items()},
        "columns": dict(account.homes),
        "left": {kind: count for kind, count in account.left.items() if count},
        "near": dict(account.near),
        "transcripts": account.transcripts,
        "with_model": account.models,
        "with_prompt": account.prompts,
    }
