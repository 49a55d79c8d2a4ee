"""SPEC → pictures: a known set's name, a folder, Parquet, a list, hf:NAME, shards:PATTERN. A new kind of source gets its line here."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from ..base.console import detail, tell, track
from ..base.errors import UserError, WrongType, unknown
from ..base.names import path_of, reachable
from .config import READ, ReadConfig, Reading
from .decode import USUAL, as_channels, decode, info
from .errors import Unreadable
from .files import Files, check, frames, sample
from .folder import folder
from .hub import hub
from .listed import is_list, listed, metadata
from .names import HUB, SETS, SHARDS, check_spec
from .parts import ALL, PARTS, TEST, TRAIN, UNLABELLED, VAL
from .sets import fingerprint, known_set
from .shards import shards
from .source import Encoded, ImageSource, Small, part
from .table import parquet_files, table
from .understood import understood

MEMORY_SIDE = 128  # pictures up to this side, all of one size, live in memory …
MEMORY_BYTES = 4 << 30  # … as long as they take no more than this


@dataclasses.dataclass
class Pictures:
    """What a SPEC holds: splits by name (train, val, test, unlabelled, or just all), what could not be read, and what there is to say of the rest.

    `test_on` is the part that evaluations are tested on: test, or val. `understood` is what commands say of them, in one line.
    """

    spec: str
    splits: dict[str, ImageSource]
    skipped: list[tuple[str, str]]
    remarks: list[str] = dataclasses.field(default_factory=list)
    test_on: str = TEST
    understood: str = ""

    @property
    def training(self) -> ImageSource:
        """What pretraining sees: the unlabelled part where there is one, else the training part, else all. Raises UserError where there is none."""
        return self._first(UNLABELLED, TRAIN, ALL)

    def first(self, split: str) -> int:
        """The number of a split's first picture where all pictures of all splits are counted."""
        return sum(len(self.splits[before]) for before in itertools.takewhile(lambda name: name != split, self.splits))

    @property
    def labelled(self) -> ImageSource:
        """What evaluations take their labels from: the training part, else all. Raises UserError where there is neither."""
        return self._first(TRAIN, ALL)

    @property
    def test(self) -> ImageSource | None:
        """The part that evaluations are tested on, if the images come with one."""
        return self.splits.get(self.test_on)

    @property
    def validation(self) -> ImageSource | None:
        """The part for choices, never tested on, if the images come with one; none where it is the test."""
        return self.splits.get(VAL) if self.test_on != VAL else None

    def _first(self, *names: str) -> ImageSource:
        for name in names:
            if name in self.splits:
                return self.splits[name]
        has = next(iter(self.splits))
        raise UserError(
            f"{self.spec} has the parts {', '.join(self.splits)} and none to learn from: --parts {TRAIN}=NAME says which is, or --parts none that all are one set"
            if len(self.splits) > 1
            else f"{self.spec} has the part {has} alone: nothing is left to learn from"
        )


def check_images(images: object) -> None:
    """Raises WrongType for what is neither a SPEC nor a source."""
    if not isinstance(images, str | os.PathLike | ImageSource):
        what = "None" if images is None else f"of type {type(images).__name__}"
        raise WrongType(
            f"the images are a path, a name or an ImageSource, and this is {what}: pictures in memory or in a list of files are given by an "
            "ImageSource of your own, or as a folder"
        )


def open_pictures(
    spec: str | Path | ImageSource,
    channels: int = 3,
    config: ReadConfig | None = None,
    *,
    range: str = "auto",
    in_memory: bool = True,
    listed: str = "",
) -> Pictures:
    """Find, check and open the pictures of a SPEC, or take a source as it is, in these channels. `config` says how they are read.

    `range` is that of an encoder, where the config names none. Small pictures of one size come as one tensor, unless `in_memory` is false.
    What was understood is said in one line, once a command; `listed` is the file that will list what cannot be read.
    Raises UserError when there are none, or, under `strict`, when any cannot be read.
    """
    if isinstance(spec, ImageSource):
        return Pictures("a source of your own", {ALL: spec}, [])
    check_images(spec)
    config = config or ReadConfig()
    name = path_of(str(spec))
    check_spec(name)
    how = config.reading(channels, range)
    pictures = Pictures(name, {}, [], test_on=config.test_on)
    sources: dict[str, Encoded] = {}
    if name in SETS:
        pictures.splits |= _known(name, channels, config)
    else:
        sources = _parts(name, how, config)
        for split in sorted(sources, key=(*PARTS, ALL).index):
            _add(pictures, split, sources[split], config, in_memory)
        _align(pictures)
    _refuse(pictures, config)
    beside = list(dict.fromkeys(text for source in sources.values() for text in source.beside))
    others = sum((source.others for source in sources.values() if isinstance(source, Encoded) and source.others), Counter[str]())
    pictures.understood = understood(pictures.splits, beside, others, pictures.skipped, listed)
    tell(f"{name}: {pictures.understood}")
    for remark in dict.fromkeys([*pictures.remarks, *(text for source in sources.values() for text in source.remarks)]):
        detail(remark)
    return pictures


def _known(name: str, channels: int, config: ReadConfig) -> dict[str, Small]:
    """The parts of a known set, in these channels."""
    if config.parts:
        raise UserError(f"{name} has parts of its own: leave --parts away")
    found = known_set(name, Path(config.root), config.download)
    try:
        return {split: dataclasses.replace(source, images=as_channels(source.images, channels)) for split, source in found.items()}
    except Unreadable as error:
        raise UserError(f"{name}: {error}") from error


def _refuse(pictures: Pictures, config: ReadConfig) -> None:
    """Refuse a part to test on that is not there, and, under `strict`, what cannot be read."""
    if config.test_on not in (TEST, *pictures.splits):
        raise UserError(f"--test-on {config.test_on}: {pictures.spec} has no such part; it has {', '.join(pictures.splits)}")
    if config.strict and pictures.skipped:
        first, why = pictures.skipped[0]
        raise UserError(
            f"{len(pictures.skipped)} pictures of {pictures.spec} cannot be read, and --strict forbids that; the first: {first!r}: {why}. "
            "Without --strict they are left out and listed"
        )


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
    if path.is_dir() and (found := metadata(path, how, config)):
        return dict(found)
    if path.is_file() or parquet_files(path):
        return table(path, how, config)
    return dict(folder(path, how, config.parts))


def _align(pictures: Pictures) -> None:
    """Number the classes of all parts as the training part does, so that one name is one number; those that it lacks come behind."""
    first = pictures.splits.get(TRAIN)
    if first is None or not len(first.classes):
        return
    known = {name: i for i, name in enumerate(first.classes)}
    for source in pictures.splits.values():
        if isinstance(source, (Files, Small)) and source.labels is not None and list(source.classes) != list(first.classes):
            own = known | {name: len(known) + i for i, name in enumerate(name for name in source.classes if name not in known)}
            number = np.array([*(own[name] for name in source.classes), -1], np.int64)  # no label, -1, stays none
            source.labels, source.classes = number[source.labels], list(own)


def _add(pictures: Pictures, split: str, source: Encoded, config: ReadConfig, in_memory: bool) -> None:
    """Check a source, and take it into memory where that is better."""
    if not len(source):
        raise UserError(f"{pictures.spec} holds no pictures" + (f" in its part {split}" if split != "all" else ""))
    if in_memory and (small := take_in(source, split)) is not None:
        found, skipped, remarks = small
        pictures.splits[split] = found
        pictures.skipped += _below(source, pictures.spec, skipped)
        pictures.remarks += remarks
        return
    looked = check(source, config)
    pictures.skipped += _below(source, pictures.spec, looked.skipped)
    pictures.remarks += looked.remarks
    if not len(looked.good):
        first, why = looked.skipped[0]
        raise UserError(f"none of the {len(source)} pictures of {pictures.spec} can be read; the first: {first!r}: {why}")
    if len(looked.good) == len(source):
        pictures.splits[split] = source
    else:
        pictures.splits[split] = _without(source, looked.good, split) if isinstance(source, Files) else part(source, looked.good)


def _below(source: Encoded, spec: str, skipped: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names of skipped files with the folder of their part before them: a/1.png may lie in train, in val and in test."""
    if not isinstance(source, Files) or not source.root.is_relative_to(spec):
        return skipped
    return [((source.root.relative_to(spec) / name).as_posix(), why) for name, why in skipped]


def _without(source: Files, good: np.ndarray, split: str) -> Files:
    """The readable files of a part only; the classes are those that have any. One class alone is none, where it would have to be told from others."""
    names = [source.name(int(i)) for i in good]
    labels, classes = source.labels, list(source.classes)
    if labels is not None:
        labels = labels[good]
        present = sorted(set(labels[labels >= 0].tolist()))
        if len(present) < len(classes):
            number = np.full(len(classes) + 1, -1, np.int64)
            number[present] = np.arange(len(present))
            labels, classes = number[labels], [classes[i] for i in present]
        if len(classes) < 2 and split in (TRAIN, ALL):
            labels, classes = None, []
    targets = None if source.targets is None else source.targets[good]
    rest = Files(source.root, names, labels, classes, source.how, targets=targets)
    rest.beside, rest.remarks, rest.no_labels = source.beside, source.remarks, source.no_labels
    return rest


def images(spec: str | Path, split: str = "train", channels: int = 3, **options) -> ImageSource:
    """The pictures of a SPEC as one ImageSource: its `train`, `val`, `test` or `unlabelled` part; a SPEC without parts has one, `all`.

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


def take_in(source: Encoded, split: str = ALL) -> tuple[Small, list[tuple[str, str]], list[str]] | None:
    """A source of small pictures of one size as one tensor, what could not be read, and remarks; None where they are not small, not equal, or too many.

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
    several: list[str] = []
    # one thread: so small pictures spend more time in Python than in the decoder, and two threads took twice as long
    for index in track(range(len(source)), "decoding pictures", len(source)):
        try:
            data = source.bytes(index)
            picture = decode(data, source.how)
            if not data.startswith(USUAL) and info(data, source.how).frames > 1:
                several.append(source.name(index))
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
        rest = _without(source, ids, split)
        labels, classes = rest.labels, list(rest.classes)
    names = [source.name(index) for index in good]
    return Small(pixels, labels, classes, fingerprint(pixels, labels), names, source.no_labels), skipped, frames(several[:3], len(several))
