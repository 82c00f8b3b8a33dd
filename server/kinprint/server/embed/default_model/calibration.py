"""What is known of the values that the default model's matrix products take in: `calibration.npz`.

Measured once over background passages, code, rare scripts and runs of tokens from the whole vocabulary
(`tools/calibrate_default_model.py`) and shipped, so that the built file has the same bytes on every machine.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """Where the channels of a matrix product's input lie: `centre` +- `radius`, float32 [channels].

    Attributes:
        centre: half-way between the smallest and the largest value seen.
        radius: half of the distance between them, positive.
        copies: int64 [channels], at least 1: by how many columns a channel is to be represented.  A few channels are
            so much stronger than the others that the step of the product's weights would follow them alone.
    """

    centre: NDArray[np.float32]
    radius: NDArray[np.float32]
    copies: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Ranges and floors of an encoder's matrix products.

    Attributes:
        ranges: by name: `l0.qkv`, `l0.attended`, `l0.expanded` and so on for every layer.
        floors: float32 [layers]; the values that a layer contracts are quantised row by row, in steps of a part of
            the row's largest value, which counts as this much if it is smaller.
    """

    ranges: dict[str, Range]
    floors: NDArray[np.float32]

    @classmethod
    def load(cls) -> Calibration:
        """The one that ships with the package."""
        return cls.read(resources.files("kinprint.server.embed.default_model").joinpath("calibration.npz").read_bytes())

    @classmethod
    def read(cls, data: bytes) -> Calibration:
        """What `save` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            kinds = {name.rsplit("/", 1)[0] for name in arrays.files if "/" in name}
            ranges = {
                kind: Range(
                    arrays[kind + "/centre"].astype(np.float32),
                    arrays[kind + "/radius"].astype(np.float32),
                    arrays[kind + "/copies"].astype(np.int64),
                )
                for kind in sorted(kinds)
            }
            return cls(ranges, arrays["floors"].astype(np.float32))

    def save(self, path: str) -> None:
        """Write what `read` reads: centre and radius as float16, so that they are the same however they are used."""
        arrays = {"floors": self.floors.astype(np.float16)}
        for kind, found in self.ranges.items():
            arrays[kind + "/centre"] = found.centre.astype(np.float16)
            arrays[kind + "/radius"] = found.radius.astype(np.float16)
            arrays[kind + "/copies"] = found.copies.astype(np.uint8)
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
