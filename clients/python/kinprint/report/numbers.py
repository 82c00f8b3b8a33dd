"""Figures as a reader meets them. What is missing is said to be missing; it never becomes a zero."""

from __future__ import annotations

import json
import math

from kinprint.report.parts import number

MISSING = "not available"


def _signed(text: str) -> str:
    return text.replace("-", "\u2212")


def decimal(value: object, places: int = 2) -> str:
    """`1,234.50`; small values keep two significant digits."""
    found = number(value)
    if found is None:
        return MISSING
    if found != 0 and abs(found) < 0.5 * 10**-places:
        return _signed(f"{found:.1e}")
    return _signed(f"{found:,.{places}f}")


def whole(value: object) -> str:
    """`1,234`."""
    found = number(value)
    return MISSING if found is None else _signed(f"{found:,.0f}")


def percent(value: object) -> str:
    """A share from 0 to 1 as per cent."""
    found = number(value)
    if found is None:
        return MISSING
    share = 100 * found
    if share == 0 or share == 100:
        return f"{share:.0f} %"
    if share < 0.1:
        return "under 0.1 %"
    if 99.9 < share < 100:
        return "over 99.9 %"
    return f"{share:.1f} %" if share < 10 or share > 99 else f"{share:.0f} %"


def rate(value: object) -> str:
    """A share as per cent; a rate above one, which is no share, as it is."""
    found = number(value)
    return decimal(found) if found is not None and found > 1 else percent(found)


def p_value(value: object) -> str:
    """A p-value with two significant digits."""
    found = number(value)
    if found is None:
        return MISSING
    return f"{found:.2g}" if found >= 0.0001 else f"{found:.1e}".replace("e-0", "e-").replace("-", "\u2212")


def times(log10: float) -> str:
    """10 to the power of `log10`, in two significant digits: `250`, `1.8`."""
    if log10 > 15:
        return f"10^{log10:.0f}"
    ratio = 10.0**log10
    if ratio < 10:
        return f"{ratio:.1f}"
    digits = math.floor(math.log10(ratio)) - 1
    return f"{round(ratio, -digits):,.0f}"


def anything(value: object) -> str:
    """A parameter of any type on one line."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def flat(values: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Names and values of nested parameters, sorted by name: `panel.size`."""
    found: list[tuple[str, str]] = []
    for key in sorted(values):
        value = values[key]
        if isinstance(value, dict) and value:
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, anything(value)))
    return found
