"""Corpus: one record with its index, and everything that changes either.

All methods are synchronous and meant for worker threads.  Writes take turns; reads never wait.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from kinprint.server import channels
from kinprint.server.channels import CHANNELS, FORMATS
from kinprint.server.channels.calibration import Calibration
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.corpus import backfill
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.corpus.normalise import PIPELINE
from kinprint.server.corpus.plan import Batch, BatchOutcome, aligned, planned, without_common_ids
from kinprint.server.corpus.replay import caught_up, parts_of
from kinprint.server.corpus.view import View
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.embed.static import StaticTable, TableError
from kinprint.server.failures import (
    CorpusDamaged,
    CorpusExists,
    CorpusNotFound,
    CorpusTooNew,
    ModelMismatch,
    ModelNotFilled,
    StorageFull,
)
from kinprint.server.store import durability, files, generation, maintenance
from kinprint.server.store.columns import ragged_to_binary
from kinprint.server.store.record import DELETE, FILL, PUT, Record, RecordWriteError
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FORMAT = 1
#: Fresh rows that are worth a generation at the end of a load; fewer are replayed at the next start.
PUBLISH_FROM = 1_000
#: Seconds after which a stream that writes nothing no longer keeps a corpus from being deleted.
IDLE_SECONDS = 3.0
#: Small files in the record beyond which a compaction is worth it.
COMPACT_FROM = maintenance.SMALL_FILES


class Corpus:
    """A named set of transcripts: record, index and their turn-taking."""

    def __init__(self, folder: Path, meta: dict, record: Record) -> None:
        self.folder = folder
        self.name: str = meta["name"]
        self.description: str = meta["description"]
        self.created_at = datetime.fromisoformat(meta["created_at"])
        self.record = record
        self.index = CorpusIndex(self.name, meaning=_stored_meaning(folder))
        self.write_turn = threading.RLock()
        self._streams = 0
        self._writes = 0
        self._used = 0.0
        self._deleted = False
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
            files.write_json(scratch / "corpus.json", meta)
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
            description = folder / "corpus.json"
            if not description.is_file():  # a pipe would be waited for
                raise ValueError("it is no file")
            meta = json.loads(description.read_text(encoding="utf-8"))
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
    def meaning(self) -> Meaning:
        """What the semantic channel goes by."""
        return self.index.meaning

    @property
    def space(self) -> EmbeddingSpace | None:
        """Space of the stored embeddings; None before the first."""
        return self.index.meaning.space

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

    def check_space(self, loaded: EmbeddingSpace) -> None:
        """Raise ModelMismatch when the stored embeddings were made with another model than the loaded one."""
        if self.space is not None and self.space.digest != loaded.digest:
            raise ModelMismatch(
                f"the embeddings of corpus {self.name!r} were made with model {self.space.digest[:12]}, and "
                f"{loaded.digest[:12]} is loaded; start the server with that model, or load into a new corpus"
            )

    def _fingerprints(self) -> generation.Fingerprints:
        return generation.Fingerprints(PIPELINE, self.space.digest if self.space else None, channels.schemes())

    def _caught_up(self, progress: Callable[[str], None]) -> CorpusIndex:
        """An index of the whole record, from the newest generation and a replay of what it lacks."""
        made = caught_up(self.name, self.generations, self.record, self.meaning, self._fingerprints(), progress)
        self._generation = made.generation
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
                try:
                    space.save(self.folder / _SPACE)
                except OSError as error:
                    raise StorageFull(f"cannot note the model of the corpus: {error}") from error
                self.index.set_space(space)
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
                self._append(aligned([frame]))
                self.index.delete(found)
            return len(found), len(distinct) - len(found)

    def _append(self, frame: pl.DataFrame) -> None:
        try:
            self.record.append(frame)
        except RecordWriteError as error:
            raise StorageFull(
                f"{error}; nothing of this batch was acknowledged: free space, then send it again"
            ) from error

    # ---- a second model ----

    def begin_second(self, space: EmbeddingSpace) -> None:
        """Have a second model filled beside the one that the corpus is searched by.

        Raises ModelMismatch when there is another second one; StorageFull.
        """
        with self.write_turn:
            self._refuse_deleted()
            second = self.meaning.second
            if second is not None:
                if second.digest == space.digest:
                    return
                raise ModelMismatch(
                    f"model {second.digest[:12]} is filled beside that of corpus {self.name!r} already; "
                    f"switch to it or drop it first: kinprint model switch, kinprint model drop --corpus {self.name}"
                )
            if self.space is None or self.space.digest == space.digest:
                return  # it is the first
            try:
                space.save(self.folder / _SECOND)
            except OSError as error:
                raise StorageFull(f"cannot note the second model of the corpus: {error}") from error
            self.index.set_second(space)

    def drop_second(self) -> None:
        """Drop the second model and its vectors.  Raises ModelNotFilled."""
        with self.write_turn:
            self._refuse_deleted()
            second = self._second()
            (self.folder / _SECOND).unlink()
            files.fsync_directory(self.folder)
            self.index.set_second(None)
            self._erase_embeddings(f"model = '{second.digest}'")

    def switch_models(self) -> None:
        """Search by the second model from here on, and drop the first with its vectors.

        Raises ModelNotFilled unless the second is filled as far as the first; StorageFull.
        """
        with self.write_turn:
            self._refuse_deleted()
            second = self._second()
            filled, before = self.view.filled("second"), self.view.filled("semantic")
            if filled < before:
                raise ModelNotFilled(
                    f"the second model has {filled} of the {before} rows that the first has in corpus {self.name!r}; "
                    f"wait for: kinprint fill --corpus {self.name} --wait"
                )
            first = self.space
            assert first is not None
            untagged = self.meaning.untagged or first.digest
            try:
                # What names no model is of the first; said before the space changes its meaning.
                files.write_json(self.folder / _MODELS, {"format": 1, "untagged": untagged})
                second.save(self.folder / _SPACE)
                (self.folder / _SECOND).unlink()
                files.fsync_directory(self.folder)
            except OSError as error:
                raise StorageFull(f"cannot note the model of the corpus: {error}") from error
            (self.folder / _CALIBRATION.format("accurate")).unlink(missing_ok=True)
            self.index.switch_models(untagged)
            gone = f"model = '{first.digest}'"
            self._erase_embeddings(f"({gone} OR model IS NULL)" if untagged == first.digest else gone)

    def _second(self) -> EmbeddingSpace:
        second = self.meaning.second
        if second is None:
            raise ModelNotFilled(
                f"corpus {self.name!r} has no second model; fill one with: "
                f"kinprint fill --corpus {self.name} --second DIR"
            )
        return second

    def _erase_embeddings(self, condition: str) -> None:
        """Take embeddings that nobody reads any more out of the record, and publish what is left."""
        self.publish(anew=True)
        # By the open record, which then goes by what is left of its files.
        predicate = f"op = {FILL} AND embedding IS NOT NULL AND {condition}"
        snapshot = maintenance.run_purge(self.record, predicate=predicate)
        if self._generation is not None:
            generation.cover(self.generations, self._generation.number, snapshot)
            self._generation = dataclasses.replace(
                self._generation, version=snapshot.version, files=frozenset(snapshot.files)
            )

    # ---- the fast tier ----

    def adopt_table(self, table: StaticTable) -> None:
        """Go by a table of tokens from here on; rows that have no vectors of it get them by `backfill`."""
        with self.index.turn:
            self.index.set_table(table)

    def adopt_usual(self, table: StaticTable) -> None:
        """Go by the table of the model, unless one was fitted to this corpus."""
        if not (self.folder / _FITTED).exists() and self.meaning.table is None:
            self.adopt_table(table)

    def fitted_table(self) -> StaticTable | None:
        """The table that was fitted to this corpus and installed last; None where there is none.

        A damaged one is passed over with a line in the log: the fast tier is made of texts, and can be made anew.
        """
        try:
            name = json.loads((self.folder / _FITTED).read_text(encoding="utf-8"))["table"]
            return StaticTable.load(self.folder / _TABLES / name)
        except FileNotFoundError:
            return None
        except (TableError, OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the table fitted to corpus %s cannot be used: %s", self.name, error)
            return None

    def install_table(self, name: str) -> None:
        """Go by a table in the corpus' own folder; rows get their vectors of it by `backfill`.

        Tables that were fitted earlier are removed.  Raises OSError, TableError.
        """
        with self.write_turn:
            self._refuse_deleted()
            table = StaticTable.load(self.tables / name)
            files.write_json(self.folder / _FITTED, {"format": 1, "table": name})
            self.adopt_table(table)
            for other in self.tables.iterdir():
                if other.name not in (name, ".checkpoints"):
                    shutil.rmtree(other, ignore_errors=True)

    @property
    def tables(self) -> Path:
        """Folder of the tables fitted to this corpus."""
        return self.folder / _TABLES

    def calibrate(self, tier: Tier, calibration: Calibration) -> None:
        """Read the scores of a tier by a calibration of this corpus from here on.  Raises OSError."""
        with self.write_turn:
            self._refuse_deleted()
            calibration.save(self.folder / _CALIBRATION.format(tier))
            self.index.set_calibration(tier, calibration)

    def backfill(self, stop: Callable[[], bool]) -> int:
        """Make the fast vectors that rows lack, some at a time; how many were made.

        Searches and writes go on meanwhile.  Ends early when `stop` says so; then or when nothing is missing.
        """
        return backfill.fast_vectors(self.index, stop)

    def index_vectors(self, stop: Callable[[], bool]) -> int:
        """Build the inverted files over vectors that are worth it and missing; how many were built.

        Searches and writes go on meanwhile.
        """
        return backfill.index_vectors(self.index, stop)

    # ---- maintenance ----

    @property
    def fresh_rows(self) -> int:
        """Rows that only the record holds on disk."""
        return sum(len(p.segment) for p in self.view.parts if p.segment.folder is None)

    def publish(self, anew: bool = False) -> None:
        """Write a generation that covers the whole record, and map it; `anew`: also where there is one that does."""
        with self.write_turn, self.index.turn:
            snapshot = self.record.snapshot()
            if self._generation is not None and self._generation.version == snapshot.version and not anew:
                return
            started = time.monotonic()
            parts = self.view.parts
            loaded = generation.publish(
                self.generations,
                [p.segment for p in parts],
                [p.alive for p in parts],
                snapshot,
                self._fingerprints(),
                FORMATS,
            )
            self._generation = loaded
            for channel in CHANNELS.values():
                channel.prepare(loaded.segments)
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

    def _mostly_dead(self) -> bool:
        """Whether more than half of the rows on disk are dead, and worth a generation; publishing leaves them out."""
        if self._generation is None:
            return False
        rows = sum(len(segment) for segment in self._generation.segments)
        living = sum(part.living for part in self.view.parts if part.segment.folder is not None)
        return 2 * living < rows and rows - living >= PUBLISH_FROM

    def purge(self, ids: Sequence[str], progress: Callable[[str], None]) -> int:
        """Erase transcripts for good, with all that was deleted or replaced earlier; returns live ones erased."""
        with self.write_turn:
            self._refuse_deleted()
            live = 0
            if ids:
                progress("deleting")
                live, _ = self.delete(ids)
            progress("rewriting the record")
            maintenance.run_purge(self.record)
            progress("rebuilding the indexes")
            shutil.rmtree(self.generations, ignore_errors=True)
            # Searches go on in the old index until the new one is whole.
            self.index = self._caught_up(progress)
            if self.view.rows:
                self.publish()
            return live


def _stored_meaning(folder: Path) -> Meaning:
    """What the semantic channel went by, but for its table."""
    untagged = None
    with contextlib.suppress(FileNotFoundError):
        untagged = json.loads((folder / _MODELS).read_text(encoding="utf-8"))["untagged"]
    space, second = _stored_space(folder / _SPACE), _stored_space(folder / _SECOND)
    if space is None or (second is not None and second.digest == space.digest):
        second = None  # a switch that was cut short after it was made
    return Meaning(space, second, untagged, measured=_calibrations(folder))


def _calibrations(folder: Path) -> dict[Tier, Calibration]:
    """What scores were worth when they were measured last, by tier; a damaged one is measured anew."""
    found: dict[Tier, Calibration] = {}
    tiers: tuple[Tier, ...] = ("fast", "accurate")
    for tier in tiers:
        path = folder / _CALIBRATION.format(tier)
        try:
            found[tier] = Calibration.load(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be used (%s) and is measured anew", path, error)
    return found


def _stored_space(path: Path) -> EmbeddingSpace | None:
    """A space that was noted; None where there is none."""
    return EmbeddingSpace.load(path) if path.exists() else None


_SPACE = "embedding-space.npz"
_SECOND, _MODELS = "second-embedding-space.npz", "models.json"
_CALIBRATION = "calibration-{}.npz"
_TABLES, _FITTED = "tables", "fitted-table.json"
