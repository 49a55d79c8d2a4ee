"""Images with boxes: VOC folders, COCO's .json, YOLO's data.yaml. Every fault of an annotation is named with its file; one line says what was understood."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..base import draws as rng
from ..base.console import tell, track
from ..base.errors import UserError
from .annotation import TEST, TRAIN, VALIDATION, WHOLE, Annotated, Noted, apart, place
from .coco import coco, coco_files
from .config import Reading
from .decode import read_file
from .errors import Unreadable
from .files import shown
from .voc import is_voc, voc, voc_files
from .yolo import yolo, yolo_file

SHARES = (0.7, 0.15)  # of images, for training and validation, where no parts are given
KINDS = "a VOC folder (Annotations, JPEGImages), COCO's .json or a folder of them, or YOLO's data.yaml"
CLASSES = 5  # that the line has room for
TURNED = {  # what place() counts → how it is told
    "turned": "{} turned by EXIF, and the boxes with them",
    "as shown": "{} turned by EXIF, and the boxes are those of the turned images, by their stated sizes",
    "shares": "{} turned by EXIF, and the boxes are those of the turned images, as YOLO's are",
    "taken as stored": "{} turned by EXIF, and the boxes with them: no stated size says that they are of the turned images",
}


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
        digest = hashlib.sha256(os.fsencode("\0".join(self.paths)))
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
    """train, validation and test of a VOC folder, a COCO .json or a folder of them, or YOLO's data.yaml or its folder; a command says what was understood, in
    one line.

    Parts are those of the set, without the images of train that others have too; without any, a keyed 70 / 15 / 15 %. Raises UserError for whatever is wrong, with the file.
    """
    found = apart(_annotated(Path(path)))
    counts = Counter[str]()
    first: list[str] = []
    parts = {part: _boxes(noted, found.classes, channels, counts, first) for part, noted in found.parts.items()}
    if not any(map(len, (labels for boxes in parts.values() for labels in boxes.labels))):
        raise UserError(f"{path} has no boxes")
    whole = parts.get(WHOLE)
    missing = [name for name in (VALIDATION, TEST) if name not in parts and whole is None]
    made = _split(whole, seed) if whole is not None else _complete(parts, seed)
    tell(_understood(found, made, missing, counts, first))
    return made


def _annotated(path: Path) -> Annotated:
    if not path.exists():
        raise UserError(f"{path} does not exist: boxes come from {KINDS}")
    if path.is_file():
        if path.suffix.lower() in (".yaml", ".yml"):
            return yolo(path)
        found = coco(path.parent, [path]) if path.suffix.lower() == ".json" else None
        if found is None:
            raise UserError(f"{path} holds no boxes: they come from {KINDS}")
        return found
    described = yolo_file(path)
    if described:
        return yolo(described)
    files, beside = coco_files(path)
    found = coco(path, files, beside) if files and not is_voc(path) else None
    if found is not None:
        return found
    names = voc_files(path)
    if not names:
        raise UserError(f"{path} holds no boxes: neither .xml (VOC), nor a .json (COCO), nor a data.yaml (YOLO)")
    return voc(path, names)


def _boxes(found: list[Noted], classes: list[str], channels: int, counts: Counter[str], first: list[str]) -> Boxes:
    """Look at each image's header, and lay its boxes into it. Adds to `counts`, and to `first` the first file with a box of no area."""
    how, number = Reading(channels), {name: i for i, name in enumerate(classes)}
    with ThreadPoolExecutor() as pool:
        placed = list(track(pool.map(lambda noted: place(noted, how), found), "looking at images", len(found)))
    for noted, (_, _, own) in zip(found, placed, strict=True):
        if own["flat"] and not first:
            first.append(noted.where)
        counts.update(own)
    folder = Path(os.path.commonpath([noted.image.parent for noted in found])) if found else Path()
    return Boxes(
        folder,
        [noted.image.relative_to(folder).as_posix() for noted in found],
        [boxes[fine] for boxes, fine, _ in placed],
        [np.array([number[n] for n in noted.names], np.int64)[fine] for noted, (_, fine, _) in zip(found, placed, strict=True)],
        classes,
        channels,
    )


def _understood(found: Annotated, parts: dict[str, Boxes], missing: list[str], counts: Counter[str], first: list[str]) -> str:
    """« VOC: 364 images in train 205 · validation 87 · test 72, 3 classes (Platelets, RBC, WBC), 4,888 boxes; … »."""
    own = {name: parts[name] for name in (TRAIN, VALIDATION, TEST) if name != TEST or parts[TEST] is not parts[VALIDATION]}
    images, boxes = (sum(len(b) for b in own.values()), sum(len(labels) for b in own.values() for labels in b.labels))
    some = shown(found.classes[:CLASSES], len(found.classes))
    text = f"boxes as in {found.kind}: {_count(images, 'image')} in {' · '.join(f'{name} {len(b):,}' for name, b in own.items())}"
    text += f", {_count(len(found.classes), 'class', 'es')} ({some}), {_count(boxes, 'box', 'es')}"
    notes = [*found.notes]
    notes += ["validation drawn from train"] if VALIDATION in missing else []
    notes += ["no test part: tested on validation, by which nothing is chosen"] if TEST in missing else []
    notes += [f"{_count(counts['empty'], 'image')} without a box"] if counts["empty"] else []
    left = [*found.left, *([f"{_count(counts['flat'], 'box', 'es')} of no area (first in {first[0]})"] if first else [])]
    notes += [f"left out: {', '.join(left)}"] if left else []
    notes += [text.format(_count(counts[key], "image")) for key, text in TURNED.items() if counts[key]]
    return "; ".join([text, *notes])


def _count(number: int, what: str, more: str = "s") -> str:
    return f"{number:,} {what}{more if number != 1 else ''}"


def _split(whole: Boxes, seed: int) -> dict[str, Boxes]:
    order = rng.permutation(len(whole), "boxes", seed).tolist()
    a, b = round(SHARES[0] * len(whole)), round(sum(SHARES) * len(whole))
    return _complete(
        {TRAIN: whole.take(sorted(order[:a])), VALIDATION: whole.take(sorted(order[a:b])), TEST: whole.take(sorted(order[b:]))}, seed
    )


def _complete(parts: dict[str, Boxes], seed: int) -> dict[str, Boxes]:
    """Validation from the training part where there is none, test from validation."""
    if TRAIN not in parts:
        raise UserError("there is no training part: a file or folder called train, or ImageSets/Main/train.txt")
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
