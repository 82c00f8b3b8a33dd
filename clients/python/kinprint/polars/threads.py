"""How kernels and Polars share a process: Numba's threading layer, and one parallel kernel at a time.

Imported before anything that imports Numba.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

if "numba" not in sys.modules:
    # The work queue ships with Numba on every platform; the other layers depend on what the machine happens to have.
    os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

TURN: Final = threading.Lock()
"""Held around every call of a parallel kernel: the work queue wants one at a time, and each uses all cores.

Polars calls Python from several threads. Nothing else is done under this lock, so that no thread which holds it waits
for another: callers' functions are called, and frames collected, without it.
"""
