"""The twelve sets of the paper's transfer table (Chen et al. 2020, B.8; Kornblith et al. 2019), each in its own file format, with its own
official split and metric. Files lie below one root as their publishers pack them; torchvision reads them where it can."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import draws as rng
from ..base.errors import UserError, nearest
from .config import ReadConfig, Reading
from .files import Files
from .find import find
from .names import TRANSFER_SETS
from .sets import known_set
from .source import ImageSource, part
from .spec import Pictures, open_pictures

CALTECH_TRAINING = 30  # pictures of each class, the rest is the test part


@dataclasses.dataclass
class TransferSet:
    """Parts of a set: `train`, `validation` (official, or None: it is to be drawn from train), `test`; `metric`: top1, per-class or map11."""

    name: str
    metric: str
    train: ImageSource
    validation: ImageSource | None
    test: ImageSource


Parts = tuple[Any, Any, Any]
METRICS = {
    **dict.fromkeys(("food101", "cifar10", "cifar100", "birdsnap", "sun397", "cars", "dtd"), "top1"),
    **dict.fromkeys(("aircraft", "pets", "caltech101", "flowers"), "per-class"),
    "voc2007": "map11",
}


def open_set(name: str, config: ReadConfig, channels: int = 3) -> TransferSet:
    """One of TRANSFER_SETS below `config.root`, or other pictures with labels. Raises UserError when its files are not there."""
    if name not in TRANSFER_SETS:
        if not Path(name).exists():
            raise UserError(
                f"unknown set {name!r}.{nearest(name, TRANSFER_SETS)} Valid: {', '.join(TRANSFER_SETS)}, or a folder of class folders"
            )
        pictures = open_pictures(name, channels, config)
        test = pictures.test
        if test is None:
            train, test = held_out(pictures.labelled, 0.2, "transfer test")
        else:
            train = pictures.labelled
        return TransferSet(Path(name).name, "top1", train, _chosen_on(pictures), test)
    try:
        train, validation, test = READERS[name](Path(config.root), channels, config.download)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{name} is not complete below --root {config.root}: {error.filename or error} is missing") from error
    except RuntimeError as error:
        raise UserError(
            f"{name} is not below --root {config.root}: {str(error).split('.')[0]}. Give its folder with --root, or add --download"
        ) from error
    except OSError as error:
        raise UserError(f"{name} could not be read or downloaded: {error}") from error
    return TransferSet(name, METRICS[name], train, validation, test)


def _chosen_on(pictures: Pictures) -> ImageSource | None:
    """The validation part, where it has labels of the training part's classes."""
    found = pictures.validation
    if found is None or found.labels is None or list(found.classes) != list(pictures.labelled.classes):
        return None
    return None if (found.labels < 0).any() else found


def held_out(source: ImageSource, share: float, *key: int | str) -> tuple[ImageSource, ImageSource]:
    """A class-balanced, keyed split: the larger part, and `share` of each class. Raises UserError without labels."""
    if source.labels is None or len(source.classes) < 2:
        raise UserError("transfer needs labels: put the pictures into one folder a class")
    held = []
    for number in range(len(source.classes)):
        members = np.flatnonzero(source.labels == number)
        members = members[rng.permutation(len(members), *key, number)]
        held.append(members[: max(1, round(share * len(members)))] if len(members) > 1 else members[:0])
    second = np.sort(np.concatenate(held))
    return part(source, np.setdiff1d(np.arange(len(source)), second)), part(source, second)


def _listed(root: Path, files: list[Path], labels: list[int], classes: list[str], channels: int) -> Files:
    return Files(root, [file.relative_to(root).as_posix() for file in files], np.array(labels, np.int64), classes, Reading(channels))


def _torchvision(maker: str, folder: str = "", **options: Any) -> Callable[[Path, int, bool, str], Files]:
    """A reader of one split by a torchvision dataset, whose lists of files and labels are taken."""

    def read(root: Path, channels: int, download: bool, split: str) -> Files:
        from torchvision import datasets

        data: Any = getattr(datasets, maker)(str(root / folder), split=split, download=download, **options)
        if hasattr(data, "_samples"):
            files, labels = zip(*data._samples, strict=True)
        else:
            files, labels = getattr(data, "_image_files", None) or data._images, data._labels
        classes = getattr(data, "classes", None) or [str(n) for n in range(max(labels) + 1)]
        return _listed(root, [Path(file) for file in files], list(labels), list(classes), channels)

    return read


def _official(read: Callable[..., Files], *splits: str | None) -> Callable[[Path, int, bool], Parts]:
    """Parts by the names of a set's own splits: train, validation or None, test."""
    return lambda root, channels, download: tuple(read(root, channels, download, split) if split else None for split in splits)  # type: ignore[return-value]


def _known(name: str) -> Callable[[Path, int, bool], Parts]:
    def read(root: Path, channels: int, download: bool) -> Parts:
        found = known_set(name, root, download)
        return found["train"], None, found["test"]

    return read


def birdsnap(root: Path, channels: int, download: bool) -> Parts:
    """birdsnap/images/CLASS/FILE and test_images.txt, whose lines are CLASS/FILE below a head line."""
    base = root / "birdsnap"
    lines = (base / "test_images.txt").read_text(encoding="utf-8").split("\n")
    test = {line.strip() for line in lines if "/" in line}
    paths = find(base / "images").names
    classes = sorted({path.split("/")[0] for path in paths})
    number = {name: i for i, name in enumerate(classes)}

    def of(wanted: bool) -> Files:
        own = [path for path in paths if (path in test) == wanted]
        return Files(base / "images", own, np.array([number[p.split("/")[0]] for p in own], np.int64), classes, Reading(channels))

    return of(False), None, of(True)


def sun397(root: Path, channels: int, download: bool) -> Parts:
    """SUN397/ClassName.txt, Training_01.txt and Testing_01.txt (also in Partitions/): the first official split."""
    base = root / "SUN397"
    lists = base / "Partitions" if (base / "Partitions").is_dir() else base

    def lines(name: str) -> list[str]:
        return [line.strip().lstrip("/") for line in (lists / name).read_text(encoding="utf-8").splitlines() if line.strip()]

    classes = lines("ClassName.txt")
    number = {name: i for i, name in enumerate(classes)}

    def of(name: str) -> Files:
        paths = lines(name)
        return Files(base, paths, np.array([number[path.rpartition("/")[0]] for path in paths], np.int64), classes, Reading(channels))

    return of("Training_01.txt"), None, of("Testing_01.txt")


def caltech101(root: Path, channels: int, download: bool) -> Parts:
    """caltech101/101_ObjectCategories/CLASS/FILE: 30 keyed pictures of each of the 102 folders train, the rest test."""
    base = root / "caltech101" / "101_ObjectCategories"
    if not base.is_dir():
        raise FileNotFoundError(2, "missing", str(base))
    paths = find(base).names
    classes = sorted({path.split("/")[0] for path in paths})
    labels = np.array([classes.index(path.split("/")[0]) for path in paths], np.int64)
    whole, chosen = Files(base, paths, labels, classes, Reading(channels)), []
    for name in range(len(classes)):
        members = np.flatnonzero(labels == name)
        chosen.append(members[rng.permutation(len(members), "caltech101", name)[:CALTECH_TRAINING]])
    train = np.sort(np.concatenate(chosen))
    return part(whole, train), None, part(whole, np.setdiff1d(np.arange(len(whole)), train))


VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc2007(root: Path, channels: int, download: bool) -> Parts:
    """VOCdevkit/VOC2007: ImageSets/Main/CLASS_SPLIT.txt says for each picture 1, −1, or 0 (difficult, which does not count)."""
    base = root / "VOCdevkit" / "VOC2007"

    def of(split: str) -> Files:
        columns: list[NDArray[np.int64]] = []
        names: list[str] = []
        for name in VOC_CLASSES:
            rows = [line.split() for line in (base / "ImageSets" / "Main" / f"{name}_{split}.txt").read_text().splitlines() if line.strip()]
            names = [row[0] for row in rows]
            columns.append(np.array([{"1": 1, "-1": 0, "0": -1}[row[1]] for row in rows], np.int64))
        return Files(
            base / "JPEGImages", [f"{name}.jpg" for name in names], None, VOC_CLASSES, Reading(channels), targets=np.stack(columns, 1)
        )

    return of("train"), of("val"), of("test")


READERS: dict[str, Callable[[Path, int, bool], Parts]] = {
    "food101": _official(_torchvision("Food101"), "train", None, "test"),
    "cifar10": _known("cifar10"),
    "cifar100": _known("cifar100"),
    "birdsnap": birdsnap,
    "sun397": sun397,
    "cars": _official(_torchvision("StanfordCars"), "train", None, "test"),
    "aircraft": _official(_torchvision("FGVCAircraft", annotation_level="variant"), "train", "val", "test"),
    "voc2007": voc2007,
    "dtd": _official(_torchvision("DTD", partition=1), "train", "val", "test"),
    "pets": _official(_torchvision("OxfordIIITPet", target_types="category"), "trainval", None, "test"),
    "caltech101": caltech101,
    "flowers": _official(_torchvision("Flowers102"), "train", "val", "test"),
}
