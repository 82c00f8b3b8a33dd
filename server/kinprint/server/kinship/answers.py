"""Answers: what models answered to the same prompts, gathered for comparison.

One answer of a model to a prompt counts, the one with the least id.  Left out, and counted, are answers without text,
without a model or without a prompt, further answers to the same prompt, and boilerplate: the same words given to
several prompts (refusals, greetings, error messages) say nothing about the prompt, and two models that refuse alike
are not kin for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from kinprint.kernels.arrow import Texts
from kinprint.kernels.copy import shingle
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import is_blank
from kinprint.server.corpus.view import View
from numpy.typing import NDArray

#: The same text given to so many prompts is boilerplate.
BOILERPLATE_PROMPTS = 3
#: A short answer is boilerplate, too, when at least this share of its shingles stands in answers to
#: `COMMON_PROMPTS` other prompts, or to `COMMON_SHARE` of all prompts if that is more.
BOILERPLATE_SHARE = 0.6
COMMON_PROMPTS, COMMON_SHARE = 5, 0.01
#: Bytes up to which an answer is read for that: refusals and greetings are short, and long answers quote.
SHORT_BYTES = 700


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers ordered by prompt, then model; at most one for each.

    models and prompts are sorted names; model and prompt int64[n] are positions in them; starts int64[prompts + 1] says
    where each prompt's answers begin; place int64[n] is each answer's place among those given to `arrange`.
    """

    models: tuple[str, ...]
    prompts: tuple[str, ...]
    texts: Texts
    model: NDArray[np.int64]
    prompt: NDArray[np.int64]
    starts: NDArray[np.int64]
    place: NDArray[np.int64]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Who answered what, bool[prompts, models]."""
        table = np.zeros((len(self.prompts), len(self.models)), np.bool_)
        table[self.prompt, self.model] = True
        return table

    def subset(self, prompts: NDArray[np.int64]) -> Answers:
        """The answers to some prompts, in the order given; the models stay the same."""
        lengths = np.diff(self.starts)[prompts]
        starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        chosen = np.repeat(self.starts[prompts] - starts[:-1], lengths) + np.arange(starts[-1])
        return Answers(
            self.models,
            tuple(self.prompts[p] for p in prompts),
            self.texts.take(chosen),
            self.model[chosen],
            np.repeat(np.arange(len(prompts)), lengths),
            starts,
            self.place[chosen],
            self.left_out,
        )

    def among(self, models: Sequence[str]) -> Answers:
        """The answers of some models only, which become the models."""
        names = tuple(sorted(set(models) & set(self.models)))
        code = np.full(len(self.models), -1, np.int64)
        for k, name in enumerate(names):
            code[self.models.index(name)] = k
        chosen = np.flatnonzero(code[self.model] >= 0)
        counts = np.bincount(self.prompt[chosen], minlength=len(self.prompts))
        return Answers(
            names,
            self.prompts,
            self.texts.take(chosen),
            code[self.model[chosen]],
            self.prompt[chosen],
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            self.place[chosen],
            self.left_out,
        )


def arrange(
    texts: Texts,
    model: NDArray[np.int64],
    prompt: NDArray[np.int64],
    models: Sequence[str],
    prompts: Sequence[str],
    order: NDArray[np.int64] | None = None,
) -> Answers:
    """Order answers and leave out what does not count.

    model and prompt int64[n] are positions in `models` and `prompts`, -1 for none; order int64[n] ranks the rows, the
    least of several answers to one prompt counts (None: as they come).
    """
    n = len(texts)
    order = np.arange(n) if order is None else order
    left_out = {"no_model": 0, "no_prompt": 0, "blank": 0, "boilerplate": 0, "repeated": 0}
    usable = np.ones(n, np.bool_)

    def leave_out(reason: str, mask: NDArray[np.bool_]) -> None:
        left_out[reason] += int((usable & mask).sum())
        usable[mask] = False

    leave_out("no_model", model < 0)
    leave_out("no_prompt", prompt < 0)
    hashes = shingle.hashes_of(texts) if n else np.zeros((0, 2), np.uint64)
    leave_out("blank", is_blank(hashes))
    rows = np.flatnonzero(usable)
    mask = np.zeros(n, np.bool_)
    mask[rows] = _boilerplate(texts.take(rows), hashes[rows], prompt[rows])
    leave_out("boilerplate", mask)
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((order[rows], model[rows], prompt[rows]))]
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (model[rows][1:] == model[rows][:-1]) & (prompt[rows][1:] == prompt[rows][:-1])
    left_out["repeated"] = int(again.sum())
    rows = rows[~again]
    used_models, model_code = np.unique(model[rows], return_inverse=True)
    used_prompts, prompt_code = np.unique(prompt[rows], return_inverse=True)
    model_rank = np.argsort([models[m] for m in used_models]) if len(used_models) else np.zeros(0, np.int64)
    prompt_rank = np.argsort([prompts[p] for p in used_prompts]) if len(used_prompts) else np.zeros(0, np.int64)
    model_code = np.argsort(model_rank)[model_code] if len(rows) else model_code
    prompt_code = np.argsort(prompt_rank)[prompt_code] if len(rows) else prompt_code
    rank = np.lexsort((model_code, prompt_code))
    counts = np.bincount(prompt_code, minlength=len(used_prompts))
    return Answers(
        tuple(models[used_models[m]] for m in model_rank),
        tuple(prompts[used_prompts[p]] for p in prompt_rank),
        texts.take(rows[rank]),
        model_code[rank].astype(np.int64),
        prompt_code[rank].astype(np.int64),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        rows[rank],
        left_out,
    )


def _boilerplate(texts: Texts, hashes: NDArray[np.uint64], prompt: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Answers that are the same words to several prompts, bool[n]."""
    n = len(prompt)
    if n == 0:
        return np.zeros(0, np.bool_)
    _, same = np.unique(hashes[:, 0] ^ hashes[:, 1], return_inverse=True)
    pairs = np.unique(np.stack((same, prompt), 1), axis=0)
    found = np.bincount(pairs[:, 0])[same] >= BOILERPLATE_PROMPTS
    short = np.flatnonzero((texts.lengths <= SHORT_BYTES) & ~found)
    if len(short) == 0:
        return np.asarray(found)
    keys, indptr, _ = shingle.sets_of(texts.take(short))
    sizes = np.diff(indptr)
    owner = np.repeat(np.arange(len(short)), sizes)
    distinct, key = np.unique(keys, return_inverse=True)
    # Every (shingle, prompt) once: how many prompts a shingle stands under.
    under = np.unique(key * np.int64(prompt.max() + 1) + prompt[short][owner])
    prompts_of_key = np.bincount(under // np.int64(prompt.max() + 1), minlength=len(distinct))
    bar = max(COMMON_PROMPTS, COMMON_SHARE * len(np.unique(prompt)))
    common = np.bincount(owner, weights=prompts_of_key[key] > bar, minlength=len(short))
    found[short[common >= BOILERPLATE_SHARE * np.maximum(sizes, 1)]] = True
    return np.asarray(found)


def gather(
    view: View,
    rows: Filter = Filter(),  # noqa: B008  (frozen)
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Answers, list[tuple[int, int]]]:
    """The answers of a corpus, and (part, row) of each row given to `arrange`."""
    ids, texts, places = [], [], []
    model_codes: list[NDArray[np.int64]] = []
    prompt_codes: list[NDArray[np.int64]] = []
    models: dict[str, int] = {}
    prompts: dict[str, int] = {}
    for number, part in enumerate(view.parts):
        if cancelled():
            break
        segment = part.segment
        chosen = np.flatnonzero(rows.mask(part))
        ids.append(segment.array("id").take(pa.array(chosen)))
        texts.append(segment.texts.take(chosen))
        for column, codes, into in (("model", model_codes, models), ("prompt_key", prompt_codes, prompts)):
            local, values = segment.codes(column)
            translate = np.full(len(values) + 1, -1, np.int64)
            for value, code in values.items():
                if value is not None and code >= 0:
                    translate[code] = into.setdefault(value, len(into))
            codes.append(translate[local[chosen]])
        places += [(number, int(row)) for row in chosen]
    if not ids:
        return arrange(Texts.joined([]), np.zeros(0, np.int64), np.zeros(0, np.int64), (), ()), []
    rank = np.empty(len(places), np.int64)
    rank[np.asarray(pc.sort_indices(pa.concat_arrays(ids)).to_numpy()).astype(np.int64)] = np.arange(len(places))
    found = arrange(
        Texts.joined(texts),
        np.concatenate(model_codes),
        np.concatenate(prompt_codes),
        list(models),
        list(prompts),
        rank,
    )
    return found, places
