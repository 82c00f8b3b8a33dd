"""How every kernel is compiled, with the types kept.

``nogil`` so that a kernel never holds up the server's event loop; ``cache`` so that a process start loads machine
code. Numba looks at a kernel's own file only when it decides whether its cached code is stale: after an edit to a
module whose kernels are inlined elsewhere, delete the ``__pycache__`` folders.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numba

from .turn import turn

P = ParamSpec("P")
R = TypeVar("R")

prange = numba.prange
"""Parallel ``range`` inside a :func:`parallel_kernel`."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` on one thread, GIL released, machine code cached."""
    compiled: Callable[P, R] = numba.njit(nogil=True, cache=True)(function)
    return compiled


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, for the few lines that inner loops call for every code point: put into the caller's code."""
    compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, inline="always")(function)
    return compiled


def parallel_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, with :data:`prange` loops spread over threads; no result may depend on their number.

    Calls take turns (see :mod:`~kinprint.kernels.turn`).
    """
    compiled: Callable[P, R] = numba.njit(nogil=True, cache=True, parallel=True)(function)

    @wraps(function)
    def taking_turns(*arguments: P.args, **named: P.kwargs) -> R:
        with turn():
            return compiled(*arguments, **named)

    return taking_turns
