"""Known answers of a corpus, from which attribution learns."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.server.authorship.attributor import Known
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from numpy.typing import NDArray


def known_answers(
    view: View, rows: Filter, models: Collection[str] = (), families: Mapping[str, str] | None = None
) -> tuple[Known, Known | None]:
    """Answers of `models` (none: of all models), and those of the other models, which are a background.

    Blank answers and rows without a model are left out.  `families` gives the family of a model; one that it does not
    name is a family of its own.
    """
    texts, names, prompts = [], [], []
    for part in view.parts:
        segment = part.segment
        model, values = segment.codes("model")
        chosen = np.flatnonzero(rows.mask(part) & ~segment.blank & (model >= 0))
        texts.append(segment.texts.take(chosen))
        names.append(_values(values)[model[chosen]])
        prompt, keys = segment.codes("prompt_key")
        prompts.append(np.append(_values(keys), [None])[prompt[chosen]])
    everything = Texts.joined(texts)
    name = np.concatenate(names) if names else np.zeros(0, object)
    prompt_code = _codes(np.concatenate(prompts) if prompts else np.zeros(0, object))
    wanted = np.array([value in models for value in name], np.bool_) if models else np.ones(len(name), np.bool_)

    codes: dict[str | tuple[str], int] = {}

    def some(mask: NDArray[np.bool_]) -> Known:
        taken = np.flatnonzero(mask)
        different, code = np.unique(name[taken].astype(str), return_inverse=True)
        # A model without a family is one by itself, even if a family has its name.
        family = [codes.setdefault((families or {}).get(value, (value,)), len(codes)) for value in different.tolist()]
        return Known(
            texts=everything.take(taken),
            model=code.astype(np.int32),
            names=tuple(different.tolist()),
            prompt=prompt_code[taken],
            family=np.array(family, np.int32),
        )

    return some(wanted), None if wanted.all() else some(~wanted)


def _values(codes: Mapping[str | None, int]) -> NDArray[np.object_]:
    """Values by their code."""
    found = np.empty(len(codes), object)
    for value, code in codes.items():
        found[code] = value
    return found


def _codes(values: NDArray[np.object_]) -> NDArray[np.int64]:
    """A code for each value, int64[n]; -1 for None."""
    codes: dict[str, int] = {}
    return np.array([-1 if v is None else codes.setdefault(v, len(codes)) for v in values], np.int64)
