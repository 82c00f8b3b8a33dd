"""The table of tokens that a server's corpora go by: found, or built once a machine behind whatever else goes on.

Building takes a minute or two, so it runs in a process of its own at low priority; what wants the table meanwhile does
without and is told how far it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from pathlib import Path

from kinprint.server.config import ServerConfig
from kinprint.server.embed.static import StaticTable, TableError
from kinprint.server.embed.table_cache import known_table
from kinprint.server.failures import ChannelUnavailable

logger = logging.getLogger(__name__)

_PROGRESS = re.compile(r"^(?P<step>.*) \((?P<share>\d+) %\)$")


class Tables:
    """The table of a server's model.  Use from one event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._table: StaticTable | None = None
        self._ensuring: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._problem = "it was not needed yet"
        self._off = config.model == "none" or not config.fast_tier
        if not config.fast_tier:
            self._problem = "the server was told to do without (--no-fast-tier, or KINPRINT_FAST_TIER=off)"
        if config.model == "none":
            self._problem = (
                "the server runs without an embedding model (--model none, or a client's --embedding-model none); stop "
                "it and leave that option out to have the fast tier filled behind"
            )

    @property
    def table(self) -> StaticTable | None:
        """The table; None before it is there."""
        return self._table

    @property
    def problem(self) -> str:
        """Why there is no table, or how far it is, for people; "" when there is one."""
        return "" if self._table is not None else self._problem

    @property
    def building(self) -> bool:
        """Whether it is being built or loaded."""
        return self._ensuring is not None and not self._ensuring.done()

    def want(self) -> None:
        """Have the table found or built, in the background; once."""
        if self._table is None and self._ensuring is None and not self._off:
            self._problem = "it is being looked for"
            self._ensuring = asyncio.create_task(self._ensure())

    async def found(self) -> StaticTable | None:
        """The table if it is there or only needs to be loaded; None while it is built, or when there can be none."""
        self.want()
        while self._table is None and self._ensuring is not None and not self._ensuring.done() and not self._process:
            await asyncio.wait({self._ensuring}, timeout=0.05)
        return self._table

    async def require(self) -> StaticTable:
        """The table.  Raises ChannelUnavailable when there is none, with what to do or to wait for."""
        found = await self.found()
        if found is None:
            raise ChannelUnavailable(f"the fast tier of the semantic channel is not available: {self._problem}")
        return found

    async def _ensure(self) -> None:
        try:
            directory = await asyncio.to_thread(known_table, self._config.model)
            if directory is None:
                directory = await self._build()
            self._problem = "it is being loaded"
            try:
                self._table = await asyncio.to_thread(StaticTable.load, directory)
            except TableError as error:
                logger.warning("%s; it is built anew", error)
                self._table = await asyncio.to_thread(StaticTable.load, await self._build())
        except (TableError, OSError, RuntimeError) as error:
            self._problem = str(error)
            logger.warning("no table of tokens, so the fast tier of the semantic channel is off: %s", error)
            return
        logger.info("token table %s (%s) is loaded", self._table.name, self._table.digest[:12])

    async def _build(self) -> Path:
        """Have another process build it.  Raises RuntimeError."""
        logger.info("building the embedding model and its table of tokens, once on this machine")
        self._problem = "the embedding model and its table of tokens are being built, once on this machine"
        command = [sys.executable, "-m", "kinprint.server", "model", "build", "--table", "--nice", "10"]
        if self._config.model != "default":
            command += ["--model", self._config.model]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        last = ""
        async for line in self._process.stderr:
            last = line.decode("utf-8", "replace").strip() or last
            if found := _PROGRESS.match(last):
                self._problem = (
                    "the embedding model and its table of tokens are being built, once on this machine: "
                    f"{found['step']}, {found['share']} %"
                )
        printed = (await self._process.stdout.read()).decode("utf-8", "replace").strip().splitlines()
        code = await self._process.wait()
        self._process = None
        if code != 0 or not printed:
            ended = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with status {code}"
            detail = last.removeprefix("error: ") if last.startswith("error: ") else ended
            raise RuntimeError(f"the table of tokens could not be built ({detail}); try: kinprint model build --table")
        return Path(printed[-1])

    async def close(self) -> None:
        """Let go of what is built: it goes on where it was another time."""
        if self._ensuring is not None:
            self._ensuring.cancel()
            await asyncio.wait({self._ensuring})
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
