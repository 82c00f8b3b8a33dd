"""Tables that the kernels go by, as `tools/` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load_tables(name: str, version: str) -> dict[str, NDArray[Any]]:
    """The arrays of ``tables/name``, by name.

    Raises
    ------
    ImportError
        If they are of another version of their source.
    """
    with np.load(Path(__file__).with_name("tables") / name) as archive:
        tables = {key: archive[key] for key in archive.files}
    held = str(tables["version"])
    if held != version:
        raise ImportError(f"tables/{name} holds {held}, this code is written for {version}")
    return tables
