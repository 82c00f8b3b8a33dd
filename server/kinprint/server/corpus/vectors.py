"""Vectors of a corpus: the table of its fast tier, the models of its accurate one, and what their scores are worth."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinprint.server.channels.calibration import Calibration
from kinprint.server.channels.meaning import Meaning, Tier
from kinprint.server.corpus import backfill
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.corpus.view import View
from kinprint.server.embed.space import EmbeddingSpace
from kinprint.server.embed.static import StaticTable, TableError
from kinprint.server.failures import CorpusDamaged, ModelMismatch, ModelNotFilled
from kinprint.server.store import files, generation, maintenance
from kinprint.server.store.disk import storage_failure
from kinprint.server.store.record import FILL, Record

logger = logging.getLogger(__name__)

_SPACE = "embedding-space.npz"
_SECOND, _MODELS = "second-embedding-space.npz", "models.json"
_CALIBRATION = "calibration-{}.npz"
SPACES = (_SPACE, _SECOND)
CALIBRATIONS = tuple(_CALIBRATION.format(tier) for tier in ("fast", "accurate"))
_TABLES, _FITTED = "tables", "fitted-table.json"


class WithVectors(ABC):
    """What a corpus does with the vectors of its rows; `kinprint.server.corpus.corpus.Corpus` is one."""

    folder: Path
    name: str
    record: Record
    index: CorpusIndex
    write_turn: threading.RLock
    _generation: generation.Loaded | None

    @property
    @abstractmethod
    def view(self) -> View:
        """The present state of the index."""

    @property
    @abstractmethod
    def generations(self) -> Path:
        """Folder of the indexes on disk."""

    @abstractmethod
    def publish(self, anew: bool = False) -> None:
        """Write a generation that covers the whole record, and map it; `anew`: also where there is one that does."""

    @abstractmethod
    def _refuse_deleted(self) -> None:
        """Raise CorpusNotFound when the corpus was deleted."""

    @property
    def meaning(self) -> Meaning:
        """What the semantic channel goes by."""
        return self.index.meaning

    @property
    def space(self) -> EmbeddingSpace | None:
        """Space of the stored embeddings; None before the first."""
        return self.index.meaning.space

    def _note_space(self, space: EmbeddingSpace) -> None:
        """Note the space of the first embedding.  Raises StorageFull."""
        try:
            space.save(self.folder / _SPACE)
        except OSError as error:
            raise storage_failure("cannot note the model of the corpus", error) from error
        self.index.set_space(space)

    def check_space(self, loaded: EmbeddingSpace) -> None:
        """Raise ModelMismatch when the stored embeddings were made with another model than the loaded one."""
        if self.space is not None and self.space.digest != loaded.digest:
            raise ModelMismatch(
                f"the embeddings of corpus {self.name!r} were made with model {self.space.digest[:12]}, and "
                f"{loaded.digest[:12]} is loaded; start the server with that model, or load into a new corpus"
            )

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
                raise storage_failure("cannot note the second model of the corpus", error) from error
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

    def switch_models(self, directory: str | None = None) -> None:
        """Search by the second model, which lies in `directory`, from here on; drop the first with its vectors.

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
                files.write_json(self.folder / _MODELS, {"format": 1, "untagged": untagged, "directory": directory})
                second.save(self.folder / _SPACE)
                (self.folder / _SECOND).unlink()
                files.fsync_directory(self.folder)
            except OSError as error:
                raise storage_failure("cannot note the model of the corpus", error) from error
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
            name = files.read_json(self.folder / _FITTED)["table"]
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


def stored_meaning(folder: Path) -> Meaning:
    """What the semantic channel went by, but for its table."""
    untagged = None
    try:
        untagged = read_models(folder)["untagged"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusDamaged(f"{folder / _MODELS} is damaged ({error}); restore it from a backup") from error
    space = _stored_space(folder / _SPACE)
    try:
        second = _stored_space(folder / _SECOND)
    except ValueError as error:
        logger.warning("the second model of a corpus cannot be used and is filled anew: %s", error)
        second = None
    if space is None or (second is not None and second.digest == space.digest):
        second = None  # a switch that was cut short after it was made
    return Meaning(space, second, untagged, measured=_calibrations(folder))


def fitted_name(folder: Path) -> str | None:
    """Name, below `tables/`, of the table that a corpus goes by; None where none was fitted, or it cannot be told."""
    try:
        name = files.read_json(folder / _FITTED)["table"]
    except (OSError, ValueError, KeyError):
        return None
    usable = isinstance(name, str) and Path(name).name == name and (folder / _TABLES / name).is_dir()
    return name if usable else None


def read_models(folder: Path) -> dict[str, Any]:
    """What is noted of a corpus' models: `untagged`, see Meaning, and `directory`, where the one it goes by lies.

    Both None before the first switch.  Raises ValueError.
    """
    try:
        found = files.read_json(folder / _MODELS)
    except FileNotFoundError:
        return {"untagged": None, "directory": None}
    return {"untagged": found["untagged"], "directory": found.get("directory")}


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
