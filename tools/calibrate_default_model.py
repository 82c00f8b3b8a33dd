"""Measures the ranges that the default model's 8-bit products are made for: `default_model/calibration.npz`.

    python tools/calibrate_default_model.py

A network for every machine needs the same numbers on every machine, so they are measured once and shipped.  What is
run through the float32 graph: the background passages whole and by sentence, this repository's own code, runs of
characters of every script, repeated characters, and tokens of the whole vocabulary in random runs.  Takes some minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from kinprint.server.embed.background import background_passages
from kinprint.server.embed.default_model import weights
from kinprint.server.embed.default_model.calibrating import calibrate
from kinprint.server.embed.default_model.pack import Pack
from kinprint.server.embed.default_model.tokenizer_file import charsmap, tokenizer_json
from kinprint.server.embed.space import sentences_of
from numpy.typing import NDArray
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "server/kinprint/server/embed/default_model/calibration.npz"
_LONGEST = 256
#: Every range of assigned code points that a text may be made of: scripts, symbols, controls.
_BLOCKS = [(0x0000, 0x00A0), (0x00A1, 0x0FFF), (0x1000, 0x1FFF), (0x2000, 0x2BFF), (0x2C00, 0x2FFF), (0x3000, 0xD7FF)]
_BLOCKS += [(0xE000, 0xE0FF), (0xF900, 0xFFEF), (0x10000, 0x105FF), (0x12000, 0x134FF), (0x1D400, 0x1F9FF)]
_BLOCKS += [(0x20000, 0x2FFFF)]
_BLOCK = 64
_EMOJI = [(0x1F600, 0x1F64F), (0x1F300, 0x1F5FF), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF), (0x2600, 0x27BF)]
_EMOJI_TEXTS = 500
_VOCABULARY_RUN = 24
_VOCABULARY_SHARE = 4


def texts(random: np.random.Generator) -> list[str]:
    """What calibrates, apart from runs of tokens."""
    found: list[str] = []
    for passage in background_passages():
        found += [passage.text, *sentences_of(passage.text)]
    for path in sorted([*ROOT.glob("kernels/**/*.py"), *ROOT.glob("server/**/*.py"), *ROOT.glob("proto/**/*.proto")]):
        code = path.read_text(encoding="utf-8")
        at = int(random.integers(max(1, len(code) - 900)))
        found.append(code[at : at + int(random.choice([60, 200, 900]))])
    for first, last in _BLOCKS:
        for begin in range(first, last + 1, max(_BLOCK, (last + 1 - first) // 40)):
            for length in (1, 2, 4, 12, 40, 120):
                points = random.integers(begin, min(begin + _BLOCK, last) + 1, length)
                words = [" " if i and random.random() < 0.15 else chr(point) for i, point in enumerate(points.tolist())]
                found.append("".join(words))
            found.append(words[0] * int(random.choice([3, 10, 50, 300])))
    for _ in range(_EMOJI_TEXTS):
        first, last = _EMOJI[int(random.integers(len(_EMOJI)))]
        points = random.integers(first, last + 1, int(random.choice([3, 8, 20, 45])))
        found.append("".join(" " if random.random() < 0.1 else chr(point) for point in points.tolist()))
    for character in "aAzZ01 .,-_=*#/\\!?\u00e9\u4e2d\u0639\U0001f600\t\n":
        found += [character * length for length in (1, 2, 3, 10, 50, 200, 700)]
    return found


def windows(tokenizer: Tokenizer, random: np.random.Generator, vocabulary: int) -> list[NDArray[np.int64]]:
    """Token ids of what calibrates."""
    found = []
    for encoding in tokenizer.encode_batch(texts(random)):
        ids = encoding.ids
        found.append(ids if len(ids) <= _LONGEST else [*ids[: _LONGEST - 1], ids[-1]])
    first, last = found[0][0], found[0][-1]
    special = [first, last]
    drawn = random.permutation(np.setdiff1d(np.arange(vocabulary), special))
    runs = drawn[: len(drawn) // _VOCABULARY_RUN * _VOCABULARY_RUN].reshape(-1, _VOCABULARY_RUN)
    found += [[first, *run, last] for run in runs[::_VOCABULARY_SHARE].tolist()]
    for length in (1, 2, 3, 5, 8, 16, 32, 64):
        found += [[first, *random.choice(drawn, length).tolist(), last] for _ in range(100)]
        found += [[first, *[int(random.choice(drawn))] * length, last] for _ in range(25)]
    return [np.array(ids, np.int64) for ids in found]


def main() -> None:
    """Measure and write."""
    pack = Pack(weights.load_pack())
    tokenizer = Tokenizer.from_str(tokenizer_json(pack, charsmap()).decode("utf-8"))
    ids = windows(tokenizer, np.random.default_rng(0), len(pack.pieces))
    print(f"{len(ids)} windows, {sum(map(len, ids))} tokens", file=sys.stderr)
    calibration = calibrate(pack, ids, lambda share: print(f"\r{share:.0%}", end="", file=sys.stderr))
    calibration.save(str(TARGET))
    for name, found in calibration.ranges.items():
        print(name, "copies", int((found.copies - 1).sum()), "radius", found.radius.min(), found.radius.max())
    print("floors", calibration.floors)


if __name__ == "__main__":
    main()
