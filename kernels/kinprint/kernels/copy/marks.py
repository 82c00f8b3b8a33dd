"""Passages that are no evidence of copying, as they come about without: echoes of a prompt, code, licence notices."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.copy.passages import Passages, looks_like_code, share_within, stretches
from numpy.typing import NDArray

MARKS: Final = ("", "prompt", "code", "licence")
"""Marks by their number in proto/; the first is none."""
QUOTED: Final = 0.5
"""Share of a passage that the prompt or a licence must hold for it to be marked."""


def marks_of(texts: Texts, found: Passages, prompts: Texts, prompt: NDArray[np.int64]) -> NDArray[np.int32]:
    """Positions in :data:`MARKS`, int32[p].

    Parameters
    ----------
    prompts
        Prompts of the texts.
    prompt
        int64[n]: row of ``prompts`` of every text, negative where it has none.
    """
    stretch = stretches(texts, found)
    mark = np.zeros(len(found.a), np.int32)
    mark[share_within(stretch, _licences(), np.zeros(len(stretch), np.int64)) >= QUOTED] = MARKS.index("licence")
    mark[looks_like_code(texts, found)] = MARKS.index("code")
    quoted = np.maximum(*(share_within(stretch, prompts, prompt[side]) for side in (found.a, found.b)))
    mark[quoted >= QUOTED] = MARKS.index("prompt")
    return mark


@cache
def _licences() -> Texts:
    """Well-known licence notices, as one text."""
    text = Path(__file__).with_name("licences.txt").read_text(encoding="utf-8")
    return Texts.from_offsets(*from_texts([text]))
