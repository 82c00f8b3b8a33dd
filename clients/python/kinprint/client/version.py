"""Which version this is."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """The version of the distribution that is installed; "unknown" where the sources were put on the path by hand."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("kinprint")
    except PackageNotFoundError:
        return "unknown"
