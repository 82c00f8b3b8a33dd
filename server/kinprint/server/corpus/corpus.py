"""Corpus: one record with its index, and everything that changes either.

All methods are synchronous and meant for worker threads.  Writes take turns; reads never wait.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from kinprint.server import channels
from kinprint.server.channels import CHANNELS, FORMATS
from kinprint.server.corpus.earlier import keep_earlier_ids
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.corpus.normalise import PIPELINE
from kinprint.server.corpus.plan import Batch, BatchOutcome, aligned, planned, without_common_ids
from kinprint.server.corpus.replay import caught_up, parts_of
from kinprint.server.corpus.vectors import WithVectors, stored_meaning
from kinprint.server.corpus.view import View
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.failures import (
    CorpusDamaged,
    CorpusExists,
    CorpusNotFound,
    CorpusTooNew,
    Failure,
    MaintenanceFailed,
)
from kinprint.server.store import durability, files, generation, maintenance
from kinprint.server.store.columns import ragged_to_binary
from kinprint.server.store.disk import is_full, storage_failure
from kinprint.server.store.record import DELETE, FILL, PUT, Record, RecordWriteError
from kinprint.server.store.reserve import Reserve
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 1
#: Fresh rows that are worth a generation at the end of a load; fewer are replayed at the next start.
PUBLISH_FROM = 1_000
#: Seconds after which a stream that writes nothing no longer keeps a corpus from being deleted.
IDLE_SECONDS = 3.0
#: Small files in the record beyond which a compaction is worth it.
COMPACT_FROM = maintenance.SMALL_FILES


class Corpus(WithVectors):
    """A named set of transcripts: record, index and their turn-taking."""

    def __init__(self, folder: Path, meta: dict, record: Record) -> None:
        self.folder = folder
        self.name: str = meta["name"]
        self.description: str = meta["description"]
        self.created_at = datetime.fromisoformat(meta["created_at"])
        #: Names that it bore before it was restored under this one.
        self.earlier_names: tuple[str, ...] = tuple(meta.get("earlier_names", ()))
        self.record = record
        self.index = CorpusIndex(self.name, meaning=stored_meaning(folder))
        self.write_turn = threading.RLock()
        self._streams = 0
        self._writes = 0
        self._used = 0.0
        self._deleted = False
        #: Room on the disk for deletes and purges; None where the corpus stands alone.
        self.reserve: Reserve | None = None
        self._last_seq = 0
        self._seq_turn = threading.Lock()
        self._generation: generation.Loaded | None = None
        #: Numbers are not used twice, so that what is built behind never lands beside other segments than its own.
        self._last_generation = 0

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
            files.write_json(scratch / "corpus.json", meta)
            scratch.rename(folder)
            files.fsync_directory(folder.parent)
            record = Record.open(folder / "record")
        except (OSError, RecordWriteError) as error:
            shutil.rmtree(scratch, ignore_errors=True)
            raise storage_failure("cannot create the corpus", error) from error
        return cls(folder, meta, record)

    @classmethod
    def open(cls, folder: Path, progress: Callable[[str], None] = lambda _: None) -> Corpus:
        """Open a corpus: map its newest generation and catch up from the record."""
        try:
            description = folder / "corpus.json"
            meta = files.read_json(description)
            newer = meta["format"] > FORMAT
            if not newer and not (isinstance(meta["name"], str) and isinstance(meta["description"], str)):
                raise ValueError("name or description is no text")
            if not newer:
                datetime.fromisoformat(meta["created_at"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusDamaged(f"{folder / 'corpus.json'} is damaged ({error}); restore it from a backup") from error
        if newer:
            raise CorpusTooNew(f"{folder} has format {meta['format']}, this Kinprint knows up to {FORMAT}; upgrade")
        corpus = cls(folder, meta, Record.open(folder / "record"))
        corpus.index = corpus._caught_up(progress)
        return corpus

    @property
    def generations(self) -> Path:
        """Folder of the indexes on disk."""
        return self.folder / "generations"

    @property
    def view(self) -> View:
        """The present state of the index."""
        return self.index.view

    # ---- who uses it ----

    def attach(self) -> None:
        """Note a stream that may write."""
        self._streams += 1
        self._used = time.monotonic()

    def detach(self) -> bool:
        """Note its end; whether it was the last one."""
        self._streams -= 1
        return self._streams == 0

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Note a write under way.  From one thread: the event loop's."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1
            self._used = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether somebody writes, or holds a stream open and did so within the last `IDLE_SECONDS`."""
        return self._writes > 0 or (self._streams > 0 and time.monotonic() - self._used < IDLE_SECONDS)

    def retire(self, folder: Path) -> int:
        """Move the corpus out of the way, for it to be removed; the number of its transcripts.

        Whoever still writes is told CorpusNotFound from then on.  Raises OSError.
        """
        with self.write_turn:
            self.folder.rename(folder)
            files.fsync_directory(folder.parent)
            self._deleted = True
            return self.view.rows

    @property
    def deleted(self) -> bool:
        """Whether it was moved out of the way; what is in memory can still be read."""
        return self._deleted

    def _refuse_deleted(self) -> None:
        if self._deleted:
            raise CorpusNotFound(f"corpus {self.name!r} was deleted", field="corpus")

    def disk_bytes(self) -> int:
        """Bytes of record and indexes; hard-linked files count once."""
        seen: dict[int, int] = {}
        for root, _folders, names in os.walk(self.folder):
            for name in names:
                try:
                    stat = os.stat(os.path.join(root, name))
                except FileNotFoundError:
                    continue
                seen[stat.st_ino] = stat.st_size
        return sum(seen.values())

    def _fingerprints(self) -> generation.Fingerprints:
        return generation.Fingerprints(PIPELINE, self.space.digest if self.space else None, channels.schemes())

    def _caught_up(self, progress: Callable[[str], None]) -> CorpusIndex:
        """An index of the whole record, from the newest generation and a replay of what it lacks."""
        made = caught_up(self.name, self.generations, self.record, self.meaning, self._fingerprints(), progress)
        self._generation = made.generation
        if made.generation is not None:
            self._last_generation = max(self._last_generation, made.generation.number)
        self._last_seq = max(self._last_seq, made.newest_seq)
        return made.index

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
        CorpusNotFound when the corpus was deleted.
        """
        with self.write_turn:
            self._refuse_deleted()
            keep_earlier_ids(self.view, self.name, batches)
            return [outcome for group in without_common_ids(batches) for outcome in self._write_group(group)]

    def _write_group(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """One commit of batches that have no id in common."""
        with self.write_turn:
            written, outcomes = planned(self.view, batches)
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
            self._refuse_deleted()
            known = self.meaning.second
            second = known is not None and known.digest == space.digest
            if not second:
                self.check_space(space)
            if self.space is None:
                self._note_space(space)
            space = (known if second else self.space) or space
            frame = pl.DataFrame(
                {
                    "id": pl.Series(ids, dtype=pl.String),
                    "content_hash": pl.Series(content_hashes, dtype=pl.Binary),
                    "model": pl.Series([space.digest] * len(ids), dtype=pl.String),
                    CHANNELS["semantic"].column: ragged_to_binary(
                        vectors.astype("<f2") if space.components is None else space.encode(space.neutral(vectors)),
                        starts,
                    ),
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
                aligned(
                    [
                        frame.with_columns(
                            pl.lit(FILL, pl.Int8).alias("op"),
                            (pl.int_range(pl.len(), dtype=pl.Int64) + first).alias("seq"),
                            pl.lit(PIPELINE, pl.Int32).alias("pipeline"),
                        )
                    ]
                )
            )
            self.index.fill(frame, second=second)

    def delete(self, ids: Sequence[str]) -> tuple[int, int]:
        """Delete transcripts; (deleted, not found).  Durable on return."""
        with self.write_turn:
            self._refuse_deleted()
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
                self._spend(lambda: self._append(aligned([frame])))
                self.index.delete(found)
            return len(found), len(distinct) - len(found)

    def _spend(self, work: Callable[[], T]) -> T:
        """Do what frees room; on a full disk, once more with the room of the reserve."""
        try:
            return work()
        except (Failure, OSError) as error:
            if not is_full(error) or self.reserve is None or not self.reserve.release():
                raise
        return work()

    def _append(self, frame: pl.DataFrame) -> None:
        try:
            self.record.append(frame)
        except RecordWriteError as error:
            raise storage_failure("nothing of this batch was acknowledged", error, "then send it again") from error

    # ---- maintenance ----

    @property
    def fresh_rows(self) -> int:
        """Rows that only the record holds on disk."""
        return sum(len(p.segment) for p in self.view.parts if p.segment.folder is None)

    def publish(self, anew: bool = False) -> None:
        """Write a generation that covers the whole record, and map it; `anew`: also where there is one that does."""
        with self.write_turn, self.index.turn:
            snapshot = self.record.snapshot()
            parts = self.view.parts
            covered = self._generation is not None and self._generation.version == snapshot.version
            if covered and not anew and all(part.segment.folder is not None for part in parts):
                return
            started = time.monotonic()
            loaded = generation.publish(
                self.generations,
                [p.segment for p in parts],
                [p.alive for p in parts],
                snapshot,
                self._fingerprints(),
                FORMATS,
                self._last_generation,
                self._last_seq,
            )
            self._last_generation = loaded.number
            self._generation = loaded
            for channel in CHANNELS.values():
                channel.prepare(parts_of(loaded))
            self.index.replace(parts_of(loaded))
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
            covered = self.record.snapshot().files
            sizes = (durability.data_file(self.record.path, name).stat().st_size for name in covered)
            if sum(size < maintenance.SMALL_BYTES for size in sizes) <= COMPACT_FROM:
                return
            self.publish()
            snapshot = maintenance.run_compact(self.record, small_files=COMPACT_FROM)
            if self._generation is not None:
                generation.cover(self.generations, self._generation.number, snapshot)
                self._generation = dataclasses.replace(
                    self._generation, version=snapshot.version, files=frozenset(snapshot.files)
                )

    def settle(self) -> None:
        """Publish and compact where it is worth it: when nobody writes, now and then, and before the server ends."""
        with self.write_turn:
            if self._deleted:
                return
            if self.fresh_rows >= PUBLISH_FROM or self._mostly_dead():
                self.publish()
            self.compact()
            if self.reserve is not None:
                self.reserve.fill()

    def _mostly_dead(self) -> bool:
        """Whether more than half of the rows on disk are dead, and worth a generation; publishing leaves them out."""
        if self._generation is None:
            return False
        rows = sum(len(segment) for segment in self._generation.segments)
        living = sum(part.living for part in self.view.parts if part.segment.folder is not None)
        return 2 * living < rows and rows - living >= PUBLISH_FROM

    @property
    def generation_number(self) -> int | None:
        """Number of the generation that is mapped; None where there is none."""
        return None if self._generation is None else self._generation.number

    def rebuild(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Make the indexes again from the record, and publish them.  Searches go on in the old ones until then.

        Raises RecordDamaged, OSError.
        """
        with self.write_turn:
            self._refuse_deleted()
            shutil.rmtree(self.generations, ignore_errors=True)
            self.index = self._caught_up(progress)
            if self.view.rows:
                self.publish()

    def purge(self, ids: Sequence[str], progress: Callable[[str], None]) -> int:
        """Erase transcripts for good, with all that was deleted or replaced earlier; returns live ones erased."""
        with self.write_turn:
            self._refuse_deleted()
            live = 0
            if ids:
                progress("deleting")
                live, _ = self.delete(ids)
            progress("rewriting the record")
            try:
                self._spend(lambda: maintenance.run_purge(self.record))
            except MaintenanceFailed as error:
                if is_full(error):
                    raise storage_failure("nothing was erased", error) from error
                raise
            progress("rebuilding the indexes")
            shutil.rmtree(self.tables / ".checkpoints", ignore_errors=True)  # vectors of sentences
            self.rebuild(progress)
            return live
