"""API keys: one file in the data directory, `keys.json`, which `kinprint keys` writes and a server reads.

A key reads `kp_ID_SECRET`. The id names it; of the secret only a scrypt hash (RFC 7914) is stored, and no way leads
back from that. The file is replaced as a whole, so that a server that looks at any moment reads the old one or the new.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from kinprint.server.edge.principal import Principal, role_of
from kinprint.server.store.files import read_json, write_json
from kinprint.server.store.lock import keys_made, note_keys

logger = logging.getLogger(__name__)

NAME = "keys.json"
_FORMAT = 1
_KEY = re.compile(r"kp_(?P<id>[a-z2-7]{12})_(?P<secret>[a-z2-7]{52})")
#: Of scrypt: 16 MiB and some 40 ms of a core for each try.
_COST, _BLOCK, _PARALLEL = 1 << 14, 8, 1
_ROLES = ("read", "write", "admin")
#: Seconds between two looks at whether the file has changed.
_LOOK = 0.5


class KeysUnreadable(ValueError):  # noqa: N818
    """`keys.json` is none that this version can read; the message names it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored. Times are seconds of the epoch; `corpora` None: all of them."""

    id: str
    name: str
    role: str
    corpora: tuple[str, ...] | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    salt: str
    hash: str
    cost: tuple[int, int, int] = (_COST, _BLOCK, _PARALLEL)

    def principal(self) -> Principal:
        """Whom it stands for."""
        corpora = None if self.corpora is None else frozenset(self.corpora)
        return Principal(f"key {self.id}", role_of(self.role), corpora, self.expires_at, self.id)

    def fits(self, secret: str) -> bool:
        """Whether it was made with this secret: some 40 ms, without the interpreter's lock."""
        made = _hash(secret, bytes.fromhex(self.salt), self.cost)
        return hmac.compare_digest(made, bytes.fromhex(self.hash))


def _hash(secret: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def split(token: str) -> tuple[str, str] | None:
    """Id and secret of a key; None for what is none."""
    found = _KEY.fullmatch(token)
    return None if found is None else (found["id"], found["secret"])


def looks_like_key(token: str) -> bool:
    """Whether somebody meant it as an API key."""
    return token.startswith("kp_")


def _random(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()


# ---- the file ----


def read(path: Path) -> dict[str, Key]:
    """Keys by id, oldest first. Raises KeysUnreadable, OSError (FileNotFoundError while none was made)."""
    try:
        found = read_json(path)
        if found["format"] != _FORMAT:
            raise KeysUnreadable(f"{path} was written by another version of Kinprint (format {found['format']})")
        return {item["id"]: _key(item) for item in found["keys"]}
    except KeysUnreadable:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise KeysUnreadable(
            f"{path} is damaged ({type(error).__name__}); restore it from a backup, or move it away and make the keys "
            "anew: kinprint keys create"
        ) from None


def _key(item: dict[str, Any]) -> Key:
    corpora, cost = item["corpora"], tuple(item["cost"])
    key = Key(**{**item, "corpora": None if corpora is None else tuple(map(str, corpora)), "cost": cost})
    role_of(key.role)
    for text, size in ((key.salt, 16), (key.hash, 32)):
        if len(bytes.fromhex(text)) != size:
            raise ValueError("a hash has another size")
    if len(cost) != 3 or not all(isinstance(part, int) for part in cost) or not 1 < cost[0] <= 1 << 20:
        raise ValueError("no parameters of scrypt")
    for moment in (key.created_at, key.expires_at, key.revoked_at):
        if moment is not None and not isinstance(moment, int | float):
            raise TypeError("no time")
    return key


@contextmanager
def _changing(data: Path) -> Iterator[dict[str, Key]]:
    """The keys of a data directory, to be changed: nobody else changes them meanwhile, and the file is private."""
    before = os.umask(0o077)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with FileLock(data / f"{NAME}.lock", timeout=10, mode=0o600):
            path = data / NAME
            keys = read(path) if path.exists() else {}
            yield keys
            write_json(path, {"format": _FORMAT, "keys": [asdict(key) for key in keys.values()]})
            path.chmod(0o600)
            note_keys(data)
            _hand_over(data)
    finally:
        os.umask(before)


def _hand_over(data: Path) -> None:
    """Give what root wrote to the owner of the directory: the server of another user could not read it."""
    owner = data.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for name in (NAME, f"{NAME}.lock", "kinprint.json"):
            with contextlib.suppress(FileNotFoundError):
                os.chown(data / name, owner.st_uid, owner.st_gid, follow_symlinks=False)


def create(
    data: Path,
    role: str,
    corpora: Collection[str] | None = None,
    expires_at: float | None = None,
    name: str = "",
) -> tuple[Key, str]:
    """Make a key; the second is the key as its holder writes it, which is told here and nowhere else.

    Raises ValueError for a role that there is none of; KeysUnreadable, OSError, filelock.Timeout.
    """
    role_of(role)
    secret, salt = _random(32), secrets.token_bytes(16)
    made = Key(
        id=_random(8)[:12],
        name=name,
        role=role.lower(),
        corpora=None if corpora is None else tuple(dict.fromkeys(corpora)),
        created_at=round(time.time(), 3),
        expires_at=expires_at,
        revoked_at=None,
        salt=salt.hex(),
        hash=_hash(secret, salt, (_COST, _BLOCK, _PARALLEL)).hex(),
    )
    with _changing(data) as keys:
        keys[made.id] = made
    return made, f"kp_{made.id}_{secret}"


def revoke(data: Path, identifier: str) -> Key:
    """Take a key back; it stays in the list. Raises KeyError for an id that there is none of, and as `create` does."""
    identifier = (split(identifier) or (identifier.removeprefix("kp_"), ""))[0]
    with _changing(data) as keys:
        key = keys[identifier]
        if key.revoked_at is None:
            keys[identifier] = key = replace(key, revoked_at=round(time.time(), 3))
    return key


# ---- in a server ----


class KeyStore:
    """The keys as a server knows them: read again when the file changes, within half a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, int, int, int] | None = None
        self._next = 0.0
        #: Told of each change of the file that is noticed, and of what of it cannot be read.
        self.watch: Callable[[Mapping[str, Key], str | None], None] | None = None
        #: Whether keys were ever made. A file that goes takes the keys with it, and opens nothing.
        self.configured = keys_made(path.parent)

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys as they were read last."""
        return self._keys

    def _tell(self, problem: str | None = None) -> None:
        if self.watch is not None:
            self.watch(self._keys, problem)

    def look(self, *, at_once: bool = False) -> None:
        """Read the file again if it has changed since. Of one that cannot be read no key is taken.

        Raises KeysUnreadable, OSError with `at_once`; they are logged else.
        """
        now = time.monotonic()
        if now < self._next and not at_once:
            return
        self._next = now + _LOOK
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            if self._stamp is not None or (at_once and self.configured):
                logger.error("%s is gone, and with it every API key: no call over TCP is taken", self._path)
            gone = self._stamp is not None
            self._keys, self._stamp = {}, None
            if gone:
                self._tell()
            return
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_uid)
        if stamp == self._stamp:
            return
        self.configured, self._stamp = True, stamp
        try:
            self._keys = read(self._path)
        except (OSError, KeysUnreadable) as error:
            self._keys = {}
            if at_once:
                raise
            logger.error("no API key is taken: %s", error)
            self._tell(str(error))
            return
        self._tell()

    def get(self, identifier: str) -> Key | None:
        """A key by its id."""
        self.look()
        return self._keys.get(identifier)
