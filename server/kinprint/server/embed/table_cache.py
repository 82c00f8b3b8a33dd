"""Where the table of a model lies in the user's cache, found without loading the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from kinprint.server.embed.default_model.build import cache_directory, default_model_directory
from kinprint.server.store import files


def _stamp(model: Path) -> str | None:
    """What tells whether a model directory is the same as before: its files' names, sizes and times; None without one.

    Only a short cut: whoever loads the model afterwards compares digests.
    """
    if not model.is_dir():
        return None
    seen = sorted(
        (path.relative_to(model).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in model.rglob("*")
        if path.is_file()
    )
    return hashlib.sha256(json.dumps([str(model.resolve()), seen]).encode()).hexdigest()


def _note(model: Path) -> Path:
    return cache_directory() / "tables" / f"{hashlib.sha256(str(model.resolve()).encode()).hexdigest()[:24]}.json"


def _model_directory(model: str) -> Path:
    return default_model_directory() if model == "default" else Path(model)


def known_table(model: str) -> Path | None:
    """Directory of the table of a model, "default" or a directory; None when it was not built, or the model changed."""
    directory = _model_directory(model)
    try:
        found = json.loads(_note(directory).read_text(encoding="utf-8"))
        table = Path(found["table"])
        return table if found["stamp"] == _stamp(directory) and (table / "table.json").is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_table(model: str, table: Path) -> None:
    """Note where the table of a model lies.  Raises OSError."""
    directory = _model_directory(model)
    _note(directory).parent.mkdir(parents=True, exist_ok=True)
    files.write_json(_note(directory), {"stamp": _stamp(directory), "table": str(table)})
