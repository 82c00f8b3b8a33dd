"""Versions of packages."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version


@functools.cache  # it reads files, and every answer names our own
def package_version(name: str) -> str:
    """Version of an installed package, "unknown" for a source tree."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
