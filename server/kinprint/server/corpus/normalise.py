"""Normalise: from a transcript as sent to the row that is stored.

Validates every field, splits the reasoning off the answer, derives what is missing (id, prompt key,
language) and computes the content hash.  A bad transcript is reported and the rest of its batch goes on.
"""

from __future__ import annotations

import base64
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
import polars as pl
from kinprint.kernels.copy import shingle
from kinprint.server.corpus.language import detect_languages
from kinprint.server.failures import Failure, InvalidField
from kinprint.server.limits import LIMITS, Limits
from kinprint.server.store.columns import map_column, rows_to_binary, text_buffers
from kinprint.server.store.content import HASHED, content_hash, fields_digest
from numpy.typing import NDArray

#: Version of everything that turns a transcript into a stored row and its fingerprints.
PIPELINE = 2

_CLOSING_THINK = re.compile(r"</\s*think(?:ing)?\s*>", re.IGNORECASE)
_OPENING_THINK = re.compile(r"\s*<\s*think(?:ing)?\s*>", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Years 1 to 9999: what datetime and Parquet readers agree on.
_EARLIEST_US, _LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
#: What stands for an absent number in an id.
_NO_NUMBER = -(1 << 63)

#: Columns that `normalise` makes from what was sent, in the record's types.
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "model": pl.String,
    "prompt_key": pl.String,
    "prompt_id": pl.String,
    "prompt": pl.String,
    "response": pl.String,
    "language": pl.String,
    "created_at": pl.Datetime("us", "UTC"),
    "account_id": pl.String,
    "metadata": pl.Map(pl.String(), pl.String()),
    "system_prompt": pl.String,
    "conversation_id": pl.String,
    "turn": pl.Int32,
    "reasoning": pl.String,
}


@dataclass(frozen=True, slots=True)
class Submission:
    """A transcript as sent; None where a field is absent, `created_us` in microseconds since 1970 UTC."""

    response: str
    id: str = ""
    model: str | None = None
    prompt_id: str | None = None
    prompt: str | None = None
    language: str | None = None
    account_id: str | None = None
    created_us: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    system_prompt: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Normalised:
    """Rows to store and what was refused.

    frame: one row per accepted transcript, columns of the record plus content_hash and text_hash (null for a
    blank answer).  items: position of each row in the batch.  refused: position and reason.
    """

    frame: pl.DataFrame
    items: NDArray[np.int64]
    refused: list[tuple[int, Failure]]
    #: Answers as they were sent, with their reasoning, by row: what ids are derived from.
    sent: dict[int, str] = field(default_factory=dict)


def split_reasoning(response: str) -> tuple[str | None, str]:
    """(reasoning, answer): everything up to the last closing think tag is reasoning.

    A response that opens a think block and never closes it was cut off while reasoning: all of it is
    reasoning and the answer is empty.
    """
    opening = _OPENING_THINK.match(response)
    closing = None
    if "<" in response:
        for closing in _CLOSING_THINK.finditer(response):  # noqa: B007  (the last one is wanted)
            pass
    if closing is not None:
        start = opening.end() if opening else 0
        return response[start : closing.start()].strip(), response[closing.end() :].lstrip()
    if opening:
        return response[opening.end() :].strip(), ""
    return None, response


def derive_id(
    corpus: str,
    model: str | None,
    prompt: str | None,
    response: str,
    occurrence: int,
    *,
    prompt_id: str | None = None,
    account_id: str | None = None,
    conversation_id: str | None = None,
    turn: int | None = None,
    created_us: int | None = None,
) -> str:
    """Id of a transcript that was sent without one: equal loads give equal ids.

    Rule 1 (`t-`) goes by the first four; rule 2 (`t2-`) holds for rows with any of the further values, and by these,
    too.
    """
    fields = (corpus, model, prompt, response)
    further = (prompt_id or None, account_id or None, conversation_id or None)
    if not any(further) and turn is None and created_us is None:
        return "t-" + _base32(fields_digest(16, b"kinprint.id.v1", fields, struct.pack("<Q", occurrence)))
    numbers = struct.pack("<qq", *(_NO_NUMBER if number is None else number for number in (turn, created_us)))
    made = "t2-" + _base32(fields_digest(16, b"kinprint.id.v2", (*fields, *further), numbers))
    return made if occurrence == 0 else f"{made}-{occurrence}"


def _base32(digest: bytes) -> str:
    return base64.b32encode(digest).decode().rstrip("=").lower()


def _check_key(name: str, value: str | None, limits: Limits) -> None:
    if value is None or len(value) * 4 <= limits.max_key_bytes:
        return
    if len(value.encode()) > limits.max_key_bytes:
        raise InvalidField(name, f"{name} is longer than {limits.max_key_bytes} bytes of UTF-8", "FIELD_TOO_LONG")


def _check_text(name: str, value: str | None, limits: Limits) -> None:
    if value is None or len(value) * 4 <= limits.max_text_bytes:
        return
    size = len(value.encode())
    if size > limits.max_text_bytes:
        raise InvalidField(
            name,
            f"{name} has {size} bytes of UTF-8, more than the {limits.max_text_bytes} allowed; split the text",
            "TEXT_TOO_LONG",
        )


@lru_cache(maxsize=4096)
def language_tag(value: str | None, field: str = "language") -> str | None:
    """A tag as it is stored, lower-case primary subtag first; None for none.  Raises InvalidField."""
    if value is None or not value.strip():
        return None
    value = value.strip()
    if len(value) > 35 or not _LANGUAGE.fullmatch(value):
        raise InvalidField(
            field,
            f"{value[:40]!r} is no BCP 47 language tag such as 'en' or 'zh-Hant'",
            "LANGUAGE_INVALID",
        )
    primary, *rest = value.replace("_", "-").split("-")
    return "-".join([primary.lower(), *rest])


def validate(sent: Submission, limits: Limits = LIMITS) -> None:
    """Raise InvalidField for the first field that cannot be stored."""
    if sent.id:
        _check_key("id", sent.id, limits)
        if sent.id != sent.id.strip() or _CONTROL.search(sent.id):
            raise InvalidField("id", "id begins or ends with white space or holds a control character", "ID_INVALID")
    for name in ("model", "prompt_id", "account_id", "conversation_id"):
        _check_key(name, getattr(sent, name), limits)
    for name in ("prompt", "response", "system_prompt", "reasoning"):
        _check_text(name, getattr(sent, name), limits)
    if (
        sent.metadata
        and sum(map(len, sent.metadata)) + sum(map(len, sent.metadata.values())) > limits.max_metadata_bytes // 4
    ):
        size = sum(len(k.encode()) + len(v.encode()) for k, v in sent.metadata.items())
        if size > limits.max_metadata_bytes:
            raise InvalidField(
                "metadata",
                f"metadata has {size} bytes, more than the {limits.max_metadata_bytes} allowed",
                "METADATA_TOO_LARGE",
            )
    if sent.created_us is not None and not _EARLIEST_US <= sent.created_us <= _LATEST_US:
        raise InvalidField("created_at", "created_at lies outside the years 1 to 9999", "TIME_OUT_OF_RANGE")


def normalise(
    corpus: str, batch: Sequence[Submission], occurrences: Counter[bytes], limits: Limits = LIMITS
) -> Normalised:
    """Validate and complete a batch.

    `occurrences` counts equal transcripts without an id over one load, so that equal answers stay
    distinct rows; it is updated.
    """
    columns: dict[str, list] = {name: [] for name in _COLUMNS}
    items: list[int] = []
    refused: list[tuple[int, Failure]] = []
    unsplit: dict[int, str] = {}
    for position, sent in enumerate(batch):
        try:
            validate(sent, limits)
            language = language_tag(sent.language)
        except InvalidField as failure:
            refused.append((position, failure))
            continue
        reasoning, answer = split_reasoning(sent.response)
        if answer is not sent.response:
            unsplit[len(items)] = sent.response
        if sent.reasoning:
            reasoning = f"{sent.reasoning}\n\n{reasoning}" if reasoning else sent.reasoning
        identifier = sent.id
        if not identifier:
            made = partial(
                derive_id,
                corpus,
                sent.model,
                sent.prompt,
                sent.response,
                prompt_id=sent.prompt_id,
                account_id=sent.account_id,
                conversation_id=sent.conversation_id,
                turn=sent.turn,
                created_us=sent.created_us,
            )
            key = made(0).encode()
            identifier = made(occurrences[key]) if occurrences[key] else key.decode()
            occurrences[key] += 1
        items.append(position)
        columns["id"].append(identifier)
        columns["model"].append(sent.model or None)
        columns["prompt_key"].append(sent.prompt_id or None)
        columns["prompt_id"].append(sent.prompt_id or None)
        columns["prompt"].append(sent.prompt)
        columns["response"].append(answer)
        columns["language"].append(language)
        columns["created_at"].append(sent.created_us)
        columns["account_id"].append(sent.account_id or None)
        columns["metadata"].append(dict(sorted(sent.metadata.items())))
        columns["system_prompt"].append(sent.system_prompt)
        columns["conversation_id"].append(sent.conversation_id or None)
        columns["turn"].append(sent.turn)
        columns["reasoning"].append(reasoning)
    hashes = text_hashes(pl.Series(columns["response"], dtype=pl.String))
    blank = is_blank(hashes)
    _fill_languages(columns, blank)
    _fill_prompt_keys(columns)
    content = [
        content_hash(
            [columns[name][i] for name in HASHED],
            columns["created_at"][i],
            columns["turn"][i],
            columns["metadata"][i],
        )
        for i in range(len(items))
    ]
    series = []
    for name, dtype in _COLUMNS.items():
        if name == "metadata":
            series.append(map_column(columns[name]).alias(name))
        elif name == "created_at":
            series.append(pl.Series(name, columns[name], dtype=pl.Int64).cast(dtype))
        else:
            series.append(pl.Series(name, columns[name], dtype=dtype))
    frame = pl.DataFrame(series).with_columns(
        pl.Series("content_hash", content, dtype=pl.Binary),
        pl.when(pl.Series(~blank)).then(rows_to_binary(hashes)).alias("text_hash"),
    )
    return Normalised(frame, np.array(items, np.int64), refused, unsplit)


def text_hashes(texts: pl.Series) -> NDArray[np.uint64]:
    """Hashes of the normalised texts, uint64[n, 2]; see docs/copy.md for the normalisation."""
    return shingle.text_hashes(*text_buffers(texts))


def is_blank(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which texts hold nothing but white space and invisible characters, bool[n]."""
    empty = shingle.text_hashes(np.zeros(0, np.uint8), np.zeros(2, np.int64))
    return np.asarray((hashes == empty).all(axis=1))


def _fill_languages(columns: dict[str, list], blank: NDArray[np.bool_]) -> None:
    missing = [i for i, tag in enumerate(columns["language"]) if tag is None and not blank[i]]
    for i, tag in zip(missing, detect_languages([columns["response"][i] for i in missing]), strict=True):
        columns["language"][i] = tag


def _fill_prompt_keys(columns: dict[str, list]) -> None:
    """Where there is no prompt_id, the key is made from the prompt."""
    missing = [i for i, key in enumerate(columns["prompt_key"]) if key is None and columns["prompt"][i]]
    if not missing:
        return
    for i, key in zip(missing, prompt_keys([columns["prompt"][i] for i in missing]), strict=True):
        columns["prompt_key"][i] = key


def prompt_keys(prompts: Sequence[str | None]) -> list[str | None]:
    """Keys of prompts without an id: a hash of the normalised prompt; blank ones and nulls have none."""
    hashes = text_hashes(pl.Series(prompts, dtype=pl.String))
    return [
        None if blank else f"prompt-{row.tobytes().hex()}" for row, blank in zip(hashes, is_blank(hashes), strict=True)
    ]
