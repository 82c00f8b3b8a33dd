"""What `kinprint load` tells of files: what they are, what became of their columns, and the preview of their rows."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.terminal import print_json, warn
from kinprint.client.errors import SourceError
from kinprint.client.files.ndjson import transcript_row
from kinprint.client.files.reader import FileReader
from kinprint.client.files.rows import KNOWN_COLUMNS, RowError, SourceRow
from kinprint.client.files.shapes import Account, as_told
from kinprint.client.types import as_dict
from kinprint.client.wording import counted

_WIDTH = 80
#: Rows that a preview shows, errors that it lists, and characters of a value.
_SHOWN, _VALUE = 5, 200


def account_lines(account: Account) -> list[str]:
    """What became of what, in lines for people."""
    lines = []
    for name, files in account.presets.items():
        if name in ("columns", "map"):
            continue
        what = files[0] if len(files) == 1 else f"{len(files):,} files"
        lines.append(f"{what}: read as {name} ({account.titles[name]}); --preset or --map overrules")
    lines += _homes(account)
    for found, meant in account.near.items():
        lines.append(f"is column {found!r} meant as {meant!r}? It became metadata; --rename {found}={meant}")
    lines += loss_lines(account)
    return lines + _absent(account)


def loss_lines(account: Account) -> list[str]:
    """What of the rows was left out."""
    left = [f"{count:,} {kind}" for kind, count in account.left.most_common() if count]
    return [f"left out: {'; '.join(left)}"] if left else []


def _homes(account: Account) -> list[str]:
    by_home: dict[str, list[str]] = {}
    for path, home in account.homes.items():
        by_home.setdefault(home, []).append(path)
    kept = [path for path, home in account.homes.items() if path == home and path in KNOWN_COLUMNS]
    told = [f"{', '.join(_few(kept))} as named"] if kept else []
    for home, paths in by_home.items():
        paths = [path for path in paths if path not in kept]
        if paths:
            told.append(f"{', '.join(_few(paths))} -> {home}")
    return [f"columns: {'; '.join(told)}"] if told else []


def _few(names: list[str], most: int = 12) -> list[str]:
    return names if len(names) <= most else [*names[:most], f"and {len(names) - most} more"]


def _absent(account: Account) -> list[str]:
    """Whether what kinship goes by is there at all."""
    if not account.transcripts:
        return []
    absent = []
    if not account.models:
        absent.append("a model (--map model=PATH, or --rename COLUMN=model)")
    if not account.prompts:
        absent.append("a prompt or prompt_id")
    if not absent:
        return []
    return [f"no row names {' or '.join(absent)}: kinship compares models by their answers to the same prompts"]


def tell_account(account: Account, *, quiet: bool) -> None:
    """Say on standard error what became of the rows; with `quiet` only what was left out."""
    for line in loss_lines(account) if quiet else account_lines(account):
        warn(line)


def preview(reader: FileReader, limit: int | None, *, as_json: bool, quiet: bool) -> int:
    """Read files without writing, and show what would be stored.

    Returns:
        1 when a file cannot be read or no row can, else 0.
    """
    shown: list[tuple[SourceRow, dict[str, Any]]] = []
    reasons: Counter[str] = Counter()
    errors: list[SourceRow] = []
    good = 0
    problem: SourceError | None = None
    with ProgressReport("reading", quiet=quiet) as bar:
        try:
            for count, row in enumerate(_limited(reader, limit)):
                if count % 1000 == 999:
                    bar.update(reader.fraction, f"{count + 1:,} rows")
                if isinstance(row.item, RowError):
                    reasons[row.item.reason] += 1
                    if len(errors) < _SHOWN:
                        errors.append(row)
                    continue
                good += 1
                if len(shown) < _SHOWN:
                    shown.append((row, _stored(row)))
        except SourceError as error:
            problem = error
    account = reader.mapper.account
    if as_json:
        print_json(
            {
                "rows": [{"where": f"{row.source}:{row.row}", **as_dict(columns)} for row, columns in shown],
                "counts": {"stored": good, "skipped": sum(reasons.values())},
                "reasons": {reason.lower(): count for reason, count in sorted(reasons.items())},
                "errors": [
                    {"where": f"{row.source}:{row.row}", "reason": row.item.reason.lower(), "message": row.item.message}
                    for row in errors
                    if isinstance(row.item, RowError)
                ],
                **as_told(account),
                "files": [
                    {"file": share.source, "rows": share.rows, "skipped": share.skipped} for share in reader.shares
                ],
                "notes": reader.notes,
                "problem": str(problem) if problem is not None else None,
            }
        )
    else:
        for row, columns in shown:
            print(f"{row.source}:{row.row}")
            for name, value in columns.items():
                print(textwrap.indent(_cut(name, value), "  "))
        skipped = sum(reasons.values())
        told = ", ".join(f"{count:,} {reason.lower()}" for reason, count in reasons.most_common())
        if not good and not skipped and problem is None:
            print("there are no rows in it")
        print(f"{counted(good, 'row')} would be stored" + (f", {skipped:,} skipped: {told}" if skipped else ""))
        for line in account_lines(account):
            print(line)
        for note in reader.notes:
            print(f"note: {note}")
        for row in errors:
            assert isinstance(row.item, RowError)
            print(f"  {row.source}:{row.row}: {row.item.message}")
    if problem is not None:
        warn(f"kinprint: {problem}")
    return int(problem is not None or not good)


def _limited(rows: Iterable[SourceRow], limit: int | None) -> Iterable[SourceRow]:
    return islice(rows, limit)


def _stored(row: SourceRow) -> dict[str, Any]:
    assert not isinstance(row.item, RowError)
    return {name: value for name, value in transcript_row(row.item).items() if value not in (None, {})}


def _cut(name: str, value: Any) -> str:
    """A field in a line of the terminal's width; control characters are shown as such."""
    text = str(value)
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:_VALUE])
    line = f"{name}: {text}"
    return line if len(line) <= _WIDTH - 2 else line[: _WIDTH - 5] + "..."
