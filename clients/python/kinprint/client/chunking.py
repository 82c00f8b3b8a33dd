"""Splits rows into batches, by number of rows and by bytes.

100 to 500 rows and at most 1 MiB a message are the fastest on the wire; a row larger than that travels alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_ITEMS = 500
DEFAULT_BYTES = 1 << 20
# Bytes that wrap one row in a batch: a field tag, its length, and its share of the batch's own header.
ITEM_OVERHEAD = 8
MESSAGE_OVERHEAD = 64


class Batcher(Generic[T]):
    """Gathers items until a batch is full. `max_items` may be lowered while it runs.

    Args:
        max_items: most items of a batch, at least 1.
        max_bytes: most bytes of a batch; a single larger item makes a batch of its own.
    """

    def __init__(self, max_items: int = DEFAULT_ITEMS, max_bytes: int = DEFAULT_BYTES) -> None:
        if max_items < 1 or max_bytes < 1:
            raise ValueError("max_items and max_bytes must be at least 1")
        self.max_items = max_items
        self.max_bytes = max_bytes
        self._items: list[T] = []
        self._bytes = MESSAGE_OVERHEAD

    def add(self, item: T, size: int) -> list[T] | None:
        """Take an item of `size` bytes; returns the batch before it when that is full."""
        full: list[T] | None = None
        need = size + ITEM_OVERHEAD
        if self._items and (len(self._items) >= self.max_items or self._bytes + need > self.max_bytes):
            full = self.flush()
        self._items.append(item)
        self._bytes += need
        return full

    def flush(self) -> list[T] | None:
        """The items that wait, or None."""
        items, self._items = self._items, []
        self._bytes = MESSAGE_OVERHEAD
        return items or None

    def __len__(self) -> int:
        return len(self._items)


def batches(
    items: Iterable[tuple[T, int]], max_items: int = DEFAULT_ITEMS, max_bytes: int = DEFAULT_BYTES
) -> Iterator[list[T]]:
    """Split (item, bytes) pairs into batches, in order; every item is in exactly one."""
    batcher: Batcher[T] = Batcher(max_items, max_bytes)
    for item, size in items:
        full = batcher.add(item, size)
        if full is not None:
            yield full
    last = batcher.flush()
    if last is not None:
        yield last
