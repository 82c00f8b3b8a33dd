"""Catalog: the corpora of a data directory."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kinprint.server.corpus.corpus import Corpus
from kinprint.server.failures import (
    CorpusBusy,
    CorpusDamaged,
    CorpusExists,
    CorpusNotFound,
    CorpusUnavailable,
    Failure,
    InvalidField,
)
from kinprint.server.store import durability, files
from kinprint.server.store.disk import is_full
from kinprint.server.store.reserve import Reserve

logger = logging.getLogger(__name__)

#: Of a corpus, and of a snapshot.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DESCRIPTION_BYTES = 4096
_LEFT = "it was left as it is"
#: Folder of a corpus as `create` names it.
_FOLDER = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,62})-[0-9a-f]{8}")
#: Folders that are named for removal here and nowhere else: before a deletion, and until a creation is whole.
DOOMED = re.compile(r"\.(?:deleted|new)-" + _FOLDER.pattern)
#: Folders of corpora that were restored, whole, and wait for the one in their place to be moved away.
_RESTORED = re.compile(r"\.restored-(?P<folder>" + _FOLDER.pattern + ")")


def _ways_out(name: str, *, disputed: bool) -> str:
    """What can be done about a corpus that is listed as unavailable under a name."""
    listed = shlex.quote(name)
    delete = f"delete it for good (kinprint delete --corpus {listed} --all)"
    if disputed:
        return f"or {delete}, then start the server again"
    return (
        "mend it with the server stopped (kinprint verify DIR --repair), put a snapshot in its place (kinprint "
        f"snapshot restore SNAPSHOT --corpus {listed} --replace), or {delete}"
    )


def _doomed_name(folder: Path) -> str:
    """Name that a folder is moved to before it is removed: one of DOOMED, whatever people called the folder."""
    spelt = re.sub(r"[^a-z0-9._-]", "-", _folder_name(folder).lower()).lstrip("._-")[:63] or "corpus"
    return f".deleted-{spelt}-{secrets.token_hex(4)}"


def _own_folders_first(folder: Path) -> tuple[bool, str]:
    """Order of opening: of two folders that claim one name, that which carries it as `create` names them wins."""
    return _FOLDER.fullmatch(folder.name) is None, folder.name


def _folder_name(folder: Path) -> str:
    """Name of a corpus as far as its folder tells it: lower case."""
    found = _FOLDER.fullmatch(folder.name)
    return found["name"] if found else folder.name


def misplaced(folder: Path, name: str) -> str | None:
    """What is wrong where corpus.json names another corpus than its folder does; None where nothing is.

    Folders that people named say nothing.
    """
    found = _FOLDER.fullmatch(folder.name)
    if found is None or found["name"] == name.lower():
        return None
    return f"names corpus {name!r}, and its folder is that of {found['name']!r}: it belongs to another folder"


def _named(folder: Path) -> str | None:
    """Name that corpus.json gives; None where it cannot be read."""
    try:
        description = folder / "corpus.json"
        name = files.read_json(description)["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and name else None


def _claims(folder: Path, name: str) -> bool:
    """Whether a folder holds the corpus of a name, as far as can be told."""
    told = _named(folder)
    return told == name if told is not None else _folder_name(folder) == name.lower()


def _exists(path: Path) -> bool:
    """Whether there is something under a path. Raises OSError when that cannot be told."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _remove(folder: Path) -> None:
    """Remove a corpus's folder; of one that is linked, what the link leads to as well."""
    if folder.is_symlink():
        shutil.rmtree(folder.resolve(), ignore_errors=True)
        folder.unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _holds_rows(folder: Path) -> bool:
    """Whether a folder holds anything of a record beyond its creation.

    A record's log has one entry a version, from 0 on; data files lie beside it.
    """
    record = folder / "record"
    log = durability.log_directory(record)
    try:
        if max(durability.entries(record), default=0) > 0:
            return True
        return any(log.glob("*.checkpoint*.parquet")) or any(record.glob("*.parquet"))
    except OSError:
        return record.exists()  # what cannot be read may hold rows


class Catalog:
    """Corpora by name.  Thread-safe; methods that touch the disk are for worker threads."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "corpora"
        self._reserve = Reserve(data_dir)
        self._corpora: dict[str, Corpus] = {}
        self._unavailable: dict[str, str] = {}
        #: Folders of the corpora that are unavailable, by the same names.
        self._aside: dict[str, Path] = {}
        #: Of those, the ones that were open until they were found to be damaged.
        self._once_open: dict[str, Corpus] = {}
        self._turn = threading.RLock()

    def open_all(self, progress: Callable[[str], None]) -> None:
        """Open every corpus of the directory.

        What cannot be opened stays as it is and is listed by `unavailable`: one damaged corpus never stops the rest.
        Only folders that this class named for it are removed: deletions and creations that were interrupted.
        """
        if not self.root.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            files.fsync_directory(self.root.parent)
        self._reserve.fill()
        self._finish_restores()
        for entry in sorted(self.root.iterdir(), key=_own_folders_first):
            try:
                self._take(entry, progress)
            except Exception as error:
                told = error.message if isinstance(error, Failure) else f"{entry} cannot be opened: {error}"
                told += f"; {_LEFT}"
                if not isinstance(error, Failure | OSError | RuntimeError):
                    logger.exception("unexpected failure of %s", entry)
                self._set_aside(_named(entry) or _folder_name(entry), entry, told)

    def _finish_restores(self) -> None:
        """Of a restore that was cut short when all but renames was done: the new corpus where the old one has gone."""
        for entry in sorted(self.root.iterdir()):
            if (found := _RESTORED.fullmatch(entry.name)) is None:
                continue
            name = _named(entry) or found["name"]
            others = [path for path in self.root.iterdir() if not path.name.startswith(".") and path.is_dir()]
            try:
                if any(_claims(path, name) for path in others):
                    logger.info("removing %s, whose restore was interrupted", entry)
                    _remove(entry)
                else:
                    logger.info("finishing the restore of %s", entry)
                    entry.rename(self.root / found["folder"])
                    files.fsync_directory(self.root)
            except OSError as error:  # a disk that cannot be written: the others are served
                logger.error("the restore of %s is not finished: %s; it is tried at the next start", entry, error)

    def _take(self, entry: Path, progress: Callable[[str], None]) -> None:
        """Open a corpus, finish what was interrupted, or leave alone what is neither. Raises what opening raises."""
        if DOOMED.fullmatch(entry.name):
            what = "creation" if entry.name.startswith(".new-") else "deletion"
            logger.info("removing %s, whose %s was interrupted", entry, what)
            _remove(entry)
            return
        if entry.is_symlink() and not entry.exists():
            problem = f"{entry} is a link to {os.readlink(entry)}, which is not there; mount or mend it"
            self._set_aside(_folder_name(entry), entry, problem)
            return
        if entry.name.startswith(".") or not entry.is_dir():
            logger.warning("%s is no corpus; it is left alone", entry)
            return
        if not _exists(entry / "corpus.json"):
            self._take_nameless(entry)
            return
        progress(f"opening {entry.name}")
        if (named := _named(entry)) is not None and (wrong := misplaced(entry, named)) is not None:
            raise CorpusDamaged(f"{entry / 'corpus.json'} {wrong}; restore it from a backup")
        corpus = Corpus.open(entry, progress)
        if corpus.name in self._corpora or corpus.name in self._unavailable:
            self._dispute(corpus)
        else:
            corpus.reserve = self._reserve
            self._corpora[corpus.name] = corpus

    def _take_nameless(self, folder: Path) -> None:
        if not _holds_rows(folder):
            logger.warning(
                "%s holds no corpus (neither corpus.json nor a record with rows); it is left alone: move it "
                "elsewhere, or remove it if it is not wanted",
                folder,
            )
            return
        problem = (
            f"{folder / 'corpus.json'} is missing, and the record beside it holds rows; "
            "restore the file from a backup, or move the folder out of corpora/"
        )
        self._set_aside(_folder_name(folder), folder, problem)

    def _dispute(self, corpus: Corpus) -> None:
        """Two folders hold a corpus of one name: which is the copy cannot be told where both are named as ours are.

        Then the first is listed by that name and the other by its folder's, so that each can be deleted by itself.
        """
        first = self._corpora.get(corpus.name)
        other = first.folder if first is not None else "a folder that is damaged"
        problem = (
            f"{corpus.folder} holds a corpus named {corpus.name!r} too, as does {other}; move one of them elsewhere"
        )
        if first is not None and _FOLDER.fullmatch(corpus.folder.name):
            del self._corpora[corpus.name]
            self._set_aside(corpus.name, first.folder, problem, disputed=True)
        self._set_aside(corpus.folder.name, corpus.folder, problem, disputed=True)

    def _set_aside(self, name: str, folder: Path, problem: str, *, disputed: bool = False) -> str:
        """List a folder as unavailable; returns the name that it is listed under."""
        if name in self._corpora or name in self._unavailable:
            name = folder.name
        problem = f"{problem}; {_ways_out(name, disputed=disputed)}"
        logger.error("corpus %r is unavailable: %s", name, problem)
        self._unavailable[name] = problem
        self._aside[name] = folder
        return name

    def set_aside(self, corpus: Corpus, problem: str) -> None:
        """Make an open corpus unavailable: its record was found to be damaged."""
        with self._turn:
            if self._corpora.get(corpus.name) is corpus:
                del self._corpora[corpus.name]
                listed = self._set_aside(corpus.name, corpus.folder, f"{problem}; {_LEFT}")
                self._once_open[listed] = corpus

    @property
    def reserve_held(self) -> bool:
        """Whether room is kept for deletes and purges on a full disk."""
        return self._reserve.held

    def names(self) -> list[str]:
        """Names of the open corpora, sorted."""
        return sorted(self._corpora)

    @property
    def unavailable(self) -> dict[str, str]:
        """Names of the corpora that could not be opened, and why."""
        return dict(self._unavailable)

    def get(self, name: str, field: str = "corpus") -> Corpus:
        """The corpus of a name.  Raises InvalidField without a name, CorpusNotFound."""
        if not name:
            raise InvalidField(field, f"{field} names no corpus", "FIELD_MISSING")
        try:
            return self._corpora[name]
        except KeyError:
            self._check_available(name, field)
            known = ", ".join(self.names()[:10]) or "none yet"
            raise CorpusNotFound(f"there is no corpus {name!r} here (corpora: {known})", field=field) from None

    def _check_available(self, name: str, field: str) -> None:
        """Raise CorpusUnavailable for a corpus that is there and could not be opened."""
        for known, problem in self._unavailable.items():
            # Of a folder without corpus.json only the lower-case name is known.
            if name == known or name.lower() == known:
                raise CorpusUnavailable(f"corpus {name!r} is unavailable: {problem}", field=field)

    def several(self, names: Sequence[str], field: str = "corpora") -> list[Corpus]:
        """Corpora of 1 to 100 names, each once, in the order of their first mention."""
        self.check_count(names, field)
        found = {name: self.get(name, f"{field}[{i}]") for i, name in enumerate(names)}
        return list(found.values())

    @staticmethod
    def check_count(names: Sequence[str], field: str) -> None:
        """Raise InvalidField unless there are 1 to 100 names."""
        if not 1 <= len(names) <= 100:
            raise InvalidField(field, "name 1 to 100 corpora", "FIELD_INVALID" if names else "FIELD_MISSING")

    @staticmethod
    def check_name(name: str, field: str = "name") -> None:
        """Raise InvalidField for what cannot be the name of a corpus."""
        if not NAME.fullmatch(name):
            raise InvalidField(
                field,
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
            self._check_available(name, "name")
            folder = self.root / f"{name.lower()}-{secrets.token_hex(4)}"
            corpus = Corpus.create(folder, name, description)
            corpus.reserve = self._reserve
            self._corpora[name] = corpus
            return corpus

    def get_or_create(self, name: str) -> Corpus:
        """The corpus of a name, made if it is not there."""
        with self._turn:
            return self._corpora[name] if name in self._corpora else self.create(name)

    def deletable(self, name: str) -> Corpus | None:
        """What `delete` would delete as far as it is or was open.  Raises InvalidField, CorpusNotFound."""
        return self._once_open.get(name) if name in self._unavailable else self.get(name, "name")

    def names_itself(self, name: str) -> bool:
        """Whether what is listed as unavailable under a name says so itself; else only its folder's name does."""
        folder = self._aside.get(name)
        return folder is not None and _named(folder) == name

    def delete(self, name: str) -> int:
        """Delete a corpus with all it holds; returns its number of transcripts.

        One that is unavailable goes by the name that it is listed under; the number of its transcripts is that of when
        it was open last, or 0.
        """
        with self._turn:
            if name in self._unavailable:
                gone, rows = self._move_away(name)
                _remove(gone)
                files.fsync_directory(self.root)
                return rows
            corpus = self.get(name, "name")
            if corpus.busy:
                raise CorpusBusy(f"a stream writes to {name!r}; end it, then delete")
            gone = self.root / f".deleted-{name.lower()}-{secrets.token_hex(4)}"
            rows = corpus.retire(gone)
            del self._corpora[name]
        _remove(gone)
        files.fsync_directory(self.root)
        return rows

    def _move_away(self, name: str) -> tuple[Path, int]:
        """Take an unavailable corpus from the list and its folder out of the way.

        Raises CorpusUnavailable where several folders are the corpus of that name, so that none is taken for another.
        """
        folder = self._aside[name]
        rivals = sorted(key for key, path in self._aside.items() if key != name and _claims(path, name))
        if rivals and _claims(folder, name):
            raise CorpusUnavailable(
                f"corpus {name!r} is in {folder.name} and in what is listed as {', '.join(rivals)}, and which of them "
                "is meant cannot be told: delete the others by the names that they are listed under, or move this "
                "folder elsewhere",
                field="name",
            )
        once = self._once_open.get(name)
        if once is not None and once.busy:
            raise CorpusBusy(f"a stream writes to {name!r}; end it, then delete")
        gone = self.root / _doomed_name(folder)
        rows = 0
        if once is not None:
            rows = once.retire(gone)
        else:
            folder.rename(gone)
            files.fsync_directory(self.root)
        self._once_open.pop(name, None)
        del self._unavailable[name], self._aside[name]
        logger.warning("%s, which was unavailable, is deleted", folder)
        return gone, rows

    # ---- what comes from elsewhere ----

    def scratch_for(self, name: str) -> Path:
        """A folder for a corpus that is made aside, for `install`; removed at the next start if it is left."""
        return self.root / f".new-{name.lower()}-{secrets.token_hex(4)}"

    def check_free(self, name: str, field: str, *, replace: bool) -> None:
        """Raise what `install` raises for the name as things stand: InvalidField, CorpusExists, CorpusBusy."""
        self.check_name(name, field)
        there = self._corpora.get(name)
        if not replace:
            if there is not None:
                raise CorpusExists(
                    f"there is a corpus {name!r} already; restore as another name, or replace it", field=field
                )
            self._check_available(name, field)
        elif there is not None and there.busy:
            raise CorpusBusy(f"a stream writes to {name!r}; end it, then restore")

    def install(self, scratch: Path, name: str, field: str, *, replace: bool) -> tuple[Corpus, Corpus | None]:
        """Open the corpus that lies whole in `scratch` (see `scratch_for`) under a name; it, and what it replaces.

        What is replaced is deleted; a corpus that could not be opened is moved aside, to `.replaced-...`, which nothing
        touches any more: what cannot be read cannot be judged.  A crash leaves the old corpus or the new one.

        Raises what `check_free` raises; OSError.
        """
        folder = self.root / scratch.name.removeprefix(".new-")
        gone: Path | None = None
        with self._turn:
            self.check_free(name, field, replace=replace)
            old = self._corpora.get(name)
            aside = self._unavailable_folders(name)
            if old is not None or aside:
                waiting = self.root / f".restored-{folder.name}"
                scratch.rename(waiting)
                files.fsync_directory(self.root)
                scratch = waiting
            if old is not None:
                gone = self.root / f".deleted-{name.lower()}-{secrets.token_hex(4)}"
                try:
                    old.retire(gone)
                except OSError:
                    if not _exists(gone):  # else the next start puts the new one in its place
                        _remove(scratch)
                    raise
                del self._corpora[name]
            for path in aside:
                path.rename(self.root / f".replaced-{path.name}")
                logger.warning("%s, which could not be opened, is now .replaced-%s", path, path.name)
            for key in [key for key, path in self._aside.items() if path in aside]:
                del self._aside[key], self._unavailable[key]
                self._once_open.pop(key, None)
            scratch.rename(folder)
            files.fsync_directory(self.root)
            try:
                corpus = Corpus.open(folder)
            except Exception as error:
                self._set_aside(name, folder, f"{error}; {_LEFT}")
                raise
            corpus.reserve = self._reserve
            self._corpora[name] = corpus
        if gone is not None:
            _remove(gone)
            files.fsync_directory(self.root)
        return corpus, old

    def _unavailable_folders(self, name: str) -> list[Path]:
        """Folders that hold the corpus of a name and are not open; of a dispute, both."""
        if not any(_claims(path, name) for path in self._aside.values()):
            return []
        opened = {corpus.folder for corpus in self._corpora.values()}
        folders = (path for path in self.root.iterdir() if not path.name.startswith(".") and path.is_dir())
        return [path for path in folders if path not in opened and _claims(path, name)]

    def settle(self) -> None:
        """Publish what is worth it, in every corpus; what cannot be written is made at the next start."""
        for corpus in list(self._corpora.values()):
            try:
                try:
                    corpus.settle()
                except Exception as error:
                    if not (is_full(error) and self._reserve.release()):
                        raise
                    corpus.settle()
            except Exception as error:  # the next one may have less to write
                logger.error(
                    "the indexes of corpus %s could not be written (%s); its record is whole, and the next start makes "
                    "them from it",
                    corpus.name,
                    error,
                )
