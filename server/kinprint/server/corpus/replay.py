"""Replay: an index of the whole record, from the newest generation that fits and the files that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from kinprint.server.channels import CHANNELS, FORMATS, Channel
from kinprint.server.channels.meaning import Meaning
from kinprint.server.corpus.fingerprint import refreshed, refreshed_fill
from kinprint.server.corpus.index import CorpusIndex
from kinprint.server.corpus.normalise import PIPELINE
from kinprint.server.corpus.view import Part
from kinprint.server.failures import CorpusTooNew
from kinprint.server.store import content, durability, generation
from kinprint.server.store.record import DELETE, FILL, PUT, Record, RecordDamaged
from kinprint.server.wording import counted

_FILL_KEYS = ("id", "content_hash", "text_hash")


@dataclass(frozen=True, slots=True, eq=False)
class CaughtUp:
    """An index that holds what the record holds."""

    index: CorpusIndex
    #: The generation that it was begun from; None where none was of use.
    generation: generation.Loaded | None
    #: Highest sequence number in the record, puts and deletes alike; 0 when it is empty.
    newest_seq: int


def caught_up(
    name: str,
    generations: Path,
    record: Record,
    meaning: Meaning,
    fingerprints: generation.Fingerprints,
    progress: Callable[[str], None],
) -> CaughtUp:
    """The index of corpus `name`.  Raises CorpusTooNew, GenerationTooNew."""
    index = CorpusIndex(name, meaning=meaning)
    loaded = generation.open_newest(generations, record, fingerprints, FORMATS)
    snapshot = record.snapshot()
    covered: frozenset[str] = frozenset()
    if loaded is not None:
        index.replace(parts_of(loaded))
        index.let_strangers_go()
        covered = loaded.files
    missing = [f for f in snapshot.files if f not in covered]
    if missing:
        progress(f"corpus {name}: replaying {len(missing)} of {len(snapshot.files)} files of the record")
        replay(index, record, missing)
    # Not from segments, which hold no deletes: a put must outnumber them though the clock was set back.
    known = loaded.newest_seq if loaded is not None else None
    newest = record.read(snapshot.files if known is None else missing, ["seq"])
    return CaughtUp(index, loaded, max(known or 0, newest.select(pl.col("seq").max()).collect().item() or 0))


def parts_of(loaded: generation.Loaded) -> list[Part]:
    """Parts of a view, from what a generation holds."""
    return [Part(s, a) for s, a in zip(loaded.segments, loaded.alive, strict=True)]


def replay(index: CorpusIndex, record: Record, files: Sequence[str]) -> None:
    """Apply rows of record files in any order: the newest put or delete per id wins.

    Raises CorpusTooNew, RecordDamaged.
    """
    heads = record.read(files, ["id", "seq", "op", "content_hash", "pipeline"]).collect()
    if heads.is_empty():
        return
    newest = heads["pipeline"].max()
    if isinstance(newest, int) and newest > PIPELINE:
        raise CorpusTooNew(
            f"corpus {index.view.corpus!r} holds rows of pipeline {newest}, this Kinprint knows up to {PIPELINE}; "
            "upgrade"
        )
    latest = heads.filter(pl.col("op") != FILL).sort("seq").group_by("id", maintain_order=True).last()
    ids = latest["id"].to_list()
    view = index.view
    known = [-1 if place is None else int(view.parts[place.part].segment.seqs[place.row]) for place in view.locate(ids)]
    latest = latest.with_columns(pl.Series("known", known, dtype=pl.Int64)).filter(pl.col("seq") > pl.col("known"))
    winners = latest.filter(pl.col("op") == PUT).select("id", "seq").lazy()
    fills = []
    for name in files:
        rows = record.read([name])
        puts = rows.filter(pl.col("op") == PUT).join(winners, on=["id", "seq"], how="semi").collect()
        # A put that was committed twice, because its acknowledgement was lost, is one row.
        puts = puts.unique("id", keep="last", maintain_order=True)
        if wrong := content.wrong_rows(puts):
            raise RecordDamaged(
                durability.data_file(record.path, name),
                f"{counted(len(wrong), 'row of this data file is', 'rows of this data file are')} not what the content "
                "hash says",
                durability.RESTORE,
            )
        index.put(refreshed(puts))
        if heads["op"].eq(FILL).any():
            fills.append(rows.filter(pl.col("op") == FILL).collect())
    index.delete(latest.filter(pl.col("op") == DELETE)["id"].to_list())
    for fill in fills:
        for channel in CHANNELS.values():
            filled = fill.filter(pl.col(channel.column).is_not_null())
            if channel.embedded:
                index.fill(_of_second(index.meaning, filled).select(*_FILL_KEYS, channel.column), second=True)
                filled = _of_first(index.meaning, filled)
            some = _fresh_fill(index, channel, filled)
            index.fill(some.select(*_FILL_KEYS, channel.column))


def _of_first(meaning: Meaning, fill: pl.DataFrame) -> pl.DataFrame:
    """Embeddings made with the model that the corpus is searched by."""
    if meaning.space is None:
        return fill.clear()
    named = pl.col("model") == meaning.space.digest
    if meaning.untagged in (None, meaning.space.digest):
        named |= pl.col("model").is_null()
    return fill.filter(named)


def _of_second(meaning: Meaning, fill: pl.DataFrame) -> pl.DataFrame:
    """Embeddings made with the model beside it."""
    return fill.clear() if meaning.second is None else fill.filter(pl.col("model") == meaning.second.digest)


def _fresh_fill(index: CorpusIndex, channel: Channel[Any, Any, Any], fill: pl.DataFrame) -> pl.DataFrame:
    """Fill rows in which what older pipelines made is made anew, from the texts that the index holds."""
    old = fill.filter(pl.col("pipeline") < channel.since)
    if old.is_empty():
        return fill
    view = index.view
    places = view.locate(old["id"].to_list())
    texts = [None if place is None else view.value(place, "response") for place in places]
    there = pl.Series([text is not None for text in texts], dtype=pl.Boolean)
    known = pl.Series([text for text in texts if text is not None], dtype=pl.String)
    anew = refreshed_fill(channel, old.filter(there), known)
    return pl.concat([fill.filter(pl.col("pipeline") >= channel.since), anew])
