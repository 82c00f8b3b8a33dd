"""Page tokens: opaque, and bound to what they page through."""

from __future__ import annotations

import base64
import hashlib
import json

from kinprint.server.failures import InvalidField

_LONGEST = 1024


def _bound_to(scope: str) -> str:
    return hashlib.blake2b(scope.encode(), digest_size=8).hexdigest()


def write_token(position: str, scope: str) -> str:
    """Token for the page after `position` of the listing that `scope` describes."""
    data = json.dumps([1, _bound_to(scope), position]).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def read_token(token: str, scope: str) -> str | None:
    """Position to go on after; None for the first page.  Raises InvalidField for a foreign token."""
    if not token:
        return None
    try:
        if len(token) > _LONGEST:
            raise ValueError("no token of ours is that long")
        version, bound, position = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError):
        version = bound = position = None
    if version != 1 or bound != _bound_to(scope) or not isinstance(position, str):
        raise _foreign()
    return position


def seq_of(position: str | None) -> int:
    """Sequence number that a listing of rows goes on after, -1 for the first page.  Raises InvalidField."""
    if position is None:
        return -1
    if not position.isascii() or not position.isdigit() or len(position) > 18:
        raise _foreign()
    return int(position)


def _foreign() -> InvalidField:
    return InvalidField(
        "page_token",
        "this page token belongs to another listing; send it with the corpus and filter it came from, "
        "or leave it empty to start again",
        "PAGE_TOKEN_INVALID",
    )
