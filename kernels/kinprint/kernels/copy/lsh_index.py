"""An LSH index that grows and shrinks: near-duplicates of one sketch at a time, among millions of rows.

Rows lie in segments. A segment is never changed: its rows are in the order of their ids, which makes an id findable by
binary search, and its bands are what :func:`~kinprint.kernels.copy.lsh.build` makes of its sketches. New rows become a
new segment, and a segment that is no larger than all smaller ones together is merged with these. So n rows lie in at
most log2(n) + 1 segments; and each copy of a row leaves it in a segment at least twice as large, so that a row is
copied at most log2(n) times (J. L. Bentley, J. B. Saxe, "Decomposable searching problems", Journal of Algorithms 1980;
P. O'Neil, E. Cheng, D. Gawlick, E. O'Neil, "The log-structured merge-tree", Acta Informatica 1996). Rows that are gone are
left out then.

Each change has a number, and each row notes the change that removed it. A query takes the last number and the segments
at one moment, and counts a row as there if it was not removed up to that number; what happens meanwhile is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from kinprint.kernels.arrow import frozen
from kinprint.kernels.copy import lsh
from kinprint.kernels.copy.lsh import _build_band, _check_banding, agreements, band_key
from kinprint.kernels.copy.sketch import EMPTY, SLOTS, Scheme, check_signature, check_signatures
from kinprint.kernels.jit import kernel, parallel_kernel, prange
from numpy.typing import NDArray

FORMAT: Final = 1
"""Version of what :meth:`LshIndex.arrays` gives."""

_THERE: Final = np.iinfo(np.int64).max
"""In place of the change that removed a row, where none did."""
_ALONE: Final = 4096
"""Rows that are not worth waking other threads for, which may be busy."""
_MOVED_AT_ONCE: Final = 1024
"""Rows that one thread copies at once."""


class _Segment(NamedTuple):
    """m rows, p of them not blank; all arrays but ``removed`` are read-only and may be memory maps."""

    #: int64[m], ascending.
    ids: NDArray[np.int64]
    #: uint32[m, 128].
    signatures: NDArray[np.uint32]
    #: uint64[bands, p]: ascending within each band.
    keys: NDArray[np.uint64]
    #: int32[bands, p]: the row of each key.
    rows: NDArray[np.int32]
    #: int64[m]: the change that removed each row.
    removed: NDArray[np.int64]
    #: Rows that are there.
    live: int


class _State(NamedTuple):
    """What a query sees: the number of the last change, and the segments."""

    change: int
    segments: tuple[_Segment, ...]


@kernel
def _query(
    ids: NDArray[np.int64],
    signatures: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
    removed: NDArray[np.int64],
    change: int,
    band_rows: int,
    signature: NDArray[np.uint32],
    least: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Ids and agreements of the rows of one segment, in no set order."""
    bands, m = keys.shape
    wanted = np.empty(bands, np.uint64)
    first = np.zeros(bands, np.int64)
    for band in range(bands):
        wanted[band] = band_key(signature, band, band_rows)
    # All bands go down together, without branches, so that their cache misses overlap.
    left = m
    while left > 0:
        half = max(left >> 1, 1)
        for band in range(bands):
            first[band] += half if keys[band, first[band] + half - 1] < wanted[band] else 0
        left -= half
    total = 0
    for band in range(bands):
        place = first[band]
        while place < m and keys[band, place] == wanted[band]:
            place += 1
        total += place - first[band]
    room = min(total, ids.size)
    found = np.empty(room, np.int64)
    equal = np.empty(room, np.int32)
    k = 0
    for band in range(bands):
        place = first[band]
        while place < m and keys[band, place] == wanted[band]:
            row = rows[band, place]
            place += 1
            if removed[row] <= change:
                continue
            # The slots themselves decide, so that a row is reported by the first band that it agrees in.
            other = signatures[row]
            same = True
            for j in range(band * band_rows, (band + 1) * band_rows):
                same = same and signature[j] == other[j]
            earlier = 0
            while same and earlier < band:
                agrees = True
                for j in range(earlier * band_rows, (earlier + 1) * band_rows):
                    if signature[j] != other[j]:
                        agrees = False
                        break
                same = not agrees
                earlier += 1
            if not same:
                continue
            count = agreements(signature, other)
            if count >= least:
                found[k] = ids[row]
                equal[k] = count
                k += 1
    return found[:k], equal[:k]


@kernel
def _build_here(
    signatures: NDArray[np.uint32],
    present: NDArray[np.int32],
    band_rows: int,
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
) -> None:
    """:func:`~kinprint.kernels.copy.lsh.build` on this thread."""
    for band in range(keys.shape[0]):
        _build_band(signatures, present, band, band_rows, keys[band], rows[band])


@kernel
def _move_some(
    first: int, last: int, signatures: NDArray[np.uint32], numbers: NDArray[np.int32], out: NDArray[np.uint32]
) -> None:
    """Copy rows first .. last-1, each to its new number in ``out``; those with a number below zero are dropped."""
    for i in range(first, last):
        if numbers[i] >= 0:
            for j in range(SLOTS):
                out[numbers[i], j] = signatures[i, j]


@parallel_kernel
def _move(signatures: NDArray[np.uint32], numbers: NDArray[np.int32], out: NDArray[np.uint32]) -> None:
    n = numbers.size
    for c in prange((n + _MOVED_AT_ONCE - 1) // _MOVED_AT_ONCE):
        _move_some(c * _MOVED_AT_ONCE, min(n, (c + 1) * _MOVED_AT_ONCE), signatures, numbers, out)


@kernel
def _merge_some(
    first: int,
    last: int,
    keys_a: NDArray[np.uint64],
    rows_a: NDArray[np.int32],
    numbers_a: NDArray[np.int32],
    keys_b: NDArray[np.uint64],
    rows_b: NDArray[np.int32],
    numbers_b: NDArray[np.int32],
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
) -> None:
    """Merge bands first .. last-1 of two segments into ``keys`` and ``rows``, under the new numbers of their rows; rows
    with a number below zero are dropped."""
    m_a = keys_a.shape[1]
    m_b = keys_b.shape[1]
    for band in range(first, last):
        i = 0
        j = 0
        k = 0
        while i < m_a or j < m_b:
            if j == m_b or (i < m_a and keys_a[band, i] <= keys_b[band, j]):
                key = keys_a[band, i]
                number = numbers_a[rows_a[band, i]]
                i += 1
            else:
                key = keys_b[band, j]
                number = numbers_b[rows_b[band, j]]
                j += 1
            if number >= 0:
                keys[band, k] = key
                rows[band, k] = number
                k += 1


@parallel_kernel
def _merge(
    keys_a: NDArray[np.uint64],
    rows_a: NDArray[np.int32],
    numbers_a: NDArray[np.int32],
    keys_b: NDArray[np.uint64],
    rows_b: NDArray[np.int32],
    numbers_b: NDArray[np.int32],
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
) -> None:
    for band in prange(keys.shape[0]):
        _merge_some(band, band + 1, keys_a, rows_a, numbers_a, keys_b, rows_b, numbers_b, keys, rows)


def _segment(ids: NDArray[np.int64], signatures: NDArray[np.uint32], bands: int, band_rows: int) -> _Segment:
    """Rows in the order of their ids."""
    if len(ids) > _ALONE:
        keys, rows = lsh.build(signatures, bands, band_rows)
    else:
        present = np.flatnonzero(signatures[:, 0] != EMPTY).astype(np.int32)
        keys, rows = np.empty((bands, len(present)), np.uint64), np.empty((bands, len(present)), np.int32)
        _build_here(frozen(signatures), frozen(present), band_rows, keys, rows)
    removed = np.full(len(ids), _THERE, np.int64)
    return _Segment(frozen(ids), frozen(signatures), frozen(keys), frozen(rows), removed, len(ids))


def _merged(segments: Sequence[_Segment]) -> _Segment:
    """One segment of what is left of some, the smallest first."""
    there = [segment.removed == _THERE for segment in segments]
    ids = np.concatenate([segment.ids[kept] for segment, kept in zip(segments, there, strict=True)])
    n = len(ids)
    if n >= 2**31:
        raise ValueError(f"at most 2^31 - 1 rows, not {n}")
    order = np.argsort(ids, kind="stable")
    places = np.empty(n, np.int32)
    places[order] = np.arange(n, dtype=np.int32)
    signatures = np.empty((n, SLOTS), np.uint32)
    bands = segments[0].keys.shape[0]
    keys, rows = np.empty((bands, 0), np.uint64), np.empty((bands, 0), np.int32)
    before = np.empty(0, np.int32)
    start = 0
    for segment, kept in zip(segments, there, strict=True):
        numbers = np.full(len(kept), -1, np.int32)
        numbers[kept] = places[start : start + segment.live]
        start += segment.live
        if n > _ALONE:
            _move(segment.signatures, frozen(numbers), signatures)
        else:
            _move_some(0, len(numbers), segment.signatures, frozen(numbers), signatures)
        present = np.count_nonzero(segment.signatures[kept, 0] != EMPTY)
        more_keys = np.empty((bands, keys.shape[1] + present), np.uint64)
        more_rows = np.empty((bands, keys.shape[1] + present), np.int32)
        first = (frozen(keys), frozen(rows), frozen(before))
        second = (segment.keys, segment.rows, frozen(numbers))
        if n > _ALONE:
            _merge(*first, *second, more_keys, more_rows)
        else:
            _merge_some(0, bands, *first, *second, more_keys, more_rows)
        keys, rows = more_keys, more_rows
        before = np.arange(n, dtype=np.int32)
    removed = np.full(n, _THERE, np.int64)
    return _Segment(frozen(ids[order]), frozen(signatures), frozen(keys), frozen(rows), removed, n)


def _settled(segments: Sequence[_Segment]) -> tuple[_Segment, ...]:
    """Segments, the largest first, each larger than all smaller ones together and with at least half of its rows there.

    What is so already stays as it is.
    """
    kept = sorted((segment for segment in segments if segment.live), key=lambda segment: segment.live)
    total = last = 0
    for k, segment in enumerate(kept):
        if k > 0 and segment.live <= total:
            last = k + 1
        total += segment.live
    out = [_merged(kept[:last])] if last else []
    out += [_merged([s]) if 2 * s.live < len(s.ids) else s for s in kept[last:]]
    return tuple(reversed(out))


def _find(segments: Sequence[_Segment], ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """For each segment, its rows with one of ``ids`` that are there."""
    out = []
    for segment in segments:
        rows = np.minimum(np.searchsorted(segment.ids, ids), len(segment.ids) - 1)
        rows = rows[segment.ids[rows] == ids]
        out.append(rows[segment.removed[rows] == _THERE])
    return out


def _remove(segments: Sequence[_Segment], found: Sequence[NDArray[np.int64]], change: int) -> tuple[_Segment, ...]:
    """Note that a change removes rows: nothing to whoever sees the state before it."""
    out = []
    for segment, rows in zip(segments, found, strict=True):
        segment.removed[rows] = change
        out.append(segment._replace(live=segment.live - len(rows)))
    return tuple(out)


def _read_segments(arrays: Mapping[str, NDArray[Any]], bands: int) -> Iterator[_Segment]:
    """The segments of what :meth:`LshIndex.arrays` gave."""
    k = 0
    while f"{k}.ids" in arrays:
        kinds = {"ids": np.int64, "signatures": np.uint32, "keys": np.uint64, "rows": np.int32, "alive": np.bool_}
        # Numba knows plain arrays at sight; a memory map it would have to ask about at each call.
        parts = {name: np.asarray(arrays[f"{k}.{name}"]).view(np.ndarray) for name in kinds}
        m, p = len(parts["ids"]), parts["keys"].shape[-1]
        shapes = {"ids": (m,), "signatures": (m, SLOTS), "keys": (bands, p), "rows": (bands, p), "alive": (m,)}
        for name, part in parts.items():
            if part.dtype != kinds[name] or part.shape != shapes[name] or not part.flags.c_contiguous:
                kind = f"a contiguous {np.dtype(kinds[name])}{list(shapes[name])}"
                raise ValueError(f"'{k}.{name}' must be {kind}, not {part.dtype}{list(part.shape)}")
        removed = np.where(parts["alive"], _THERE, 0)
        ids, signatures, keys, rows = (frozen(parts[name]) for name in ("ids", "signatures", "keys", "rows"))
        yield _Segment(ids, signatures, keys, rows, removed, int(np.count_nonzero(parts["alive"])))
        k += 1


def _check_ids(ids: NDArray[np.int64]) -> None:
    if ids.dtype != np.int64 or ids.ndim != 1:
        raise ValueError(f"ids must be int64[m], not {ids.dtype}{list(ids.shape)}")


class LshIndex:
    """Sketches by id, found by the bands that they share with another.

    A row takes 528 bytes and 12 more a band: 720, 912, 1,032 or 1,296 for the bandings of
    :data:`~kinprint.kernels.copy.lsh.BANDINGS`. Rows that were replaced or deleted take theirs until their segment is
    merged or more than half of it is gone; a merge takes as much again for as long as it lasts. Of an index in memory
    maps (:meth:`from_arrays`) 8 bytes a row are in memory, and what queries touch.

    One thread at a time may insert or delete; any number may query meanwhile, and each sees the index as it was at one
    moment.

    Parameters
    ----------
    bands, rows
        ``bands * rows`` at most 128; see :func:`~kinprint.kernels.copy.lsh.choose_bands`.

    Raises
    ------
    ValueError
        If the banding does not fit.
    """

    def __init__(self, bands: int, rows: int) -> None:
        _check_banding(bands, rows)
        self._bands = bands
        self._rows = rows
        self._state = _State(0, ())

    @property
    def banding(self) -> tuple[int, int]:
        """Bands, and slots of each."""
        return self._bands, self._rows

    def __len__(self) -> int:
        return sum(segment.live for segment in self._state.segments)

    def __contains__(self, id_: int) -> bool:
        state = self._state
        wanted = np.array([id_], np.int64)
        for segment in state.segments:
            row = int(np.searchsorted(segment.ids, wanted)[0])
            if row < len(segment.ids) and segment.ids[row] == id_ and segment.removed[row] > state.change:
                return True
        return False

    def insert(self, ids: NDArray[np.int64], signatures: NDArray[np.uint32]) -> None:
        """Add rows; an id that is there already is replaced.

        All of them come into sight at once. Takes a time in proportion to their number, times log n on average; the
        call that makes a large merge due takes as long as copying what it merges.

        Parameters
        ----------
        ids : int64[m]
            Of an id that comes several times the last row counts.
        signatures : uint32[m, 128]
            Copied. A blank one is known, but never found.

        Raises
        ------
        ValueError
            If a shape or dtype differs.
        """
        _check_ids(ids)
        check_signatures(signatures)
        if len(ids) != len(signatures):
            raise ValueError(f"{len(ids)} ids do not fit {len(signatures)} signatures")
        if len(ids) == 0:
            return
        order = np.argsort(ids, kind="stable")
        in_order = ids[order]
        last = np.append(in_order[1:] != in_order[:-1], True)
        new = _segment(in_order[last], signatures[order[last]], self._bands, self._rows)
        change, segments = self._state.change + 1, self._state.segments
        self._change(change, (*_remove(segments, _find(segments, new.ids), change), new))

    def delete(self, ids: NDArray[np.int64]) -> int:
        """Remove rows, all at once; how many of the ids, int64[m] in any order, were there.

        Raises
        ------
        ValueError
            If the shape or dtype of ``ids`` differs.
        """
        _check_ids(ids)
        change, segments = self._state.change + 1, self._state.segments
        found = _find(segments, np.unique(ids))
        count = sum(map(len, found))
        if count:
            self._change(change, _remove(segments, found, change))
        return count

    def _change(self, change: int, segments: tuple[_Segment, ...]) -> None:
        # In two steps: should memory run out in the second, the first holds.
        self._state = _State(change, segments)
        self._state = _State(change, _settled(segments))

    def query(self, signature: NDArray[np.uint32], least: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Rows that share a band with a signature.

        Parameters
        ----------
        signature : uint32[128]
            A blank one finds nothing.
        least
            Slots in which a row must agree; see :func:`~kinprint.kernels.copy.lsh.least_agreements`.

        Returns
        -------
        ids : int64[c]
            Each once, those that agree in most slots first, then by id; all that there are.
        agreements : int32[c]
            Slots of 128 in which each agrees.

        Raises
        ------
        ValueError
            If a shape or dtype differs.
        """
        check_signature(signature)
        if signature[0] == EMPTY:
            return np.empty(0, np.int64), np.empty(0, np.int32)
        change, segments = self._state
        wanted = frozen(signature)
        parts = [
            _query(s.ids, s.signatures, s.keys, s.rows, frozen(s.removed), change, self._rows, wanted, least)
            for s in segments
        ]
        ids = np.concatenate([part for part, _ in parts] or [np.empty(0, np.int64)])
        equal = np.concatenate([part for _, part in parts] or [np.empty(0, np.int32)])
        order = np.lexsort((ids, -equal))
        return ids[order], equal[order]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, as arrays to be saved under their names; those of a segment once made do not change.

        Nothing large is copied. ``format``, ``scheme`` and ``banding`` say what the rest is; the segment k has
        ``k.ids``, ``k.signatures``, ``k.keys``, ``k.rows`` and ``k.alive``, of which only the last, bool[m], changes
        when rows go.
        """
        change, segments = self._state
        out: dict[str, NDArray[Any]] = {
            "format": np.array(FORMAT, np.int64),
            "scheme": np.array(str(Scheme())),
            "banding": np.array([self._bands, self._rows], np.int64),
        }
        for k, segment in enumerate(segments):
            for name in ("ids", "signatures", "keys", "rows"):
                out[f"{k}.{name}"] = getattr(segment, name)
            out[f"{k}.alive"] = segment.removed > change
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LshIndex:
        """The index whose :meth:`arrays` these are; read-only memory maps stay where they are.

        Shapes and types are checked, contents are not: arrays that :meth:`arrays` did not make may crash a query.

        Raises
        ------
        ValueError
            If the arrays are of a newer format or of another scheme, or do not fit each other.
        """
        if "format" not in arrays:
            raise ValueError("these arrays are no LSH index: there is no 'format'")
        version = int(arrays["format"])
        if version > FORMAT:
            raise ValueError(f"the LSH index is of format {version}, this Kinprint knows up to {FORMAT}")
        missing = [name for name in ("scheme", "banding") if name not in arrays]
        if missing:
            raise ValueError(f"these arrays are no LSH index: there is no {missing[0]!r}")
        scheme = str(arrays["scheme"])
        if scheme != str(Scheme()):
            raise ValueError(f"the LSH index is of sketches {scheme}, not {Scheme()}: make it anew")
        index = cls(*map(int, arrays["banding"]))
        index._state = _State(0, tuple(_read_segments(arrays, index._bands)))
        return index
