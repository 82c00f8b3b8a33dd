"""Verify: every file of a data directory against its digest, every row against its content hash.

Nothing is changed unless it is asked for. A repair removes what can be made again (indexes, scratch of what was
interrupted), takes digests of files that lack them once their rows fit, and never touches what holds rows: a damaged
data file is named, and has to come from a backup.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake.exceptions import DeltaError
from kinprint.server.channels import FORMATS
from kinprint.server.channels.calibration import Calibration
from kinprint.server.corpus.catalog import DOOMED, misplaced
from kinprint.server.corpus.vectors import CALIBRATIONS, SPACES, read_models
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.failures import GenerationTooNew
from kinprint.server.store import digests, durability, files, generation
from kinprint.server.store.lock import DataFormatError, check_format
from kinprint.server.store.record import opened

_REBUILT = "removed; it is made again at the next start"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a file: `what`, what to do or what was done about it, and whether that is settled."""

    file: str
    corpus: str | None
    what: str
    remedy: str
    repaired: bool = False


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found; `ok` where nothing is left to do."""

    corpora: int = 0
    files: int = 0
    bytes: int = 0
    rows: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is left to do."""
        return all(finding.repaired for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "ok": self.ok}


def verify(
    data_dir: Path,
    *,
    repair: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    look: Callable[[], None] = lambda: None,
) -> Report:
    """Check a data directory.  With `repair` the caller holds its lock.

    `look` is called before each file; what it raises ends the check.

    Raises FileNotFoundError where there is none.
    """
    if not data_dir.is_dir():
        raise FileNotFoundError(f"there is no data directory {data_dir}")
    if not ((data_dir / "kinprint.json").exists() or (data_dir / "corpora").is_dir()):
        raise FileNotFoundError(
            f"{data_dir} is no Kinprint data directory: neither kinprint.json nor corpora/ is in it"
        )
    report = Report()
    _check_directory(data_dir, report, repair, progress, look)
    return report


def _check_directory(
    data_dir: Path, report: Report, repair: bool, progress: Callable[[str], None], look: Callable[[], None]
) -> None:
    """Check a data directory, or a snapshot, which is one."""
    try:
        check_format(data_dir)
    except DataFormatError as error:
        report.findings.append(Finding(str(data_dir / "kinprint.json"), None, str(error), durability.RESTORE))
    root = data_dir / "corpora"
    claims: dict[str, list[Path]] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if DOOMED.fullmatch(folder.name):
            report.findings.append(_scratch(folder, None, repair))
        elif not folder.name.startswith(".") and folder.is_dir():
            report.corpora += 1
            progress(f"checking {folder.name}")
            corpus = _Corpus(folder, report, repair, look)
            report.findings.extend(corpus.findings())
            if corpus.named is not None:
                claims.setdefault(corpus.named, []).append(folder)
    report.findings.extend(_disputes(claims))
    for name in ("keys.json", "snapshot.json"):
        if (data_dir / name).exists():
            report.files += 1
            try:
                files.read_json(data_dir / name)
            except (OSError, ValueError) as error:
                report.findings.append(Finding(str(data_dir / name), None, str(error), durability.RESTORE))
    snapshots = data_dir / "snapshots"
    for folder in sorted(snapshots.iterdir()) if snapshots.is_dir() else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        if not (folder / "snapshot.json").exists():
            what = "is missing: the snapshot is not whole"
            report.findings.append(Finding(str(folder / "snapshot.json"), None, what, "Delete it, or copy it anew."))
        progress(f"checking snapshot {folder.name}")
        # A snapshot is not repaired: it is what was, or it is nothing.
        _check_directory(folder, report, False, progress, look)


def _disputes(claims: Mapping[str, Sequence[Path]]) -> Iterator[Finding]:
    """Corpora that several folders claim to be, once for each folder."""
    for name, folders in claims.items():
        for folder in folders if len(folders) > 1 else ():
            others = " and ".join(other.name for other in folders if other is not folder)
            yield Finding(
                str(folder / "corpus.json"),
                name,
                f"says that this folder is corpus {name!r}, and so does that of {others}",
                "Move all but one out of corpora/, or start the server and delete by the names that kinprint corpora "
                "lists",
            )


def damage_of(folder: Path, look: Callable[[], None] = lambda: None) -> Finding | None:
    """What is wrong with a corpus in `folder` and cannot be made again, the first of it; None where nothing is."""
    found = _Corpus(folder, Report(), False, look).findings()
    return next((finding for finding in found if not finding.repaired), None)


def _scratch(folder: Path, corpus: str | None, repair: bool) -> Finding:
    if repair:
        shutil.rmtree(folder, ignore_errors=True)
    done = "removed" if repair else "left by something that was interrupted; the next start removes it"
    return Finding(str(folder), corpus, "is no longer wanted", done, repaired=True)


def _gap_of(table: Path) -> tuple[Path, str] | None:
    """A file that the log lacks up to the version that its marker says is durable, and what is wrong; None for none."""
    marker = durability.read_marker(table)
    if marker is None:
        return table / durability.MARKER_NAME, "does not say which version of the record is durable"
    log = durability.entries(table)
    base = max((version for version in durability.checkpoints(table) if version <= marker.version), default=-1)
    for version in range(base + 1, marker.version + 1):
        if version not in log:
            return durability.entry_path(table, version), f"is missing, and version {marker.version} was acknowledged"
    if marker.version in log and hashlib.sha256(log[marker.version].read_bytes()).hexdigest() != marker.entry:
        return log[marker.version], "is not the log entry that was acknowledged"
    return None


class _Corpus:
    """The files of one corpus."""

    def __init__(self, folder: Path, report: Report, repair: bool, look: Callable[[], None]) -> None:
        self._folder = folder
        self._look = look
        self._report = report
        self._repair = repair
        self._name = folder.name
        #: Name that corpus.json gives, once `findings` was begun; None where it cannot be read.
        self.named: str | None = None

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it."""
        try:
            self._name = self.named = str(files.read_json(self._folder / "corpus.json")["name"])
            if (what := misplaced(self._folder, self._name)) is not None:
                yield self._finding(self._folder / "corpus.json", what, durability.RESTORE)
        except (OSError, ValueError, KeyError) as error:
            yield self._finding(self._folder / "corpus.json", f"cannot be used: {error}", durability.RESTORE)
        yield from self._of_models()
        yield from self._of_record(self._folder / "record")
        yield from self._of_generations(self._folder / "generations")

    def _finding(self, file: Path, what: str, remedy: str, *, repaired: bool = False) -> Finding:
        return Finding(str(file), self._name, what, remedy, repaired)

    def _differs(self, path: Path, digest: str) -> str | None:
        """What is wrong with a file that has a digest; None where nothing is, or the file has gone meanwhile."""
        self._look()
        try:
            self._report.bytes += path.stat().st_size
            self._report.files += 1
            digests.verify_again(path, digest)
        except FileNotFoundError:
            return "is missing"
        except digests.Damaged as error:
            return error.what
        except OSError as error:
            return f"cannot be read: {error}"
        return None

    # ---- models and calibrations ----

    def _of_models(self) -> Iterator[Finding]:
        try:
            read_models(self._folder)
        except (OSError, ValueError, KeyError) as error:
            yield self._finding(self._folder / "models.json", str(error), durability.RESTORE)
        for name in SPACES:
            path = self._folder / name
            if path.exists():
                self._report.files += 1
                try:
                    EmbeddingSpace.load(path)
                except Exception as error:
                    yield self._finding(path, f"cannot be read: {error}", durability.RESTORE)
        for name in CALIBRATIONS:
            path = self._folder / name
            if path.exists():
                self._report.files += 1
                try:
                    Calibration.load(path)
                except (OSError, ValueError) as error:
                    if self._repair:
                        path.unlink(missing_ok=True)
                    remedy = "removed; scores are measured anew" if self._repair else "scores are measured anew"
                    yield self._finding(path, f"cannot be read: {error}", remedy, repaired=True)

    # ---- the record ----

    def _of_record(self, table: Path) -> Iterator[Finding]:
        if not durability.log_directory(table).is_dir():
            yield self._finding(table, "is missing", durability.RESTORE)
            return
        known = digests.read_log(table)
        broken = False
        for path in (*durability.entries(table).values(), *durability.checkpoints(table).values()):
            digest = known.get(durability.relative(table, path))
            what = None if digest is None else self._differs(path, digest)
            if what is not None:
                broken = True
                yield self._finding(path, what, durability.RESTORE)
        try:
            gap = _gap_of(table)
        except (OSError, ValueError) as error:
            gap = (table, f"cannot be read: {error}")
        if gap is not None:
            broken = True
            yield self._finding(*gap, durability.RESTORE)
        if broken:
            return  # what is active cannot be told from a log that is damaged
        try:
            actions = pl.DataFrame(opened(table).get_add_actions(flatten=True))
        except (DeltaError, OSError, ValueError) as error:
            hint = durability.log_directory(table) / "_last_checkpoint"
            yield self._finding(hint, f"the log cannot be read: {error}", durability.RESTORE)
            return
        for name in sorted(actions["path"].to_list()):
            yield from self._of_data(table, durability.data_file(table, name), known)

    def _of_data(self, table: Path, path: Path, known: dict[str, str]) -> Iterator[Finding]:
        self._look()
        relative = durability.relative(table, path)
        digest = known.get(relative)
        if digest is not None and (what := self._differs(path, digest)) is not None:
            yield self._finding(path, what, durability.RESTORE)
            return
        try:
            self._report.rows += durability.check_rows(path)
        except FileNotFoundError:
            yield self._finding(path, "is missing", durability.RESTORE)
            return
        except digests.Damaged as error:
            yield self._finding(path, error.what, durability.RESTORE)
            return
        if digest is None:
            if self._repair:
                digests.note(table, [relative])
            remedy = "noted" if self._repair else "its rows fit their hashes; it is noted when it is next read"
            yield self._finding(path, "has no digest yet", remedy, repaired=True)

    # ---- indexes ----

    def _of_generations(self, root: Path) -> Iterator[Finding]:
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if folder.name.startswith(".new-"):
                yield _scratch(folder, self._name, self._repair)
            elif folder.name.isdigit():
                yield from self._of_generation(folder)

    def _of_generation(self, folder: Path) -> Iterator[Finding]:
        try:
            for path, digest in generation.files_of(folder).items():
                if (what := self._differs(path, digest)) is not None:
                    yield self._indexes(folder, path, what)
                    return
            generation.check(folder, FORMATS)
        except GenerationTooNew as error:
            yield self._finding(folder, str(error), "upgrade")
        except (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, pa.ArrowException) as error:
            yield self._indexes(folder, folder, f"cannot be read: {error}")

    def _indexes(self, folder: Path, path: Path, what: str) -> Finding:
        if self._repair:
            shutil.rmtree(folder, ignore_errors=True)
        remedy = _REBUILT if self._repair else "the next start makes the indexes again from the record"
        return self._finding(path, what, remedy, repaired=True)
