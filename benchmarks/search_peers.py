"""Peers of search: what reads all style vectors with NumPy, and MinHash with LSH from other libraries.

All run in process and give keys alone: no record, no filters, no evidence, no spans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from kinprint.client import Client
from numpy.typing import NDArray

SHINGLE = 3
"""Words of a shingle."""
PERMUTATIONS, BANDS = 128, 32
THRESHOLD = 0.7
_BATCH_BYTES, _BATCH_TEXTS = 2_000_000, 1_000


def style_vectors(client: Client, texts: pl.Series) -> NDArray[np.int8]:
    """int8[n, 512]: style vectors of texts, as the server makes them."""
    # Batches that a message can hold.
    number = (texts.str.len_bytes().cum_sum() // _BATCH_BYTES).rle_id()
    found = []
    for _, batch in pl.DataFrame({"text": texts, "batch": number}).group_by("batch", maintain_order=True):
        for part in batch.iter_slices(_BATCH_TEXTS):
            styles = client.fingerprint(part["text"].to_list(), channels=["style"]).styles
            assert styles is not None
            found.append(styles.numpy())
    return np.concatenate(found)


def _timed(ask: Callable[[int], object], count: int, warm: int) -> list[float]:
    """Milliseconds of each of the first `count - warm` queries, after the last `warm` ones."""
    for i in range(count - warm, count):
        ask(i)
    times = []
    for i in range(count - warm):
        started = time.perf_counter()
        ask(i)
        times.append((time.perf_counter() - started) * 1000)
    return times


def numpy_style(vectors: NDArray[np.int8], queries: NDArray[np.int8], top: int, warm: int) -> dict[str, Any]:
    """Cosine of z-scored vectors, every row read for every query (Cosine Delta without the floor on deviations)."""
    started = time.perf_counter()
    mean = vectors.mean(axis=0, dtype=np.float32)
    inverse = 1 / np.maximum(vectors.std(axis=0, dtype=np.float32), 1e-6)

    def scaled(rows: NDArray[np.int8]) -> NDArray[np.float32]:
        z = (rows - mean) * inverse
        z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
        return z

    known, asked = scaled(vectors), scaled(queries)
    build = time.perf_counter() - started

    def ask(i: int) -> NDArray[np.int64]:
        scores = known @ asked[i]
        best = np.argpartition(-scores, min(top, len(scores) - 1))[:top]
        return best[np.argsort(-scores[best])]

    return {"ms": _timed(ask, len(asked), warm), "build": build, "rows": len(known), "mb": known.nbytes / 1e6}


def shingles(text: str) -> list[str]:
    """Successive words of a text, in lower case."""
    words = text.lower().split()
    return [" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))]


def rensa(texts: Sequence[str], queries: Sequence[str], warm: int) -> dict[str, Any]:
    """rensa's `RMinHash` and `RMinHashLSH`.

    Raises:
        ImportError: it is not installed.
    """
    from rensa import RMinHash, RMinHashLSH

    def sketch(text: str) -> RMinHash:
        made = RMinHash(num_perm=PERMUTATIONS, seed=1)
        made.update(shingles(text))
        return made

    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
    started = time.perf_counter()
    for i, text in enumerate(texts):
        index.insert(i, sketch(text))
    build = time.perf_counter() - started
    ms = _timed(lambda i: index.query(sketch(queries[i])), len(queries), warm)
    return {"ms": ms, "build": build, "rows": len(texts)}


def datasketch(texts: Sequence[str], queries: Sequence[str], warm: int) -> dict[str, Any]:
    """datasketch's `MinHash` and `MinHashLSH`.

    Raises:
        ImportError: it is not installed.
    """
    from datasketch import MinHash, MinHashLSH

    def sketch(text: str) -> MinHash:
        made = MinHash(num_perm=PERMUTATIONS, seed=1)
        made.update_batch([shingle.encode() for shingle in shingles(text)])
        return made

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS))
    started = time.perf_counter()
    for i, text in enumerate(texts):
        index.insert(i, sketch(text), check_duplication=False)
    build = time.perf_counter() - started
    ms = _timed(lambda i: index.query(sketch(queries[i])), len(queries), warm)
    return {"ms": ms, "build": build, "rows": len(texts)}


LSH: dict[str, Callable[[Sequence[str], Sequence[str], int], dict[str, Any]]] = {
    "rensa": rensa,
    "datasketch": datasketch,
}
