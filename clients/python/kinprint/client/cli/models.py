"""What the commands on models share: tables of families, names that must be in a corpus, panels, sentences."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.terminal import give_up, out
from kinprint.client.errors import KinprintError
from kinprint.client.sync import Client
from kinprint.client.types import DuplicatesProgress, PanelEdge, PanelFile, PanelMember
from rich.markup import escape

PanelOption = Annotated[
    Path | None, typer.Option("--panel", metavar="PANEL", help="Background: a file that 'kinprint panel fit' made.")
]
ModelsOption = Annotated[
    list[str] | None, typer.Option("--model", metavar="M", help="Only this model; may be repeated.")
]

_LISTED = 8


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a CSV or TSV file, each with the number of its line."""

    path: Path
    rows: list[tuple[int, dict[str, str]]]

    def of_corpus(self, corpus: str) -> list[tuple[int, dict[str, str]]]:
        """The rows of one corpus, if a column `corpus` names it in any row; else all rows."""
        named = any(row.get("corpus") == corpus for _, row in self.rows)
        return [item for item in self.rows if not named or item[1].get("corpus") == corpus]


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """A CSV or TSV file with a header that has at least `columns`.

    Raises:
        CommandError: it cannot be read, or lacks one of them.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=delimiter, strict=True)
            header = list(reader.fieldnames or ())
            for column in columns:
                if column not in header:
                    near = get_close_matches(column, header, n=1, cutoff=0.5)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    give_up(f"{path}: no column {column!r}; found: {', '.join(header) or 'none'}{hint}")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    give_up(
                        f"{path}, line {reader.line_num}: as many cells are needed as there are columns, {len(header)}"
                    )
                rows.append((reader.line_num, {name: value.strip() for name, value in row.items()}))
    except UnicodeDecodeError as error:
        give_up(f"{path} is not UTF-8: {error}")
    except csv.Error as error:
        give_up(f"{path} is no CSV file: {error}")
    return Table(path, rows)


def _several(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def read_members(path: Path, corpus: str) -> list[PanelMember]:
    """Models with families: columns model, family and, if it is there, shares_with (separated by ";").

    Raises:
        CommandError: the file cannot be read, a cell is missing, or a model has two families.
    """
    table = read_table(path, ("model", "family"))
    families: dict[str, tuple[int, str]] = {}
    tags: dict[str, dict[str, None]] = {}
    for line, row in table.of_corpus(corpus):
        model, family = row["model"], row["family"]
        if not model or not family:
            give_up(f"{path}, line {line}: no {'family' if model else 'model'}")
        first, known = families.setdefault(model, (line, family))
        if known != family:
            give_up(f"{path}: model {model!r} has the family {known!r} in line {first} and {family!r} in line {line}")
        tags.setdefault(model, {}).update(dict.fromkeys(_several(row.get("shares_with", ""))))
    if not families:
        give_up(f"{path}: no models")
    return [PanelMember(model, family, tuple(tags[model])) for model, (_, family) in families.items()]


def read_edges(path: Path, corpus: str) -> list[PanelEdge]:
    """Relations: columns model, related_to (several separated by ";") and relation.

    Raises:
        CommandError: the file cannot be read, or a cell is missing.
    """
    table = read_table(path, ("model", "related_to", "relation"))
    edges: dict[PanelEdge, None] = {}
    for line, row in table.of_corpus(corpus):
        for column in ("model", "relation"):
            if not row[column]:
                give_up(f"{path}, line {line}: no {column}")
        # A row without a related model says that there is none.
        edges.update({PanelEdge(row["model"], other, row["relation"]): None for other in _several(row["related_to"])})
    return list(edges)


def models_of(client: Client, corpus: str) -> list[str]:
    """Names of the models of a corpus.

    Raises:
        CommandError: it has none.
    """
    names = [item.value for item in client.get_corpus(corpus).models if item.value is not None]
    if not names:
        give_up(f"no transcript of corpus {corpus!r} names its model")
    return names


def check_models(wanted: Iterable[str], known: Sequence[str], corpus: str, where: str = "") -> None:
    """Check that models are in a corpus.

    Raises:
        CommandError: some are not; near names are suggested.
    """
    missing = [name for name in dict.fromkeys(wanted) if name not in set(known)]
    if missing:
        one = "model" if len(missing) == 1 else "models"
        give_up(f"{where}corpus {corpus!r} has no answers of {one} {near_names(missing, known)}")


def near_names(missing: Sequence[str], known: Sequence[str]) -> str:
    """Names that are not known, the first few, each with those that may have been meant."""
    told = []
    for name in missing[:_LISTED]:
        near = get_close_matches(name, known, n=2)
        told.append(f"{name!r}" + (f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""))
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    return ", ".join(told) + more


def load_panel(path: Path | None) -> PanelFile | None:
    """The panel in a file, None for None.

    Raises:
        CommandError: it cannot be read, or is no panel that this version can read.
    """
    if path is None:
        return None
    if path.is_dir():
        give_up(f"{path} is a directory, not a panel")
    try:
        return PanelFile.load(path)
    except FileNotFoundError:
        give_up(f"{path}: no such file; 'kinprint panel fit' makes a panel")
    except KinprintError as error:
        give_up(str(error))


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Callable[[DuplicatesProgress], None]]:
    """A bar, as a function that calls take for `progress`."""
    with ProgressReport(title, quiet=quiet) as bar:
        yield lambda progress: bar.update(progress.share, progress.step)


def say(*sentences: str) -> None:
    """Sentences on standard output, one a line."""
    for sentence in sentences:
        if sentence:
            out.print(escape(sentence), soft_wrap=True)


def listed(label: str, sentences: Iterable[str]) -> list[str]:
    """Sentences, each after a label."""
    return [f"{label}: {sentence}" for sentence in sentences]
