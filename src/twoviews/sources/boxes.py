"""Pictures with boxes: VOC folders (Annotations/*.xml) and COCO JSON. Every fault of an annotation is named with its file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..base import draws as rng
from ..base.errors import UserError
from .config import Reading
from .decode import read_file
from .errors import Unreadable
from .files import SUFFIXES

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARES = (0.7, 0.15)  # of pictures, for training and validation, where no split is given
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)  # what damaged annotations make of code
SLACK = 2.0  # pixels that a box may pass the border, and is then cut


@dataclasses.dataclass
class Boxes:
    """Pictures `paths` below `root`; for each `boxes` (k, 4) float32 as left, top, right, bottom in pixels, and `labels` (k,) from 0."""

    root: Path
    paths: list[str]
    boxes: list[NDArray[np.float32]]
    labels: list[NDArray[np.int64]]
    classes: Sequence[str]
    channels: int = 3

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256("\0".join(self.paths).encode())
        for boxes, labels in zip(self.boxes, self.labels, strict=True):
            digest.update(boxes.tobytes() + labels.tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Tensor:
        """uint8 (C, H, W)."""
        path = self.root / self.paths[index]
        try:
            return read_file(path, Reading(self.channels))
        except Unreadable as error:
            raise UserError(f"{path}: {error}") from error

    def take(self, ids: Sequence[int]) -> Boxes:
        """Some of the pictures, by number."""
        return dataclasses.replace(
            self, paths=[self.paths[i] for i in ids], boxes=[self.boxes[i] for i in ids], labels=[self.labels[i] for i in ids]
        )


def open_boxes(path: str | Path, channels: int = 3, seed: int = 0) -> dict[str, Boxes]:
    """train, validation and test of a VOC folder, a COCO JSON file, or a folder of COCO JSON files (train*.json, val*.json, test*.json).

    Splits: ImageSets/Main/*.txt or the files' names; without them a keyed 70 / 15 / 15 %. Raises UserError for whatever is wrong, with the file.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist: boxes come from a VOC folder (Annotations, JPEGImages) or a COCO .json")
    if path.is_file():
        return _split(_coco([path], channels)[path], None, seed)
    if (path / "Annotations").is_dir():
        return _voc(path, channels, seed)
    files = sorted({*path.glob("*.json"), *path.glob("annotations/*.json")})
    if not files:
        raise UserError(f"{path} holds no boxes: neither a folder Annotations with .xml (VOC) nor a .json (COCO)")
    found = _coco(files, channels)
    parts: dict[str, Boxes] = {}
    for file, boxes in found.items():
        name = next((part for word, part in (("train", TRAIN), ("val", VALIDATION), ("test", TEST)) if word in file.stem), None)
        if name:
            parts[name] = boxes
    if not parts or len(found) == 1:
        return _split(next(iter(found.values())), None, seed)
    return _complete(parts, seed)


def _voc(root: Path, channels: int, seed: int) -> dict[str, Boxes]:
    files = sorted((root / "Annotations").glob("*.xml"))
    if not files:
        raise UserError(f"{root / 'Annotations'} holds no .xml")
    found = [_voc_file(file) for file in files]
    classes = sorted({name for _, names, _ in found for name in names})
    if not classes:
        raise UserError(f"no annotation in {root / 'Annotations'} has an object")
    number = {name: i for i, name in enumerate(classes)}
    pictures = root / ("JPEGImages" if (root / "JPEGImages").is_dir() else ".")
    paths = [_picture(pictures, file, name) for file, (name, _, _) in zip(files, found, strict=True)]
    whole = Boxes(
        pictures,
        paths,
        [b for _, _, b in found],
        [np.array([number[n] for n in names], np.int64) for _, names, _ in found],
        classes,
        channels,
    )
    lists = {name: root / "ImageSets" / "Main" / f"{name}.txt" for name in ("train", "val", "test")}
    stems = {file.stem: i for i, file in enumerate(files)}
    named = {
        part: _ids(lists[name], stems) for name, part in (("train", TRAIN), ("val", VALIDATION), ("test", TEST)) if lists[name].is_file()
    }
    return _split(whole, named or None, seed)


def _ids(file: Path, stems: dict[str, int]) -> list[int]:
    names = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    missing = [name for name in names if name not in stems]
    if missing:
        raise UserError(f"{file} names {len(missing)} pictures without an annotation, the first: {missing[0]}")
    return [stems[name] for name in names]


def _voc_file(file: Path) -> tuple[str, list[str], NDArray[np.float32]]:
    """File name, class names and boxes of one XML. VOC counts pixels from 1."""
    try:
        tree = ElementTree.parse(file).getroot()
        size = tree.find("size")
        width, height = (float(size.findtext(k, "0")) for k in ("width", "height")) if size is not None else (0.0, 0.0)
        names, boxes = [], []
        for item in tree.iter("object"):
            box = item.find("bndbox")
            name = item.findtext("name")
            if box is None or not name:
                raise UserError(f"{file}: an object has no name or no bndbox")
            names.append(name.strip())
            boxes.append([float(box.findtext(k, "nan")) for k in ("xmin", "ymin", "xmax", "ymax")])
    except (ElementTree.ParseError, *DAMAGE) as error:
        raise UserError(f"{file} is no VOC annotation: {error}") from error
    values = np.array(boxes, np.float32).reshape(-1, 4)
    values[:, :2] -= 1
    return tree.findtext("filename", file.stem).strip(), names, inside(values, width, height, file)


def inside(boxes: NDArray[np.float32], width: float, height: float, where: Any) -> NDArray[np.float32]:
    """Boxes cut at the border, of which a box may pass SLACK pixels. Raises UserError for boxes outside or without an area."""
    if not np.isfinite(boxes).all():
        raise UserError(f"{where}: a box lacks a coordinate")
    if width and len(boxes):
        out = (boxes[:, :2] < -SLACK).any(1) | (boxes[:, 2] > width + SLACK) | (boxes[:, 3] > height + SLACK)
        if out.any():
            raise UserError(f"{where}: the box {boxes[out][0].tolist()} lies outside the picture of {width:g} x {height:g} pixels")
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    flat = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if flat.any():
        raise UserError(f"{where}: the box {boxes[flat][0].tolist()} has no area")
    return boxes.astype(np.float32)


def _picture(folder: Path, annotation: Path, name: str) -> str:
    """The picture of an annotation: the name it gives, or its own with a picture's ending."""
    for found in (folder / name, *(folder / f"{annotation.stem}{suffix}" for suffix in sorted(SUFFIXES))):
        if found.is_file() and found.suffix.lower() in SUFFIXES:
            return found.name
    raise UserError(f"{annotation}: its picture {name} is not in {folder}")


def _coco(files: list[Path], channels: int) -> dict[Path, Boxes]:
    out: dict[Path, Boxes] = {}
    classes: list[str] | None = None
    for file in files:
        try:
            found = _coco_file(file, channels)
        except DAMAGE as error:
            raise UserError(f"{file} is no COCO annotation: {type(error).__name__} {error}") from error
        if classes is not None and found.classes != classes:
            raise UserError(f"{file} has other categories than {files[0]}")
        classes = list(found.classes)
        out[file] = found
    return out


def _coco_file(file: Path, channels: int) -> Boxes:
    data = json.loads(file.read_text(encoding="utf-8"))
    categories = {c["id"]: str(c["name"]) for c in data["categories"]}
    number = {k: i for i, k in enumerate(sorted(categories))}
    images = [(image["id"], str(image["file_name"]), image.get("width") or 0, image.get("height") or 0) for image in data["images"]]
    boxes: dict[Any, list] = {image: [] for image, *_ in images}
    for item in data["annotations"]:
        if not item.get("iscrowd"):
            x, y, w, h = map(float, item["bbox"])
            boxes[item["image_id"]].append(([x, y, x + w, y + h], number[item["category_id"]]))
    paths = [name for _, name, _, _ in images]
    folder = _coco_folder(file, paths)
    values = [
        inside(np.array([b for b, _ in boxes[image]], np.float32).reshape(-1, 4), float(width), float(height), f"{file}, {name}")
        for image, name, width, height in images
    ]
    labels = [np.array([n for _, n in boxes[image]], np.int64) for image, *_ in images]
    if not any(map(len, labels)):
        raise UserError(f"{file} has no boxes")
    return Boxes(folder, paths, values, labels, [categories[k] for k in sorted(categories)], channels)


def _coco_folder(file: Path, paths: list[str]) -> Path:
    """Where the pictures of a COCO file lie: beside it, in images/, in a folder of its name, or one folder up."""
    if not paths:
        raise UserError(f"{file} lists no pictures")
    split = file.stem.removeprefix("instances_")
    near = (
        file.parent,
        file.parent / "images",
        file.parent / split,
        file.parent.parent,
        file.parent.parent / split,
        file.parent.parent / "images",
    )
    for folder in near:
        if (folder / paths[0]).is_file():
            return folder
    raise UserError(f"{file}: its first picture {paths[0]} is not found beside it, in images/, {split}/, or a folder above")


def _split(whole: Boxes, named: dict[str, list[int]] | None, seed: int) -> dict[str, Boxes]:
    if named is not None and TRAIN in named:
        return _complete({name: whole.take(ids) for name, ids in named.items()}, seed)
    order = rng.permutation(len(whole), "boxes", seed).tolist()
    a, b = round(SHARES[0] * len(whole)), round(sum(SHARES) * len(whole))
    return _complete(
        {TRAIN: whole.take(sorted(order[:a])), VALIDATION: whole.take(sorted(order[a:b])), TEST: whole.take(sorted(order[b:]))}, seed
    )


def _complete(parts: dict[str, Boxes], seed: int) -> dict[str, Boxes]:
    """Validation from the training part where there is none, test from validation."""
    if TRAIN not in parts:
        raise UserError("there is no training part: a COCO file with train in its name, or ImageSets/Main/train.txt")
    if VALIDATION not in parts:
        train = parts[TRAIN]
        order = rng.permutation(len(train), "boxes validation", seed).tolist()
        cut = max(1, round(0.15 * len(train)))
        parts[VALIDATION], parts[TRAIN] = train.take(sorted(order[:cut])), train.take(sorted(order[cut:]))
    parts.setdefault(TEST, parts[VALIDATION])
    for name, found in parts.items():
        if not len(found):
            raise UserError(f"the {name} part has no picture")
    if not any(map(len, parts[TRAIN].labels)):
        raise UserError("the training part has no box: there is nothing to learn")
    return parts
