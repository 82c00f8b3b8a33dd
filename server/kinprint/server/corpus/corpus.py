"""Corpus: one record with its index, and everything that changes either.

All methods are synchronous and meant for worker threads.  Writes take turns; reads never wait.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from kinprint.server.corpus.fingerprint import CHANNEL_COLUMNS, fingerprint, refreshed, refreshed_fill
from kinprint.server.corpus.index import CorpusIndex, Part, View
from kinprint.server.corpus.normalise import PIPELINE, Normalised
from kinprint.server.embed import EmbeddingSpace
from kinprint.server.failures import CorpusExists, Failure, ModelMismatch, StorageFull
from kinprint.server.store import durability, generation, maintenance
from kinprint.server.store.columns import ragged_to_binary
from kinprint.server.store.record import DELETE, FILL, PUT, SCHEMA, Record, RecordWriteError
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FORMAT = 1
#: Fresh rows that are worth a generation at the end of a load; fewer are replayed at the next start.
PUBLISH_FROM = 1_000
#: Small files in the record beyond which a compaction is worth it.
COMPACT_FROM = maintenance.SMALL_FILES


class CorpusDamaged(Failure):
    """The file that describes a corpus cannot be read."""

    reason = "CORPUS_DAMAGED"


class CorpusTooNew(Failure):
    """A newer Kinprint wrote the corpus."""

    reason = "FORMAT_TOO_NEW"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one upsert batch and the channels they shall have."""

    rows: Normalised
    channels: frozenset[str]
    #: Sequence from which on a row counts as written by the same stream.
    stream_started: int


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch, by row of its frame.

    outcomes: CREATED, REPLACED, UNCHANGED, FILLED or SUPERSEDED.  `to_embed` lists rows that still lack an
    embedding that was asked for.
    """

    outcomes: list[str]
    repeated_ids: int = 0
    to_embed: list[int] = field(default_factory=list)


class Corpus:
    """A named set of transcripts: record, index and their turn-taking."""

    def __init__(self, folder: Path, meta: dict, record: Record) -> None:
        self.folder = folder
        self.name: str = meta["name"]
        self.description: str = meta["description"]
        self.created_at = datetime.fromisoformat(meta["created_at"])
        self.record = record
        #: Space of the stored embeddings; None before the first.
        self.space = _stored_space(folder)
        self.index = CorpusIndex(self.name, space=self.space)
        self.write_turn = threading.RLock()
        self.writers = 0
        self._last_seq = 0
        self._seq_turn = threading.Lock()
        self._generation: generation.Loaded | None = None

    # ---- life ----

    @classmethod
    def create(cls, folder: Path, name: str, description: str) -> Corpus:
        """Make an empty corpus in `folder`, which must not exist.

        It is made beside it under a name that says so, `.new-...`, and renamed when it is whole, so that what stands
        under the name of a corpus is never half of one.
        """
        if folder.exists():
            raise CorpusExists(f"{folder} exists already")
        scratch = folder.with_name(f".new-{folder.name}")
        try:
            scratch.mkdir(parents=True)
            Record.create(scratch / "record")
            meta = {
                "format": FORMAT,
                "name": name,
                "description": description,
                "created_at": datetime.now(UTC).isoformat(),
            }
            _write_json(scratch / "corpus.json", meta)
            scratch.rename(folder)
            files.fsync_directory(folder.parent)
            record = Record.open(folder / "record")
        except (OSError, RecordWriteError) as error:
            shutil.rmtree(scratch, ignore_errors=True)
            raise StorageFull(f"cannot create the corpus: {error}; free space, then retry") from error
        return cls(folder, meta, record)

    @classmethod
    def open(cls, folder: Path, progress: Callable[[str], None] = lambda _: None) -> Corpus:
        """Open a corpus: map its newest generation and catch up from the record."""
        try:
            meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
            newer = meta["format"] > FORMAT
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusDamaged(f"{folder / 'corpus.json'} is damaged ({error}); restore it from a backup") from error
        if newer:
            raise CorpusTooNew(f"{folder} has format {meta['format']}, this Kinprint knows up to {FORMAT}; upgrade")
        corpus = cls(folder, meta, Record.open(folder / "record"))
        corpus.index = corpus._caught_up(progress)
        return corpus

    @property
    def view(self) -> View:
        """The present state of the index."""
        return self.index.view

    def disk_bytes(self) -> int:
        """Bytes of record and indexes; hard-linked files count once."""
        seen: dict[int, int] = {}
        for root, _folders, files in os.walk(self.folder):
            for name in files:
                try:
                    stat = os.stat(os.path.join(root, name))
                except FileNotFoundError:
                    continue
                seen[stat.st_ino] = stat.st_size
        return sum(seen.values())

    def check_space(self, loaded: EmbeddingSpace) -> None:
        """Raise ModelMismatch when the stored embeddings were made with another model than the loaded one."""
        if self.space is not None and self.space.digest != loaded.digest:
            raise ModelMismatch(
                f"the embeddings of corpus {self.name!r} were made with model {self.space.digest[:12]}, and "
                f"{loaded.digest[:12]} is loaded; start the server with that model, or load into a new corpus"
            )

    def _fingerprints(self) -> generation.Fingerprints:
        return generation.Fingerprints(PIPELINE, self.space.digest if self.space else None)

    # ---- catching up ----

    def _caught_up(self, progress: Callable[[str], None]) -> CorpusIndex:
        """An index of the whole record, from the newest generation and a replay of what it lacks."""
        index = CorpusIndex(self.name, space=self.space)
        self._generation = generation.open_newest(self.folder / "generations", self.record, self._fingerprints())
        snapshot = self.record.snapshot()
        covered: frozenset[str] = frozenset()
        if self._generation is not None:
            index.replace(_parts(self._generation))
            covered = self._generation.files
        missing = [f for f in snapshot.files if f not in covered]
        if missing:
            progress(f"corpus {self.name}: replaying {len(missing)} of {len(snapshot.files)} files of the record")
            self._replay(index, missing)
        # From the record, for segments hold no deletes: a put must outnumber them though the clock was set back.
        newest = self.record.read(snapshot.files, ["seq"]).select(pl.col("seq").max()).collect().item()
        self._last_seq = max(self._last_seq, newest or 0)
        return index

    def _replay(self, index: CorpusIndex, files: Sequence[str]) -> None:
        """Apply rows of record files in any order: the newest put or delete per id wins."""
        heads = self.record.read(files, ["id", "seq", "op", "content_hash", "pipeline"]).collect()
        if heads.is_empty():
            return
        newest = heads["pipeline"].max()
        if isinstance(newest, int) and newest > PIPELINE:
            raise CorpusTooNew(
                f"corpus {self.name!r} holds rows of pipeline {newest}, this Kinprint knows up to {PIPELINE}; upgrade"
            )
        latest = heads.filter(pl.col("op") != FILL).sort("seq").group_by("id", maintain_order=True).last()
        ids = latest["id"].to_list()
        view = index.view
        known = [
            -1 if place is None else int(view.parts[place.part].segment.seqs[place.row]) for place in view.locate(ids)
        ]
        latest = latest.with_columns(pl.Series("known", known, dtype=pl.Int64)).filter(pl.col("seq") > pl.col("known"))
        winners = latest.filter(pl.col("op") == PUT).select("id", "seq").lazy()
        fills = []
        for name in files:
            rows = self.record.read([name])
            puts = rows.filter(pl.col("op") == PUT).join(winners, on=["id", "seq"], how="semi").collect()
            # A put that was committed twice, because its acknowledgement was lost, is one row.
            puts = puts.unique("id", keep="last", maintain_order=True)
            index.put(refreshed(puts))
            if heads["op"].eq(FILL).any():
                fills.append(rows.filter(pl.col("op") == FILL).collect())
        index.delete(latest.filter(pl.col("op") == DELETE)["id"].to_list())
        for fill in fills:
            for column in CHANNEL_COLUMNS.values():
                some = fill.filter(pl.col(column).is_not_null())
                if column == "sketch":
                    some = self._fresh_sketches(index, some)
                index.fill(some.select(*_FILL_KEYS, column))

    @staticmethod
    def _fresh_sketches(index: CorpusIndex, fill: pl.DataFrame) -> pl.DataFrame:
        """Fill rows in which sketches of older pipelines are made anew, from the texts that the index holds."""
        old = fill.filter(pl.col("pipeline") < PIPELINE)
        if old.is_empty():
            return fill
        view = index.view
        places = view.locate(old["id"].to_list())
        texts = [None if place is None else view.value(place, "response") for place in places]
        there = pl.Series([text is not None for text in texts], dtype=pl.Boolean)
        known = pl.Series([text for text in texts if text is not None], dtype=pl.String)
        return pl.concat([fill.filter(pl.col("pipeline") >= PIPELINE), refreshed_fill(old.filter(there), known)])

    # ---- writing ----

    def next_seq(self, count: int) -> int:
        """First of `count` fresh sequence numbers: microseconds since 1970, never below the last given."""
        with self._seq_turn:
            first = max(self._last_seq + 1, time.time_ns() // 1000)
            self._last_seq = first + count - 1
            return first

    def write(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit several batches at once; durable on return.

        Raises StorageFull when the record cannot be written; then nothing of the group is acknowledged.
        """
        with self.write_turn:
            return [outcome for group in _without_common_ids(batches) for outcome in self._write_group(group)]

    def _write_group(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """One commit of batches that have no id in common."""
        with self.write_turn:
            outcomes = [BatchOutcome(["CREATED"] * b.rows.frame.height) for b in batches]
            frames = [
                b.rows.frame.with_columns(
                    pl.lit(k, pl.Int32).alias("_batch"), pl.int_range(pl.len(), dtype=pl.Int32).alias("_row")
                )
                for k, b in enumerate(batches)
            ]
            everything = pl.concat(frames)
            rows = everything.unique("id", keep="last", maintain_order=True)
            kept = set(zip(rows["_batch"], rows["_row"], strict=True))
            if len(kept) < everything.height:
                for k, r in zip(everything["_batch"], everything["_row"], strict=True):
                    if (k, r) not in kept:
                        outcomes[k].outcomes[r] = "SUPERSEDED"
                        outcomes[k].repeated_ids += 1
            puts, fills = self._plan(rows, batches, outcomes)
            written = self._fingerprinted(rows, puts, fills, batches)
            if written.height:
                first = self.next_seq(written.height)
                written = written.with_columns(
                    (pl.int_range(pl.len(), dtype=pl.Int64) + first).alias("seq"),
                    pl.lit(PIPELINE, pl.Int32).alias("pipeline"),
                )
                self._append(written)
                self.index.put(written.filter(pl.col("op") == PUT))
                added = written.filter(pl.col("op") == FILL)
                if added.height:
                    self.index.fill(added)
            return outcomes

    def _plan(
        self, rows: pl.DataFrame, batches: Sequence[Batch], outcomes: Sequence[BatchOutcome]
    ) -> tuple[list[int], dict[int, list[str]]]:
        """Which rows to put, and which to fill with which channels; notes the outcome of each."""
        view = self.view
        puts: list[int] = []
        fills: dict[int, list[str]] = {}
        blank = rows["text_hash"].is_null().to_list()
        hashes = rows["content_hash"].to_list()
        keys = zip(view.locate(rows["id"].to_list()), rows["_batch"], rows["_row"], strict=True)
        for i, (place, k, r) in enumerate(keys):
            outcome, batch = outcomes[k], batches[k]
            present: list[str] = []
            if place is not None:
                if view.value(place, "seq") >= batch.stream_started:
                    outcome.repeated_ids += 1
                if view.value(place, "content_hash") == hashes[i]:
                    present = view.channels_of(place)
                    outcome.outcomes[r] = "UNCHANGED"
                else:
                    outcome.outcomes[r] = "REPLACED"
            if outcome.outcomes[r] != "UNCHANGED":
                puts.append(i)
            if blank[i]:
                continue
            missing = batch.channels.difference(present)
            if outcome.outcomes[r] == "UNCHANGED" and missing:
                outcome.outcomes[r] = "FILLED"
                if missing - {"semantic"}:
                    fills[i] = sorted(missing - {"semantic"})
            if "semantic" in missing:
                outcome.to_embed.append(r)
        return puts, fills

    def _fingerprinted(
        self, rows: pl.DataFrame, puts: list[int], fills: dict[int, list[str]], batches: Sequence[Batch]
    ) -> pl.DataFrame:
        """Record rows of the puts and fills with the cheap channels each batch asked for."""
        pieces = []
        by_channels: dict[tuple[str, ...], list[int]] = {}
        blank = rows["text_hash"].is_null()
        numbers = rows["_batch"].to_list()
        for i in puts:
            wanted = () if blank[i] else tuple(sorted(batches[numbers[i]].channels - {"semantic"}))
            by_channels.setdefault(wanted, []).append(i)
        for wanted, chosen in by_channels.items():
            some = rows[chosen].drop("_batch", "_row")
            made = fingerprint(some["response"], wanted) if wanted else {}
            pieces.append(some.with_columns(pl.lit(PUT, pl.Int8).alias("op"), *_named(made)))
        fill_groups: dict[tuple[str, ...], list[int]] = {}
        for i, channels in fills.items():
            fill_groups.setdefault(tuple(channels), []).append(i)
        for added, chosen in fill_groups.items():
            some = rows[chosen]
            made = fingerprint(some["response"], added)
            pieces.append(
                some.select("id", "content_hash", "text_hash").with_columns(
                    pl.lit(FILL, pl.Int8).alias("op"), *_named(made)
                )
            )
        if not pieces:
            return pl.DataFrame(schema=SCHEMA)
        # `rows` keeps the order of arrival; puts of one group may be split by channels, ids are distinct.
        return _aligned(pieces)

    def fill_embeddings(
        self,
        ids: Sequence[str],
        content_hashes: Sequence[bytes],
        vectors: NDArray[np.float32],
        starts: NDArray[np.int64],
        space: EmbeddingSpace,
    ) -> None:
        """Add embeddings, made in `space`, to rows; durable on return.

        `vectors` float32[s, dim] are the unit vectors of the texts' sentences, text after text, `starts`
        int64[n + 1] tells where each text's begin.

        Rows that were replaced or deleted meanwhile are left alone.
        """
        with self.write_turn:
            self.check_space(space)
            if self.space is None:
                try:
                    space.save(self.folder / _SPACE)
                except OSError as error:
                    raise StorageFull(f"cannot note the model of the corpus: {error}") from error
                self.space = space
                self.index.set_space(space)
            frame = pl.DataFrame(
                {
                    "id": pl.Series(ids, dtype=pl.String),
                    "content_hash": pl.Series(content_hashes, dtype=pl.Binary),
                    "embedding": ragged_to_binary(vectors.astype("<f2"), starts),
                }
            )
            # Two streams may have asked for the same row.
            frame = frame.unique(["id", "content_hash"], keep="last", maintain_order=True)
            view = self.view
            same = [
                place is not None and view.value(place, "content_hash") == digest
                for place, digest in zip(view.locate(frame["id"].to_list()), frame["content_hash"], strict=True)
            ]
            frame = frame.filter(pl.Series(same, dtype=pl.Boolean))
            if frame.is_empty():
                return
            first = self.next_seq(frame.height)
            self._append(
                _aligned(
                    [
                        frame.with_columns(
                            pl.lit(FILL, pl.Int8).alias("op"),
                            (pl.int_range(pl.len(), dtype=pl.Int64) + first).alias("seq"),
                            pl.lit(PIPELINE, pl.Int32).alias("pipeline"),
                        )
                    ]
                )
            )
            self.index.fill(frame)

    def delete(self, ids: Sequence[str]) -> tuple[int, int]:
        """Delete transcripts; (deleted, not found).  Durable on return."""
        with self.write_turn:
            distinct = list(dict.fromkeys(ids))
            found = [i for i, p in zip(distinct, self.view.locate(distinct), strict=True) if p is not None]
            if found:
                first = self.next_seq(len(found))
                frame = pl.DataFrame(
                    {
                        "id": found,
                        "seq": range(first, first + len(found)),
                        "op": pl.Series([DELETE] * len(found), dtype=pl.Int8),
                        "pipeline": pl.Series([PIPELINE] * len(found), dtype=pl.Int32),
                    }
                )
                self._append(_aligned([frame]))
                self.index.delete(found)
            return len(found), len(distinct) - len(found)

    def _append(self, frame: pl.DataFrame) -> None:
        try:
            self.record.append(frame)
        except RecordWriteError as error:
            raise StorageFull(
                f"{error}; nothing of this batch was acknowledged: free space, then send it again"
            ) from error

    # ---- maintenance ----

    @property
    def fresh_rows(self) -> int:
        """Rows that only the record holds on disk."""
        return sum(len(p.segment) for p in self.view.parts if p.segment.folder is None)

    def publish(self) -> None:
        """Write a generation that covers the whole record, and map it."""
        with self.write_turn, self.index.turn:
            snapshot = self.record.snapshot()
            if self._generation is not None and self._generation.version == snapshot.version:
                return
            started = time.monotonic()
            parts = self.view.parts
            loaded = generation.publish(
                self.folder / "generations",
                [p.segment for p in parts],
                [p.alive for p in parts],
                snapshot,
                self._fingerprints(),
            )
            self._generation = loaded
            self.index.replace(_parts(loaded))
            logger.info(
                "corpus %s: published generation %d, %d rows in %d segments, %.1f s",
                self.name,
                loaded.number,
                self.view.rows,
                len(loaded.segments),
                time.monotonic() - started,
            )

    def compact(self) -> None:
        """Merge the record's small files when there are many."""
        with self.write_turn:
            files = self.record.snapshot().files
            sizes = (durability.data_file(self.record.path, name).stat().st_size for name in files)
            if sum(size < maintenance.SMALL_BYTES for size in sizes) <= COMPACT_FROM:
                return
            self.publish()
            snapshot = maintenance.run_compact(self.record, small_files=COMPACT_FROM)
            if self._generation is not None:
                generation.cover(self.folder / "generations", self._generation.number, snapshot)
                self._generation = generation.Loaded(
                    self._generation.segments,
                    self._generation.alive,
                    snapshot.version,
                    frozenset(snapshot.files),
                    self._generation.number,
                )

    def settle(self) -> None:
        """Publish and compact where it is worth it; called after loads and before the server ends."""
        if self.fresh_rows >= PUBLISH_FROM:
            self.publish()
        self.compact()

    def purge(self, ids: Sequence[str], progress: Callable[[str], None]) -> int:
        """Erase transcripts for good, with all that was deleted or replaced earlier; returns live ones erased."""
        with self.write_turn:
            live = 0
            if ids:
                progress("deleting")
                live, _ = self.delete(ids)
            progress("rewriting the record")
            maintenance.run_purge(self.record)
            progress("rebuilding the indexes")
            shutil.rmtree(self.folder / "generations", ignore_errors=True)
            # Searches go on in the old index until the new one is whole.
            self.index = self._caught_up(progress)
            if self.view.rows:
                self.publish()
            return live


def _without_common_ids(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Batches in their order, cut where an id comes again: each batch must meet what the one before it wrote."""
    groups: list[list[Batch]] = []
    seen: set[str] = set()
    for batch in batches:
        ids = set(batch.rows.frame["id"])
        if not groups or not seen.isdisjoint(ids):
            groups.append([])
            seen = set()
        groups[-1].append(batch)
        seen |= ids
    return groups


def _stored_space(folder: Path) -> EmbeddingSpace | None:
    """Space of a corpus's embeddings; None before the first."""
    path = folder / _SPACE
    return EmbeddingSpace.load(path) if path.exists() else None


_SPACE = "embedding-space.npz"
_FILL_KEYS = ("id", "content_hash", "text_hash")


def _parts(loaded: generation.Loaded) -> list[Part]:
    return [Part(s, a) for s, a in zip(loaded.segments, loaded.alive, strict=True)]


def _named(columns: dict[str, pl.Series]) -> list[pl.Series]:
    return [series.alias(name) for name, series in columns.items()]


def _aligned(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate frames in the record's schema, absent columns null."""
    full = []
    for piece in pieces:
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in SCHEMA.items() if name not in piece.columns]
        full.append(piece.with_columns(absent).select(SCHEMA.names()))
    return pl.concat(full)


def _write_json(path: Path, value: dict) -> None:
    scratch = path.with_suffix(".new")
    with open(scratch, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    os.rename(scratch, path)
    files.fsync_directory(path.parent)


__all__ = ["Batch", "BatchOutcome", "Corpus", "CorpusTooNew", "EmbeddingSpace"]
