"""In which order an epoch sees the pictures: a pure function of (seed, epoch), computed where it is read, so that a billion cost no memory.

Without blocks it is one permutation of all. With blocks (shards, row groups) the blocks are permuted, a window of some of them is taken at a
time, and its pictures are permuted together: each process then reads from a few blocks only (docs/scale.md says what that costs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..base import draws as rng
from ..base.draws import Keys
from .source import ImageSource

BLOCKS = 4  # that keyed pictures come from at least
Ids = NDArray[np.int64]
Item = tuple[Ids, Keys]


class Order:
    """All pictures 0 … n-1 in the order of an epoch; `order[a:b]` are the ids at these places.

    `bounds` (k + 1,) are where blocks begin and end; None: one permutation of all. `window` blocks are mixed at a time.
    """

    def __init__(self, n: int, bounds: Ids | None, window: int, *key: int | str):
        self.n, self.bounds, self.key = n, bounds, key
        self.held: tuple[int, Ids] = (-1, np.zeros(0, np.int64))
        if bounds is None:
            self.starts = np.array([0, n])
            return
        blocks = len(bounds) - 1
        self.blocks, self.window = rng.permutation(blocks, *key, "blocks"), window
        counts = np.diff(bounds)[self.blocks]
        self.starts = np.concatenate([[0], np.cumsum(np.add.reduceat(counts, np.arange(0, blocks, window)))])

    def __len__(self) -> int:
        return self.n

    def part(self, number: int) -> Ids:
        """The ids of one window in their order; the last one asked for is kept."""
        if self.held[0] != number:
            self.held = (number, self._part(number))
        return self.held[1]

    def _part(self, number: int) -> Ids:
        if self.bounds is None:
            return rng.permutation(self.n, *self.key)
        own = self.blocks[number * self.window : (number + 1) * self.window]
        ids = np.concatenate([np.arange(int(self.bounds[b]), int(self.bounds[b + 1])) for b in own])
        return ids[rng.permutation(len(ids), *self.key, "window", number)]

    def __getitem__(self, where: slice) -> Ids:
        start, stop, _ = where.indices(self.n)
        found = []
        while start < stop:
            number = int(np.searchsorted(self.starts, start, "right")) - 1
            first, last = int(self.starts[number]), int(self.starts[number + 1])
            found.append(self.part(number)[start - first : min(stop, last) - first])
            start = last
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def some(source: ImageSource, count: int, *key: int | str) -> Ids:
    """`count` keyed pictures of a source, fewer where it has not so many: from all over, or, where it has blocks, from a few of these only."""
    bounds = getattr(source, "blocks", None)
    if bounds is None:
        return rng.permutation(len(source), *key)[:count]
    blocks = rng.permutation(len(bounds) - 1, *key, "blocks")
    enough = int(np.searchsorted(np.cumsum(np.diff(bounds)[blocks]), count)) + 1
    ids = np.concatenate([np.arange(int(bounds[b]), int(bounds[b + 1])) for b in blocks[: max(BLOCKS, enough)]])
    return ids[rng.permutation(len(ids), *key)][:count]


class Batches(Sequence[Item]):
    """(ids, keys) of one process's part of the batches `first` … `last` - 1 of an epoch, made when they are asked for."""

    def __init__(self, order: Order, batch: int, own: slice, first: int, last: int, *key: int | str):
        self.order, self.batch, self.own, self.first, self.many, self.key = order, batch, own, first, max(0, last - first), key

    def __len__(self) -> int:
        return self.many

    def __getitem__(self, index):  # type: ignore[override]
        if not 0 <= index < self.many:
            raise IndexError(index)
        at = (self.first + index) * self.batch
        ids = self.order[at + self.own.start : at + self.own.stop]
        return ids, rng.key(*self.key, ids)

    def __iter__(self) -> Iterator[Item]:
        return (self[index] for index in range(self.many))
