"""Batches in a given order: from memory by indexing, from files through worker processes that decode and cut.

A batch is uint8 on the host; what a worker does to a picture is a function of (picture, key), so the number of workers changes nothing. So is
what stands in for a picture that can no longer be read: another one, drawn by the key of the first.
"""

from __future__ import annotations

import atexit
import dataclasses
import signal
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..base.draws import Keys, extend, uniform
from ..base.errors import RunError, TwoviewsError
from ..base.files import forget_locks
from .errors import Unreadable
from .source import Blank, ImageSource, Picture, Small


@dataclasses.dataclass(frozen=True)
class Lost:
    """A picture of a batch that could not be read, why, and which one stands at its place (−1: a blank one)."""

    id: int
    reason: str
    instead: int


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pictures `ids` of the source with their keys; `images` is uint8, (n, C, H, W) from memory or whatever the worker's cut gave.

    `lost` are pictures that could not be read; `ids` and `keys` are then those of what stands in for them.
    """

    ids: NDArray[np.int64]
    keys: Keys
    images: Tensor
    lost: Sequence[Lost] = ()


READER_LOST = (
    "a process that reads pictures ended: {}. Was there too little memory? Fewer --workers need less. What was saved is good, and the same command "
    "goes on from there"
)
Cut = Callable[[Sequence[Picture], Keys], Tensor]
Missing = Literal["refuse", "replace", "blank"]
TRIES = 100  # unreadable pictures in a row that are stood in for


class _Items(Dataset):
    def __init__(self, source: ImageSource, cut: Cut, missing: Missing, pool: NDArray[np.int64] | None):
        self.source, self.cut, self.missing, self.pool = source, cut, missing, pool

    def __getitems__(self, items: list[tuple[int, int]]) -> tuple[Tensor, NDArray[np.int64], Keys, list[Lost]]:
        """A batch at once: the draws of many pictures cost little more than those of one."""
        ids, keys = np.array([index for index, _ in items], np.int64), np.array([key for _, key in items], np.uint64)
        try:
            return self._cut(ids, keys), ids, keys, []
        except Unreadable:
            if self.missing == "refuse":
                raise
        lost: list[Lost] = []
        images = [self._one(ids, keys, row, lost) for row in range(len(ids))]
        return torch.cat(images), ids, keys, lost

    def _cut(self, ids: NDArray[np.int64], keys: Keys) -> Tensor:
        return self.cut([Picture(self.source, int(index)) for index in ids], keys)

    def _one(self, ids: NDArray[np.int64], keys: Keys, row: int, lost: list[Lost]) -> Tensor:
        """One row of a batch, or what stands in for it; ids and keys are put right."""
        index, key, found = int(ids[row]), keys[row : row + 1].copy(), len(lost)
        for attempt in range(TRIES):
            try:
                image = self._cut(ids[row : row + 1], keys[row : row + 1])
                lost[found:] = [dataclasses.replace(one, instead=int(ids[row])) for one in lost[found:]]
                return image
            except Unreadable as error:
                lost.append(Lost(int(ids[row]), str(error), -1))
            if self.missing == "blank":
                return self.cut([Blank(self.source)], key)
            keys[row : row + 1] = extend(key, "instead", attempt)
            drawn = int(uniform(keys[row : row + 1], 1)[0, 0] * (len(self.source) if self.pool is None else len(self.pool)))
            ids[row] = drawn if self.pool is None else self.pool[drawn]
        raise RunError(
            f"{self.source.name(index)} cannot be read, nor can {TRIES} others that were drawn in its place; the last: {lost[-1].reason}. "
            "Are the pictures still there?"
        )

    def __getitem__(self, item: tuple[int, int]):
        return self.__getitems__([item])


class Loader:
    """Reads batches of a source, given as (ids, keys). `cut` makes a batch of pictures of many sizes equal; memory sources do not need it.

    `missing` says what happens to a picture that cannot be read: `refuse` raises Unreadable, `replace` puts another one of `pool` (None: any)
    there, `blank` a black one. Worker processes are kept from one call to the next. `workers` 0 reads in this process. `pin` prepares batches of files for a GPU; sets in
    memory lie on `device` as a whole, where that has room for four of them, and batches are taken from there.
    """

    def __init__(
        self,
        source: ImageSource,
        cut: Cut,
        workers: int,
        pin: bool = False,
        device: torch.device | None = None,
        missing: Missing = "refuse",
        pool: NDArray[np.int64] | None = None,
    ):
        self.source, self.plan = source, _Plan()
        self.loader = None
        if isinstance(source, Small):
            self.images = source.images
            if device is not None and device.type == "cuda" and 4 * self.images.nbytes < torch.cuda.mem_get_info(device)[0]:
                self.images = self.images.to(device)
        if not isinstance(source, Small):
            self.loader = DataLoader(
                _Items(source, cut, missing, pool),
                batch_sampler=self.plan,
                num_workers=workers,
                collate_fn=_as_it_is,  # type: ignore[arg-type]
                pin_memory=pin,
                persistent_workers=workers > 0,
                worker_init_fn=_calm,
                prefetch_factor=2 if workers > 0 else None,
            )
            atexit.register(_close, weakref.ref(self))

    def __call__(self, batches: Sequence[tuple[NDArray[np.int64], Keys]]) -> Iterator[Batch]:
        """The batches in order."""
        if self.loader is None:
            for ids, keys in batches:
                yield Batch(ids, keys, self.images[torch.from_numpy(ids).to(self.images.device)])
            return
        self.plan.batches = batches
        try:
            iterator = iter(self.loader)
            _readers.update(getattr(iterator, "_workers", ()))
            for images, ids, keys, lost in iterator:
                yield Batch(ids, keys, images, lost)
        except (ConnectionError, EOFError) as error:  # a reader that dies while it hands over a batch
            raise RunError(READER_LOST.format(f"it hung up in the middle of a batch ({type(error).__name__})")) from error
        except TwoviewsError as error:
            text, name = str(error), type(error).__name__
            if "Original Traceback" not in text:
                raise
            raise type(error)(text.rpartition(f"{name}: ")[2].strip()) from None  # torch puts a worker's traceback into the message

    def close(self) -> None:
        """Tell the worker processes to end and wait for them; those that hang in a picture are killed."""
        iterator = self.loader and self.loader._iterator
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]
            for reader in iterator._workers:  # type: ignore[attr-defined]
                reader.kill()


def reader_lost(error: BaseException) -> RunError | None:
    """What to say of an error that means the death of a process that reads pictures. torch raises it wherever the program happens to be."""
    if "DataLoader worker" not in str(error):
        return None
    return RunError(READER_LOST.format(str(error).splitlines()[0].rstrip(". ")))


_readers: weakref.WeakSet[BaseProcess] = weakref.WeakSet()


def _close(reference: weakref.ref[Loader]) -> None:
    if loader := reference():
        loader.close()


@atexit.register
def _kill() -> None:
    """At exit, after every _close: multiprocessing would send its SIGTERM, which workers do not heed, and wait for ever."""
    for reader in _readers:
        if reader.is_alive():
            reader.kill()


def _as_it_is(batch: tuple) -> tuple:
    return batch


def _calm(worker: int) -> None:
    """Signals to the whole group are the main process's business: a worker that died of one would break the step that is to be finished.

    Workers end when they are told to, or when the main process is gone (torch's watchdog).
    """
    forget_locks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class _Plan:
    """The batch sampler: what the loader is to read next."""

    batches: Sequence[tuple[NDArray[np.int64], Keys]] = ()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for ids, keys in self.batches:
            yield list(zip(ids.tolist(), keys.tolist(), strict=True))
