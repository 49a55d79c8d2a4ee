"""What a source of pictures is: numbered pictures with names and, if there are any, labels. Protocols, so that users plug in their own."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import UserError
from .config import Reading
from .decode import decode, info
from .errors import Unreadable


@runtime_checkable
class ImageSource(Protocol):
    """Pictures 0 … len-1. `labels` is (n,) int64, −1 where unknown, or None; `fingerprint` changes when the pictures do."""

    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def labels(self) -> NDArray[np.int64] | None: ...
    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> Tensor:
        """uint8 (C, H, W)."""
        ...


class Shrinking(ImageSource, Protocol):
    """A source that knows sizes before it decodes, and may decode smaller: what crops of large pictures gain from."""

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of the whole picture."""
        ...

    def read(self, index: int, shrink: float = 1.0) -> Tensor:
        """uint8 (C, H, W), smaller by up to `shrink` in each direction where that is faster."""
        ...


def shrinks(source: ImageSource) -> bool:
    """Whether a source is a Shrinking one: it has the method `size`."""
    return callable(getattr(type(source), "size", None))


class Encoded:
    """Pictures that lie somewhere as the bytes of their files, and are decoded when they are read. A kind of source says where the bytes are.

    `blocks` are the bounds of pictures that are read cheaply together, for sources too large or too far away for any order. `beside` says what was found
    with them and not taken, in words such as "12 rows of the split foo", for the line that says what was understood; `remarks` say what was chosen, such as
    the column of labels; `no_labels` is why there are none, where there is something to say. `near`: they lie here, and are cheap to look at before a run.
    `others`: how many files of which ending lie beside them and are not taken.
    """

    near = False

    how: Reading
    labels: NDArray[np.int64] | None = None
    classes: Sequence[str] = ()
    blocks: NDArray[np.int64] | None = None
    beside: Sequence[str] = ()
    remarks: Sequence[str] = ()
    no_labels: str = ""
    others: Counter[str] | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        raise NotImplementedError

    def behind(self) -> Iterable[str | bytes]:
        """The files that hold the images, where they lie on a disk."""
        return ()

    def name(self, index: int) -> str:
        raise NotImplementedError

    def bytes(self, index: int) -> bytes:
        """The file as it is. Raises Unreadable."""
        raise NotImplementedError

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of the whole picture."""
        found = info(self.bytes(index), self.how)
        return found.height, found.width

    def read(self, index: int, shrink: float = 1.0) -> Tensor:
        """uint8 (C, H, W), smaller by up to `shrink` in each direction where that is faster. Raises Unreadable, naming the picture."""
        with naming(self, index):
            return decode(self.bytes(index), self.how, shrink)


class Picture:
    """One picture of a source, not read before it is needed, and read once."""

    def __init__(self, source: ImageSource, index: int):
        self.source, self.index = source, index
        self.whole = self.data = self.found = None
        if not shrinks(source):
            self.whole = source.read(index)
        elif hasattr(source, "bytes"):
            with naming(source, index):
                self.data = source.bytes(index)  # type: ignore[attr-defined]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the whole picture."""
        if self.whole is not None:
            return tuple(self.whole.shape[-2:])  # type: ignore[return-value]
        if self.data is None:
            return self.source.size(self.index)  # type: ignore[attr-defined]
        if self.found is None:
            with naming(self.source, self.index):
                self.found = info(self.data, self.source.how)  # type: ignore[attr-defined]
        return self.found.height, self.found.width

    def read(self, shrink: float = 1.0) -> Tensor:
        """uint8 (C, H, W), smaller by up to `shrink` in each direction where that is faster."""
        if self.whole is not None:
            return self.whole
        if self.data is None:
            return self.source.read(self.index, shrink)  # type: ignore[call-arg]
        with naming(self.source, self.index):
            return decode(self.data, self.source.how, shrink, self.found)  # type: ignore[attr-defined]


@contextlib.contextmanager
def naming(source: ImageSource, index: int) -> Iterator[None]:
    """Let what cannot be read in the block say which picture it is."""
    try:
        yield
    except Unreadable as error:
        raise Unreadable(f"{source.name(index)}: {error}") from error


class Blank(Picture):
    """A black picture in the channels of a source's, where one of its own cannot be read."""

    def __init__(self, source: ImageSource):
        how = getattr(source, "how", None)
        self.whole = torch.zeros(how.channels if how else 3, 64, 64, dtype=torch.uint8)
        self.data = None


@dataclasses.dataclass
class Small:
    """Pictures of one size as one uint8 tensor in memory, (n, C, H, W). The form in which sets of small pictures train."""

    images: Tensor
    labels: NDArray[np.int64] | None
    classes: Sequence[str]
    fingerprint: str
    names: Sequence[str] | None = None
    no_labels: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.names[index] if self.names is not None else str(index)

    def read(self, index: int) -> Tensor:
        return self.images[index]


@dataclasses.dataclass
class Part:
    """Some pictures of another source, by number."""

    source: ImageSource
    ids: NDArray[np.int64]

    @property
    def classes(self) -> Sequence[str]:
        return self.source.classes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        return None if self.source.labels is None else self.source.labels[self.ids]

    @property
    def no_labels(self) -> str:
        return getattr(self.source, "no_labels", "")

    @property
    def fingerprint(self) -> str:
        return part_fingerprint(self.source, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, index: int) -> str:
        return self.source.name(int(self.ids[index]))

    def read(self, index: int) -> Tensor:
        return self.source.read(int(self.ids[index]))


class ShrinkingPart(Part):
    """A part of a source that may decode smaller."""

    def size(self, index: int) -> tuple[int, int]:
        return self.source.size(int(self.ids[index]))  # type: ignore[attr-defined]

    def read(self, index: int, shrink: float = 1.0) -> Tensor:
        return self.source.read(int(self.ids[index]), shrink)  # type: ignore[call-arg]


class EncodedPart(ShrinkingPart):
    """A part of a source of encoded pictures. `beside` and `remarks` are as in Encoded; its pictures lie anywhere in the blocks of the whole."""

    blocks = None
    beside: Sequence[str] = ()
    remarks: Sequence[str] = ()

    @property
    def near(self) -> bool:
        return self.source.near  # type: ignore[attr-defined]

    @property
    def how(self) -> Reading:
        return self.source.how  # type: ignore[attr-defined]

    def bytes(self, index: int) -> bytes:
        return self.source.bytes(int(self.ids[index]))  # type: ignore[attr-defined]


@dataclasses.dataclass
class Joined:
    """Two sources of the same classes as one, the second's pictures behind the first's."""

    first: ImageSource
    second: ImageSource

    @property
    def classes(self) -> Sequence[str]:
        return self.first.classes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        a, b = self.first.labels, self.second.labels
        return None if a is None or b is None else np.concatenate([a, b])

    @property
    def fingerprint(self) -> str:
        return f"{self.first.fingerprint}+{self.second.fingerprint}"

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def name(self, index: int) -> str:
        source, number = self._of(index)
        return source.name(number)

    def read(self, index: int) -> Tensor:
        source, number = self._of(index)
        return source.read(number)

    def _of(self, index: int) -> tuple[ImageSource, int]:
        before = len(self.first)
        return (self.first, index) if index < before else (self.second, index - before)


def labels_at(source: ImageSource, ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The labels of some pictures. Sources too large to know all of theirs at once have `labels_at` themselves."""
    own = getattr(source, "labels_at", None)
    if own is not None:
        return own(ids)
    return None if source.labels is None else source.labels[ids]


def state(source: ImageSource) -> str:
    """What changes when the images may have: as `fingerprint`, and when files were written anew or moved, of the same length too.

    A copy of the files has another state and the same fingerprint.
    """
    while isinstance(source, Part):
        source = source.source
    digest = hashlib.sha256(source.fingerprint.encode())
    for file in source.behind() if isinstance(source, Encoded) else ():
        try:
            about = os.stat(file)  # noqa: PTH116 (a million times)
        except (OSError, ValueError):  # gone, or no file of this machine
            digest.update(b"-")
        else:
            digest.update(b"%d %d %d\0" % (about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return digest.hexdigest()[:16]


def part_fingerprint(source: ImageSource, ids: NDArray[np.int64]) -> str:
    """The fingerprint of some pictures of a source: of which, and how many."""
    return f"{source.fingerprint}[{len(ids)} {hashlib.sha256(np.ascontiguousarray(ids, np.int64).tobytes()).hexdigest()[:8]}]"


def part(source: ImageSource, ids: NDArray[np.int64]) -> ImageSource:
    """Some pictures of a source; a tensor in memory stays one."""
    if isinstance(source, Small):
        labels = None if source.labels is None else source.labels[ids]
        names = None if source.names is None else [source.names[int(i)] for i in ids]
        return Small(source.images[torch.from_numpy(ids)], labels, source.classes, part_fingerprint(source, ids), names, source.no_labels)
    if isinstance(source, (Encoded, EncodedPart)):
        return EncodedPart(source, ids)
    return ShrinkingPart(source, ids) if shrinks(source) else Part(source, ids)


def labelled(source: ImageSource, what: str) -> NDArray[np.int64]:
    """The labels of a source all of whose pictures have one. Raises UserError when it has none."""
    if source.labels is None or not len(source.classes):
        why = getattr(source, "no_labels", "")
        raise UserError(
            f"{what} needs one label an image: {why}"
            if why
            else f"{what} needs labels, and these pictures have none. Put them into one folder a class, or give a Parquet file with a label column"
        )
    if (source.labels < 0).any():
        raise UserError(f"{what} needs a label for each picture; {(source.labels < 0).sum()} of {len(source)} have none")
    return source.labels
