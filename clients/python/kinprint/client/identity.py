"""Ids for transcripts that come without one: the same load gives the same ids every time.

An id is derived from what tells one exchange from another and the number of equal rows before it in the load, so
equal answers stay distinct rows and loading a file again changes nothing. Language and metadata take no part.

Rule 1 (`t-...`) goes by corpus, model, prompt and response. Rule 2 (`t2-...`) is for rows that also have a prompt id,
an account, a conversation, a turn or a time: these are part of the id, since the same answer given to another account
or on another day is another row, in whatever order the two are loaded. Until there was rule 2, such rows had ids of
rule 1 (and chat rows with an `id` that and `#` and their turn): a row that is stored under such an id keeps it, for
the server finds it when the row comes again under its id of rule 2.
"""

from __future__ import annotations

import base64
from array import array
from hashlib import blake2b

#: Version of the rule for new rows; ids tell theirs by their prefix.
ID_RULE = 2

_PERSON, _PERSON_2 = b"kinprint.id.v1", b"kinprint.id.v2"
_ABSENT = b"\xff\xff\xff\xff"
#: What stands for an absent number; none that is stored.
_NO_NUMBER = -(1 << 63)


def _prefixed(value: str | None) -> bytes:
    if value is None:
        return _ABSENT
    data = value.encode("utf-8")
    return len(data).to_bytes(4, "little") + data


def _fields(corpus: str, model: str | None, prompt: str | None, response: str) -> bytes:
    return _prefixed(corpus) + _prefixed(model) + _prefixed(prompt) + _prefixed(response)


def _digest_id(prefix: str, data: bytes, person: bytes = _PERSON) -> str:
    digest = blake2b(data, digest_size=16, person=person).digest()
    return prefix + base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def _further(
    prompt_id: str | None, account_id: str | None, conversation_id: str | None, turn: int | None, created_us: int | None
) -> bytes:
    """What rule 2 adds; empty where a row has none of it, and rule 1 holds."""
    if not prompt_id and not account_id and not conversation_id and turn is None and created_us is None:
        return b""
    data = b"".join(_prefixed(value or None) for value in (prompt_id, account_id, conversation_id))
    for number in (turn, created_us):
        data += (_NO_NUMBER if number is None else number).to_bytes(8, "little", signed=True)
    return data


def _made(fields: bytes, further: bytes, occurrence: int) -> str:
    if not further:
        return _digest_id("t-", fields + occurrence.to_bytes(8, "little"))
    made = _digest_id("t2-", fields + further, _PERSON_2)
    return made if occurrence == 0 else f"{made}-{occurrence}"


def derive_id(
    corpus: str,
    model: str | None,
    prompt: str | None,
    response: str,
    occurrence: int = 0,
    *,
    prompt_id: str | None = None,
    account_id: str | None = None,
    conversation_id: str | None = None,
    turn: int | None = None,
    created_us: int | None = None,
) -> str:
    """The id of a row: of rule 1 if it has none of the values after `occurrence`, else of rule 2.

    Rule 1: `t-` and 26 lower-case base32 characters of a BLAKE2b hash (RFC 7693, 16 bytes) of the fields. Each field
    is hashed as its byte length (u32, little-endian; 0xFFFFFFFF for None) and its UTF-8, in the order corpus, model,
    prompt, response, followed by `occurrence` as u64, little-endian.

    Rule 2: `t2-` and the hash of the same four fields, then prompt_id, account_id and conversation_id in the same way
    (an empty one is None), turn and `created_us` (microseconds since 1970 UTC) as i64, little-endian, -2^63 for None;
    followed by `-` and `occurrence` in decimal if that is not 0.

    Raises:
        UnicodeEncodeError: a field holds a lone surrogate.
    """
    further = _further(prompt_id, account_id, conversation_id, turn, created_us)
    return _made(_fields(corpus, model, prompt, response), further, occurrence)


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

    def next_id(
        self,
        model: str | None,
        prompt: str | None,
        response: str,
        *,
        prompt_id: str | None = None,
        account_id: str | None = None,
        conversation_id: str | None = None,
        turn: int | None = None,
        created_us: int | None = None,
    ) -> str:
        """The id of the next row (see `derive_id`); equal rows get ids of their own, in order."""
        fields = _fields(self._corpus, model, prompt, response)
        further = _further(prompt_id, account_id, conversation_id, turn, created_us)
        return _made(fields, further, self._seen.next(fields + further))
