"""Nearest of many int8 vectors: by a scan of all, or through an inverted file where there are many.

Rules of size, per segment of a corpus:

* fewer than `INDEX_FROM` vectors, and what is not published yet: every vector is looked at;
* from there on an inverted file whose lists are found through an HNSW graph and hold 4-bit product codes (Jégou, Douze
  and Schmid, TPAMI 2011; FAISS' fast scan), built behind publishing, in blocks of `BLOCK` vectors; until it is there
  every vector is looked at.  What it brings up is scored exactly from the int8 vectors;
* where few rows pass a filter, just those are looked at.

How many lists a search visits is the least of `PROBES` that gives the exact ten nearest of queries held out with a
recall of `RECALL`, measured when the index is built and kept beside it.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from kinprint.kernels.embed import pool
from kinprint.kernels.embed.pool import RowVectors
from kinprint.server.store import digests, files
from numpy.typing import NDArray

if TYPE_CHECKING:
    import faiss

logger = logging.getLogger(__name__)

#: Vectors of a segment from which on it has an inverted file.
INDEX_FROM = 20_000
#: Passing vectors up to which just those are looked at.
FEW = 20_000
#: Vectors in memory at once while an index is built or scanned.
BLOCK = 32_768
#: Vectors that the index brings up for exact scoring, at least, and for each one asked for.
RESCORED, RESCORED_EACH = 512, 4
#: Lists visited, tried from the first; the recall that is enough; queries that it is measured on.
PROBES = (16, 32, 64, 128, 256)
RECALL = 0.985
HELD_OUT = 64
#: Vectors that each list is trained on.
_TRAINED = 40
#: Dimensions of one 4-bit code.
_CODED = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """What an inverted file is worth: `recall` of the exact ten nearest of held-out queries at `probes` lists."""

    vectors: int
    lists: int
    probes: int
    recall: float


class Inverted:
    """An inverted file over the vectors of a chunk, and what it was measured to be worth.

    One on disk is read when it is first searched; its file may be unlinked before that.
    """

    def __init__(self, measured: Measured, index: faiss.Index | None = None, file: IO[bytes] | None = None) -> None:
        self.measured = measured
        self._index = index
        self._file = file
        self._turn = threading.Lock()

    def __reduce__(self) -> Any:
        """For another process: it does without."""
        return _none, ()

    @property
    def index(self) -> faiss.Index:
        """The index itself."""
        with self._turn:
            if self._index is None:
                import faiss

                assert self._file is not None
                named = f"/proc/self/fd/{self._file.fileno()}"
                path = named if os.path.exists(named) else self._file.name
                self._index = faiss.read_index(path, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
            return self._index


def _none() -> None:
    """What an index is elsewhere."""


def build(codes: NDArray[np.int8]) -> Inverted | None:
    """An inverted file over the directions of int8 vectors [n, d]; None where they are few.

    Deterministic: sample, training and order are fixed.
    """
    n, width = codes.shape
    if n < INDEX_FROM:
        return None
    import faiss  # here and below where there are vectors: a corpus without embeddings has no use for it

    lists = int(2 ** np.floor(np.log2(min(6 * np.sqrt(n), n / _TRAINED))))
    coded = width // _CODED if width % _CODED == 0 else width
    index = faiss.index_factory(width, f"IVF{lists}_HNSW32,PQ{coded}x4fs", faiss.METRIC_INNER_PRODUCT)
    inverted = faiss.extract_index_ivf(index)
    inverted.cp.niter = 6
    random = np.random.default_rng(0)
    sample = np.sort(random.choice(n, min(n, lists * _TRAINED), replace=False))
    index.train(directions(codes[sample]))
    for start in range(0, n, BLOCK):
        index.add(directions(codes[start : start + BLOCK]))
    return Inverted(_measured(index, codes, lists, random), index)


def _measured(index: faiss.Index, codes: NDArray[np.int8], lists: int, random: np.random.Generator) -> Measured:
    """Lists to visit and the recall that they give, on rows of the chunk held out as queries.

    A query's own vector, and whatever equals it, does not count: it is found however bad the index is.
    """
    chosen = np.sort(random.choice(len(codes), min(HELD_OUT, len(codes)), replace=False))
    queries = directions(codes[chosen])
    vectors = RowVectors(codes, scales_of(codes))
    exact = [labels[scores < 1 - 1e-6][:10] for labels, scores in nearest(queries, vectors, None, None, 30)]
    probes, recall = PROBES[-1], 0.0
    for probes in PROBES:
        found = _through(queries, vectors, index, None, 64, probes)
        hits = [len(np.intersect1d(a, b)) / len(a) for a, (b, _) in zip(exact, found, strict=True) if len(a)]
        recall = float(np.mean(hits)) if hits else 1.0
        if recall >= RECALL or probes >= lists:
            break
    return Measured(len(codes), lists, probes, recall)


def directions(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Unit vectors float32 of int8 ones; zero stays zero."""
    wide = codes.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return np.asarray(np.divide(wide, norms, out=wide, where=norms > 0), np.float32)


def scales_of(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """What makes int8 vectors [n, d] unit vectors, float32 [n]; 0 for zeros."""
    scales = np.zeros(len(codes), np.float32)
    for start in range(0, len(codes), BLOCK):
        wide = codes[start : start + BLOCK].astype(np.int32)
        squares = np.einsum("ij,ij->i", wide, wide)
        filled = squares > 0
        scales[start : start + BLOCK][filled] = 1 / np.sqrt(squares[filled].astype(np.float32))
    return scales


def quantised(vectors: NDArray[np.float32]) -> RowVectors:
    """Unit vectors [n, d] in int8, unit vectors again but for the rounding of their directions."""
    codes = pool.quantised(vectors).rows
    return RowVectors(codes, scales_of(codes))


def _best(
    positions: NDArray[np.int64], scores: NDArray[np.float32], top: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `top` best, best first; equal scores go to the earlier position."""
    if len(scores) > top:
        kept = scores >= np.partition(scores, len(scores) - top)[len(scores) - top]
        positions, scores = positions[kept], scores[kept]
    order = np.lexsort((positions, -scores))[:top]
    return positions[order], scores[order]


def nearest(
    queries: NDArray[np.float32],
    vectors: RowVectors,
    inverted: Inverted | None,
    passing: NDArray[np.int64] | None,
    top: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each of some unit queries [k, d] about the `top` nearest vectors that pass (None: all do).

    Positions with exact cosines, best first.
    """
    if inverted is not None and (passing is None or len(passing) > FEW):
        try:
            return _through(queries, vectors, inverted.index, passing, top, inverted.measured.probes)
        except (RuntimeError, OSError) as error:  # FAISS reads damaged files as far as it can
            logger.warning("an index over vectors cannot be searched, so each is looked at: %s", error)
    if passing is None:
        passing = np.arange(len(vectors.rows))
    parts = [
        (some, pool.dots(vectors, some, queries))
        for some in (passing[start : start + BLOCK] for start in range(0, len(passing), BLOCK))
    ]
    positions = np.concatenate([some for some, _ in parts]) if parts else passing
    scores = np.concatenate([made for _, made in parts]) if parts else np.zeros((0, len(queries)), np.float32)
    return [_best(positions, scores[:, k], top) for k in range(len(queries))]


def _through(
    queries: NDArray[np.float32],
    vectors: RowVectors,
    index: faiss.Index,
    passing: NDArray[np.int64] | None,
    top: int,
    probes: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    import faiss

    selector = None
    if passing is not None:
        bits = np.zeros(len(vectors.rows), np.bool_)
        bits[passing] = True
        selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[arg-type, call-arg]
    parameters = faiss.SearchParametersIVF(nprobe=probes, sel=selector)  # type: ignore[call-arg]
    wanted = min(max(RESCORED, RESCORED_EACH * top), len(vectors.rows))
    _, labels = index.search(np.ascontiguousarray(queries), wanted, params=parameters)
    found = []
    for query, row in zip(queries, labels, strict=True):
        some = row[(row >= 0) & (row < len(vectors.rows))]  # beyond only where the file is damaged
        found.append(_best(some, pool.dots(vectors, some, query[None])[:, 0], top))
    return found


def save(folder: Path, name: str, inverted: Inverted | None) -> None:
    """Write an inverted file to `NAME.faiss` and `NAME-index.json` in a segment's folder, flushed."""
    if inverted is None:
        return
    import faiss

    # The index under its name is whole, and what says how to use it is there before it.
    scratch = folder / f".{name}.faiss"
    try:
        faiss.write_index(inverted.index, str(scratch))
    except RuntimeError as error:
        scratch.unlink(missing_ok=True)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not there any more") from error
        raise OSError(f"an index could not be written to {scratch}: {error}") from error
    files.fsync_file(scratch)
    digest = digests.digest_of_file(scratch)
    files.write_json(folder / f"{name}-index.json", {**asdict(inverted.measured), "digest": digest})
    digests.trust(scratch, digest)
    scratch.rename(folder / f"{name}.faiss")
    files.fsync_directory(folder)


def load(folder: Path, name: str, codes: NDArray[np.int8]) -> Inverted | None:
    """Map what `save` wrote of an index over these vectors; None where there is none, or one that is not over them."""
    try:
        file = (folder / f"{name}.faiss").open("rb")
    except FileNotFoundError:
        return None
    try:
        told = files.read_json(folder / f"{name}-index.json")
        if (digest := told.pop("digest", None)) is not None:
            digests.verify(folder / f"{name}.faiss", digest)
        measured = Measured(**told)
    except (OSError, ValueError, TypeError) as error:
        logger.warning("the index %s cannot be used: %s", folder / f"{name}.faiss", error)
        measured = Measured(0, 0, 0, 0.0)
    if measured.vectors != len(codes) or measured.probes < 1:
        logger.warning("the index %s is not one of the vectors beside it; it is built anew", folder / f"{name}.faiss")
        file.close()
        return None
    return Inverted(measured, file=file)
