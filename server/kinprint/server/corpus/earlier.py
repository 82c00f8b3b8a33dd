"""Ids of earlier rules: a row that is stored under one keeps it when it comes again under its id of today.

Ids were once derived from model, prompt and answer alone (rule 1, `t-...`), and answers of chat rows were called by the
row's id, `#` and their turn. Rows that now have an id of rule 2 (`t2-...`) may be stored under such a one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl
from kinprint.server.corpus.normalise import derive_id
from kinprint.server.corpus.plan import Batch
from kinprint.server.corpus.view import Place, View

_Key = tuple[str | None, ...]
_RULE_2 = re.compile(r"t2-[a-z2-7]{26}(?:-([0-9]+))?")
_EARLIER = r"^t-[a-z2-7]{26}$|#[0-9]+$"
#: What tells rows apart that share model, prompt and answer.
_APART = ("account_id", "created_at", "conversation_id", "turn", "prompt_id")
_SAID = ("model", "prompt", "response")
#: Ids of rule 1 are numbered; deleted rows leave gaps, of which so many are looked past.
_GAPS = 2


def keep_earlier_ids(view: View, corpus: str, batches: Sequence[Batch]) -> None:
    """Give rows their earlier ids where they are stored under these; frames are changed in place."""
    if not any(part.living and part.segment.has_id_like(_EARLIER) for part in view.parts):
        return
    for batch in batches:
        kept = _kept(view, corpus, batch)
        if kept:
            frame = batch.rows.frame
            ids = [kept.get(row, identifier) for row, identifier in enumerate(frame["id"].to_list())]
            # The same frame tells the sender what became of each row, and which embedding is whose.
            frame.replace_column(frame.get_column_index("id"), pl.Series("id", ids, dtype=pl.String))


def _kept(view: View, corpus: str, batch: Batch) -> dict[int, str]:
    """Earlier ids by row of the batch's frame."""
    ids = batch.rows.frame["id"].to_list()
    today = [row for row, identifier in enumerate(ids) if _RULE_2.fullmatch(identifier)]
    if not today:
        return {}
    found = view.locate([ids[row] for row in today])
    missing = [row for row, place in zip(today, found, strict=True) if place is None]
    if not missing:
        return {}
    columns = {name: batch.rows.frame[name].to_list() for name in (*_SAID, *_APART)}
    chats = _chat_ids(view, columns, missing)
    keys = {row: _key(batch, columns, row) for row in missing}
    chains = _chains(view, corpus, list(dict.fromkeys(keys.values())))
    kept: dict[int, str] = {}
    for row in missing:
        mine = tuple(columns[name][row] for name in _APART)
        alike = [chats[row]] if row in chats else []
        alike += [
            identifier
            for identifier, place in chains[keys[row]]
            if tuple(view.value(place, name) for name in _APART) == mine
        ]
        match = _RULE_2.fullmatch(ids[row])
        number = int((match.group(1) if match else None) or 0)
        if number < len(alike):
            kept[row] = alike[number]
    return kept


def _key(batch: Batch, columns: dict[str, list], row: int) -> _Key:
    """Model, prompt and answer as they were sent."""
    return columns["model"][row], columns["prompt"][row], batch.rows.sent.get(row, columns["response"][row])


def _chat_ids(view: View, columns: dict[str, list], rows: Sequence[int]) -> dict[int, str]:
    """Ids of chat rows, by row, under which the same answer is stored."""
    named = [row for row in rows if columns["conversation_id"][row] is not None and columns["turn"][row] is not None]
    ids = [f"{columns['conversation_id'][row]}#{columns['turn'][row]}" for row in named]
    fields = (*_SAID, *_APART)
    return {
        row: identifier
        for row, identifier, place in zip(named, ids, view.locate(ids) if ids else [], strict=True)
        if place is not None and all(view.value(place, name) == columns[name][row] for name in fields)
    }


def _chains(view: View, corpus: str, keys: Sequence[_Key]) -> dict[_Key, list[tuple[str, Place]]]:
    """For each model, prompt and answer the stored rows whose id of rule 1 they give, by number."""
    found: dict[_Key, list[tuple[str, Place]]] = {key: [] for key in keys}
    gaps = dict.fromkeys(keys, 0)
    number, open_keys = 0, list(keys)
    while open_keys:
        ids = [derive_id(corpus, key[0], key[1], key[2] or "", number) for key in open_keys]
        for key, identifier, place in zip(open_keys, ids, view.locate(ids), strict=True):
            if place is None:
                gaps[key] += 1
            else:
                found[key].append((identifier, place))
        open_keys = [key for key in open_keys if gaps[key] < _GAPS]
        number += 1
    return found
