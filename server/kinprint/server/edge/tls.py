"""TLS of the TCP listeners, with certificates that are read again when they change; and what may be listened on."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import grpc
from kinprint.server.config import AccessConfig
from kinprint.server.startup import StartFailed

logger = logging.getLogger(__name__)

_HOST_PORT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^\[\]:]*)):(?P<port>[^:]+)")


class CertificatesUnfit(ValueError):  # noqa: N818
    """Certificate, key or authorities cannot be used; the message names the file."""


class Certificates:
    """The server's chain and key, and the authorities of its clients.

    gRPC asks for them at every handshake, in a thread of its own; the files are read again when one has changed. Files
    that do not fit together, as in the middle of a renewal, leave those of before in use.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._turn = threading.Lock()
        self._stamp = self._now()
        self._made = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """What a server listens with; clients must show a certificate where there are authorities for them."""
        fetch: Any = self._fetch  # gRPC's types do not know that None stands for no change
        return grpc.dynamic_ssl_server_credentials(self._made, fetch, self._client_ca is not None)

    def _files(self) -> list[Path]:
        return [path for path in (self._cert, self._key, self._client_ca) if path is not None]

    def _now(self) -> tuple[tuple[int, int, int], ...]:
        try:
            found = [path.stat() for path in self._files()]
        except OSError as error:
            raise CertificatesUnfit(f"cannot read {error.filename}: {error.strerror}") from None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """Read and check the files. Raises CertificatesUnfit."""
        try:
            chain, key = self._cert.read_bytes(), self._key.read_bytes()
            authorities = self._client_ca.read_bytes() if self._client_ca is not None else None
            trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # An encrypted key would ask at a terminal for its password.
            trial.load_cert_chain(self._cert, self._key, password=b"")
            if self._client_ca is not None:
                trial.load_verify_locations(self._client_ca)
        except ssl.SSLError as error:
            raise CertificatesUnfit(
                f"{self._cert} and {self._key} are no certificate chain and its private key, both PEM and the key not "
                f"encrypted{', or ' + str(self._client_ca) + ' holds no certificates' if self._client_ca else ''} "
                f"({error.reason or error})"
            ) from None
        except OSError as error:
            raise CertificatesUnfit(f"cannot read {error.filename}: {error.strerror}") from None
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authorities)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """For gRPC, at a handshake: the new configuration, None where nothing has changed."""
        with self._turn:
            try:
                stamp = self._now()
                if stamp == self._stamp:
                    return None
                made = self._read()
                if self._now() != stamp:
                    return None  # it was replaced meanwhile: the next handshake reads it
            except CertificatesUnfit as error:
                logger.error("the certificates of before stay in use: %s", error)
                return None
            self._stamp, self._made = stamp, made
            logger.info("new certificates of %s are in use", self._cert)
            return made


def certificates(access: AccessConfig) -> Certificates | None:
    """Those that are configured, None for none.  Raises StartFailed."""
    if access.tls_cert is None and access.tls_key is None:
        if access.tls_client_ca is not None:
            raise StartFailed("--tls-client-ca needs --tls-cert and --tls-key beside it")
        return None
    if access.tls_cert is None or access.tls_key is None:
        raise StartFailed("--tls-cert and --tls-key go together: give both")
    try:
        return Certificates(access.tls_cert, access.tls_key, access.tls_client_ca)
    except CertificatesUnfit as error:
        raise StartFailed(str(error)) from None


def is_unix(address: str) -> bool:
    """Whether an address is a Unix socket with a file, which its permissions guard."""
    return address.startswith("unix:")


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine alone; not so where that cannot be told."""
    if address.startswith(("unix-abstract:", "vsock:")):
        return False
    place = re.sub(r"^(dns:(//[^/]*/)?|ipv4:|ipv6:)", "", address)
    found = _HOST_PORT.fullmatch(place)
    if found is None:
        return False
    host = found["six"] or found["host"]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        pass
    try:
        told = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP) if host else []
    except (OSError, UnicodeError):
        return False
    return bool(told) and all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in told)


def check_listening(addresses: tuple[str, ...], access: AccessConfig, *, keys: bool) -> None:
    """Raise StartFailed for an address that others than its owner reach, without TLS and keys.

    keys: whether calls over TCP need an API key or a token.
    """
    for address in addresses:
        if is_unix(address) or is_loopback(address):
            continue
        if ":" not in address:
            raise StartFailed(f"cannot listen on {address}: it is no HOST:PORT, such as {address}:50051")
        if access.insecure:
            logger.warning("--insecure: whoever reaches %s %s", address, _open(access, keys))
            continue
        if address.startswith("unix-abstract:"):
            raise StartFailed(
                f"refusing to listen on {address}: no file permissions guard it; give unix:PATH, or --insecure where "
                "every user of this machine may do everything"
            )
        missing = [
            *([] if access.tls_cert is not None else ["TLS (give --tls-cert and --tls-key)"]),
            *([] if keys else ["API keys (make one: kinprint keys create --data DIR; or give --auth)"]),
        ]
        if missing:
            raise StartFailed(
                f"refusing to listen on {address}, which other machines reach, without {' and '.join(missing)}; "
                "--insecure listens all the same, for networks where everybody may do everything"
            )


def _open(access: AccessConfig, keys: bool) -> str:
    told = [] if keys else ["may do everything"]
    if access.tls_cert is None:
        told.append("may read what is sent, keys and texts")
    return " and ".join(told) or "needs a key, over TLS"
