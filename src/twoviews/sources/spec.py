"""SPEC → pictures: a known set's name, a folder, a Parquet file or a folder of them. A new kind of source gets its line here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ..base.console import track
from ..base.errors import UserError
from .decode import Unreadable, as_channels
from .folder import Folder, folder
from .names import SETS, check_spec
from .sets import fingerprint, known_set
from .source import ImageSource, Small
from .table import Table, table

MEMORY_SIDE = 128  # pictures up to this side, all of one size, live in memory …
MEMORY_BYTES = 4 << 30  # … as long as they take no more than this


@dataclasses.dataclass
class Pictures:
    """What a SPEC holds: splits by name (train, test, unlabelled, or just all), and what could not be read."""

    spec: str
    splits: dict[str, ImageSource]
    skipped: list[tuple[str, str]]

    @property
    def training(self) -> ImageSource:
        """What pretraining sees: the unlabelled part where there is one, else the training part, else all."""
        return next(self.splits[name] for name in ("unlabelled", "train", "all") if name in self.splits)

    @property
    def labelled(self) -> ImageSource:
        """What evaluations take their labels from: the training part, else all."""
        return next(self.splits[name] for name in ("train", "all") if name in self.splits)

    @property
    def test(self) -> ImageSource | None:
        """The test part, if the pictures come with one."""
        return self.splits.get("test")


def open_pictures(spec: str | Path | ImageSource, channels: int = 3, root: str | Path = "data", download: bool = False) -> Pictures:
    """Find, check and open the pictures of a SPEC, or take a source as it is. Sets named in SETS are read below `root`.

    Raises UserError when there are none.
    """
    if isinstance(spec, ImageSource):
        return Pictures("a source of your own", {"all": spec}, [])
    check_spec(spec)
    name, path = str(spec), Path(spec)
    if name in SETS:
        found = known_set(name, Path(root), download)
        splits: dict[str, ImageSource] = {k: dataclasses.replace(s, images=as_channels(s.images, channels)) for k, s in found.items()}
        return Pictures(name, splits, [])
    parts: dict = table(path, channels) if path.is_file() or any(path.glob("*.parquet")) else folder(path, channels)
    skipped = []
    for split in parts:
        parts[split] = in_memory(parts[split])
        skipped += parts[split][1]
        parts[split] = parts[split][0]
    return Pictures(name, parts, skipped)


def images(spec: str | Path, split: str = "train", channels: int = 3, root: str | Path = "data", download: bool = False) -> ImageSource:
    """The pictures of a SPEC as one ImageSource: its `train`, `test` or `unlabelled` part; a SPEC without parts has one, `all`.

    Raises UserError for a part it does not have.
    """
    pictures = open_pictures(spec, channels, root, download)
    if split in pictures.splits:
        return pictures.splits[split]
    if split == "train":
        return pictures.training
    raise UserError(f"{spec} has no part {split!r}; it has {', '.join(pictures.splits)}")


def in_memory(source: Folder | Table) -> tuple[ImageSource, list[tuple[str, str]]]:
    """A source of small pictures of one size as one tensor, others as they are; and what could not be read.

    Sizes of a folder are known from its check; of a table the first pictures decide whether to try.
    """
    if isinstance(source, Folder):
        known = set(source.sizes)
    else:
        known = set()
        for index in range(min(64, len(source))):
            try:
                known.add(tuple(source.read(index).shape[1:]))
            except Unreadable:
                continue
    if not known:
        raise UserError("none of the first 64 pictures can be read")
    side = max(max(size) for size in known)
    fits = len(known) == 1 and side <= MEMORY_SIDE and len(source) * side * side * source.channels <= MEMORY_BYTES
    if not fits:
        return source, source.skipped

    def one(index: int) -> torch.Tensor | str:
        try:
            return source.read(index)
        except Unreadable as error:
            return str(error)

    # one thread: so small pictures spend more time in Python than in the decoder, and two threads took twice as long
    read = [one(index) for index in track(range(len(source)), "decoding pictures", len(source))]
    good = np.array([i for i, r in enumerate(read) if isinstance(r, torch.Tensor)], np.int64)
    skipped = [*source.skipped, *((source.name(i), r) for i, r in enumerate(read) if isinstance(r, str))]
    tensors = [r for r in read if isinstance(r, torch.Tensor)]
    if len({t.shape for t in tensors}) > 1:
        return source, source.skipped
    pixels = torch.stack([t.contiguous() for t in tensors])
    labels = None if source.labels is None else source.labels[good]
    return Small(pixels, labels, source.classes, fingerprint(pixels, labels), [source.name(int(i)) for i in good]), skipped
