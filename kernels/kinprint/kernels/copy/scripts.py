"""Look-alikes: which letters of a text belong to another script than they pretend to (UTS #39, chapter 5).

A word is a run of letters, marks and digits. The *script of the text* is that of Latin, Greek and Cyrillic with the
most letters that look like none of the two others. Letters are exchanged, for look-alikes of confusables.txt, in

1. a word of several scripts, if all its letters have one script in common once look-alikes are exchanged: the script
   of the text, or else the one with the most letters in the word;
2. a word wholly of look-alikes of the script of the text (``ѕсоре`` in English), if the nearest words on both sides
   that can be told are of that script. Where other words are honestly of the look-alikes' script and none is mixed,
   such a word is left alone. In Greek and Cyrillic texts it takes a mixed word elsewhere, and one that is not all in
   capitals: names in Latin letters are common there.

Words of one or two letters with Greek ones are symbols: they come under the second rule, and only if a word is mixed
elsewhere.

So a text of one script stays as it is, and so do texts of several whose words each have one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from kinprint.kernels.jit import kernel
from kinprint.kernels.lookalikes import GREEK, LATIN, LOOK_VALUES, NONE, OTHER, look_alikes, script_of
from kinprint.kernels.unicode import DIGIT, IGNORABLE, MARK, UPPER, WORD, code_class
from numpy.typing import NDArray

LEAST_GREEK: Final = 3
"""Letters of a word with Greek ones for them to count as look-alikes: shorter ones are symbols."""
_UNKNOWN, _ALIKE = -1, -2


@kernel
def _like(cp: int, target: int) -> int:
    """The letter of a script that a letter looks like; 0 for none."""
    place = look_alikes(cp)
    return int(LOOK_VALUES[place, target - 1]) if place >= 0 else 0


@kernel
def _words(
    now: NDArray[np.int32], shown: NDArray[np.int64], m: int, words: NDArray[np.int64], own: NDArray[np.int64]
) -> int:
    """Words int64[w, 9]: first and end place in ``shown``, letters of each script from LATIN to OTHER, bits of the
    scripts that all of its letters have or look like, whether it holds anything but capitals.

    ``own`` int64[4] gets, by script, the letters that look like none of the others'.
    """
    w = 0
    k = 0
    while k < m:
        cp = int(now[shown[k]])
        c = code_class(cp)
        if c != WORD and c != UPPER and c != DIGIT:
            k += 1
            continue
        words[w, 0] = k
        for j in range(2, 6):
            words[w, j] = 0
        possible = 2 | 4 | 8
        letters = 0
        small = 0
        while k < m:
            cp = int(now[shown[k]])
            c = code_class(cp)
            if c in (WORD, UPPER):
                s = script_of(cp)
                letters += 1
                small += 1 if c == WORD else 0
                if s == NONE or s > OTHER:
                    possible = 0
                else:
                    words[w, 1 + s] += 1
                    place = look_alikes(cp)
                    alone = True
                    for t in range(LATIN, OTHER):
                        if t != s and (place < 0 or LOOK_VALUES[place, t - 1] == 0):
                            possible &= ~(1 << t)
                        elif t != s:
                            alone = False
                    if alone and s < OTHER:
                        own[s] += 1
            elif c != DIGIT and c != MARK and c != IGNORABLE:
                break
            k += 1
        words[w, 1] = k
        words[w, 6] = possible
        words[w, 7] = small
        words[w, 8] = _UNKNOWN
        if letters > 0:
            w += 1
    return w


@kernel
def _is_symbol(words: NDArray[np.int64], i: int) -> bool:
    """Whether a word is so short that its Greek letters rather are symbols."""
    letters = words[i, 2] + words[i, 3] + words[i, 4] + words[i, 5]
    return bool(words[i, 1 + GREEK] > 0 and letters < LEAST_GREEK)


@kernel
def _target(words: NDArray[np.int64], i: int, main: int) -> int:
    """Script that a word of several is to be written in; NONE where it is to stay."""
    if main != NONE and words[i, 1 + main] > 0 and (words[i, 6] >> main) & 1:
        return main
    best = NONE
    for t in range(LATIN, OTHER):
        if (words[i, 6] >> t) & 1 and words[i, 1 + t] > 0 and (best == NONE or words[i, 1 + t] > words[i, 1 + best]):
            best = t
    return best


@kernel
def _exchange(
    now: NDArray[np.int32],
    shown: NDArray[np.int64],
    first: int,
    end: int,
    target: int,
    kinds: NDArray[np.uint8],
    kind: np.uint8,
) -> None:
    """Write the letters of a word in one script."""
    for k in range(first, end):
        i = shown[k]
        s = script_of(int(now[i]))
        if s != NONE and s != target:
            now[i] = _like(int(now[i]), target)
            kinds[i] |= kind


@kernel
def same_script(
    now: NDArray[np.int32], shown: NDArray[np.int64], m: int, kinds: NDArray[np.uint8], kind: np.uint8
) -> None:
    """Exchange look-alikes by the rules of the module's text.

    ``now[shown[:m]]`` are the code points of a text. What is exchanged gets the bit ``kind``.
    """
    words = np.empty((m // 2 + 1, 9), np.int64)
    own = np.zeros(OTHER + 1, np.int64)
    count = _words(now, shown, m, words, own)
    main = NONE
    for t in range(LATIN, OTHER):
        if own[t] > 0 and (main == NONE or own[t] > own[main]):
            main = t
    mixed = 0  # words of several scripts that turn out to be of the text's
    honest = 0  # bits of other scripts that have words of their own
    for i in range(count):
        scripts = 0
        only = NONE
        for s in range(LATIN, OTHER + 1):
            if words[i, 1 + s] > 0:
                scripts += 1
                only = s
        if scripts > 1 and not _is_symbol(words, i):
            target = _target(words, i, main)
            if target != NONE:
                _exchange(now, shown, words[i, 0], words[i, 1], target, kinds, kind)
                words[i, 8] = target
                mixed += 1 if target == main else 0
        elif scripts > 0:
            words[i, 8] = only if scripts == 1 else _UNKNOWN
            if main != NONE and (scripts > 1 or only != main):
                if (words[i, 6] >> main) & 1:
                    words[i, 8] = _ALIKE
                elif scripts == 1:
                    honest |= 1 << only
    if main == NONE:
        return
    ahead = np.empty(count + 1, np.int64)  # what the nearest word from here on is that can be told
    ahead[count] = NONE
    for i in range(count - 1, -1, -1):
        ahead[i] = ahead[i + 1] if words[i, 8] == _ALIKE else words[i, 8]
    before = NONE
    for i in range(count):
        if words[i, 8] != _ALIKE:
            before = int(words[i, 8])
            continue
        only = OTHER
        for s in range(LATIN, OTHER):
            if words[i, 1 + s] > 0 and s != main:
                only = s
        if (before != main and before != NONE) or (ahead[i] != main and ahead[i] != NONE):
            continue
        if mixed == 0 and ((honest >> only) & 1 or main != LATIN or _is_symbol(words, i)):
            continue
        if main != LATIN and words[i, 7] == 0:
            continue
        _exchange(now, shown, words[i, 0], words[i, 1], main, kinds, kind)
