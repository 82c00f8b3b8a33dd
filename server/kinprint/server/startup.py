"""The way to SERVING: kernels, corpora, model, with its progress told to whoever asks meanwhile.

`kinprint serve` has everything loaded before it serves. A lazy server, which a command or a client started, serves as
soon as its corpora are open and loads kernels and model when they are first used; only machine code that was never
compiled on this machine is made first, in processes of its own, and what the first load does not need after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from kinprint.kernels import cache, warm
from kinprint.server.config import ServerConfig
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.embed.holder import ModelHolder
from kinprint.server.failures import Unavailable
from kinprint.server.progress import Progress
from kinprint.server.wording import counted

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Kernels that a load of copy and style runs; the first thing that a command on a new directory needs.
_FIRST = ("load",)
_REST = ("search", "jobs")


class StartFailed(RuntimeError):  # noqa: N818
    """The server could not start; the message says what to do."""


class StartStopped(BaseException):
    """The server was told to end while it started; like KeyboardInterrupt no failure that anything handles."""


class Startup:
    """How far a server is on its way to SERVING; written by worker threads, read by the event loop."""

    def __init__(self) -> None:
        self._progress = Progress("starting", 0.0)
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._behind: dict[str, asyncio.Event] = {}

    @property
    def progress(self) -> Progress:
        """The step under way, and the share of it that is done."""
        return self._progress

    def report(self, step: str, share: float = 0.0) -> None:
        """Note how far it is.  Raises StartStopped when the server is to end."""
        if self._stopped.is_set():
            raise StartStopped
        self._progress = Progress(step, share)

    def stop(self) -> None:
        """End the start at its next report."""
        self._stopped.set()

    @property
    def busy(self) -> bool:
        """Whether work given to `aside` runs still."""
        return any(thread.is_alive() for thread in self._threads)

    def put_off(self, groups: tuple[str, ...]) -> None:
        """Kernels of these groups are compiled while the server serves already."""
        self._behind = {group: asyncio.Event() for group in groups}

    def compiled(self, groups: tuple[str, ...]) -> None:
        """Whoever waits for these groups may go on."""
        for group in groups:
            if group in self._behind:
                self._behind[group].set()

    async def until_compiled(self, group: str, ending: asyncio.Event) -> None:
        """Return when kernels of a group are compiled: a call that compiled them itself would do so a second time, on
        one thread, and hold up the end of the server.  Raises Unavailable when `ending` is set meanwhile."""
        waited = self._behind.get(group)
        if waited is None or waited.is_set():
            return
        tasks = [asyncio.create_task(event.wait()) for event in (waited, ending)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        if not waited.is_set():
            raise Unavailable("the server is shutting down; retry, on another server if there is one", retry_after=1.0)

    async def aside(self, work: Callable[[], T]) -> T:
        """Run work in a thread of its own, for which the end of the process need not wait."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]
            else:
                done.set_exception(error)

        def run() -> None:
            result, problem = None, None
            try:
                result = work()
            except BaseException as error:
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop has gone
                loop.call_soon_threadsafe(settle, result, problem)

        thread = threading.Thread(target=run, name="kinprint-start", daemon=True)
        self._threads.append(thread)
        thread.start()
        return await done

    def refusal(self, *, named: bool = True) -> Unavailable:
        """What callers are told meanwhile; the metadata is for programs that show progress.

        `named`: with the step, which may name a corpus.
        """
        now = self._progress
        step = now.step if named else "starting"
        told = "" if step == "starting" else f" ({step})"
        refused = Unavailable(f"the server is starting{told}; retry in a moment", retry_after=0.5)
        refused.metadata = {"step": step, "share": f"{now.share:.4f}"}
        return refused


async def compile_rest(startup: Startup) -> None:
    """What a lazy server did not compile before it served: behind the calls that it answers meanwhile."""
    try:
        # The kernels of a search first, and not at low priority: a first search waits for them.
        await startup.aside(lambda: _compile(startup, _REST[:1], processes=2))
        startup.compiled(_REST[:1])
        await startup.aside(lambda: _compile(startup, _REST[1:], processes=1, nice=10))
    except StartStopped:
        logger.info("the rest of the kernels is compiled another time")
    except Exception:
        logger.exception("kernels could not be compiled ahead; each is compiled when it is first used")
        startup.compiled(_REST)
    else:
        startup.compiled(_REST)


async def run(startup: Startup, config: ServerConfig, catalog: Catalog, model: ModelHolder) -> None:
    """Everything between listening and SERVING.  Raises StartFailed, StartStopped."""
    await startup.aside(lambda: _kernels(startup, config))
    if config.lazy and not await startup.aside(lambda: warm.compiled(_REST)):
        startup.put_off(_REST)
    await startup.aside(lambda: _corpora(startup, catalog))
    if config.lazy or config.lazy_model or not model.available:
        return
    startup.report("loading the embedding model")
    try:
        embedder, space = await startup.aside(model.load)
    except Exception as error:
        if config.model != "default":
            raise StartFailed(f"cannot load the model in {config.model}: {error}") from error
        model.fail(str(error))
    else:
        model.adopt(embedder, space)


def _kernels(startup: Startup, config: ServerConfig) -> None:
    groups = _FIRST if config.lazy else (*_FIRST, *_REST)
    _compile(startup, groups, processes=config.cores)
    if not config.lazy:
        started = time.monotonic()
        startup.report("loading kernels")
        warm.load(groups)
        logger.info("kernels are loaded after %.1f s", time.monotonic() - started)


def _compile(startup: Startup, groups: tuple[str, ...], *, processes: int, nice: int = 0) -> None:
    if warm.compiled(groups):
        return
    started = time.monotonic()
    logger.info("compiling kernels (%s), once on this machine", ", ".join(groups))
    if (place := cache.temporary()) is not None:
        logger.warning(
            "neither the installation nor the user's cache can be written to: kernels are kept in %s; set "
            "NUMBA_CACHE_DIR to a folder that lasts, or they are compiled again when that is emptied",
            place,
        )

    def report(done: int, total: int, what: str) -> None:
        startup.report(f"compiling kernels: {what}" if what else "compiling kernels", done / max(total, 1))

    warm.compile(groups, processes=processes, progress=report, nice=nice)
    logger.info("kernels are compiled after %.1f s", time.monotonic() - started)


def _corpora(startup: Startup, catalog: Catalog) -> None:
    def report(step: str) -> None:
        startup.report(step)
        logger.info("%s", step)

    catalog.open_all(report)
    rows = sum(catalog.get(name).view.rows for name in catalog.names())
    if not catalog.names():
        logger.info("there are no corpora yet")
        return
    opened = counted(len(catalog.names()), "corpus", "corpora")
    logger.info("open: %s with %s", opened, counted(rows, "transcript"))
