"""The asyncio client as a whole, and how it connects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
from kinprint.client.access import access_to
from kinprint.client.aio.corpora import AsyncCorpusCalls
from kinprint.client.aio.jobs import AsyncJobCalls
from kinprint.client.aio.lineage import AsyncLineageCalls
from kinprint.client.aio.match import AsyncMatchCalls
from kinprint.client.aio.semantic import AsyncSemanticCalls
from kinprint.client.aio.snapshots import AsyncSnapshotCalls
from kinprint.client.aio.transcripts import AsyncTranscriptCalls
from kinprint.client.embedded import EmbeddedServer
from kinprint.client.transport import Target, parse_target
from kinprint.client.wire.aio import Connection, in_thread, opening


class AsyncClient(
    AsyncCorpusCalls,
    AsyncTranscriptCalls,
    AsyncMatchCalls,
    AsyncLineageCalls,
    AsyncJobCalls,
    AsyncSemanticCalls,
    AsyncSnapshotCalls,
):
    """A connection to Kinprint; made by `aconnect`. Safe to share between tasks.

    Every call takes `timeout`, seconds, which replaces the client's own; long streams (`upsert`,
    `find_duplicates`, `find_kinship`, `distil`, `purge`, `search_many`, `create_snapshot`) have none unless given,
    since they show progress, and notice by themselves when the server is gone. Every call may raise the subclasses of
    `KinprintError`.
    """


@opening
async def aconnect(
    target: str | Path | EmbeddedServer,
    *,
    timeout: float | None = 30.0,
    model: str | Path = "default",
    start_timeout: float = 600.0,
    retry_deadline: float = 120.0,
    create: bool = True,
    api_key: str | None = None,
    tls: bool | None = None,
    ca: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
    insecure: bool | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    on_start: Callable[[float], None] | None = None,
) -> AsyncClient:
    """Connect to a server, or serve a data directory: `async with aconnect(target) as client`.

    Args:
        target: `"host:port"`, `"unix:/path"`, `"dns:///..."`: a server's address. A `Path`, or a string with
            a path separator, starting with `.` or `~`, or naming an existing directory: a data directory. If
            a server holds it, that one is used; else one is started as a child process (needs the extra
            `server`) and stopped by `close`. An `EmbeddedServer` that was made elsewhere is taken as it is.
        timeout: seconds that a call may take, unless it says otherwise; None: no limit.
        model: for a server started here: directory of the embedding model, "default" or "none".
        start_timeout: seconds that a server started here may take to be ready.
        retry_deadline: seconds without progress after which an upsert gives up.
        create: make the data directory if it is not there.
        api_key: an API key, or a token (JWT), that goes with every call; else KINPRINT_API_KEY, which is not sent to
            Unix sockets.
        tls: whether the server is to be reached over TLS; else KINPRINT_TLS, or whether `ca` or `cert` is given.
        ca: file of the authorities (PEM) that the server's certificate is checked against; else KINPRINT_CA, or those
            that gRPC knows.
        cert, key: certificate and private key (PEM) of this client, for servers that ask for one; else
            KINPRINT_CLIENT_CERT and KINPRINT_CLIENT_KEY.
        insecure: send the key over a network without TLS; else KINPRINT_INSECURE.
        credentials: for a TLS server, made otherwise; `tls`, `ca`, `cert` and `key` are not looked at then.
        on_start: called with the seconds waited so far while a server starts.

    Raises:
        UnavailableError: no server answers at the address.
        UnauthenticatedError: the server wants a key, and this is none that it takes.
        InvalidArgumentError: a file cannot be read, or the key would go over a network in the clear.
        EmbeddedServerError: the directory cannot be served; says why.
    """
    parsed = Target() if isinstance(target, EmbeddedServer) else parse_target(target)
    embedded: EmbeddedServer | None = target if isinstance(target, EmbeddedServer) else None
    if parsed.directory is not None:
        embedded = EmbeddedServer(
            parsed.directory, model=str(model), start_timeout=start_timeout, create=create, on_start=on_start
        )
    if embedded is not None:
        try:
            address = await in_thread(embedded.address)
        except BaseException:
            embedded.close()
            raise
    else:
        assert parsed.address is not None
        address = parsed.address
    access = access_to(
        address,
        api_key=api_key,
        tls=tls,
        ca=ca,
        cert=cert,
        key=key,
        credentials=credentials,
        insecure=insecure,
    )
    client = AsyncClient(
        Connection(address, access),
        embedded,
        timeout=timeout,
        retry_deadline=retry_deadline,
        access=access,
    )
    try:
        await client.server_info()
    except BaseException:
        await client.close()
        raise
    return client
