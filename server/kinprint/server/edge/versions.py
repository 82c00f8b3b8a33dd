"""Versions of packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version(name: str) -> str:
    """Version of an installed package, "unknown" for a source tree."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
