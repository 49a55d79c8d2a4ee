"""SPEC → pictures: a known set's name, a folder, Parquet, a list, hf:NAME, shards:PATTERN. A new kind of source gets its line here."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import torch

from ..base.console import track
from ..base.errors import UserError, unknown
from ..base.names import path_of, reachable
from .config import READ, ReadConfig, Reading
from .decode import as_channels
from .errors import Unreadable
from .files import Files, check, sample
from .folder import folder
from .hub import hub
from .listed import is_list, listed
from .names import HUB, SETS, SHARDS, check_spec
from .sets import fingerprint, known_set
from .shards import shards
from .source import Encoded, ImageSource, Small, part
from .table import table

MEMORY_SIDE = 128  # pictures up to this side, all of one size, live in memory …
MEMORY_BYTES = 4 << 30  # … as long as they take no more than this


@dataclasses.dataclass
class Pictures:
    """What a SPEC holds: splits by name (train, test, unlabelled, or just all), what could not be read, and what there is to say of the rest."""

    spec: str
    splits: dict[str, ImageSource]
    skipped: list[tuple[str, str]]
    remarks: list[str] = dataclasses.field(default_factory=list)

    @property
    def training(self) -> ImageSource:
        """What pretraining sees: the unlabelled part where there is one, else the training part, else all."""
        return next(self.splits[name] for name in ("unlabelled", "train", "all") if name in self.splits)

    def first(self, split: str) -> int:
        """The number of a split's first picture where all pictures of all splits are counted."""
        return sum(len(self.splits[before]) for before in itertools.takewhile(lambda name: name != split, self.splits))

    @property
    def labelled(self) -> ImageSource:
        """What evaluations take their labels from: the training part, else all."""
        return next(self.splits[name] for name in ("train", "all") if name in self.splits)

    @property
    def test(self) -> ImageSource | None:
        """The test part, if the pictures come with one."""
        return self.splits.get("test")


def open_pictures(
    spec: str | Path | ImageSource, channels: int = 3, config: ReadConfig | None = None, *, range: str = "auto", in_memory: bool = True
) -> Pictures:
    """Find, check and open the pictures of a SPEC, or take a source as it is, in these channels. `config` says how they are read.

    `range` is that of an encoder, where the config names none. Small pictures of one size come as one tensor, unless `in_memory` is false.
    Raises UserError when there are none, or, under `strict`, when any cannot be read.
    """
    if isinstance(spec, ImageSource):
        return Pictures("a source of your own", {"all": spec}, [])
    config = config or ReadConfig()
    name = path_of(str(spec))
    check_spec(name)
    how = config.reading(channels, range)
    if name in SETS:
        found = known_set(name, Path(config.root), config.download)
        try:
            return Pictures(name, {k: dataclasses.replace(s, images=as_channels(s.images, channels)) for k, s in found.items()}, [])
        except Unreadable as error:
            raise UserError(f"{name}: {error}") from error
    pictures = Pictures(name, {}, [])
    for split, source in _parts(name, how, config).items():
        _add(pictures, split, source, config, in_memory)
    if config.strict and pictures.skipped:
        first, why = pictures.skipped[0]
        raise UserError(
            f"{len(pictures.skipped)} pictures of {name} cannot be read, and --strict forbids that; the first: {first!r}: {why}. "
            "Without --strict they are left out and listed"
        )
    return pictures


def _parts(name: str, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """The splits of a SPEC, not yet looked at."""
    path = Path(name)
    if path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet"))):
        path = reachable(path)  # Arrow takes no other
    if name.startswith(SHARDS):
        return dict(shards(name, how, config))
    if name.startswith(HUB):
        return hub(name, how, config)
    if path.is_file() and is_list(path, config):
        return dict(listed(path, how, config))
    if path.is_file() or any(path.glob("*.parquet")):
        return table(path, how, config)
    return dict(folder(path, how))


def _add(pictures: Pictures, split: str, source: Encoded, config: ReadConfig, in_memory: bool) -> None:
    """Check a source, and take it into memory where that is better."""
    if not len(source):
        raise UserError(f"{pictures.spec} holds no pictures" + (f" in its part {split}" if split != "all" else ""))
    if in_memory and (small := take_in(source)) is not None:
        found, skipped = small
        pictures.splits[split] = found
        pictures.skipped += skipped
        return
    looked = check(source, config)
    pictures.skipped += looked.skipped
    pictures.remarks += looked.remarks
    if not len(looked.good):
        first, why = looked.skipped[0]
        raise UserError(f"none of the {len(source)} pictures of {pictures.spec} can be read; the first: {first!r}: {why}")
    if len(looked.good) == len(source):
        pictures.splits[split] = source
    else:
        pictures.splits[split] = _without(source, looked.good) if isinstance(source, Files) else part(source, looked.good)


def _without(source: Files, good: np.ndarray) -> Files:
    """The readable files only; the classes are those that have any."""
    names = [source.name(int(i)) for i in good]
    labels, classes = source.labels, list(source.classes)
    if labels is not None:
        labels = labels[good]
        present = sorted(set(labels[labels >= 0].tolist()))
        if len(present) < len(classes):
            number = np.full(len(classes) + 1, -1, np.int64)
            number[present] = np.arange(len(present))
            labels, classes = number[labels], [classes[i] for i in present]
        if len(classes) < 2:
            labels, classes = None, []
    targets = None if source.targets is None else source.targets[good]
    return Files(source.root, names, labels, classes, source.how, targets=targets)


def images(spec: str | Path, split: str = "train", channels: int = 3, **options) -> ImageSource:
    """The pictures of a SPEC as one ImageSource: its `train`, `test` or `unlabelled` part; a SPEC without parts has one, `all`.

    `options` are fields of ReadConfig. Raises UserError for a part it does not have.
    """
    for name in options:
        if name not in READ:
            raise unknown("option", name, READ)
    pictures = open_pictures(spec, channels, ReadConfig(**options))
    if split in pictures.splits:
        return pictures.splits[split]
    if split == "train":
        return pictures.training
    raise UserError(f"{spec} has no part {split!r}; it has {', '.join(pictures.splits)}")


def take_in(source: Encoded) -> tuple[Small, list[tuple[str, str]]] | None:
    """A source of small pictures of one size as one tensor, and what could not be read; None where they are not small, not equal, or too many.

    Some pictures from all over the set decide whether to try.
    """
    known = set()
    for index in sample(len(source) if source.blocks is None else int(source.blocks[1])):  # far shards are not fetched for this
        try:
            known.add(tuple(source.read(index).shape))
        except Unreadable:
            continue
    if len(known) != 1:
        return None
    shape = known.pop()
    if max(shape[1:]) > MEMORY_SIDE or len(source) * int(np.prod(shape)) > MEMORY_BYTES:
        return None
    pixels = torch.empty(len(source), *shape, dtype=torch.uint8)
    good: list[int] = []
    skipped: list[tuple[str, str]] = []
    # one thread: so small pictures spend more time in Python than in the decoder, and two threads took twice as long
    for index in track(range(len(source)), "decoding pictures", len(source)):
        try:
            picture = source.read(index)
        except Unreadable as error:
            skipped.append((source.name(index), str(error).removeprefix(f"{source.name(index)}: ")))
            continue
        if picture.shape != shape:
            return None
        pixels[len(good)] = picture
        good.append(index)
    pixels = pixels[: len(good)]
    ids = np.array(good, np.int64)
    labels = None if source.labels is None else source.labels[ids]
    classes: list[str] = list(source.classes)
    if isinstance(source, Files) and len(good) < len(source):
        rest = _without(source, ids)
        labels, classes = rest.labels, list(rest.classes)
    names = [source.name(index) for index in good]
    return Small(pixels, labels, classes, fingerprint(pixels, labels), names), skipped
