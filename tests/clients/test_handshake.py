"""A connection that never came to be says what to do: against real servers, with and without TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Issuer
from kinprint.client import UnavailableError, aconnect, connect
from kinprint.client.handshake import advice


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture
def listening() -> Iterator[Callable[..., str]]:
    """Starts a gRPC server that answers no call, with TLS where it is given a certificate; its address."""
    servers = []

    def start(files: tuple[Path, Path] | None = None, clients: Path | None = None) -> str:
        server = grpc.server(ThreadPoolExecutor(1))
        servers.append(server)
        if files is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            cert, key = (path.read_bytes() for path in files)
            ca = None if clients is None else clients.read_bytes()
            port = server.add_secure_port(
                "127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=ca is not None)
            )
        server.start()
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None)


def told(address: str, **access: Any) -> str:
    with pytest.raises(UnavailableError) as refused:
        connect(address, timeout=5, **access)
    return str(refused.value)


def test_a_plain_client_is_told_of_tls(listening: Callable[..., str], issuer: Issuer) -> None:
    message = told(listening(issuer.issue("server")))
    assert "speaks TLS" in message
    assert "ca=FILE" in message
    assert "KINPRINT_CA" in message


def test_a_tls_client_is_told_that_the_server_speaks_none(listening: Callable[..., str], issuer: Issuer) -> None:
    assert "does not speak TLS at this port" in told(listening(), ca=issuer.ca)


def test_another_authority(listening: Callable[..., str], issuer: Issuer, tmp_path: Path) -> None:
    address = listening(issuer.issue("server"))
    assert "of no authority that this client believes" in told(address, ca=Issuer(tmp_path, "theirs").ca)
    assert "KINPRINT_CA=FILE" in told(address, tls=True)


def test_a_certificate_for_another_name(listening: Callable[..., str], issuer: Issuer) -> None:
    address = listening(issuer.issue("server", host="kinprint.example"))
    assert "for another name than the one in the address" in told(address, ca=issuer.ca)


def test_a_certificate_that_has_expired(listening: Callable[..., str], issuer: Issuer) -> None:
    assert "has expired" in told(listening(issuer.issue("old", days=-1)), ca=issuer.ca)


def test_a_server_that_asks_for_a_certificate(listening: Callable[..., str], issuer: Issuer, tmp_path: Path) -> None:
    address = listening(issuer.issue("server"), clients=issuer.ca)
    assert "cert= and key=" in told(address, ca=issuer.ca)
    cert, key = Issuer(tmp_path, "theirs").issue("client")
    assert "of an authority that it believes" in told(address, ca=issuer.ca, cert=cert, key=key)


def test_the_asyncio_client_tells_it_too(listening: Callable[..., str], issuer: Issuer) -> None:
    address = listening(issuer.issue("server"))

    async def call() -> None:
        await aconnect(address, timeout=5)

    with pytest.raises(UnavailableError, match="speaks TLS"):
        asyncio.run(call())


def test_what_says_nothing_gets_no_advice() -> None:
    assert advice("Connection refused", secure=False) == ""
    assert advice("failed to connect to all addresses; last error: Connection refused", secure=False) == ""
    assert advice("failed to connect to all addresses; last error: Connection refused", secure=True) == ""
    assert advice("Socket closed", secure=False) == ""  # in the middle of a call: it spoke to us before
    assert advice("Socket closed", secure=True) == ""
