"""Snapshots: data directories of their own, complete in themselves, that hold corpora as they were at a moment.

::

    <data>/snapshots/<name>/kinprint.json       format of the directory
    <data>/snapshots/<name>/snapshot.json       what is in it; written last
    <data>/snapshots/<name>/corpora/<folder>/   as in the data directory (`kinprint.server.store.snapshot`)

A snapshot is made under `.new-<name>`, flushed, and renamed when it is whole; one that is deleted is renamed to
`.deleted-<name>-...` first. Both are removed at the next start if a crash left them. Each corpus is taken at one moment
of its own, while it is its turn to write: there are no writes that concern two of them.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from deltalake.exceptions import DeltaError
from kinprint.server.corpus import verify as verifying
from kinprint.server.corpus.catalog import NAME, Catalog
from kinprint.server.corpus.corpus import PUBLISH_FROM, Corpus
from kinprint.server.corpus.vectors import CALIBRATIONS, fitted_name
from kinprint.server.failures import (
    CorpusNotFound,
    CorpusTooNew,
    Failure,
    InvalidField,
    SnapshotBusy,
    SnapshotDamaged,
    SnapshotExists,
    SnapshotNotFound,
)
from kinprint.server.store import digests, durability, files, snapshot
from kinprint.server.store.disk import storage_failure
from kinprint.server.store.durability import RecordDamaged
from kinprint.server.store.lock import DataFormatError, check_format, read_holder
from kinprint.server.store.record import FormatTooNew

logger = logging.getLogger(__name__)

FORMAT: Final = 1
_MANIFEST = "snapshot.json"
_CORPUS = "corpus.json"
_LEFT = re.compile(rf"\.(?:new-{NAME.pattern}|deleted-{NAME.pattern}-[0-9a-f]{{8}})")
_OTHER = "take another copy of the snapshot, or restore another one"
#: Times a corpus is taken anew because files went, by a compaction or a purge, before they were copied.
_TRIES = 3

#: Told the step under way and the share that is done; raises to end the work.
Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Held:
    """A corpus in a snapshot: `folder` below `corpora/`, and `settings`, the small files that belong in it."""

    name: str
    folder: str
    transcripts: int
    record_version: int
    settings: tuple[str, ...]
    earlier_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot; `size` are the bytes of its files, `own` those that nothing shares with it.

    `problem`: why it cannot be used, "" otherwise; then only the name is sure.
    """

    name: str
    created_at: datetime | None = None
    kinprint: str = ""
    corpora: tuple[Held, ...] = ()
    left_out: tuple[str, ...] = ()
    size: int = 0
    own: int = 0
    problem: str = ""


class Snapshots:
    """The snapshots of a data directory.  Thread-safe; all methods touch the disk and are for worker threads."""

    def __init__(self, catalog: Catalog, data_dir: Path) -> None:
        self.root = data_dir / "snapshots"
        self._catalog = catalog
        self._turn = threading.Lock()
        #: Names that are made, read or deleted now.
        self._made: set[str] = set()
        self._read_by: Counter[str] = Counter()

    def clear(self) -> None:
        """Remove what an interrupted process left half made or half deleted; nothing else."""
        with contextlib.suppress(OSError):
            for path in self.root.iterdir():
                if _LEFT.fullmatch(path.name):
                    logger.info("removing %s, which was interrupted", path)
                    shutil.rmtree(path, ignore_errors=True)

    # ---- taking ----

    def create(self, name: str, corpora: Sequence[str], tell: Tell) -> Snapshot:
        """Take a snapshot of some corpora, or of all that are open; "" as a name: the time.

        Raises InvalidField, SnapshotExists, CorpusNotFound, CorpusUnavailable, StorageFull, StorageFailed.
        """
        if name and not NAME.fullmatch(name):
            rule = "a snapshot's name has 1 to 63 of A-Z a-z 0-9 . _ - and starts with a letter or digit"
            raise InvalidField("name", rule, "FIELD_INVALID")
        taken = self._catalog.several(corpora) if corpora else self._open_corpora()
        left_out = [] if corpora else sorted(self._catalog.unavailable)
        with self._making(name) as chosen:
            scratch = self.root / f".new-{chosen}"
            try:
                self._fill(scratch, chosen, taken, left_out, all_of_them=not corpora, tell=tell)
                scratch.rename(self.root / chosen)
                files.fsync_directory(self.root)
            except OSError as error:
                shutil.rmtree(scratch, ignore_errors=True)
                raise storage_failure("no snapshot was taken", error) from error
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
        logger.info("snapshot %s of %d corpora is taken", chosen, len(taken))
        return self.get(chosen)

    def _open_corpora(self) -> list[Corpus]:
        found = []
        for name in self._catalog.names():
            with contextlib.suppress(CorpusNotFound):  # deleted meanwhile
                found.append(self._catalog.get(name))
        return found

    @contextlib.contextmanager
    def _making(self, wanted: str) -> Iterator[str]:
        """Keep a name for a snapshot that is made; where none is wanted, the time."""
        now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with self._turn:
            taken = {name.lower() for name in (*self._names(), *self._made)}
            name = wanted or now
            for again in range(2, 1000):
                if wanted or name.lower() not in taken:
                    break
                name = f"{now}-{again}"  # another one within this second
            if name.lower() in taken or (self.root / name).exists():
                raise SnapshotExists(f"there is a snapshot {name!r} already; give another name", field="name")
            self._made.add(name)
        try:
            yield name
        finally:
            with self._turn:
                self._made.discard(name)

    def _fill(
        self, scratch: Path, name: str, taken: Sequence[Corpus], left_out: list[str], *, all_of_them: bool, tell: Tell
    ) -> None:
        if not self.root.is_dir():
            self.root.mkdir()
            files.fsync_directory(self.root.parent)
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "corpora").mkdir(parents=True)
        check_format(scratch, write=True)
        held: list[Held] = []
        for done, corpus in enumerate(taken):
            step, share = f"taking corpus {corpus.name} ({done + 1} of {len(taken)})", done / len(taken)

            def look(step: str = step, share: float = share) -> None:
                tell(step, share)

            try:
                held.append(_taken(corpus, scratch / "corpora" / corpus.folder.name, look))
            except CorpusNotFound:  # deleted meanwhile
                if not all_of_them:
                    raise
        tell("flushing", 1.0)
        snapshot.flush_folders(scratch / "corpora")
        manifest = {
            "format": FORMAT,
            "name": name,
            "created_at": datetime.now(UTC).isoformat(),
            "kinprint": _version(),
            "corpora": [
                {
                    "name": one.name,
                    "folder": one.folder,
                    "transcripts": one.transcripts,
                    "record_version": one.record_version,
                    "settings": list(one.settings),
                    "earlier_names": list(one.earlier_names),
                }
                for one in held
            ],
            "left_out": left_out,
        }
        files.write_json(scratch / _MANIFEST, manifest)

    # ---- looking ----

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self.root.iterdir() if NAME.fullmatch(path.name) and path.is_dir())
        except FileNotFoundError:
            return []

    def _folder(self, name: str) -> Path:
        """Folder of a snapshot.  Raises InvalidField without a name, SnapshotNotFound."""
        if not name:
            raise InvalidField("name", "name names no snapshot", "FIELD_MISSING")
        if not NAME.fullmatch(name) or not (self.root / name).is_dir():
            known = self._names()
            listed = ", ".join(known[-10:]) or "none yet"
            asked = repr(name) if len(name) <= 63 else f"{name[:63]!r}..."
            raise SnapshotNotFound(f"there is no snapshot {asked} here (the newest: {listed})", field="name")
        return self.root / name

    def get(self, name: str) -> Snapshot:
        """A snapshot with its sizes.  Raises InvalidField, SnapshotNotFound."""
        folder = self._folder(name)
        size, own = snapshot.sizes(folder)
        try:
            return replace(_read(folder), size=size, own=own)
        except Failure as failure:
            return Snapshot(name, size=size, own=own, problem=failure.message)

    def all(self) -> list[Snapshot]:
        """All snapshots, oldest first."""
        found = []
        for name in self._names():
            with contextlib.suppress(SnapshotNotFound):  # deleted meanwhile
                found.append(self.get(name))
        unknown = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda one: (one.created_at or unknown, one.name))

    def holding(self, corpus: Corpus) -> list[str]:
        """Names of the snapshots that hold a corpus, under its name or one that it bore before, or may hold it."""
        names = {corpus.name, *corpus.earlier_names}
        found = []
        for name in self._names():
            try:
                told = _read(self.root / name)
            except Failure:
                found.append(name)  # it cannot be told
                continue
            if any(names & {held.name, *held.earlier_names} for held in told.corpora):
                found.append(name)
        return found

    # ---- using ----

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """Keep a snapshot from being deleted.  Raises SnapshotNotFound, InvalidField."""
        with self._turn:
            folder = self._folder(name)
            self._read_by[name] += 1
        try:
            yield folder
        finally:
            with self._turn:
                self._read_by[name] -= 1

    def delete(self, name: str) -> int:
        """Delete a snapshot; bytes that were freed.

        Raises SnapshotNotFound, SnapshotBusy, InvalidField, StorageFailed.
        """
        with self._turn:
            folder = self._folder(name)
            if self._read_by[name]:
                raise SnapshotBusy(f"snapshot {name!r} is being read; wait for its check or restore, or end that")
            _refuse_served(folder)
            if folder.is_symlink():  # somebody else's folder: only the way to it is ours
                folder.unlink()
                files.fsync_directory(self.root)
                return 0
            freed = snapshot.sizes(folder)[1]
            gone = self.root / f".deleted-{name}-{secrets.token_hex(4)}"
            try:
                folder.rename(gone)
                files.fsync_directory(self.root)
            except OSError as error:
                raise storage_failure("the snapshot is not deleted", error) from error
        shutil.rmtree(gone, ignore_errors=True)
        with contextlib.suppress(OSError):  # it is gone by its name, and its rest goes at the next start
            files.fsync_directory(self.root)
        return freed

    def verify(self, name: str, tell: Tell) -> verifying.Report:
        """Compare all that a snapshot holds with its digests; paths of findings are relative to it.

        Raises SnapshotNotFound, InvalidField.
        """
        with self._reading(name) as folder:
            step = "reading"

            def progress(told: str) -> None:
                nonlocal step
                step = told

            report = verifying.verify(folder, progress=progress, look=lambda: tell(step, 0.0))
            try:
                for held in _read(folder).corpora:
                    report.findings += _missing(folder, held)
            except Failure as failure:
                report.findings.append(verifying.Finding(str(folder / _MANIFEST), None, failure.message, _OTHER))
            report.findings = [replace(found, file=_below(folder, found.file)) for found in report.findings]
            return report

    def restore(
        self, name: str, corpus: str, as_name: str, *, replace_there: bool, tell: Tell
    ) -> tuple[Corpus, Corpus | None]:
        """Bring a corpus of a snapshot into the server; it, and the one that it replaces.

        Raises SnapshotNotFound, SnapshotBusy, SnapshotDamaged, CorpusNotFound, CorpusExists, CorpusBusy,
        CorpusUnavailable, InvalidField, FormatTooNew, StorageFull, StorageFailed.
        """
        if not corpus:
            raise InvalidField("corpus", "corpus names no corpus", "FIELD_MISSING")
        target, field = (as_name, "as_name") if as_name else (corpus, "corpus")
        with self._reading(name) as folder:
            _refuse_served(folder)
            told = _read(folder)
            held = next((one for one in told.corpora if one.name == corpus), None)
            if held is None:
                known = ", ".join(one.name for one in told.corpora[:10]) or "none"
                raise CorpusNotFound(f"snapshot {name!r} holds no such corpus (it holds: {known})", field="corpus")
            self._catalog.check_free(target, field, replace=replace_there)
            tell("checking the snapshot", 0.0)
            source = folder / "corpora" / held.folder
            for missing in _missing(folder, held):
                raise _damaged(folder, missing.file, missing.what)
            found = verifying.damage_of(source, lambda: tell("checking the snapshot", 0.1))
            if found is not None:
                raise _damaged(folder, found.file, found.what)
            named = str(files.read_json(source / _CORPUS)["name"])
            marker = durability.read_marker(source / "record")
            if named != held.name or marker is None or marker.version != held.record_version:
                what = f"holds {named!r}, not {held.name!r} as of version {held.record_version}, as the snapshot says"
                raise _damaged(folder, str(source), what)
            scratch = self._catalog.scratch_for(target)
            try:
                _brought(source, scratch, held, target, tell)
                tell("opening the corpus", 0.9)
                return self._catalog.install(scratch, target, field, replace=replace_there)
            except (digests.Damaged, RecordDamaged) as error:
                raise _damaged(folder, str(error.file), error.what) from error
            except FormatTooNew as error:
                raise CorpusTooNew(str(error)) from error
            except (OSError, DeltaError) as error:
                raise storage_failure("the corpus is not restored", error) from error
            finally:
                shutil.rmtree(scratch, ignore_errors=True)  # renamed, where all went well


def _version() -> str:
    try:
        return version("kinprint")
    except PackageNotFoundError:
        return "unknown"


def _taken(corpus: Corpus, target: Path, look: Callable[[], None]) -> Held:
    """Take a corpus into a snapshot.  Raises CorpusNotFound, OSError."""
    for attempt in range(_TRIES):
        taking = snapshot.Taking(look)
        with corpus.write_turn:
            if corpus.deleted:
                raise CorpusNotFound(f"corpus {corpus.name!r} was deleted", field="corpora")
            state = corpus.record.snapshot()
            # Calibrations are measured anew where they are gone.
            settings = tuple(name for name in snapshot.settings(corpus.folder) if name not in CALIBRATIONS)
            snapshot.take_corpus(corpus.folder, target, state, fitted_name(corpus.folder), taking)
            held = Held(corpus.name, target.name, corpus.view.rows, state.version, settings, corpus.earlier_names)
            if attempt + 1 == _TRIES:
                taking.finish()
        try:
            taking.finish()  # gigabytes, where there are no hard links: nobody waits for them
        except FileNotFoundError:
            logger.info("files of corpus %s went before they were copied; it is taken again", corpus.name)
            shutil.rmtree(target)
            continue
        return held
    raise AssertionError("the last try holds back whatever removes files")


def _brought(source: Path, scratch: Path, held: Held, name: str, tell: Tell) -> None:
    """Lay the files of a corpus in a snapshot into `scratch`, durably, and see that it opens under `name`.

    Raises digests.Damaged, RecordDamaged, OSError, DeltaError, FormatTooNew.
    """
    taking = snapshot.Taking(lambda: tell("taking files", 0.6))
    state = snapshot.state_of(source / "record")
    leave = (_CORPUS,) if name != held.name else ()
    snapshot.take_corpus(source, scratch, state, fitted_name(source), taking, leave=leave)
    taking.finish()
    if leave:
        described: dict[str, Any] = files.read_json(source / _CORPUS)
        earlier = dict.fromkeys([*described.get("earlier_names", ()), held.name])
        files.write_json(scratch / _CORPUS, {**described, "name": name, "earlier_names": list(earlier)})
    snapshot.flush_folders(scratch)
    tell("reading the corpus", 0.7)
    made = Corpus.open(scratch)
    if made.fresh_rows >= PUBLISH_FROM:
        made.publish()  # what was read is not read again


def _read(folder: Path) -> Snapshot:
    """What is noted of a snapshot.  Raises SnapshotDamaged, CorpusTooNew."""
    path = folder / _MANIFEST
    try:
        told = files.read_json(path)
        if told["format"] > FORMAT:
            raise CorpusTooNew(f"{path} has format {told['format']}, this Kinprint knows up to {FORMAT}; upgrade")
        corpora = tuple(map(_held, told["corpora"]))
        created = datetime.fromisoformat(told["created_at"]).astimezone(UTC)
        kinprint, left_out = _text(told["kinprint"]), tuple(map(_text, told["left_out"]))
        check_format(folder)
    except FileNotFoundError as error:
        raise SnapshotDamaged(f"{path.name} of snapshot {folder.name} is missing: it is none, or not whole") from error
    except DataFormatError as error:
        raise CorpusTooNew(str(error)) from error
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise SnapshotDamaged(f"{path} is damaged ({error}); {_OTHER}") from error
    return Snapshot(folder.name, created, kinprint, corpora, left_out)


def _held(told: dict[str, Any]) -> Held:
    """A corpus, as the description of a snapshot has it.  Raises ValueError, LookupError, TypeError."""
    rows, record_version = int(told["transcripts"]), int(told["record_version"])
    if rows < 0 or record_version < 0:
        raise ValueError("a count is negative")
    names = told["settings"], told["earlier_names"]
    folder = Path(_text(told["folder"])).name  # nothing outside of it
    return Held(_text(told["name"]), folder, rows, record_version, *(tuple(map(_text, some)) for some in names))


def _text(value: object) -> str:
    """A text that can be shown.  Raises ValueError."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!a} is no text")
    return value


def _missing(folder: Path, held: Held) -> Iterator[verifying.Finding]:
    """What a snapshot says that it holds of a corpus, and does not."""
    place = folder / "corpora" / held.folder
    if not place.is_dir():
        yield verifying.Finding(str(place), held.name, "is missing", _OTHER)
        return
    for name in held.settings:
        if not (place / Path(name).name).is_file():
            yield verifying.Finding(str(place / name), held.name, "is missing", _OTHER)
    record = place / "record"
    marker = durability.read_marker(record)
    if marker is not None and marker.version < held.record_version:
        what = f"does not say that version {held.record_version} of the record is durable"
        yield verifying.Finding(str(record / durability.MARKER_NAME), held.name, what, _OTHER)


def _damaged(folder: Path, file: str, what: str) -> SnapshotDamaged:
    failure = SnapshotDamaged(
        f"{_below(folder, file)} of snapshot {folder.name} {what}; nothing was restored: {_OTHER}", field="name"
    )
    failure.metadata = {"file": _below(folder, file)}
    return failure


def _below(folder: Path, file: str) -> str:
    """A path as it reads from the snapshot's folder."""
    with contextlib.suppress(ValueError):
        return Path(file).relative_to(folder).as_posix()
    return file


def _refuse_served(folder: Path) -> None:
    """Raise SnapshotBusy while a server has a snapshot as its data directory."""
    holder = read_holder(folder)
    if holder is not None:
        raise SnapshotBusy(
            f"process {holder.pid} serves snapshot {folder.name}; stop it: kinprint stop --data {folder}"
        )


__all__ = ["FORMAT", "Held", "Snapshot", "Snapshots", "Tell"]
