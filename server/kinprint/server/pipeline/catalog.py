"""Catalog: the corpora of a data directory."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kinprint.server.failures import CorpusBusy, CorpusExists, CorpusNotFound, InvalidField
from kinprint.server.pipeline.corpus import Corpus

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DESCRIPTION_BYTES = 4096


class Catalog:
    """Corpora by name.  Thread-safe; methods that touch the disk are for worker threads."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "corpora"
        self._corpora: dict[str, Corpus] = {}
        self._turn = threading.RLock()

    def open_all(self, progress: Callable[[str], None]) -> None:
        """Open every corpus of the directory; raises what `Corpus.open` raises."""
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self.root.iterdir()):
            if folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)  # a delete that was interrupted
                continue
            if not (folder / "corpus.json").exists():
                logger.warning("%s holds no corpus (its creation was interrupted); removing it", folder.name)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            progress(f"opening {folder.name}")
            corpus = Corpus.open(folder, progress)
            self._corpora[corpus.name] = corpus

    def names(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._corpora)

    def get(self, name: str, field: str = "corpus") -> Corpus:
        """The corpus of a name.  Raises InvalidField without a name, CorpusNotFound."""
        if not name:
            raise InvalidField(field, f"{field} names no corpus", "FIELD_MISSING")
        try:
            return self._corpora[name]
        except KeyError:
            known = ", ".join(self.names()[:10]) or "none yet"
            raise CorpusNotFound(f"there is no corpus {name!r} here (corpora: {known})", field=field) from None

    def several(self, names: Sequence[str], field: str = "corpora") -> list[Corpus]:
        """Corpora of 1 to 100 names, each once, in the order of their first mention."""
        if not 1 <= len(names) <= 100:
            raise InvalidField(field, "name 1 to 100 corpora", "FIELD_INVALID" if names else "FIELD_MISSING")
        found = {name: self.get(name, f"{field}[{i}]") for i, name in enumerate(names)}
        return list(found.values())

    @staticmethod
    def check_name(name: str) -> None:
        """Raise InvalidField for what cannot be the name of a corpus."""
        if not _NAME.fullmatch(name):
            raise InvalidField(
                "name",
                "a corpus name has 1 to 63 of A-Z a-z 0-9 . _ - and starts with a letter or digit",
                "CORPUS_NAME_INVALID",
            )

    def create(self, name: str, description: str = "") -> Corpus:
        """Make an empty corpus.  Raises InvalidField, CorpusExists, StorageFull."""
        self.check_name(name)
        if len(description.encode()) > _DESCRIPTION_BYTES:
            raise InvalidField(
                "description", f"description is longer than {_DESCRIPTION_BYTES} bytes", "FIELD_TOO_LONG"
            )
        with self._turn:
            if name in self._corpora:
                raise CorpusExists(f"there is a corpus {name!r} already", field="name")
            folder = self.root / f"{name.lower()}-{secrets.token_hex(4)}"
            corpus = Corpus.create(folder, name, description)
            self._corpora[name] = corpus
            return corpus

    def get_or_create(self, name: str) -> Corpus:
        """The corpus of a name, made if it is not there."""
        with self._turn:
            return self._corpora[name] if name in self._corpora else self.create(name)

    def delete(self, name: str) -> int:
        """Delete a corpus with all it holds; returns its number of transcripts."""
        with self._turn:
            corpus = self.get(name, "name")
            if corpus.writers:
                raise CorpusBusy(f"{corpus.writers} stream(s) write to {name!r}; end them, then delete")
            del self._corpora[name]
            rows = corpus.view.rows
            gone = self.root / f".deleted-{corpus.folder.name}"
            corpus.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return rows

    def settle(self) -> None:
        """Publish what is worth it, in every corpus."""
        for corpus in list(self._corpora.values()):
            corpus.settle()
