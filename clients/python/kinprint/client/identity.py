"""Ids for transcripts that come without one: the same load gives the same ids every time.

An id is derived from corpus, model, prompt, response and the number of equal rows before it in the load, so
equal answers stay distinct rows and loading a file again changes nothing. Language, account, time and
metadata take no part.
"""

from __future__ import annotations

import base64
from array import array
from hashlib import blake2b

_PERSON = b"kinprint.id.v1"
_ABSENT = b"\xff\xff\xff\xff"


def _prefixed(value: str | None) -> bytes:
    if value is None:
        return _ABSENT
    data = value.encode("utf-8")
    return len(data).to_bytes(4, "little") + data


def _fields(corpus: str, model: str | None, prompt: str | None, response: str) -> bytes:
    return _prefixed(corpus) + _prefixed(model) + _prefixed(prompt) + _prefixed(response)


def _digest_id(prefix: str, data: bytes) -> str:
    digest = blake2b(data, digest_size=16, person=_PERSON).digest()
    return prefix + base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def derive_id(corpus: str, model: str | None, prompt: str | None, response: str, occurrence: int = 0) -> str:
    """`t-` and 26 lower-case base32 characters of a BLAKE2b hash (RFC 7693, 16 bytes) of the fields.

    Each field is hashed as its byte length (u32, little-endian; 0xFFFFFFFF for None) and its UTF-8, in the
    order corpus, model, prompt, response, followed by `occurrence` as u64, little-endian.

    Raises:
        UnicodeEncodeError: a field holds a lone surrogate.
    """
    return _digest_id("t-", _fields(corpus, model, prompt, response) + occurrence.to_bytes(8, "little"))


def derive_conversation_id(serialised: str) -> str:
    """`c-` and 26 base32 characters: the id of a conversation known only by its serialised messages."""
    return _digest_id("c-", _prefixed(serialised))


class OccurrenceCounter:
    """Counts how often each key was seen, in 16 to 32 bytes a distinct key.

    An open-addressing table of 64-bit hashes; counts above one are kept apart, since they are rare. Two keys
    that share a 64-bit hash count as one: the second gets occurrence 1 instead of 0, the same on every run.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._used = 0
        self._repeats: dict[int, int] = {}

    def next(self, key: bytes) -> int:
        """Number of earlier calls with this key."""
        value = int.from_bytes(blake2b(key, digest_size=8).digest(), "little") or 1
        slots = self._slots
        mask = len(slots) - 1
        place = value & mask
        while slots[place]:
            if slots[place] == value:
                count = self._repeats.get(value, 0) + 1
                self._repeats[value] = count
                return count
            place = (place + 1) & mask
        slots[place] = value
        self._used += 1
        if 2 * self._used > len(slots):
            self._grow()
        return 0

    def _grow(self) -> None:
        old = self._slots
        size = 2 * len(old)
        slots = array("Q", bytes(8 * size))
        mask = size - 1
        for value in old:
            if value:
                place = value & mask
                while slots[place]:
                    place = (place + 1) & mask
                slots[place] = value
        self._slots = slots


class IdDeriver:
    """Derives the ids of one load into one corpus."""

    def __init__(self, corpus: str) -> None:
        self._corpus = corpus
        self._seen = OccurrenceCounter()

    def next_id(self, model: str | None, prompt: str | None, response: str) -> str:
        """The id of the next row; equal rows get ids of their own, in order."""
        fields = _fields(self._corpus, model, prompt, response)
        return _digest_id("t-", fields + self._seen.next(fields).to_bytes(8, "little"))
