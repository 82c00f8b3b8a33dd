"""Values of a document that anybody may have made: what has not the type and range that is relied on is refused.

A panel's digest tells damage, not forgery: whoever writes one can write its digest, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def text(value: Any, name: str) -> str:
    """A text.  Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value


def whole(value: Any, name: str, least: int = 0, most: int = 2**53) -> int:
    """A whole number from `least` to `most`.  Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is no whole number from {least} to {most}")
    return value


def number(value: Any, name: str, least: float = -1e12, most: float = 1e12) -> float:
    """A finite number within bounds.  Raises ValueError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is no number from {least:g} to {most:g}")
    return float(value)


def optional(value: Any, name: str, check: Callable[[Any, str], T]) -> T | None:
    """None, or what `check` takes."""
    return None if value is None else check(value, name)


def listed(value: Any, name: str, check: Callable[[Any, str], T]) -> tuple[T, ...]:
    """A list of what `check` takes.  Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    return tuple(check(item, name) for item in value)


def mapped(value: Any, name: str, check: Callable[[Any, str], T]) -> dict[str, T]:
    """An object whose values `check` takes.  Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no object")
    return {text(key, name): check(item, f"{name}.{key}") for key, item in value.items()}


def ascending(value: Any, name: str) -> NDArray[np.float64]:
    """A list of finite numbers that ascend.  Raises ValueError."""
    found = np.array(listed(value, name, number), np.float64)
    if (found[1:] < found[:-1]).any():
        raise ValueError(f"{name} does not ascend")
    return found


def shares(value: Any, name: str, count: int) -> NDArray[np.float64]:
    """A list of so many shares that make up one.  Raises ValueError."""
    found = np.array(listed(value, name, share), np.float64)
    if len(found) != count or not math.isclose(float(found.sum()), 1.0, rel_tol=1e-6):
        raise ValueError(f"{name} are no {count} shares of one")
    return found


def share(value: Any, name: str) -> float:
    """A number from 0 to 1.  Raises ValueError."""
    return number(value, name, 0.0, 1.0)
