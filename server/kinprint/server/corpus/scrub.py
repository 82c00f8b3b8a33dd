"""Scrub: everything that lies on disk is compared with its digest now and then, slowly.

A file is compared before it is first read or mapped in a process; a disk may forget later. What is damaged in a
generation is made again from the record; a damaged record makes its corpus unavailable, and the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.failures import CorpusNotFound
from kinprint.server.store import digests, durability, generation
from kinprint.server.store.durability import RecordDamaged
from kinprint.server.threads import contained, stay_behind

logger = logging.getLogger(__name__)

#: Bytes read a second at most, so that queries do not wait for the disk.
BYTES_PER_SECOND = 32 << 20
#: Seconds between the end of one round and the beginning of the next.
EVERY_SECONDS = 24 * 3600.0
#: Seconds of a server's life before its first round.
FIRST_SECONDS = 600.0


def scrub(corpus: Corpus, stop: threading.Event, bytes_per_second: float = BYTES_PER_SECOND) -> int:
    """Compare a corpus' files with their digests; how many were compared.

    Damaged indexes are rebuilt.  Raises RecordDamaged where the record is damaged.  Files that are replaced or
    removed meanwhile are passed over.
    """
    compared = 0
    for path, digest in _of_record(corpus):
        if stop.is_set():
            return compared
        try:
            compared += _compared(path, digest, stop, bytes_per_second)
        except digests.Damaged as error:
            raise RecordDamaged(path, f"this file {error.what}", durability.RESTORE) from error
    for path, digest in _of_generation(corpus):
        if stop.is_set():
            return compared
        try:
            compared += _compared(path, digest, stop, bytes_per_second)
        except digests.Damaged as error:
            logger.error("%s; the indexes of corpus %s are made again from its record", error, corpus.name)
            corpus.rebuild()
            return compared
    return compared


def _compared(path: Path, digest: str, stop: threading.Event, bytes_per_second: float) -> int:
    started = time.monotonic()
    try:
        size = path.stat().st_size
        digests.verify_again(path, digest)
    except FileNotFoundError:
        return 0
    stop.wait(max(0.0, size / bytes_per_second - (time.monotonic() - started)))
    return 1


def _of_record(corpus: Corpus) -> Iterator[tuple[Path, str]]:
    table = corpus.record.path
    known = digests.read_log(table)
    active = {durability.data_file(table, name) for name in corpus.record.snapshot().files}
    log = durability.log_directory(table)
    for name, digest in sorted(known.items()):
        path = table / name
        if path in active or path.parent == log:
            yield path, digest


def _of_generation(corpus: Corpus) -> Iterator[tuple[Path, str]]:
    number = corpus.generation_number
    if number is None:
        return
    try:
        yield from sorted(generation.files_of(corpus.generations / str(number)).items())
    except (OSError, ValueError) as error:
        logger.warning("the manifest of generation %d of corpus %s cannot be read: %s", number, corpus.name, error)


async def keep_scrubbing(catalog: Catalog, every_seconds: float = EVERY_SECONDS) -> None:
    """Scrub all corpora, round after round, until cancelled; a corpus whose record is damaged is set aside."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(1, "kinprint-scrub", stay_behind)
    try:
        await asyncio.sleep(min(FIRST_SECONDS, every_seconds))
        while True:
            for name in catalog.names():
                try:
                    corpus = catalog.get(name)
                    await asyncio.get_running_loop().run_in_executor(pool, contained, partial(scrub, corpus, stop))
                except CorpusNotFound:
                    continue
                except RecordDamaged as error:
                    catalog.set_aside(corpus, str(error))
                except Exception:
                    logger.exception("corpus %s could not be scrubbed; it is tried again in the next round", name)
            await asyncio.sleep(every_seconds)
    finally:
        stop.set()
        pool.shutdown(wait=False)
