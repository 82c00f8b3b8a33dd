"""Plain measures of style, for people to read beside a score."""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.arrow import check_texts, frozen
from kinprint.kernels.jit import inlined, kernel, parallel_kernel
from kinprint.kernels.style.tokens import (
    F_AFTER,
    F_TIGHT,
    T_LINE,
    T_MARK,
    T_NUMBER,
    T_PARAGRAPH,
    T_SYMBOL,
    T_WORD,
    WINDOW,
    decode_window,
    is_sentence_end,
    tokenise,
    trimmed_end,
)
from kinprint.kernels.unicode import UPPER, WORD
from numpy.typing import NDArray

_CHUNK = 64

TRAITS: Final = (
    "words_per_sentence",
    "code_points_per_word",
    "commas_per_100_words",
    "exclamation_marks_per_100_words",
    "question_marks_per_100_words",
    "em_dashes_per_100_words",
    "emoji_per_100_words",
    "list_items_per_100_words",
    "bold_spans_per_100_words",
    "headings_per_100_words",
    "uppercase_share",
    "type_token_ratio",
)
"""Names of the columns that :func:`traits` returns."""
TTR_WORDS: Final = 100


@inlined
def _is_comma(cp):  # type: ignore[no-untyped-def]
    return cp == 0x2C or cp == 0xFF0C or cp == 0x3001 or cp == 0x060C or cp == 0xFF64


@inlined
def _is_bullet(cp):  # type: ignore[no-untyped-def]
    if cp < 0x80:
        return cp == 0x2D or cp == 0x2A or cp == 0x2B
    return cp == 0x2013 or cp == 0x2022 or cp == 0x2023 or cp == 0x25CF


@kernel
def _text_traits(  # type: ignore[no-untyped-def]
    cps, classes, size, kinds, keys, lengths, marks, flags, k, seen, out
):
    words = 0
    spelled = 0
    letters = 0
    sentences = 0
    sentence = 0
    commas = 0
    exclamations = 0
    questions = 0
    dashes = 0
    emoji = 0
    items = 0
    bold = 0
    headings = 0
    distinct = 0
    for i in range(k + 1):
        kind = kinds[i] if i < k else T_PARAGRAPH
        if kind <= T_NUMBER:
            sentence += 1
            if kind == T_WORD:
                spelled += 1
                letters += lengths[i]
            if words < TTR_WORDS:
                new = True
                for q in range(distinct):
                    if seen[q] == keys[i]:
                        new = False
                        break
                if new:
                    seen[distinct] = keys[i]
                    distinct += 1
            words += 1
        ends = kind >= T_LINE
        if kind == T_MARK:
            cp = marks[i]
            length = lengths[i]
            if is_sentence_end(cp) and not flags[i] & F_TIGHT:
                ends = True
            if _is_comma(cp):
                commas += length
            elif cp == 0x21 or cp == 0xFF01:
                exclamations += length
            elif cp == 0x3F or cp == 0xFF1F or cp == 0x061F:
                questions += length
            elif cp == 0x2014:
                dashes += length
            elif (cp == 0x2A or cp == 0x5F) and (length == 2 or length == 3):
                bold += 1
        elif kind == T_SYMBOL and marks[i] >= 0x2600:
            emoji += lengths[i]
        if ends and sentence > 0:
            sentences += 1
            sentence = 0
        if i < k and (i == 0 or kinds[i - 1] >= T_LINE):
            if kind in (T_MARK, T_SYMBOL):
                if flags[i] & F_AFTER and i + 1 < k:
                    if marks[i] == 0x23 and lengths[i] <= 6:
                        headings += 1
                    elif lengths[i] == 1 and _is_bullet(marks[i]):
                        items += 1
            elif (
                kind == T_NUMBER
                and i + 2 < k
                and kinds[i + 1] == T_MARK
                and (marks[i + 1] == 0x2E or marks[i + 1] == 0x29 or marks[i + 1] == 0x3001)
                and lengths[i + 1] == 1
                and not flags[i] & F_AFTER
                and (flags[i + 1] & F_AFTER or marks[i + 1] == 0x3001)
            ):
                items += 1
    upper = 0
    cased = 0
    for i in range(size):
        c = classes[i]
        upper += c == UPPER
        cased += c in (UPPER, WORD)
    per = np.float32(100.0) / np.float32(words) if words > 0 else np.float32(0.0)
    out[0] = np.float32(words) / np.float32(sentences) if sentences > 0 else np.float32(0.0)
    out[1] = np.float32(letters) / np.float32(spelled) if spelled > 0 else np.float32(0.0)
    out[2] = np.float32(commas) * per
    out[3] = np.float32(exclamations) * per
    out[4] = np.float32(questions) * per
    out[5] = np.float32(dashes) * per
    out[6] = np.float32(emoji) * per
    out[7] = np.float32(items) * per
    out[8] = np.float32(bold >> 1) * per
    out[9] = np.float32(headings) * per
    out[10] = np.float32(upper) / np.float32(cased) if cased > 0 else np.float32(0.0)
    out[11] = np.float32(distinct) / np.float32(min(words, TTR_WORDS)) if words > 0 else np.float32(0.0)


@parallel_kernel(_CHUNK)
def _traits(low, high, data, offsets, out):  # type: ignore[no-untyped-def]
    """Rows ``low`` to ``high`` of the result."""
    cps = np.empty(WINDOW, np.int32)
    classes = np.empty(WINDOW, np.uint8)
    kinds = np.empty(WINDOW, np.uint8)
    keys = np.empty(WINDOW, np.uint64)
    masks = np.empty(WINDOW, np.uint64)
    lengths = np.empty(WINDOW, np.int32)
    marks = np.empty(WINDOW, np.int32)
    flags = np.empty(WINDOW, np.uint8)
    seen = np.empty(TTR_WORDS, np.uint64)
    for t in range(low, high):
        end = trimmed_end(data, offsets[t], offsets[t + 1])
        size, _ = decode_window(data, offsets[t], end, WINDOW, cps, classes)
        k = tokenise(cps, classes, size, kinds, keys, masks, lengths, marks, flags)
        if k > 0:
            _text_traits(cps, classes, size, kinds, keys, lengths, marks, flags, k, seen, out[t])


def traits(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Plain measures of style for people to read, in the columns that :data:`TRAITS` names.

    :param data: uint8[bytes], UTF-8; ``offsets`` int64[n + 1]. :returns: float32[n, 12], taken over the first
    :data:`WINDOW` code points. A letter of a script without spaces
        counts as one word, except in ``code_points_per_word``, which is over words and not numbers.
        Exclamation and question marks count one by one. ``uppercase_share`` is over letters and other word
        characters that are not decimal digits; ``type_token_ratio`` over the first 100 words, so that length
        does not lower it. A measure without its denominator (a text without words), and every measure of a
        blank text, is zero.
    :raises ValueError: on other dtypes or dimensions, or when offsets fall or leave ``data``.
    """
    check_texts(data, offsets)
    out = np.zeros((offsets.size - 1, len(TRAITS)), np.float32)
    _traits(len(out), frozen(data), frozen(offsets), out)
    return out
