"""Which token windows run through the model together.

Windows of equal length need no padding, and equal windows need to run only once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from kinprint.server.embed.protocol import Embedder, TokenPlan
from numpy.typing import NDArray

#: Windows that have to do with each other are grouped over so many texts: enough that most lengths fill a group.
POOL_TEXTS = 4096


def equal_lengths(lengths: NDArray[np.int64], kinds: NDArray[np.int64], most_tokens: int) -> list[NDArray[np.int64]]:
    """Groups of windows of one length and kind, the longest first.

    Args:
        lengths: int64 [n], tokens of each window.
        kinds: int64 [n]; windows of different kinds never meet.
        most_tokens: tokens of a group; a longer window is a group of its own.

    Returns:
        Places of each group's windows, in rising order.
    """
    order = np.lexsort((np.arange(len(lengths)), kinds, -lengths))
    groups: list[NDArray[np.int64]] = []
    begin = 0
    while begin < len(order):
        first = order[begin]
        end = begin + 1
        room = max(1, most_tokens // max(int(lengths[first]), 1))
        while (
            end < len(order)
            and end - begin < room
            and lengths[order[end]] == lengths[first]
            and kinds[order[end]] == kinds[first]
        ):
            end += 1
        groups.append(order[begin:end])
        begin = end
    return groups


class Pool:
    """The windows of some texts, grouped, and their vectors as they come in.

    Args:
        embedder: says which windows run together.
        plans: of the texts.

    Attributes:
        groups: places of windows that run together; `windows_of` gives the windows, `put` takes their vectors.
    """

    def __init__(self, embedder: Embedder, plans: Sequence[TokenPlan]) -> None:
        self._plans = plans
        places: dict[bytes, int] = {}
        self._windows: list[NDArray[np.int64]] = []
        self._owned: list[list[int]] = []
        for plan in plans:
            owned = []
            for window in plan.windows:
                place = places.setdefault(window.tobytes(), len(self._windows))
                if place == len(self._windows):
                    self._windows.append(window)
                owned.append(place)
            self._owned.append(owned)
        self._vectors = np.empty((len(self._windows), embedder.dim), np.float32)
        self.groups = embedder.groups(self._windows)

    def windows_of(self, group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The windows of a group, all of one length."""
        return [self._windows[place] for place in group.tolist()]

    def put(self, group: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Unit vectors float32 [len(group), dim] of a group's windows."""
        self._vectors[group] = vectors

    def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of the texts, float32 [texts, dim], once every group was put.

        A text of several windows has the mean of their vectors, weighted by their tokens.

        Raises:
            ValueError: such a mean is zero.
        """
        out = np.empty((len(self._plans), self._vectors.shape[1]), np.float32)
        for row, (plan, owned) in enumerate(zip(self._plans, self._owned, strict=True)):
            out[row] = self._vectors[owned[0]] if len(owned) == 1 else mean_of(plan, self._vectors[owned])
        return out


def mean_of(plan: TokenPlan, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vector float32 [dim] of a text from those of its windows, weighted by their tokens.

    Raises:
        ValueError: the mean is zero.
    """
    mean = plan.weights @ vectors
    norm = float(np.linalg.norm(mean))
    if norm == 0.0:
        raise ValueError("the vectors of a text's windows cancel each other out")
    return np.asarray(mean / np.float32(norm), np.float32)
