"""What of the distribution is installed: its version, and which extra brings a library that is not there.

Of the standard library alone: the client, the frames and the reports all begin with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

#: Extras that bring a library, the usual one first, by the name that is imported; what is not here is the server's.
EXTRAS: Mapping[str, Sequence[str]] = {
    "typer": ("cli",),
    "rich": ("cli",),
    "click": ("cli",),
    "polars": ("polars", "cli", "kernels", "report"),
    "pyarrow": ("polars", "cli", "kernels", "report"),
    "numpy": ("kernels", "report"),
    "numba": ("kernels",),
    "llvmlite": ("kernels",),
    "matplotlib": ("report",),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "cryptography": ("sign",),
}


def lacking(error: ModuleNotFoundError, *needed: str) -> str:
    """What is missing, and how to install it.

    Args:
        error: what an import raised.
        needed: extras that the caller needs in any case.
    """
    library = (error.name or str(error)).partition(".")[0]
    bring = EXTRAS.get(library, ("server",))
    names = needed if set(needed).intersection(bring) else (*needed, bring[0])
    return f"{library} is not installed: pip install 'kinprint[{','.join(names)}]'"


@contextmanager
def importing(what: str, *needed: str) -> Iterator[None]:
    """Imports that need extras; `what` is what they are for.

    Raises:
        ModuleNotFoundError: as the import, and with the extra to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "kinprint":
            raise
        raise ModuleNotFoundError(f"{what}: {lacking(error, *needed)}", name=error.name, path=error.path) from error


@cache
def version() -> str:
    """The version of the distribution that is installed; "unknown" where the sources were put on the path by hand."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("kinprint")
    except PackageNotFoundError:
        return "unknown"
