"""Reading reports in which anything may be null, empty or missing."""

from __future__ import annotations

from typing import Any


class NotAReport(ValueError):  # noqa: N818
    """The data is no report of the kind asked for, or one of a newer version."""


def part(data: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key; empty when there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def rows(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The mappings listed under a key; empty when there are none."""
    value = data.get(key)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def words(data: dict[str, Any], key: str) -> list[str]:
    """The strings listed under a key; empty when there are none."""
    value = data.get(key)
    return [str(item) for item in value if item is not None] if isinstance(value, list) else []


def figures(data: dict[str, Any], key: str) -> list[float | None]:
    """The numbers listed under a key, None for one that is missing."""
    value = data.get(key)
    return [number(item) for item in value] if isinstance(value, list) else []


def number(value: object) -> float | None:
    """A finite number, or None. Truth values are no numbers."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def check_format(data: dict[str, Any], name: str, version: int) -> None:
    """Raise NotAReport when the data says that it is something else; data that does not say is taken as it is."""
    found = data.get("format", name)
    if found != name:
        raise NotAReport(f"this is {found!r}, not {name!r}")
    found_version = data.get("version", version)
    if not isinstance(found_version, int) or found_version > version:
        raise NotAReport(f"{name} of version {found_version!r}; this Kinprint reads version {version} and older")
