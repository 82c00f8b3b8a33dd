"""Measures the ranges that the default model's 8-bit products are made for: `default_model/calibration.npz`.

    python tools/calibrate_default_model.py

A network for every machine needs the same numbers on every machine, so they are measured once and shipped.  What is
run through the float32 graph: the background passages whole and by sentence, this repository's own code, runs of
characters of every script, repeated characters, and tokens of the whole vocabulary in random runs.  Takes some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from kinprint.server.embed.background import background_passages
from kinprint.server.embed.default_model import weights
from kinprint.server.embed.default_model.calibration import Calibration, Range
from kinprint.server.embed.default_model.float_layers import quantised_inputs
from kinprint.server.embed.default_model.int8_layers import choose_copies
from kinprint.server.embed.default_model.onnx_graph import build_float_graph
from kinprint.server.embed.default_model.pack import Pack
from kinprint.server.embed.default_model.tokenizer_file import charsmap, tokenizer_json
from kinprint.server.embed.grouping import equal_lengths
from kinprint.server.embed.session import open_session
from kinprint.server.embed.space import sentences_of
from numpy.typing import NDArray
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "server/kinprint/server/embed/default_model/calibration.npz"
_LONGEST = 256
_BATCH_TOKENS = 512
#: Every range of assigned code points that a text may be made of: scripts, symbols, controls.
_BLOCKS = [(0x0000, 0x00A0), (0x00A1, 0x0FFF), (0x1000, 0x1FFF), (0x2000, 0x2BFF), (0x2C00, 0x2FFF), (0x3000, 0xD7FF)]
_BLOCKS += [(0xE000, 0xE0FF), (0xF900, 0xFFEF), (0x10000, 0x105FF), (0x12000, 0x134FF), (0x1D400, 0x1F9FF)]
_BLOCKS += [(0x20000, 0x2FFFF)]
_BLOCK = 64
#: Channels that would lead the weights' steps by more than this are split (measured: less gains nothing more).
_STRONGEST = 3.0
#: Where row-wise steps begin: this share of rows has a smaller largest value.
_FLOOR_QUANTILE = 0.1
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


class Extremes:
    """Smallest and largest value of each channel, and the largest of each row."""

    def __init__(self) -> None:
        self.least: NDArray[np.float32] | None = None
        self.most: NDArray[np.float32] | None = None
        self.rows: list[NDArray[np.float32]] = []

    def see(self, values: NDArray[np.float32], *, rows: bool) -> None:
        flat = values.reshape(-1, values.shape[-1])
        least, most = flat.min(axis=0), flat.max(axis=0)
        self.least = least if self.least is None else np.minimum(self.least, least)
        self.most = most if self.most is None else np.maximum(self.most, most)
        if rows:
            self.rows.append(flat.max(axis=1))


def measure(pack: Pack, ids: Sequence[NDArray[np.int64]]) -> dict[str, Extremes]:
    """Extremes of each matrix product's input, by its name in calibrations."""
    session = open_session(build_float_graph(pack, tapped=True), threads=1)
    names = quantised_inputs(pack.config.layers)
    seen = {name: Extremes() for name, _ in names}
    lengths = np.array([len(window) for window in ids])
    groups = equal_lengths(lengths, np.zeros(len(ids), np.int64), _BATCH_TOKENS)
    for done, group in enumerate(groups):
        batch = np.stack([ids[place] for place in group.tolist()])
        values = session.run([tensor for _, tensor in names], {"input_ids": batch})
        for (name, _), value in zip(names, values, strict=True):
            seen[name].see(value, rows=name.endswith("contracted"))
        if done % 200 == 0:
            print(f"{done} of {len(groups)} groups", file=sys.stderr)
    return seen


def calibrate(pack: Pack, seen: dict[str, Extremes]) -> Calibration:
    """What is shipped."""
    size = pack.config.hidden
    ranges = {}
    floors = []
    for name, extremes in seen.items():
        at, kind = name.split(".")
        if kind == "contracted":
            floors.append(float(np.quantile(np.concatenate(extremes.rows), _FLOOR_QUANTILE)))
            continue
        assert extremes.least is not None and extremes.most is not None
        # Rounded as they will be shipped, before anything is derived from them.
        centre = ((extremes.most + extremes.least) / 2).astype(np.float16).astype(np.float32)
        reach = np.maximum(extremes.most - centre, centre - extremes.least)
        radius = (np.maximum(reach, 0.05 * np.median(reach)) * 1.001).astype(np.float16).astype(np.float32)
        copies = np.ones(size, np.int64)
        if kind == "expanded":  # elsewhere the strongest channels are not that strong
            copies = choose_copies(pack.matrix(f"{at}.fi.w", size).T, radius, _STRONGEST)
        ranges[name] = Range(centre, radius, copies)
    return Calibration(ranges, np.array(floors, np.float32))


def main() -> None:
    """Measure and write."""
    pack = Pack(weights.load_pack())
    tokenizer = Tokenizer.from_str(tokenizer_json(pack, charsmap()).decode("utf-8"))
    random = np.random.default_rng(0)
    ids = windows(tokenizer, random, len(pack.pieces))
    print(f"{len(ids)} windows, {sum(map(len, ids))} tokens", file=sys.stderr)
    calibration = calibrate(pack, measure(pack, ids))
    calibration.save(str(TARGET))
    for name, found in calibration.ranges.items():
        print(name, "copies", int((found.copies - 1).sum()), "radius", found.radius.min(), found.radius.max())
    print("floors", calibration.floors)


if __name__ == "__main__":
    main()
