"""Serves a data directory and notes, in a file, how long its event loop was held up each time.

python lag_server.py DATA MODEL ADDRESS NOTES
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from kinprint.server import threads

#: Seconds between two looks; and the least delay that is noted.
PAUSE, LEAST = 0.005, 0.02


async def watch(notes: Path) -> None:
    """Note each delay of the loop, a line each: when it ended (monotonic clock), and seconds."""
    with notes.open("w", encoding="ascii", buffering=1) as out:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(PAUSE)
            now = time.monotonic()
            if now - begun - PAUSE >= LEAST:
                out.write(f"{now} {now - begun - PAUSE}\n")


async def main(data: Path, model: str, address: str, notes: Path) -> None:
    from kinprint.server.app import serve
    from kinprint.server.config import ServerConfig
    from kinprint.server.store.lock import DirectoryLock

    with DirectoryLock(data) as lock:
        watching = asyncio.create_task(watch(notes))
        await serve(ServerConfig(data, (address,), model=model, cores=2), lock)
        watching.cancel()


if __name__ == "__main__":
    threads.configure()
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))
