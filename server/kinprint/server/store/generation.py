"""Generations: a corpus's segments on disk, memory-mapped, disposable.

Layout of `<corpus>/generations/<n>/`::

    manifest.json            last, so that its presence says the rest is whole
    <k>/rows.arrow           Arrow IPC, one record batch, mapped
    <k>/lookup.npz           id hashes and rows
    <k>/dead.npy             rows that died since the segment was written (absent: none)
    <k>/copy-rows.npy ...    one array a file, mapped

A generation is written beside the others and renamed into place.  Segments that did not change are
hard-linked from the generation before, so a publish costs what is new.  Everything here can be rebuilt
from the record; whatever does not fit it exactly is thrown away.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.ipc
from kinprint.kernels.copy import seeds, sketch
from kinprint.kernels.style import stylometry
from kinprint.server.failures import GenerationTooNew
from kinprint.server.store.durability import fsync_directory, fsync_file
from kinprint.server.store.record import Record, Snapshot
from kinprint.server.store.segment import (
    CopyChunk,
    Segment,
    SemanticChunk,
    StyleChunk,
    merge_chunks,
    merge_segments,
)
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FORMAT = 2


@dataclass(frozen=True)
class Loaded:
    """What a generation holds: segments, the living rows of each, and the snapshot that it covers."""

    segments: list[Segment]
    alive: list[NDArray[np.bool_]]
    version: int
    files: frozenset[str]
    number: int


@dataclass(frozen=True)
class Fingerprints:
    """What fingerprints are made with; a generation made otherwise is rebuilt."""

    pipeline: int
    model_digest: str | None

    def as_json(self) -> dict:
        """For the manifest."""
        return {
            "pipeline": self.pipeline,
            "model": self.model_digest,
            "sketch": str(sketch.Scheme()),
            "seeds": str(seeds.VERSION),
            "style": f"{stylometry.SCHEME}/{stylometry.VERSION}",
        }


def publish(
    root: Path,
    segments: Sequence[Segment],
    alive: Sequence[NDArray[np.bool_]],
    snapshot: Snapshot,
    fingerprints: Fingerprints,
) -> Loaded:
    """Write a generation that covers `snapshot` and map it.

    Segments in memory, and small or mostly dead neighbours, are merged first.  Older generations are
    removed afterwards; whoever still reads them keeps their pages.
    """
    root.mkdir(exist_ok=True)  # not its parents: a corpus that was deleted stays deleted
    number = max(_numbers(root), default=0) + 1
    scratch = root / f".new-{number}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    groups = _grouped(segments, alive)
    entries = []
    for k, (segment, living) in enumerate(groups):
        folder = scratch / str(k)
        if segment.folder is not None:
            link_folder(Path(segment.folder), folder)
        else:
            folder.mkdir()
            _write_segment(folder, segment)
        dead = np.flatnonzero(~living)
        (folder / "dead.npy").unlink(missing_ok=True)
        if len(dead):
            _save(folder / "dead.npy", dead)
        fsync_directory(folder)
        entries.append({"rows": len(segment), "dead": len(dead), "files": _sizes(folder)})
    manifest = {
        "format": FORMAT,
        "record_version": snapshot.version,
        "record_entry": snapshot.entry_digest,
        "files": sorted(snapshot.files),
        "fingerprints": fingerprints.as_json(),
        "segments": entries,
    }
    with open(scratch / "manifest.json", "w", encoding="utf-8") as out:
        json.dump(manifest, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    fsync_directory(scratch)
    final = root / str(number)
    os.rename(scratch, final)
    fsync_directory(root)
    loaded = _map(final, manifest)
    for old in _numbers(root):
        if old < number:
            shutil.rmtree(root / str(old), ignore_errors=True)
    return loaded


def cover(root: Path, number: int, snapshot: Snapshot) -> None:
    """Note that a generation covers `snapshot`, whose rows are those it covers already (compaction)."""
    path = root / str(number) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest |= {
        "record_version": snapshot.version,
        "record_entry": snapshot.entry_digest,
        "files": sorted(snapshot.files),
    }
    scratch = path.with_suffix(".new")
    with open(scratch, "w", encoding="utf-8") as out:
        json.dump(manifest, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    os.rename(scratch, path)
    fsync_directory(path.parent)


def open_newest(root: Path, record: Record, fingerprints: Fingerprints) -> Loaded | None:
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
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if manifest["format"] > FORMAT:
                raise GenerationTooNew(
                    f"{folder} has index format {manifest['format']}, this Kinprint knows up to {FORMAT}; "
                    f"upgrade, or delete {root} to rebuild the indexes"
                )
            problem = _misfit(manifest, record, fingerprints)
            if problem is None:
                return _map(folder, manifest)
        except (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, pa.ArrowException) as error:
            problem = f"it cannot be read ({error})"
        logger.warning("discarding generation %d of %s: %s; rebuilding", number, root.parent.name, problem)
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _misfit(manifest: dict, record: Record, fingerprints: Fingerprints) -> str | None:
    if manifest["format"] < FORMAT:
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
    segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]]
) -> list[tuple[Segment, NDArray[np.bool_]]]:
    """Merge neighbours so that sizes fall geometrically; rewrite segments that are more than half dead."""
    groups: list[tuple[Segment, NDArray[np.bool_]]] = []

    def rewrite(members: list[tuple[Segment, NDArray[np.bool_]]]) -> tuple[Segment, NDArray[np.bool_]]:
        merged = merge_segments([s for s, _ in members], [a for _, a in members])
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


def _save(path: Path, array: NDArray) -> None:
    with open(path, "wb") as out:
        np.save(out, np.ascontiguousarray(array), allow_pickle=False)
        out.flush()
        os.fsync(out.fileno())


def link_folder(source: Path, destination: Path) -> None:
    """Give a segment's files a second name, or copy them where the file system has no hard links."""
    destination.mkdir()
    for file in source.iterdir():
        try:
            os.link(file, destination / file.name)
        except OSError:  # a file system without hard links
            shutil.copy2(file, destination / file.name)


def _sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


def _write_segment(folder: Path, segment: Segment) -> None:
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as out:
        with pa.ipc.new_file(out, segment.table.schema) as writer:
            writer.write_table(segment.table, max_chunksize=max(1, len(segment)))
        out.flush()
    fsync_file(folder / "rows.arrow")
    hashes, rows = segment.lookup
    _save(folder / "id-hashes.npy", hashes)
    _save(folder / "id-rows.npy", rows)
    if segment.copy:
        copy = merge_chunks(segment.copy) if len(segment.copy) > 1 else segment.copy[0]
        assert isinstance(copy, CopyChunk)
        _save(folder / "copy-rows.npy", copy.rows)
        _save(folder / "copy-signatures.npy", copy.signatures)
        _save(folder / "copy-hashes.npy", copy.text_hashes)
        order, starts = copy.grouping
        _save(folder / "copy-order.npy", order)
        _save(folder / "copy-starts.npy", starts)
        index = segment.seeds(copy)
        _save(folder / "copy-seed-keys.npy", index.keys)
        _save(folder / "copy-seed-ids.npy", index.ids)
        _save(folder / "copy-seed-starts.npy", index.starts)
    if segment.style:
        style = merge_chunks(segment.style) if len(segment.style) > 1 else segment.style[0]
        assert isinstance(style, StyleChunk)
        _save(folder / "style-rows.npy", style.rows)
        _save(folder / "style-vectors.npy", style.vectors)
        stats = style.stats
        _save(
            folder / "style-stats.npy",
            np.stack([np.full(stylometry.DIM, stats.count), stats.total, stats.squares]),
        )
    if segment.semantic:
        semantic = merge_chunks(segment.semantic) if len(segment.semantic) > 1 else segment.semantic[0]
        assert isinstance(semantic, SemanticChunk)
        _save(folder / "semantic-rows.npy", semantic.rows)
        _save(folder / "semantic-vectors.npy", semantic.vectors)
        _save(folder / "semantic-sentences.npy", semantic.sentences)
        _save(folder / "semantic-starts.npy", semantic.starts)
        if semantic.ivf is not None:
            faiss.write_index(semantic.ivf, str(folder / "semantic.faiss"))


def _map(folder: Path, manifest: dict) -> Loaded:
    segments, alive = [], []
    for k, entry in enumerate(manifest["segments"]):
        if _sizes(folder / str(k)) != entry["files"]:
            raise ValueError(f"files of segment {k} are missing or have other sizes than they were written with")
        segment = map_segment(folder / str(k))
        if len(segment) != entry["rows"]:
            raise ValueError(f"segment {k} has {len(segment)} rows, the manifest says {entry['rows']}")
        living = np.ones(len(segment), bool)
        if entry["dead"]:
            living[np.load(folder / str(k) / "dead.npy")] = False
        segments.append(segment)
        alive.append(living)
    return Loaded(segments, alive, manifest["record_version"], frozenset(manifest["files"]), int(folder.name))


def map_segment(folder: Path) -> Segment:
    """The segment whose files are in `folder`."""

    def load(name: str) -> NDArray:
        # Copy-on-write mapping: pages are shared with the file, and kernels compile for one array type.
        array: NDArray = np.load(folder / name, mmap_mode="c", allow_pickle=False)
        return np.asarray(array)

    source = pa.memory_map(str(folder / "rows.arrow"))
    table = pa.ipc.open_file(source).read_all()
    parts: dict = {}
    if (folder / "copy-rows.npy").exists():
        order, starts = load("copy-order.npy"), load("copy-starts.npy")
        keys, ids, places = (load(f"copy-seed-{name}.npy") for name in ("keys", "ids", "starts"))
        index = seeds.SeedIndex(keys, ids, places, len(starts) - 1)
        copy = CopyChunk(load("copy-rows.npy"), load("copy-signatures.npy"), load("copy-hashes.npy"), index)
        copy.__dict__["grouping"] = (order, starts)
        parts["copy"] = (copy,)
    if (folder / "style-rows.npy").exists():
        style = StyleChunk(load("style-rows.npy"), load("style-vectors.npy"))
        count, total, squares = np.load(folder / "style-stats.npy")
        style.__dict__["stats"] = stylometry.Stats(count[0], total, squares)
        parts["style"] = (style,)
    if (folder / "semantic-rows.npy").exists():
        ivf = None
        if (folder / "semantic.faiss").exists():
            ivf = faiss.read_index(str(folder / "semantic.faiss"), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        rows, vectors, sentences, starts = (
            load(f"semantic-{name}.npy") for name in ("rows", "vectors", "sentences", "starts")
        )
        parts["semantic"] = (SemanticChunk(rows, vectors, sentences, starts, ivf),)
    return Segment(
        table,
        **parts,
        folder=str(folder),
        stored_lookup=(load("id-hashes.npy"), load("id-rows.npy")),
    )
