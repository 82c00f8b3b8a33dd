"""Generations: a corpus's segments on disk, memory-mapped, disposable.

Layout of `<corpus>/generations/<n>/`::

    manifest.json            last, so that its presence says the rest is whole
    <k>/rows.arrow           Arrow IPC, one record batch, mapped
    <k>/id-hashes.npy ...    id hashes and the row of each
    <k>/dead.npy             rows that died since the segment was written (absent: none)
    <k>/copy-rows.npy ...    what the channels keep: one array a file, mapped

A generation is written beside the others and renamed into place.  Segments that did not change are
hard-linked from the generation before, so a publish costs what is new.  Everything here can be rebuilt
from the record; whatever does not fit it exactly is thrown away.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from kinprint.server.failures import GenerationTooNew
from kinprint.server.store import digests, files
from kinprint.server.store.record import Record, Snapshot
from kinprint.server.store.segment import Chunk, Formats, Segment, check_places, merge_chunks, merge_segments
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FORMAT = 3
#: Generations of this format are still read: their sentence vectors are float16, and rounded when they are mapped.
OLDEST = 2


@dataclass(frozen=True)
class Loaded:
    """What a generation holds: segments, the living rows of each, and the snapshot that it covers."""

    segments: list[Segment]
    alive: list[NDArray[np.bool_]]
    version: int
    files: frozenset[str]
    number: int
    #: Highest sequence number in these files; None where the generation does not tell.
    newest_seq: int | None = None


@dataclass(frozen=True)
class Fingerprints:
    """What fingerprints are made with; a generation made otherwise is rebuilt."""

    pipeline: int
    model_digest: str | None
    #: Schemes of the channels, by a name in the manifest.
    schemes: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict:
        """For the manifest."""
        return {"pipeline": self.pipeline, "model": self.model_digest, **self.schemes}


def publish(
    root: Path,
    segments: Sequence[Segment],
    alive: Sequence[NDArray[np.bool_]],
    snapshot: Snapshot,
    fingerprints: Fingerprints,
    channels: Formats,
    after: int = 0,
    newest_seq: int | None = None,
) -> Loaded:
    """Write a generation that covers `snapshot` and map it; its number is above `after`, also where none is left.

    Segments in memory, and small or mostly dead neighbours, are merged first.  Older generations are
    removed afterwards; whoever still reads them keeps their pages.
    """
    root.mkdir(exist_ok=True)  # not its parents: a corpus that was deleted stays deleted
    number = max([*_numbers(root), after]) + 1
    scratch = root / f".new-{number}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        return _published(root, number, scratch, segments, alive, snapshot, fingerprints, channels, newest_seq)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)  # half of one would keep a full disk full
        raise


def _published(
    root: Path,
    number: int,
    scratch: Path,
    segments: Sequence[Segment],
    alive: Sequence[NDArray[np.bool_]],
    snapshot: Snapshot,
    fingerprints: Fingerprints,
    channels: Formats,
    newest_seq: int | None,
) -> Loaded:
    scratch.mkdir()
    groups = _grouped(segments, alive, channels)
    entries = []
    for k, (segment, living) in enumerate(groups):
        folder = scratch / str(k)
        if segment.folder is not None:
            link_folder(Path(segment.folder), folder)
        else:
            folder.mkdir()
            _write_segment(folder, segment, channels)
        dead = np.flatnonzero(~living)
        (folder / "dead.npy").unlink(missing_ok=True)
        if len(dead):
            files.save_array(folder / "dead.npy", dead)
        files.fsync_directory(folder)
        made = _digests(folder, _known_digests(segment.folder))
        entries.append({"rows": len(segment), "dead": len(dead), "files": _sizes(folder), "digests": made})
    manifest = {
        "format": FORMAT,
        "record_version": snapshot.version,
        "record_entry": snapshot.entry_digest,
        "files": sorted(snapshot.files),
        "fingerprints": fingerprints.as_json(),
        "segments": entries,
        "newest_seq": newest_seq,
    }
    files.write_json(scratch / "manifest.json", manifest)
    final = root / str(number)
    os.rename(scratch, final)
    files.fsync_directory(root)
    loaded = _map(final, manifest, channels)
    for old in _numbers(root):
        if old < number:
            shutil.rmtree(root / str(old), ignore_errors=True)
    return loaded


def cover(root: Path, number: int, snapshot: Snapshot) -> None:
    """Note that a generation covers `snapshot`, whose rows are those it covers already (compaction)."""
    path = root / str(number) / "manifest.json"
    manifest = files.read_json(path)
    manifest |= {
        "record_version": snapshot.version,
        "record_entry": snapshot.entry_digest,
        "files": sorted(snapshot.files),
    }
    files.write_json(path, manifest)


def open_newest(root: Path, record: Record, fingerprints: Fingerprints, channels: Formats) -> Loaded | None:
    """Map the newest generation that fits the record; None when there is none.

    A generation is discarded when it claims a version the table has not reached, when the table's log
    entry for that version is another one, when it was made with other fingerprints, when the record was
    compacted or purged since, or when a file of it cannot be read.  Raises GenerationTooNew rather than
    discarding what a newer Kinprint wrote.
    """
    if not root.is_dir():
        return None
    for leftover in root.glob(".new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for number in sorted(_numbers(root), reverse=True):
        folder = root / str(number)
        try:
            manifest = files.read_json(folder / "manifest.json")
            _refuse_newer(folder, manifest)
            problem = _misfit(manifest, record, fingerprints)
            if problem is None:
                return _map(folder, manifest, channels)
        except (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, pa.ArrowException) as error:
            problem = f"it cannot be read ({error})"
        logger.warning("discarding generation %d of %s: %s; rebuilding", number, root.parent.name, problem)
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _misfit(manifest: dict, record: Record, fingerprints: Fingerprints) -> str | None:
    if manifest["format"] < OLDEST:
        return f"its format {manifest['format']} is old"
    if manifest["fingerprints"] != fingerprints.as_json():
        return "it was made with other fingerprints"
    if manifest["record_version"] > record.version:
        return f"it covers version {manifest['record_version']} and the record ends at {record.version}"
    digest = record.entry_digest(manifest["record_version"])
    if digest != manifest["record_entry"]:
        return f"version {manifest['record_version']} of the record is another one"
    if not set(manifest["files"]).issubset(record.snapshot().files):
        # A merged file holds rows that are dead here, and nothing here says what killed them.
        return "files that it covers have been merged or rewritten since"
    return None


def _numbers(root: Path) -> list[int]:
    return [int(p.name) for p in root.iterdir() if p.name.isdigit()]


def _grouped(
    segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]], channels: Formats
) -> list[tuple[Segment, NDArray[np.bool_]]]:
    """Merge neighbours so that sizes fall geometrically; rewrite segments that are more than half dead."""
    groups: list[tuple[Segment, NDArray[np.bool_]]] = []

    def rewrite(members: list[tuple[Segment, NDArray[np.bool_]]]) -> tuple[Segment, NDArray[np.bool_]]:
        merged = merge_segments([s for s, _ in members], [a for _, a in members], channels)
        return merged, np.ones(len(merged), bool)

    for segment, living in zip(segments, alive, strict=True):
        item = (segment, living)
        count = int(living.sum())
        if count == 0:
            continue
        if count * 2 < len(segment) or (segment.folder is None and count < len(segment)):
            item = rewrite([item])
        groups.append(item)
        while len(groups) > 1 and len(groups[-1][0]) * 2 >= len(groups[-2][0]):
            last = groups.pop()
            groups[-1] = rewrite([groups[-1], last])
    return groups


def link_folder(source: Path, destination: Path) -> None:
    """Give a segment's files a second name, or copy them where the file system has no hard links."""
    destination.mkdir()
    for file in source.iterdir():
        if file.name.startswith("."):  # half of something that is built behind
            continue
        try:
            os.link(file, destination / file.name)
        except OSError:  # a file system without hard links
            shutil.copy2(file, destination / file.name)


def _sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.name[0] != "."}


#: Built behind: each keeps its digest in a file beside it (see `channels.nearest`).
_BEHIND = (".faiss", "-index.json")


def _known_digests(folder: str | None) -> dict[str, str]:
    """Digests of a segment's files, from the manifest of its generation; none of one in memory, or of older formats."""
    if folder is None:
        return {}
    place = Path(folder)
    try:
        entry = files.read_json(place.parent / "manifest.json")["segments"][int(place.name)]
        return dict(entry.get("digests", {}))
    except (OSError, ValueError, LookupError):
        return {}


def _digests(folder: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Digests of a segment's files that are there when it is published; what was not made anew keeps the one it has."""
    made = {}
    for name in _sizes(folder):
        if name.endswith(_BEHIND):
            continue
        if name in known and name != "dead.npy":
            made[name] = known[name]
        else:
            made[name] = digests.digest_of_file(folder / name)
            digests.trust(folder / name, made[name])
    return made


def files_of(folder: Path) -> dict[Path, str]:
    """Files of a generation with their digests, as far as it tells them.  Raises OSError, ValueError."""
    manifest = files.read_json(folder / "manifest.json")
    return {
        folder / str(k) / name: digest
        for k, entry in enumerate(manifest["segments"])
        for name, digest in entry.get("digests", {}).items()
    }


def check(folder: Path, channels: Formats) -> None:
    """Map a generation as `open_newest` does, and let it go.

    Raises GenerationTooNew, and where it is damaged OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError
    or pa.ArrowException.
    """
    manifest = files.read_json(folder / "manifest.json")
    _refuse_newer(folder, manifest)
    _map(folder, manifest, channels)


def _refuse_newer(folder: Path, manifest: Mapping[str, Any]) -> None:
    if manifest["format"] > FORMAT:
        raise GenerationTooNew(
            f"{folder} has index format {manifest['format']}, this Kinprint knows up to {FORMAT}; "
            f"upgrade, or delete {folder.parent} to rebuild the indexes"
        )


def _write_segment(folder: Path, segment: Segment, channels: Formats) -> None:
    files.write_table(folder / "rows.arrow", segment.table)
    hashes, rows = segment.lookup
    files.save_array(folder / "id-hashes.npy", hashes)
    files.save_array(folder / "id-rows.npy", rows)
    for name, channel in channels.items():
        if chunks := segment.of(name):
            channel.save(folder, merge_chunks(channel, chunks) if len(chunks) > 1 else chunks[0])


def _map(folder: Path, manifest: dict, channels: Formats) -> Loaded:
    segments, alive = [], []
    digests.verify_all(files_of(folder))
    for k, entry in enumerate(manifest["segments"]):
        # What was built behind, such as an index of vectors, came after the manifest.
        if not entry["files"].items() <= _sizes(folder / str(k)).items():
            raise ValueError(f"files of segment {k} are missing or have other sizes than they were written with")
        segment = map_segment(folder / str(k), channels)
        if len(segment) != entry["rows"]:
            raise ValueError(f"segment {k} has {len(segment)} rows, the manifest says {entry['rows']}")
        living = np.ones(len(segment), bool)
        if entry["dead"]:
            dead = files.load_array(folder / str(k) / "dead.npy")
            check_places(f"{k}/dead.npy", dead, len(segment))
            living[dead] = False
        segments.append(segment)
        alive.append(living)
    return Loaded(
        segments,
        alive,
        manifest["record_version"],
        frozenset(manifest["files"]),
        int(folder.name),
        manifest.get("newest_seq"),
    )


def map_segment(folder: Path, channels: Formats) -> Segment:
    """The segment whose files are in `folder`.  Raises OSError, ValueError, EOFError, pyarrow.ArrowException."""
    table = files.map_table(folder / "rows.arrow")
    lookup = files.map_array(folder / "id-hashes.npy"), files.map_array(folder / "id-rows.npy")
    check_places("id-rows.npy", lookup[1], table.num_rows)
    if not len(lookup[0]) == len(lookup[1]) == table.num_rows:
        raise ValueError("id-hashes.npy and id-rows.npy have other lengths than rows.arrow")
    chunks: dict[str, tuple[Chunk, ...]] = {}
    for name, channel in channels.items():
        if (chunk := channel.load(folder)) is not None:
            check_places(f"{name}-rows.npy", chunk.rows, table.num_rows)
            chunks[name] = (chunk,)
    return Segment(table, chunks, folder=str(folder), stored_lookup=lookup)
