"""How every kernel is compiled, with the types kept: nothing calls Numba's own decorators.

``nogil`` so that a kernel never holds up the server's event loop, and so that threads run it side by side; ``cache`` so
that a process start loads machine code, which is stale once any source that went into it has changed
(:mod:`~kinprint.kernels.sources`). Numba's own parallel loops are not used: each would be compiled twice more, and
the one threading layer that Numba has on every platform ends the process when two threads enter it.

==========================  ====================================================================
:func:`kernel`              one thread
:func:`regrouping_kernel`   one thread, floating-point sums in whatever order is fastest
:func:`inlined`             a few lines put into the code of each caller
:func:`parallel_kernel`     over items, on all threads (:mod:`~kinprint.kernels.spread`) or the calling one
                            (:mod:`~kinprint.kernels.turn`)
==========================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import numba

from .sources import digest
from .spread import spread

P = ParamSpec("P")
R = TypeVar("R")


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    try:
        compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError as error:
        # No folder to cache in, neither beside the sources nor the user's own: work all the same.
        if "cannot cache" not in str(error):
            raise
        compiled = numba.njit(nogil=True, **options)(function)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None:
        file._source_stamp = (file._source_stamp, digest(Path(function.__code__.co_filename)))
    return compiled


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` on one thread, GIL released, machine code cached."""
    return _compiled(function)


def regrouping_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`; sums may be regrouped so that they run in vector registers, NaN and infinity keep their
    meaning.

    The last bit of a result may depend on the processor, but on nothing else.
    """
    return _compiled(function, fastmath={"reassoc", "contract"})


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, for the few lines that inner loops call for every code point: put into the caller's code."""
    return _compiled(function, inline="always")


class ParallelKernel(Generic[P]):
    """A kernel over items ``first .. last - 1``, its first two arguments, that is called with their number instead."""

    def __init__(self, function: Callable[Concatenate[int, int, P], None], grain: int) -> None:
        self.kernel = kernel(function)
        """Over some of the items, on the calling thread."""
        self.grain = grain
        """Items that are not worth being divided."""
        update_wrapper(self, function)

    def __call__(self, count: int, *arguments: P.args, **named: P.kwargs) -> None:
        """Over the items ``0 .. count - 1``, on all threads in turn, or on the calling one where it asked for that."""
        spread(lambda first, last: self.kernel(first, last, *arguments, **named), int(count), self.grain)


def parallel_kernel(
    grain: int = 1,
) -> Callable[[Callable[Concatenate[int, int, P], None]], ParallelKernel[P]]:
    """As :func:`kernel`, for work on items that threads share, ``grain`` of them or a multiple at a time.

    The function takes the first item, the place after the last, and what else it needs. Its results, left in arrays,
    may depend neither on the runs nor on the threads.
    """

    def decorated(function: Callable[Concatenate[int, int, P], None]) -> ParallelKernel[P]:
        return ParallelKernel(function, grain)

    return decorated
