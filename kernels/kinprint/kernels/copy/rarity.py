"""How rare a passage is, and what is no evidence: code, and what stands in a prompt or a licence anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from kinprint.kernels.arrow import Texts, frozen, memory
from kinprint.kernels.copy.overlap import pair_overlap
from kinprint.kernels.jit import kernel, parallel_kernel
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kinprint.kernels.copy.passages import Passages

_CHUNK = 64


@parallel_kernel(_CHUNK)
def counts_elsewhere(
    first: int,
    last: int,
    texts: NDArray[np.int32],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    seed: NDArray[np.int64],
    models: NDArray[np.int32],
    prompts: NDArray[np.int32],
    sizes: NDArray[np.int64],
    by_prompt: NDArray[np.int64],
    sorted_prompts: NDArray[np.int32],
    out: NDArray[np.int64],
) -> None:
    """See :meth:`~kinprint.kernels.copy.passages.Index.counts`; adds to ``out`` int64[p, 4]."""
    for k in range(first, last):
        i = a[k]
        j = b[k]
        model_i = models[i]
        model_j = models[j]
        prompt = prompts[i]
        before = -1
        for p in range(begins[seed[k]], ends[seed[k]]):
            t = int(texts[p])
            if t in (before, i, j):
                continue
            before = t
            model = models[t]
            if model >= 0 and model in (model_i, model_j):
                continue
            out[k, 0] += 1
            if prompt >= 0 and prompts[t] == prompt:
                out[k, 2] += 1
        out[k, 1] = models.size
        out[k, 1] -= sizes[model_i] if model_i >= 0 else 1
        if model_j != model_i or model_j < 0:
            out[k, 1] -= sizes[model_j] if model_j >= 0 else 1
        if prompt >= 0:
            low = np.searchsorted(sorted_prompts, prompt)
            while low < sorted_prompts.size and sorted_prompts[low] == prompt:
                t = int(by_prompt[low])
                low += 1
                model = models[t]
                if t in (i, j) or (model >= 0 and model in (model_i, model_j)):
                    continue
                out[k, 3] += 1


def bits(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rarity of passages, float64[p], from :meth:`Index.counts`: -log2 of how likely an unrelated text has one.

    In the corpus at large that is (c + 1/2) / (n + 1), after Krichevsky and Trofimov (1981), for c of n texts of other
    models; so a passage never seen elsewhere has log2(2 (n + 1)) bits, and no more, however long it is. Where other
    models' answers to the same prompt have it as well, their share, (c' + p) / (n' + 1) with the corpus's p as one
    observation more, takes its place if it is larger: what the prompt draws out of everybody is no evidence.
    """
    at_large = (counts[:, 0] + 0.5) / (counts[:, 1] + 1.0)
    by_prompt = (counts[:, 2] + at_large) / (counts[:, 3] + 1.0)
    likely = np.where(counts[:, 2] > 0, np.maximum(at_large, by_prompt), at_large)
    return np.asarray(-np.log2(likely))


# ---- what is no evidence ----


@kernel
def _is_code_symbol(byte: np.uint8) -> bool:
    """One of {}[]()<>=;_|&$#@^~+*/" and the backslash and backquote."""
    for symbol in b'{}[]()<>=;_|&$#@^~+*/"\\`':  # noqa: SIM110  (compiled)
        if byte == symbol:
            return True
    return False


@kernel
def _fences(text: NDArray[np.uint8], start: int, end: int, inside: bool, line: bool) -> tuple[int, int, bool, bool]:
    """Go over ``text[start:end]``: (visible bytes, of these in a fenced block, and the state at the end).

    The state is whether a fenced block is open and whether only white space came since the begin of the line.
    """
    visible = 0
    fenced = 0
    for p in range(start, end):
        if line and p + 3 <= text.size and text[p] == 0x60 and text[p + 1] == 0x60 and text[p + 2] == 0x60:
            inside = not inside
        byte = text[p]
        if byte == 0x0A:
            line = True
        elif byte != 0x20 and byte != 0x09:
            line = False
        if byte > 0x20:
            visible += 1
            fenced += 1 if inside else 0
    return visible, fenced, inside, line


@parallel_kernel(_CHUNK)
def _code(
    first: int,
    last: int,
    addresses: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    out: NDArray[np.bool_],
) -> None:
    """Stretches first .. last-1; of those of one text each goes on from the begin of the one before it."""
    row = np.int64(-1)
    at = np.int64(0)
    inside = False
    line = True
    for k in range(first, last):
        text = memory(addresses[rows[k]], lengths[rows[k]])
        if rows[k] != row or starts[k] < at:
            row = rows[k]
            at = np.int64(0)
            inside = False
            line = True
        _, _, inside, line = _fences(text, int(at), int(starts[k]), inside, line)
        at = starts[k]
        end = at + sizes[k]
        visible, fenced, _, _ = _fences(text, int(at), int(end), inside, line)
        symbols = 0
        for p in range(at, end):
            symbols += 1 if _is_code_symbol(text[p]) else 0
        out[k] = 2 * fenced >= visible or 5 * symbols >= visible


def looks_like_code(texts: Texts, passages: Passages) -> NDArray[np.bool_]:
    """Passages of which half or more stands in a fenced code block of a, or a fifth are symbols of code: bool[p].

    In bytes that are no white space. A fence is a line that begins with three backquotes.
    """
    out = np.zeros(len(passages.a), np.bool_)
    rows, starts, sizes = (np.ascontiguousarray(c) for c in (passages.a, passages.start_a, passages.bytes))
    where = frozen(rows), frozen(starts), frozen(sizes)
    _code(rows.size, frozen(texts.addresses), frozen(texts.lengths), *where, out)
    return out


def stretches(texts: Texts, passages: Passages) -> Texts:
    """The passages themselves, where they stand in a."""
    addresses = texts.addresses[passages.a] + passages.start_a.astype(np.uint64)
    return Texts(addresses, passages.bytes, texts.owner)


def share_within(stretch: Texts, sources: Texts, source: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each stretch's shingles that its source has, float64[p]: how much of it is quoted.

    ``source`` int64[p] is a row of ``sources``, or negative where there is none.
    """
    out = np.zeros(len(stretch))
    known = np.flatnonzero(source >= 0)
    if known.size == 0:
        return out
    both = Texts(
        np.concatenate((sources.addresses, stretch.addresses)),
        np.concatenate((sources.lengths, stretch.lengths)),
        (sources.owner, stretch.owner),
    )
    known = known[np.argsort(source[known], kind="stable")]
    counts = pair_overlap(both, source[known], known + len(sources))
    out[known] = counts[:, 0] / np.maximum(counts[:, 2], 1)
    return out
