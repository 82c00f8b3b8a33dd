"""Plan: what a batch of rows changes, given what is stored, and the record rows that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
from kinprint.server.channels import EMBEDDED
from kinprint.server.corpus.fingerprint import fingerprint
from kinprint.server.corpus.normalise import Normalised
from kinprint.server.corpus.view import Place, View
from kinprint.server.store.record import FILL, PUT, SCHEMA


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one upsert batch and the channels they shall have."""

    rows: Normalised
    channels: frozenset[str]
    #: Sequence from which on a row counts as written by the same stream.
    stream_started: int


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch, by row of its frame.

    outcomes: CREATED, REPLACED, UNCHANGED, FILLED or SUPERSEDED.  `to_embed` lists rows that still lack an
    embedding that was asked for.
    """

    outcomes: list[str]
    repeated_ids: int = 0
    to_embed: list[int] = field(default_factory=list)


def without_common_ids(batches: Sequence[Batch]) -> list[list[Batch]]:
    """Batches in their order, cut where an id comes again: each batch must meet what the one before it wrote."""
    groups: list[list[Batch]] = []
    seen: set[str] = set()
    for batch in batches:
        ids = set(batch.rows.frame["id"])
        if not groups or not seen.isdisjoint(ids):
            groups.append([])
            seen = set()
        groups[-1].append(batch)
        seen |= ids
    return groups


def planned(view: View, batches: Sequence[Batch]) -> tuple[pl.DataFrame, list[BatchOutcome]]:
    """Record rows of batches that have no id in common, without seq and pipeline, and what becomes of each batch.

    Puts come with their fingerprints; only embeddings are left for later.
    """
    outcomes = [BatchOutcome(["CREATED"] * b.rows.frame.height) for b in batches]
    rows = _distinct(batches, outcomes)
    places = view.locate(rows["id"].to_list())
    if any(places):
        puts, fills = _changes(view, rows, places, batches, outcomes)
    else:
        puts, fills = list(range(rows.height)), {}
        _note_to_embed(rows, batches, outcomes)
    return _fingerprinted(rows, puts, fills, batches), outcomes


def _distinct(batches: Sequence[Batch], outcomes: Sequence[BatchOutcome]) -> pl.DataFrame:
    """All rows, with `_batch` and `_row` to tell where each comes from; of rows with one id the last."""
    frames = [
        b.rows.frame.with_columns(
            pl.lit(k, pl.Int32).alias("_batch"), pl.int_range(pl.len(), dtype=pl.Int32).alias("_row")
        )
        for k, b in enumerate(batches)
    ]
    everything = pl.concat(frames)
    rows = everything.unique("id", keep="last", maintain_order=True)
    if rows.height < everything.height:
        kept = set(zip(rows["_batch"], rows["_row"], strict=True))
        for k, r in zip(everything["_batch"], everything["_row"], strict=True):
            if (k, r) not in kept:
                outcomes[k].outcomes[r] = "SUPERSEDED"
                outcomes[k].repeated_ids += 1
    return rows


def _note_to_embed(rows: pl.DataFrame, batches: Sequence[Batch], outcomes: Sequence[BatchOutcome]) -> None:
    """Of rows that are all new, those that shall be embedded."""
    wanted = [k for k, batch in enumerate(batches) if batch.channels & EMBEDDED]
    if wanted:
        some = rows.filter(pl.col("text_hash").is_not_null() & pl.col("_batch").is_in(wanted))
        for k, r in zip(some["_batch"].to_list(), some["_row"].to_list(), strict=True):
            outcomes[k].to_embed.append(r)


def _changes(
    view: View,
    rows: pl.DataFrame,
    places: Sequence[Place | None],
    batches: Sequence[Batch],
    outcomes: Sequence[BatchOutcome],
) -> tuple[list[int], dict[int, list[str]]]:
    """Which rows to put, and which to fill with which channels; notes the outcome of each."""
    puts: list[int] = []
    fills: dict[int, list[str]] = {}
    blank = rows["text_hash"].is_null().to_list()
    hashes = rows["content_hash"].to_list()
    keys = zip(places, rows["_batch"].to_list(), rows["_row"].to_list(), strict=True)
    for i, (place, k, r) in enumerate(keys):
        outcome, batch = outcomes[k], batches[k]
        present: list[str] = []
        if place is not None:
            if view.value(place, "seq") >= batch.stream_started:
                outcome.repeated_ids += 1
            if view.value(place, "content_hash") == hashes[i]:
                present = view.channels_of(place)
                outcome.outcomes[r] = "UNCHANGED"
            else:
                outcome.outcomes[r] = "REPLACED"
        if outcome.outcomes[r] != "UNCHANGED":
            puts.append(i)
        if blank[i]:
            continue
        missing = batch.channels.difference(present)
        if outcome.outcomes[r] == "UNCHANGED" and missing:
            outcome.outcomes[r] = "FILLED"
            if missing - EMBEDDED:
                fills[i] = sorted(missing - EMBEDDED)
        if missing & EMBEDDED:
            outcome.to_embed.append(r)
    return puts, fills


def _fingerprinted(
    rows: pl.DataFrame, puts: list[int], fills: dict[int, list[str]], batches: Sequence[Batch]
) -> pl.DataFrame:
    """Record rows of the puts and fills with the cheap channels each batch asked for."""
    pieces = []
    by_channels: dict[tuple[str, ...], list[int]] = {}
    blank = rows["text_hash"].is_null().to_list()
    numbers = rows["_batch"].to_list()
    for i in puts:
        wanted = () if blank[i] else tuple(sorted(batches[numbers[i]].channels - EMBEDDED))
        by_channels.setdefault(wanted, []).append(i)
    for wanted, chosen in by_channels.items():
        some = (rows if len(chosen) == rows.height else rows[chosen]).drop("_batch", "_row")
        made = fingerprint(some["response"], wanted) if wanted else {}
        pieces.append(some.with_columns(pl.lit(PUT, pl.Int8).alias("op"), *_named(made)))
    fill_groups: dict[tuple[str, ...], list[int]] = {}
    for i, channels in fills.items():
        fill_groups.setdefault(tuple(channels), []).append(i)
    for added, chosen in fill_groups.items():
        some = rows[chosen]
        made = fingerprint(some["response"], added)
        pieces.append(
            some.select("id", "content_hash", "text_hash").with_columns(
                pl.lit(FILL, pl.Int8).alias("op"), *_named(made)
            )
        )
    if not pieces:
        return pl.DataFrame(schema=SCHEMA)
    # `rows` keeps the order of arrival; puts of one group may be split by channels, ids are distinct.
    return aligned(pieces)


def _named(columns: dict[str, pl.Series]) -> list[pl.Series]:
    return [series.alias(name) for name, series in columns.items()]


def aligned(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate frames in the record's schema, absent columns null."""
    full = []
    for piece in pieces:
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in SCHEMA.items() if name not in piece.columns]
        full.append(piece.with_columns(absent).select(SCHEMA.names()))
    return pl.concat(full)
