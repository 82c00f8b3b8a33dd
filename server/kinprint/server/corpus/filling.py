"""Filling behind: what rows lack of the semantic channel is made while nobody waits for it.

The fast vectors of rows that were stored before there was a table come first and take seconds.  The accurate tier is
filled where somebody asked for it (`kinprint fill`), some rows at a time through the same queue and the same commits as
a load, so that searches always go first and what is filled is durable; it goes on after a restart, since rows that are
filled need nothing noted but themselves.

Most useful first: rows that searches brought up by their fast vectors, then the first answer of each model, the second
of each, and so on, so that no model stays without for long.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from kinprint.server.channels.calibration import Calibration
from kinprint.server.channels.meaning import Tier
from kinprint.server.channels.protocol import Cancelled
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.view import View
from kinprint.server.corpus.writer import Unfilled, Writer
from kinprint.server.embed import EmbeddingSpace, EmbedService
from kinprint.server.embed.static import StaticTable
from kinprint.server.embed.tables import Tables
from kinprint.server.failures import Failure
from kinprint.server.store import files
from kinprint.server.store.disk import storage_failure
from kinprint.server.threads import contained
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Rows embedded between two looks at what is most useful, and at once.
PLANNED, AT_ONCE = 1_024, 16
#: Seconds between looks at whether there is anything to do.
LOOK = 2.0
#: Seconds after which what failed is tried again.
RETRY = 60.0
#: Seconds over which the rate is told.
RATE_SECONDS = 30.0
#: Ids of rows that searches brought up, kept for each corpus.
ASKED = 4_096

FillState = Literal["off", "waiting", "running", "paused", "complete", "failed"]
_FILE = "fill.json"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for a corpus; kept beside its record.

    most_rows_per_second: 0: as many as there is time for.
    second: the model, "default" or a directory, that is filled beside that of the corpus; "" without.
    """

    wanted: bool = False
    paused: bool = False
    most_rows_per_second: float = 0.0
    second: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a corpus is filled."""

    state: FillState
    wish: Wish
    rows_per_second: float
    seconds_left: float | None
    problem: str


class Filler:
    """Fills the corpora of a server behind its calls.  Use from one event loop."""

    def __init__(
        self,
        catalog: Catalog,
        writer: Callable[[Corpus], Writer],
        embedder: Callable[[str], Awaitable[tuple[EmbedService, EmbeddingSpace]]],
        embedder_of: Callable[[Sequence[Corpus]], Awaitable[tuple[EmbedService, EmbeddingSpace]]],
        tables: Tables,
        calibrated: Callable[[View, Tier, Callable[[], bool]], Calibration | None],
        least_rows: int,
        pool: Executor,
    ) -> None:
        self._catalog = catalog
        self._writer = writer
        self._embedder = embedder
        self._embedder_of = embedder_of
        self._tables = tables
        self._calibrated = calibrated
        #: Rows of a tier without which a corpus is not calibrated.
        self._least_rows = least_rows
        self._pool = pool
        self._stop = threading.Event()
        self._wake = asyncio.Event()
        # Wishes are noted one after the other: by calls, and by the filler itself.
        self._noting = asyncio.Lock()
        self._asked: dict[str, deque[str]] = {}
        #: Why the accurate tier of a corpus is not filled, and when it is tried again.
        self._problems: dict[str, tuple[str, float]] = {}
        self._waiting: set[str] = set()
        self._done: dict[str, deque[tuple[float, int]]] = {}
        self._busy = False
        self._working = _Count()
        #: View and table of corpora for which there was nothing to do.
        self._settled: dict[str, tuple[View, StaticTable | None]] = {}
        #: States of corpora that were calibrated, or could not be.
        self._uncalibrated: dict[tuple[str, Tier], View] = {}

    @property
    def busy(self) -> bool:
        """Whether there was something to do when it looked last."""
        return self._busy

    @property
    def working(self) -> bool:
        """Whether a thread makes something for it, which may take a minute to notice that it is to end."""
        return self._working.count > 0

    async def table_of(self, corpus: Corpus) -> StaticTable | None:
        """The table that a corpus goes by: one fitted to it, else the model's; None while that is being built."""
        fitted = await self._in_thread(corpus.fitted_table)
        return fitted if fitted is not None else await self._tables.found()

    # ---- what is asked of it ----

    def look(self) -> None:
        """Look now whether there is anything to do."""
        self._wake.set()

    def asked_for(self, corpus: str, ids: list[str]) -> None:
        """Note rows that a search brought up by their fast vectors."""
        self._asked.setdefault(corpus, deque(maxlen=ASKED)).extend(ids)

    async def start(self, corpus: Corpus, most_rows_per_second: float, second: str = "") -> None:
        """Fill a corpus from here on; `second`: with this model beside the one it is searched by.  Raises OSError."""
        wish = wish_of(corpus)
        await self._note(corpus, Wish(wish.wanted or not second, False, most_rows_per_second, second or wish.second))
        self._problems.pop(corpus.name, None)

    async def pause(self, corpus: Corpus) -> None:
        """Leave a corpus until `start`.  Raises OSError."""
        wish = wish_of(corpus)
        await self._note(corpus, replace(wish, paused=True))

    async def forget_second(self, corpus: Corpus) -> None:
        """Fill no second model any more.  Raises OSError."""
        await self._note(corpus, replace(wish_of(corpus), second=""))

    async def _note(self, corpus: Corpus, wish: Wish) -> None:
        async with self._noting:
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._pool, lambda: files.write_json(corpus.folder / _FILE, {"format": 1, **asdict(wish)})
                )
            except OSError as error:
                raise storage_failure("cannot note what is to be filled", error) from error
        self._wake.set()

    def progress(self, corpus: Corpus) -> Progress:
        """How far a corpus is filled; reads a file and counts rows."""
        wish, view = wish_of(corpus), corpus.view
        left = view.fillable - view.filled("semantic")
        rate = self._rate(corpus.name)
        state: FillState
        problem = self._problems.get(corpus.name, ("", 0.0))[0]
        if view.meaning.second is not None:
            left = view.fillable - view.filled("second")
        elif wish.second:
            left = view.fillable  # its model is not loaded yet
        if left == 0 and view.fillable:
            state = "complete"
        elif not (wish.wanted or wish.second):
            state = "off"
        elif wish.paused:
            state = "paused"
        elif problem:
            state = "failed"
        else:
            state = "waiting" if corpus.name in self._waiting or not view.fillable else "running"
        running = state == "running" and rate > 0
        return Progress(state, wish, rate if running else 0.0, left / rate if running else None, problem)

    def _rate(self, name: str) -> float:
        """Rows a second over the last `RATE_SECONDS`."""
        done = self._done.get(name)
        if not done:
            return 0.0
        since = time.monotonic() - RATE_SECONDS
        while done and done[0][0] < since:
            done.popleft()
        return sum(rows for _, rows in done) / max(time.monotonic() - done[0][0], 1.0) if done else 0.0

    # ---- what it does ----

    async def run(self) -> None:
        """Fill until `close`."""
        while not self._stop.is_set():
            woken = self._wake.is_set()
            self._wake.clear()
            busy = False
            names = self._catalog.names()
            for known in (self._problems, self._settled):
                for gone in known.keys() - set(names):
                    del known[gone]  # type: ignore[attr-defined]
            for name in names:
                if self._stop.is_set():
                    return
                try:
                    corpus = self._catalog.get(name)
                    state = corpus.view, self._tables.table
                    again = name in self._problems and time.monotonic() >= self._problems[name][1]
                    if not woken and not again and self._settled.get(name) == state:
                        continue  # as it was when there was nothing to do
                    if again:
                        del self._problems[name]
                    # Noted first: what fails is not tried again before something has changed.
                    self._settled[name] = state
                    if await self._serve(corpus):
                        busy = True
                    if busy or corpus.busy:
                        self._settled.pop(name, None)
                except Cancelled:
                    return
                except (Failure, OSError) as failure:
                    self._fail(name, str(failure))
                except Exception as error:
                    logger.exception("corpus %s could not be filled; start it again with: kinprint fill", name)
                    self._fail(name, str(error))
            self._busy = busy
            if not busy:
                try:
                    await asyncio.wait_for(self._wake.wait(), LOOK)
                except TimeoutError:
                    continue

    async def measure(self) -> None:
        """Calibrate corpora until `close`, beside what `run` does."""
        while not self._stop.is_set():
            for name in self._catalog.names():
                try:
                    await self._calibrate(self._catalog.get(name))
                except Cancelled:
                    return
                except Exception as error:  # scores are read by what was measured before, or by the background
                    logger.warning("corpus %s could not be calibrated: %r", name, error)
                if self._stop.is_set():
                    return
            await asyncio.sleep(LOOK)

    def _fail(self, name: str, problem: str) -> None:
        if self._problems.get(name, ("", 0.0))[0] != problem:
            logger.warning("corpus %s is not filled, and tried again every minute: %s", name, problem)
        self._problems[name] = problem, time.monotonic() + RETRY

    async def _serve(self, corpus: Corpus) -> bool:
        """Do some of what a corpus lacks; whether there was anything."""
        if corpus.space is None and not corpus.view.rows:
            return False
        made = await self._fast(corpus) or await self._index(corpus)
        wish = await self._in_thread(lambda: wish_of(corpus))
        if wish.paused or corpus.name in self._problems:
            return made
        if wish.wanted and await self._accurate(corpus, wish, "semantic"):
            return True
        return (bool(wish.second) and await self._accurate(corpus, wish, "second")) or made

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def run() -> T:
            with self._working:
                return contained(work)

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    async def _fast(self, corpus: Corpus) -> bool:
        if corpus.meaning.table is None:
            self._tables.want()
            table = await self.table_of(corpus)
            if table is None:
                return False
            await self._in_thread(lambda: corpus.adopt_table(table))
        made = await self._in_thread(lambda: corpus.backfill(self._stop.is_set))
        if made:
            logger.info("corpus %s: made the fast vectors of %d rows", corpus.name, made)
            await self._in_thread(corpus.settle)
        return made > 0

    async def _index(self, corpus: Corpus) -> bool:
        """Build indexes over vectors that were published without; whether there were any."""
        built = await self._in_thread(lambda: corpus.index_vectors(self._stop.is_set))
        if built:
            logger.info("corpus %s: built %d indexes over vectors", corpus.name, built)
        return built > 0

    async def _calibrate(self, corpus: Corpus) -> bool:
        """Measure what scores are worth, where a tier has no such measure or has doubled since; whether it did."""
        if corpus.busy:
            return False
        view, least = corpus.view, self._least_rows
        tiers: tuple[tuple[Tier, str], ...] = (("fast", "fast"), ("accurate", "semantic"))
        for tier, name in tiers:
            known, filled = view.meaning.calibration(tier), view.filled(name)
            if filled < least or view is self._uncalibrated.get((corpus.name, tier)):
                continue
            if known is not None and filled < 2 * known.rows:
                continue
            # Noted first, so that what fails is not tried again before the corpus has changed.
            self._uncalibrated[corpus.name, tier] = view
            made = await self._in_thread(partial(self._calibrated, view, tier, self._stop.is_set))
            if made is None:
                continue
            await self._in_thread(partial(corpus.calibrate, tier, made))
            logger.info("corpus %s: calibrated its %s tier on %d unrelated pairs", corpus.name, tier, made.pairs)
            return True
        return False

    async def _accurate(self, corpus: Corpus, wish: Wish, kind: Literal["semantic", "second"]) -> bool:
        """Embed some rows that lack it, by the model of the corpus or by the second one; whether there were any."""
        if kind == "second" and corpus.space is None:
            return False
        asked = self._asked.get(corpus.name)
        first = [asked.pop() for _ in range(len(asked))] if asked else []
        plan = await self._in_thread(lambda: useful_first(corpus.view, first, PLANNED, kind))
        if not len(plan):
            return False
        self._waiting.add(corpus.name)
        service, space = await (self._embedder(wish.second) if kind == "second" else self._embedder_of([corpus]))
        if kind == "second":
            await self._in_thread(lambda: corpus.begin_second(space))
            if corpus.meaning.second is None:  # it is the model of the corpus: nothing to compare
                await self.forget_second(corpus)
                return True
        self._waiting.discard(corpus.name)
        most = wish.most_rows_per_second
        at_once = AT_ONCE if most <= 0 else max(1, min(AT_ONCE, int(most)))
        for start in range(0, len(plan), at_once):
            if self._stop.is_set() or self._wake.is_set():
                return True  # asked for something: it is looked at first
            begun = time.monotonic()
            places = plan[start : start + at_once]
            rows = await self._in_thread(partial(unfilled, places))
            await self._writer(corpus).fill(rows, service, space)
            self._done.setdefault(corpus.name, deque()).append((time.monotonic(), len(rows.ids)))
            if most > 0:
                rest = len(rows.ids) / most - (time.monotonic() - begun)
                if rest > 0:
                    await asyncio.sleep(min(rest, 60.0))
        return True

    def close(self) -> None:
        """End soon; what is under way is finished."""
        self._stop.set()
        self._wake.set()


class _Count:
    """How many threads are within it."""

    def __init__(self) -> None:
        self.count = 0
        self._turn = threading.Lock()

    def __enter__(self) -> None:
        with self._turn:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self.count -= 1


def wish_of(corpus: Corpus) -> Wish:
    """What was asked for a corpus; nothing where its file is missing or damaged."""
    return read_wish(corpus.folder / _FILE)


def read_wish(path: Path) -> Wish:
    """See `wish_of`."""
    try:
        found = files.read_json(path)
        return Wish(
            bool(found["wanted"]),
            bool(found["paused"]),
            float(found["most_rows_per_second"]),
            str(found.get("second", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Wish()


#: A row that is to be filled: its segment's columns and its number there.
Places = list[tuple[View, int, int]]


def useful_first(view: View, asked: list[str], most: int, kind: str = "semantic") -> Places:
    """Rows without accurate vectors, most useful first, at most `most`: (view, part, row).

    `kind`: "semantic", vectors of the model that the corpus is searched by, or "second".

    First those of `asked`, ids that searches brought up; then by how many rows of their model come before them.
    """
    lacking = [np.flatnonzero(part.alive & ~part.segment.blank & ~part.segment.filled(kind)) for part in view.parts]
    chosen: Places = []
    taken: set[tuple[int, int]] = set()
    for place in view.locate(list(dict.fromkeys(asked))):
        if place is not None and len(chosen) < most:
            rows = lacking[place.part]
            k = int(np.searchsorted(rows, place.row))
            if k < len(rows) and rows[k] == place.row:
                chosen.append((view, place.part, place.row))
                taken.add((place.part, place.row))
    parts = np.repeat(np.arange(len(lacking)), [len(rows) for rows in lacking])
    rows = np.concatenate(lacking) if lacking else np.zeros(0, np.int64)
    if len(rows):
        nth = _nth_of_model(view, lacking)
        wanted = min(most + len(taken), len(rows))
        best = np.argpartition(nth, wanted - 1)[:wanted] if wanted < len(rows) else np.arange(len(rows))
        for k in best[np.argsort(nth[best], kind="stable")].tolist():
            if len(chosen) >= most:
                break
            if (int(parts[k]), int(rows[k])) not in taken:
                chosen.append((view, int(parts[k]), int(rows[k])))
    return chosen


def _nth_of_model(view: View, lacking: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """For each lacking row, how many lacking rows of its model come before it, int64."""
    numbers: dict[str | None, int] = {}
    codes = []
    for part, rows in zip(view.parts, lacking, strict=True):
        found, values = part.segment.codes("model")
        names = {code: name for name, code in values.items()}
        lookup = np.array(
            [numbers.setdefault(names.get(code), len(numbers)) for code in range(-1, len(values))], np.int64
        )
        codes.append(lookup[found[rows] + 1])
    models = np.concatenate(codes)
    order = np.argsort(models, kind="stable")
    firsts = np.searchsorted(models[order], models[order])
    nth = np.empty(len(models), np.int64)
    nth[order] = np.arange(len(models)) - firsts
    return nth


def unfilled(places: Places) -> Unfilled:
    """What the writer needs of some rows."""
    ids, hashes, responses = [], [], []
    for view, part, row in places:
        segment = view.parts[part].segment
        ids.append(segment.array("id")[row].as_py())
        hashes.append(segment.array("content_hash")[row].as_py())
        responses.append(segment.array("response")[row].as_py())
    return Unfilled(ids, hashes, responses)
