"""From what a call bears (an API key, a token, a client certificate, the socket it came by) to its principal."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from kinprint.server.config import ServerConfig
from kinprint.server.edge import keys
from kinprint.server.edge.principal import ANONYMOUS, LOCAL, Principal
from kinprint.server.failures import (
    CredentialsExpired,
    CredentialsInvalid,
    CredentialsMissing,
    CredentialsRevoked,
    QueueFull,
)

if TYPE_CHECKING:
    from kinprint.server.edge.audit import KeyWatch
    from kinprint.server.edge.tokens import Tokens

T = TypeVar("T")

#: Credentials that are remembered, and for how many seconds a token is before it is looked at again.
_REMEMBERED, _TOKEN_SECONDS = 4096, 60.0
#: Credentials that may wait to be checked: each takes 40 ms of a core.
_WAITING = 64
#: Seconds between two looks at the keys while nobody calls.
_LOOK = 1.0
_MISSING = (
    "this server takes no call without an API key or a token; give one: connect(..., api_key=...), or KINPRINT_API_KEY "
    "in the environment (whoever runs the server makes one: kinprint keys create)"
)


class Authority:
    """Says who calls. From the event loop alone; what takes long runs in threads of its own."""

    def __init__(self, config: ServerConfig) -> None:
        access = config.access
        self._store = keys.KeyStore(config.data_dir / keys.NAME)
        self._always = access.auth or access.tokens is not None
        self._tokens: Tokens | None = None
        if access.tokens is not None:
            from kinprint.server.edge.tokens import Tokens  # only then: it takes a tenth of a second to import

            self._tokens = Tokens(access.tokens)
        self._certificates = access.tls_client_ca is not None
        self._threads = ThreadPoolExecutor(2, "kinprint-auth")
        self._secret = secrets.token_bytes(32)
        #: By a keyed hash of what was sent, so that the memory of this process holds no key for long: principal, the
        #: stored hash that it was checked against, and until when it holds.
        self._known: OrderedDict[bytes, tuple[Principal, str, float]] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[Principal]] = {}

    def open(self) -> None:
        """Read the keys for the first time.  Raises KeysUnreadable, OSError."""
        self._store.look(at_once=True)

    def watch_keys(self, watch: KeyWatch) -> None:
        """Tell of the keys that there are, and from now on of every change that is noticed."""
        watch.found(self._store.keys)
        self._store.watch = watch.changed

    async def keep_looking(self) -> None:
        """Notice changes of the keys between calls as well, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            self._store.look()

    @property
    def required(self) -> bool:
        """Whether calls over TCP need a key or token now."""
        self._store.look()
        return self._always or self._store.configured

    async def principal(self, context: Any) -> Principal:
        """Who calls. Raises CredentialsMissing, -Invalid, -Expired, -Revoked, RoleTooLow, QueueFull."""
        local = context.peer().startswith("unix")
        required = self.required
        if not required:
            return LOCAL if local else ANONYMOUS
        sent = [value for name, value in context.invocation_metadata() or () if name == "authorization"]
        if not sent:
            if local:
                return LOCAL
            shown = self._by_certificate(context)
            if shown is None:
                raise CredentialsMissing(_MISSING)
            return shown
        scheme, _, token = str(sent[0]).strip().partition(" ")
        token = token.strip()
        if len(sent) != 1 or scheme.lower() != "bearer" or not token:
            raise CredentialsInvalid("send one header, authorization: Bearer KEY")
        return await self._by_token(token)

    def check(self, principal: Principal) -> None:
        """Raise what a principal of before is told that is none any more: on streams, whose calls last."""
        if principal.key:
            self._checked(self._store.get(principal.key))
        elif principal is ANONYMOUS:
            if self.required:
                raise CredentialsMissing(_MISSING)
        elif principal.expires_at is not None and time.time() >= principal.expires_at:
            raise CredentialsExpired("the token has expired; get a fresh one from its issuer")

    @staticmethod
    def _checked(key: keys.Key | None) -> Principal:
        """Whom a key stands for now.  Raises CredentialsInvalid, CredentialsExpired, CredentialsRevoked."""
        if key is None:
            raise CredentialsInvalid("the API key is none of this server's; ask whoever runs it (kinprint keys list)")
        if key.revoked_at is not None:
            raise CredentialsRevoked("the API key was revoked; ask whoever runs the server for another")
        if key.expires_at is not None and time.time() >= key.expires_at:
            raise CredentialsExpired("the API key has expired; ask whoever runs the server for another")
        return key.principal()

    def _by_certificate(self, context: Any) -> Principal | None:
        """The principal of the key whose id is the common name of the client's certificate, which TLS has checked."""
        if not self._certificates:
            return None
        names = context.auth_context().get("x509_common_name") or []
        if len(names) != 1:
            return None
        key = self._store.get(bytes(names[0]).decode(errors="replace").removeprefix("kp_"))
        return None if key is None else self._checked(key)

    async def _by_token(self, token: str) -> Principal:
        digest = hashlib.blake2b(token.encode(), key=self._secret, digest_size=16).digest()
        known = self._known.get(digest)
        if known is not None and (found := self._remembered(known)) is not None:
            self._known.move_to_end(digest)
            return found
        task = self._checking.get(digest)
        if task is None:
            if len(self._checking) >= _WAITING:
                raise QueueFull("too many keys wait to be checked; try again in a moment", retry_after=1.0)
            task = asyncio.create_task(self._checked_aside(token, digest))
            self._checking[digest] = task
            task.add_done_callback(lambda done: self._settled(digest, done))
        # Others may wait for the same key: one that goes takes the answer from none of them.
        return await asyncio.shield(task)

    def _settled(self, digest: bytes, task: asyncio.Task[Principal]) -> None:
        self._checking.pop(digest, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone

    def _remembered(self, known: tuple[Principal, str, float]) -> Principal | None:
        principal, stored, until = known
        if principal.key:
            key = self._store.get(principal.key)
            return self._checked(key) if key is not None and key.hash == stored else None
        if time.monotonic() >= until:
            return None
        self.check(principal)
        return principal

    async def _checked_aside(self, token: str, digest: bytes) -> Principal:
        if self._tokens is not None and not keys.looks_like_key(token):
            principal = await self._aside(lambda: self._of_issuer(token))
            self._remember(digest, principal, "")
            return principal
        parts = keys.split(token)
        key = None if parts is None else self._store.get(parts[0])
        if parts is None or key is None or not await self._aside(lambda: key.fits(parts[1])):
            return self._checked(None)
        principal = self._checked(key)
        self._remember(digest, principal, key.hash)
        return principal

    def _of_issuer(self, token: str) -> Principal:
        assert self._tokens is not None
        return self._tokens.principal(token)

    def _remember(self, digest: bytes, principal: Principal, stored: str) -> None:
        self._known[digest] = (principal, stored, time.monotonic() + _TOKEN_SECONDS)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let its threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
