"""What a client shows and asks for at a server's door: an API key, and TLS."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from kinprint.client.errors import InvalidArgumentError

_HOST = re.compile(r"(?:dns:(?://[^/]*/)?|ipv4:|ipv6:)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^\[\]:/,]+))(?::\d+)?")


@dataclass(frozen=True, slots=True)
class Access:
    """How a channel is opened, and what goes with every call on it.

    Attributes:
        credentials: of a TLS channel; None: the channel is in the clear.
        api_key: sent with every call; None: none is.
    """

    credentials: grpc.ChannelCredentials | None = None
    api_key: str | None = field(default=None, repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...] | None:
        """Metadata of every call."""
        return None if self.api_key is None else (("authorization", f"Bearer {self.api_key}"),)


def _truth(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "on", "yes", "true")


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {what} {path}: {error.strerror or error}") from error


def is_local(address: str) -> bool:
    """Whether what is sent to an address stays on this machine; not so where that cannot be told."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    found = _HOST.fullmatch(address)
    if found is None:
        return False
    host = found["six"] or found["host"]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def access_to(
    address: str,
    *,
    api_key: str | None = None,
    tls: bool | None = None,
    ca: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    insecure: bool | None = None,
) -> Access:
    """What a client shows at an address: what it was given, else what the environment says.

    The environment is for servers on the network: to a Unix socket, which file permissions guard, no key of it goes.

    Raises:
        InvalidArgumentError: a file cannot be read, or a key would go in the clear over a network.
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return Access(credentials, _checked(api_key))
    api_key = _checked(api_key or os.environ.get("KINPRINT_API_KEY") or None)
    if credentials is None:
        ca = ca or os.environ.get("KINPRINT_CA") or None
        cert = cert or os.environ.get("KINPRINT_CLIENT_CERT") or None
        key = key or os.environ.get("KINPRINT_CLIENT_KEY") or None
        if (cert is None) != (key is None):
            raise InvalidArgumentError("a client's certificate and its private key go together: give cert= and key=")
        if tls is None:
            tls = _truth("KINPRINT_TLS") or ca is not None or cert is not None
        if tls:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=None if ca is None else _read(ca, "the authorities"),
                private_key=None if key is None else _read(key, "the private key"),
                certificate_chain=None if cert is None else _read(cert, "the certificate"),
            )
        elif ca is not None or cert is not None:
            raise InvalidArgumentError("ca=, cert= and key= are of TLS, which tls=False turns off")
    insecure = _truth("KINPRINT_INSECURE") if insecure is None else insecure
    if api_key is not None and credentials is None and not insecure and not is_local(address):
        raise InvalidArgumentError(
            f"the API key would go to {address} in the clear, for anybody on the way to read: give ca=, or tls=True "
            "where the server's certificate is of a public authority (KINPRINT_CA, KINPRINT_TLS=1); insecure=True or "
            "KINPRINT_INSECURE=1 sends it all the same"
        )
    return Access(credentials, api_key)


def _checked(api_key: str | None) -> str | None:
    """A key that can stand in a header.  Raises InvalidArgumentError, without the key in the message."""
    if api_key is None:
        return None
    api_key = api_key.strip()
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise InvalidArgumentError("the API key is empty or holds blanks or other characters that no key has")
    return api_key
