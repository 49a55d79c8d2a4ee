"""Batches in a given order: from memory by indexing, from files through worker processes that decode and cut.

A batch is uint8 on the host; what a worker does to a picture is a function of (picture, key), so the number of workers changes nothing.
"""

from __future__ import annotations

import atexit
import dataclasses
import signal
import weakref
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..base.draws import Keys
from .source import ImageSource, Picture, Small


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pictures `ids` of the source with their keys; `images` is uint8, (n, C, H, W) from memory or whatever the worker's cut gave."""

    ids: NDArray[np.int64]
    keys: Keys
    images: Tensor


Cut = Callable[[Sequence[Picture], Keys], Tensor]


class _Items(Dataset):
    def __init__(self, source: ImageSource, cut: Cut):
        self.source, self.cut = source, cut

    def __getitems__(self, items: list[tuple[int, int]]) -> Tensor:
        """A batch at once: the draws of many pictures cost little more than those of one."""
        return self.cut([Picture(self.source, index) for index, _ in items], np.array([key for _, key in items], np.uint64))

    def __getitem__(self, item: tuple[int, int]) -> Tensor:
        return self.__getitems__([item])


class Loader:
    """Reads batches of a source, given as (ids, keys). `cut` makes a batch of pictures of many sizes equal; memory sources do not need it.

    Worker processes are kept from one call to the next. `workers` 0 reads in this process. `pin` prepares batches of files for a GPU; sets in
    memory lie on `device` as a whole, where that has room for four of them, and batches are taken from there.
    """

    def __init__(self, source: ImageSource, cut: Cut, workers: int, pin: bool = False, device: torch.device | None = None):
        self.source, self.plan = source, _Plan()
        self.loader = None
        if isinstance(source, Small):
            self.images = source.images
            if device is not None and device.type == "cuda" and 4 * self.images.nbytes < torch.cuda.mem_get_info(device)[0]:
                self.images = self.images.to(device)
        if not isinstance(source, Small):
            self.loader = DataLoader(
                _Items(source, cut),
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
        for (ids, keys), images in zip(batches, self.loader, strict=True):
            yield Batch(ids, keys, images)

    def close(self) -> None:
        """Tell the worker processes to end, and wait for them."""
        iterator = self.loader and self.loader._iterator
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]


def _close(reference: weakref.ref[Loader]) -> None:
    """At exit: multiprocessing would send its SIGTERM, which workers do not heed, and wait for ever."""
    if loader := reference():
        loader.close()


def _as_it_is(batch: Tensor) -> Tensor:
    return batch


def _calm(worker: int) -> None:
    """Signals to the whole group are the main process's business: a worker that died of one would break the step that is to be finished.

    Workers end when they are told to, or when the main process is gone (torch's watchdog).
    """
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
