"""The server process: start in order, serve, drain in order.

Start: lock the data directory, listen (everything answers UNAVAILABLE and says how far the start is, health
NOT_SERVING), compile kernels, open corpora, load the model (`startup.py`), then SERVING.  Drain on SIGTERM or SIGINT,
or when nobody needs a lingering server any more (`linger.py`): health NOT_SERVING, tell upsert streams, let calls
finish, commit what was accepted, publish indexes, release the directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import re
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kinprint.kernels import turn
from kinprint.server import startup
from kinprint.server.config import ServerConfig
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.scrub import keep_scrubbing
from kinprint.server.edge import tls
from kinprint.server.edge.admission import Admission
from kinprint.server.edge.audit import KeyWatch
from kinprint.server.edge.auth import Authority
from kinprint.server.edge.guard import Guard
from kinprint.server.edge.keys import NAME as KEYS
from kinprint.server.edge.keys import KeysUnreadable
from kinprint.server.edge.meter import Meter
from kinprint.server.edge.operating import Operating
from kinprint.server.edge.private import private_folder
from kinprint.server.embed.holder import ModelHolder
from kinprint.server.embed.tables import Tables
from kinprint.server.jobs.registry import Jobs, default_memory, default_places
from kinprint.server.limits import LIMITS
from kinprint.server.linger import let_go_of_stderr, until_lost, until_unused
from kinprint.server.services.corpora import CorpusService
from kinprint.server.services.info import InfoService
from kinprint.server.services.jobs import JobService
from kinprint.server.services.later import Later
from kinprint.server.services.match import MatchService
from kinprint.server.services.semantic import SemanticService
from kinprint.server.services.snapshots import SnapshotService
from kinprint.server.services.transcripts import TranscriptService
from kinprint.server.startup import StartFailed
from kinprint.server.state import State
from kinprint.server.store.lock import DirectoryLock
from kinprint.server.threads import stay_behind
from kinprint.v1 import (
    corpus_pb2,
    corpus_pb2_grpc,
    info_pb2,
    info_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    lineage_pb2,
    lineage_pb2_grpc,
    match_pb2,
    match_pb2_grpc,
    semantic_pb2,
    semantic_pb2_grpc,
    snapshot_pb2,
    snapshot_pb2_grpc,
    transcript_pb2,
    transcript_pb2_grpc,
)

logger = logging.getLogger(__name__)

#: A message may hold the largest text and the fields around it.
_OPTIONS = (
    ("grpc.max_receive_message_length", LIMITS.max_message_bytes),
    ("grpc.max_send_message_length", 4 * LIMITS.max_message_bytes),
    ("grpc.so_reuseport", 0),
)
#: Calls beside those that are counted: long runs, health, descriptions of the server.
_SPARE_CALLS = 2048
#: Seconds that a step of the start, or compiling behind, has to notice that the server is to end.
_LET_GO = 2.0
_NAMES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (corpus_pb2, "CorpusService"),
        (transcript_pb2, "TranscriptService"),
        (match_pb2, "MatchService"),
        (lineage_pb2, "LineageService"),
        (job_pb2, "JobService"),
        (semantic_pb2, "SemanticService"),
        (snapshot_pb2, "SnapshotService"),
        (info_pb2, "InfoService"),
    )
)


#: Names of the health service beside those of services: whether calls are taken, and whether the process works.
_READINESS, _LIVENESS = "readiness", "liveness"
_OF_URIS = re.compile(r"[#?%,\\\x00-\x1f\x7f]")


def socket_address(data_dir: Path) -> str:
    """Address of the Unix socket of a data directory: in it, or, if that path cannot be one, under /tmp.

    It must not be long, and gRPC reads an address as a URI, in which some characters mean something.
    Raises NotPrivate when the folder under /tmp is not this user's alone.
    """
    path = data_dir.absolute() / "kinprint.sock"
    if len(os.fsencode(path)) > 100 or _OF_URIS.search(str(path)) or not os.access(path.parent, os.W_OK):
        name = hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()
        folder = Path(tempfile.gettempdir()) / f"kinprint-{os.getuid()}"
        private_folder(folder)
        path = folder / f"{name}.sock"
    return f"unix:{path}"


async def serve(config: ServerConfig, lock: DirectoryLock) -> None:
    """Run a server until it is told to end.  `lock` is held.  Raises StartFailed."""
    places = config.jobs or default_places(config.cores)
    state = State(
        config=config,
        lost=lock.lost,
        catalog=Catalog(config.data_dir),
        model=ModelHolder(config),
        tables=Tables(config),
        jobs=Jobs(
            config.data_dir / ".jobs",
            places=places,
            memory=default_memory(places) if config.job_memory is None else config.job_memory,
        ),
        # Queries run side by side, each on its own thread, and never wait for a parallel kernel. More threads than
        # turns of calls, for long ones and those of streams.
        readers=ThreadPoolExecutor(2 * max(2, config.cores) + 4, "kinprint-read", turn.stay_on_calling_thread),
        writers_pool=ThreadPoolExecutor(max(2, config.cores), "kinprint-write"),
        behind_pool=ThreadPoolExecutor(2, "kinprint-behind", stay_behind),
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if config.exit_with_stdin:
        _watch_stdin(stop)
    operating = Operating(state)
    try:
        await _listen_and_serve(state, lock, stop, operating)
    finally:
        await operating.close()
    if state.startup.busy or state.filler.working:
        lock.release()
        logging.shutdown()
        os._exit(0)  # a thread that nobody waits for would hold up the interpreter's own end


async def _listen_and_serve(state: State, lock: DirectoryLock, stop: asyncio.Event, operating: Operating) -> None:
    config = state.config
    authority = _authority(config)
    if operating.audit is not None:
        authority.watch_keys(KeyWatch(operating.audit, config.data_dir / KEYS))
    looking = asyncio.create_task(authority.keep_looking())
    secured = tls.certificates(config.access)
    keys = authority.required
    tls.check_listening(config.listen, config.access, keys=keys)
    server, health_service = _build(state, authority, operating, reflects=_reflects(config, keys=keys))
    await health_service.set(_LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    for name in ("", _READINESS, *_NAMES):  # the library's own first state is SERVING
        await health_service.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    address = socket_address(config.data_dir)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address.removeprefix("unix:"))  # left by a killed server; the lock says it is ours
    ports = {}
    for listen in (address, *config.listen):
        try:
            if secured is None or tls.is_unix(listen):
                ports[listen] = server.add_insecure_port(listen)
            else:
                ports[listen] = server.add_secure_port(listen, secured.credentials())
        except RuntimeError as error:
            raise StartFailed(f"cannot listen on {listen}: {error}") from error
        if ports[listen] == 0:
            raise StartFailed(f"cannot listen on {listen}: the port is taken or the address is not local")
    os.chmod(address.removeprefix("unix:"), 0o600)
    await server.start()
    bound = os.stat(address.removeprefix("unix:"))
    lock.set_address(address, serving=False)
    begun = time.monotonic()
    await asyncio.to_thread(state.jobs.clear_pins)
    await asyncio.to_thread(state.snapshots.clear)
    starting = asyncio.create_task(startup.run(state.startup, config, state.catalog, state.model))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        # Nothing was accepted, and what a start writes survives a crash at any point: it need not come to its end.
        logger.info("told to end while starting")
        state.startup.stop()
        if (await asyncio.wait({starting}, timeout=_LET_GO))[0]:
            starting.exception()  # looked at; whatever it was, nobody waits for it
    elif (failed := starting.exception()) is not None:
        await server.stop(None)
        raise failed
    else:
        # What the start made stays: a collection that goes through all of it would hold up calls.
        gc.collect()
        gc.freeze()
        state.serving = True
        state.idle_since = time.monotonic()
        for name in ("", _READINESS, *_NAMES):
            await health_service.set(name, health_pb2.HealthCheckResponse.SERVING)
        lock.set_address(address)
        shown = ", ".join([a.replace(":0", f":{ports[a]}") if a.endswith(":0") else a for a in ports])
        logger.info("serving %s on %s after %.1f s", config.data_dir, shown, time.monotonic() - begun)
        if config.linger is not None:
            let_go_of_stderr()
        await _serve_until(stop, waiting, state, lock)
    lock.set_address(address, serving=False)
    await _drain(state, server, health_service, lock)
    looking.cancel()
    authority.close()
    if lock.lost():
        raise StartFailed(f"{lock.path}, or the LOCK in it, was removed or replaced under this server")
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(address.removeprefix("unix:")), bound):  # not that of a server which came after
            os.unlink(address.removeprefix("unix:"))


async def _serve_until(stop: asyncio.Event, waiting: asyncio.Task[Any], state: State, lock: DirectoryLock) -> None:
    """Serve until the server is told to end, or nobody needs it any more."""
    ends: set[asyncio.Task[Any]] = {waiting, asyncio.create_task(until_lost(state, lock))}
    filling = [asyncio.create_task(work) for work in (state.filler.run(), state.filler.measure())]
    if state.config.scrub_hours > 0:
        every = state.config.scrub_hours * 3600
        filling.append(asyncio.create_task(keep_scrubbing(state.catalog, every)))
    if state.config.lazy:
        compiling = asyncio.create_task(startup.compile_rest(state.startup))
    if state.config.linger is not None:
        ends.add(asyncio.create_task(until_unused(state, state.config.linger)))
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    state.filler.close()
    # Not waited for: until the drain begins, calls are taken. A thread that works ends by itself, or with the process.
    for task in filling:
        task.cancel()
    if state.config.lazy:
        state.startup.stop()
        await asyncio.wait({compiling}, timeout=_LET_GO)


def _authority(config: ServerConfig) -> Authority:
    """Who says who calls.  Raises StartFailed."""
    try:
        authority = Authority(config)
        authority.open()
    except (KeysUnreadable, OSError, ValueError) as error:
        raise StartFailed(f"cannot tell who may call: {error}") from error
    return authority


def _reflects(config: ServerConfig, *, keys: bool) -> bool:
    """Whether the server answers for reflection: as it is told, else where nobody is to be kept out."""
    if config.access.reflection is not None:
        return config.access.reflection
    return not keys and all(tls.is_unix(address) or tls.is_loopback(address) for address in config.listen)


def _build(
    state: State, authority: Authority, operating: Operating, *, reflects: bool
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    # From the outside in: a trace holds all of a call, and what the guard refuses is counted.
    interceptors = (
        *operating.tracers,
        Meter(state, operating.observers),
        Guard(state, authority),
        Admission(state, operating.audit),
    )
    capacity = state.config.capacity
    # Far beyond what is refused in good order: calls that wait to be refused, or to have their answers read.
    most = 4 * (capacity.calls + capacity.streams) + _SPARE_CALLS
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS, maximum_concurrent_rpcs=most)
    corpus_pb2_grpc.add_CorpusServiceServicer_to_server(CorpusService(state), server)
    transcript_pb2_grpc.add_TranscriptServiceServicer_to_server(TranscriptService(state), server)
    match_pb2_grpc.add_MatchServiceServicer_to_server(MatchService(state), server)
    lineage_pb2_grpc.add_LineageServiceServicer_to_server(_lineage_service(state), server)
    job_pb2_grpc.add_JobServiceServicer_to_server(JobService(state), server)
    semantic_pb2_grpc.add_SemanticServiceServicer_to_server(SemanticService(state), server)
    snapshot_pb2_grpc.add_SnapshotServiceServicer_to_server(SnapshotService(state), server)
    info_pb2_grpc.add_InfoServiceServicer_to_server(InfoService(state), server)
    health_service = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    if reflects:
        reflection.enable_server_reflection((*_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return server, health_service


def _lineage_service(state: State) -> Any:
    """The service of comparisons of models; what it needs takes as long to import as all other services together."""
    if state.config.lazy:
        return Later(state, "lineage:LineageService", lineage_pb2.DESCRIPTOR.services_by_name["LineageService"])
    from kinprint.server.services.lineage import LineageService

    return LineageService(state)


async def _drain(
    state: State, server: grpc.aio.Server, health_service: health.aio.HealthServicer, lock: DirectoryLock
) -> None:
    started = time.monotonic()
    logger.info("draining")
    await health_service.enter_graceful_shutdown()
    state.draining.set()
    state.jobs.refuse()
    # Wait for our calls alone: a health watch never ends by itself, and must not hold the drain.
    while state.calls and time.monotonic() - started < state.config.drain_seconds:
        await asyncio.sleep(0.02)
    await server.stop(0.5)
    await state.jobs.close()
    await state.tables.close()
    await state.drain_writers()
    if state.serving and not lock.lost():
        await asyncio.to_thread(state.catalog.settle)
    for model in (state.model, *state.second_models.values()):
        if model.service is not None:
            await model.service.close()
    state.readers.shutdown()
    state.writers_pool.shutdown()
    state.behind_pool.shutdown(wait=False)  # what it makes can be made again
    logger.info("drained after %.1f s", time.monotonic() - started)


def _watch_stdin(stop: asyncio.Event) -> None:
    """Set `stop` when standard input closes: the parent has gone or let go."""
    if sys.stdin is None:  # closed before the start
        stop.set()
        return
    loop = asyncio.get_running_loop()
    fd = sys.stdin.fileno()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(fd, 4096) == b"":
                loop.remove_reader(fd)
                stop.set()

    try:
        loop.add_reader(fd, readable)
    except PermissionError:  # /dev/null or a file, which nobody holds open for us
        stop.set()
    else:
        os.set_blocking(fd, False)
