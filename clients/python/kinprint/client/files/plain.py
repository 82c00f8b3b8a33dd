"""Values as libraries of tables give them, made plain: what stands for "missing" becomes None, and scalars Python's.

pandas has NaN, NaT and NA where a value is missing, and NumPy's scalars and arrays where there is one. Neither library
is imported here; their values are told by what they are able to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

_PLAIN = frozenset({str, int, bool, bytes, type(None), datetime, date, time, timedelta})


def plain_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row with plain values: the same one if it has no others."""
    for value in row.values():
        if type(value) not in _PLAIN:
            return {column: plain(value) for column, value in row.items()}
    return row


def plain(value: Any) -> Any:
    """A value without what is particular to pandas or NumPy, within lists and mappings too."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {key: plain(item) for key, item in value.items()}
    if kind is list:
        return [plain(item) for item in value]
    if kind.__name__ == "NAType" and kind.__module__.startswith("pandas"):
        return None
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        if getattr(value.dtype, "kind", "") in "mM":
            # In nanoseconds NumPy's times become integers; Python's have microseconds.
            value = value.astype(f"{'datetime64' if value.dtype.kind == 'M' else 'timedelta64'}[us]")
        found = value.tolist()
        return found if type(found) is kind else plain(found)
    if hasattr(value, "as_py"):  # Arrow's
        return plain(value.as_py())
    if isinstance(value, (float, datetime)):
        return None if value != value else value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value
