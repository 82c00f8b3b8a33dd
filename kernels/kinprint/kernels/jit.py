"""How every kernel is compiled, with the types kept: nothing calls Numba's own decorators.

``nogil`` so that a kernel never holds up the server's event loop; ``cache`` so that a process start loads machine
code. Numba looks at a kernel's own file only when it decides whether its cached code is stale: after an edit to a
module whose kernels are inlined elsewhere, delete the ``__pycache__`` folders.

==========================  ====================================================================
:func:`kernel`              one thread
:func:`regrouping_kernel`   one thread, floating-point sums in whatever order is fastest
:func:`inlined`             a few lines put into the code of each caller
:func:`parallel_kernel`     all threads, or the calling one (see :mod:`~kinprint.kernels.turn`)
==========================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Generic, ParamSpec, TypeVar, cast

import numba

from .turn import on_calling_thread, turn

P = ParamSpec("P")
R = TypeVar("R")

prange = numba.prange
"""Parallel ``range`` inside a :func:`parallel_kernel`."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` on one thread, GIL released, machine code cached."""
    compiled: Callable[P, R] = numba.njit(nogil=True, cache=True)(function)
    return compiled


def regrouping_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`; sums may be regrouped so that they run in vector registers, NaN and infinity keep their
    meaning.

    The last bit of a result may depend on the processor, but on nothing else.
    """
    compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})(function)
    return compiled


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, for the few lines that inner loops call for every code point: put into the caller's code."""
    compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, inline="always")(function)
    return compiled


class ParallelKernel(Generic[P, R]):
    """Both compiled forms of one function, each made when it is first called; their results are equal."""

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = cast(FunctionType, function)
        update_wrapper(self, function)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Run on the calling thread if that is asked for, else on all threads in turn."""
        if on_calling_thread():
            return self.serial(*arguments, **named)
        with turn():
            return self.parallel(*arguments, **named)

    # Two threads that get here at once make one dispatcher each and keep the last: code compiled for the other is
    # found again in the cache.
    @cached_property
    def parallel(self) -> Callable[P, R]:
        """The form whose :data:`prange` loops are spread over threads; for the holder of the turn alone."""
        return cast(Callable[P, R], numba.njit(nogil=True, cache=True, parallel=True)(self._function))

    @cached_property
    def serial(self) -> Callable[P, R]:
        """The form that runs on the calling thread."""
        # Numba names cached code by the qualified name and not by the options, so that this form needs a name of its
        # own: under one name each form would load the other's code.
        function = self._function
        twin = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        update_wrapper(twin, function)
        del twin.__dict__["__wrapped__"]
        twin.__qualname__ = f"{function.__qualname__}_on_calling_thread"
        return cast(Callable[P, R], numba.njit(nogil=True, cache=True)(twin))


def parallel_kernel(function: Callable[P, R]) -> ParallelKernel[P, R]:
    """As :func:`kernel`, with :data:`prange` loops spread over threads; no result may depend on their number.

    Calls take turns, unless the thread has asked to run such kernels by itself (see :mod:`~kinprint.kernels.turn`).
    """
    return ParallelKernel(function)


def threads() -> int:
    """Threads that a parallel kernel called now runs on, for those who divide work or scratch among them."""
    return 1 if on_calling_thread() else int(numba.get_num_threads())
