"""Measures a `Calibration`: what `tools/calibrate_default_model.py` ships, and tests make of small models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from kinprint.server.embed.default_model.calibration import Calibration, Range
from kinprint.server.embed.default_model.float_layers import quantised_inputs
from kinprint.server.embed.default_model.int8_layers import choose_copies
from kinprint.server.embed.default_model.onnx_graph import build_float_graph
from kinprint.server.embed.default_model.pack import Pack
from kinprint.server.embed.grouping import equal_lengths
from kinprint.server.embed.session import open_session
from numpy.typing import NDArray

_BATCH_TOKENS = 512
#: Channels that would lead the weights' steps by more than this are split (measured: less gains nothing more).
_STRONGEST = 3.0
#: Where row-wise steps begin: this share of rows has a smaller largest value.
_FLOOR_QUANTILE = 0.1


class _Extremes:
    """Smallest and largest value of each channel, and the largest of each row."""

    def __init__(self, channels: int) -> None:
        self.least = np.full(channels, np.inf, np.float32)
        self.most = np.full(channels, -np.inf, np.float32)
        self.rows: list[NDArray[np.float32]] = []

    def see(self, values: NDArray[np.float32], *, rows: bool) -> None:
        flat = values.reshape(-1, values.shape[-1])
        np.minimum(self.least, flat.min(axis=0), out=self.least)
        np.maximum(self.most, flat.max(axis=0), out=self.most)
        if rows:
            self.rows.append(flat.max(axis=1))


def calibrate(
    pack: Pack, windows: Sequence[NDArray[np.int64]], progress: Callable[[float], None] | None = None
) -> Calibration:
    """Run windows of token ids through the float32 graph and note where values lie.

    Args:
        pack: the model.
        windows: int64 [tokens] each.
        progress: called with the fraction done.
    """
    session = open_session(build_float_graph(pack, tapped=True), threads=1)
    names = quantised_inputs(pack.config.layers)
    size, wide = pack.config.hidden, pack.config.feed_forward
    seen = {name: _Extremes(wide if name.endswith("contracted") else size) for name, _ in names}
    lengths = np.array([len(window) for window in windows])
    groups = equal_lengths(lengths, np.zeros(len(windows), np.int64), _BATCH_TOKENS)
    for done, group in enumerate(groups):
        batch = np.stack([windows[place] for place in group.tolist()])
        values = session.run([tensor for _, tensor in names], {"input_ids": batch})
        for (name, _), value in zip(names, values, strict=True):
            seen[name].see(value, rows=name.endswith("contracted"))
        if progress is not None:
            progress((done + 1) / len(groups))
    ranges = {name: _range(pack, name, found) for name, found in seen.items() if not name.endswith("contracted")}
    floors = [
        float(np.quantile(np.concatenate(found.rows), _FLOOR_QUANTILE))
        for name, found in seen.items()
        if name.endswith("contracted")
    ]
    return Calibration(ranges, _half(np.array(floors, np.float32)))


def _range(pack: Pack, name: str, found: _Extremes) -> Range:
    # Rounded as they will be shipped, before anything is derived from them.
    centre = _half((found.most + found.least) / 2)
    reach = np.maximum(found.most - centre, centre - found.least)
    # A thousandth for the rounding.
    radius = _half(np.maximum(reach, 0.05 * np.median(reach)) * np.float32(1.001))
    copies = np.ones(len(radius), np.int64)
    at, kind = name.split(".")
    if kind == "expanded":  # elsewhere no channel is that much stronger
        copies = choose_copies(pack.matrix(f"{at}.fi.w", pack.config.hidden).T, radius, _STRONGEST)
    return Range(centre, radius, copies)


def _half(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float16).astype(np.float32)
