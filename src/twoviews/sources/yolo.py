"""Annotations of YOLO: a data.yaml with classes and parts, and a .txt for each image, labels/ beside images/."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import UserError
from .annotation import OF_PART, TEST, WHOLE, Annotated, Noted, lines
from .files import shown
from .find import find
from .parts import part_of
from .text import readable

USUAL = ("data", "dataset")  # names of the description, where there are several .yaml
NULLS = ("", "null", "~")  # as YAML writes nothing
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
DIGITS = 6  # of the longest number in a description
ROUNDING = 1e-3  # of the sides, by which a rounded key point may lie outside of its rounded box


class Points(NamedTuple):
    """How many key points follow each box, each of 2 or 3 numbers."""

    number: int
    each: int

    @property
    def total(self) -> int:
        return 4 + self.number * self.each

    def __str__(self) -> str:
        return f"{self.number} of {self.each} numbers"


class Rows(NamedTuple):
    """What the label `file` of an image says: (where, class, numbers) of each line."""

    image: Path
    file: Path | None
    rows: list[tuple[str, int, list[float]]]


def yolo_file(root: Path) -> Path | None:
    """The description of a folder of YOLO's: a .yaml that names classes and a part."""
    found = []
    for file in sorted({*root.glob("*.yaml"), *root.glob("*.yml")}):
        try:
            found += [file] if _describes(_load(file)[0]) else []
        except UserError:
            if file.stem.lower() in USUAL:
                raise  # others may be of anything
    if len(found) > 1:
        found = [file for file in found if file.stem.lower() in USUAL] or found
        if len(found) > 1:
            raise UserError(f"{root} has several descriptions: {', '.join(file.name for file in found)}; give one of them")
    return found[0] if found else None


def yolo(file: Path) -> Annotated:
    """The set that a data.yaml describes. Raises UserError, with the file and line."""
    data, notes = _load(file)
    if not _describes(data):
        raise UserError(f"{file} describes no boxes: it needs names, and train with a folder or a list of images")
    classes = _classes(file, data)
    read: dict[str, list[Rows]] = {}
    left: list[str] = []
    for key, value in data.items():
        part = OF_PART.get(part_of(str(key)) or "")
        if part is None or not value:
            continue
        if part == TEST and isinstance(value, str) and _place(file, data, value) is None:  # exports name one that they do not hold
            left.append(f"{key}, as {value} is not there")
            continue
        images = [image for entry in (value if isinstance(value, list) else [value]) for image in _images(file, data, str(entry))]
        read[part] = read.get(part, []) + [_rows(image, classes) for image in dict.fromkeys(images)]
    stated = _stated_points(file, data)
    shape = stated or _seen_points([values for found in read.values() for one in found for _, _, values in one.rows])
    parts = {part: [_noted(one, classes, shape, stated is not None) for one in found] for part, found in read.items()}
    unlabelled = sum(one.file is None for found in read.values() for one in found)
    left += [f"no label file for {unlabelled:,} images: taken as without an object"] if unlabelled else []
    alone = _alone([one for found in read.values() for one in found])
    left += [f"{len(alone):,} label file{'s' if len(alone) > 1 else ''} without an image (first: {alone[0]})"] if alone else []
    if len(parts) == 1:
        parts = {WHOLE: next(iter(parts.values()))}
    if not any(noted.names for part in parts.values() for noted in part):
        raise UserError(
            f"{file}: none of its images has a box; labels are looked for in labels/ where the images lie in images/, and beside the images"
        )
    notes += [f"the first four numbers of each label are its box, and the rest key points: {shape}"] if shape else []
    return Annotated("YOLO", parts, classes, left, notes)


def _load(file: Path) -> tuple[dict[Any, Any], list[str]]:
    """The mapping that a .yaml is, and what is to be said of it. Its values are words, lists and mappings: PyYAML's base loader makes nothing else, and
    no truth values of names. What is null is left out.
    """
    import yaml  # timm brings it

    try:
        raw = file.read_bytes()
        text = raw if raw.startswith(UTF16) else raw.decode("utf-8-sig", "surrogateescape")
        data = yaml.load(readable(text) if isinstance(text, str) else text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{file} describes no images: it is to hold names, train and val")
    said = [f"{file.name} is not UTF-8, and read as Windows-1252"] if isinstance(text, str) and readable(text) != text else []
    return {key: value for key, value in data.items() if not (isinstance(value, str) and value.lower() in NULLS)}, said


def _describes(data: dict) -> bool:
    if not ("names" in data or "nc" in data):
        return False
    return any(part_of(str(key)) in OF_PART and isinstance(value, str | list) for key, value in data.items())


def _classes(file: Path, data: dict) -> list[str]:
    """Names by number: a list, a mapping from numbers, or only their count."""
    names = data.get("names")
    if not names:
        names = [str(number) for number in range(_number(data.get("nc")) or 0)]
    if isinstance(names, dict):
        numbered = {_number(key): name for key, name in names.items()}
        if set(numbered) != set(range(len(names))):
            raise UserError(
                f"{file}: the numbers of its names are {shown([str(key)[:20] for key in names][:5], len(names))}; they must be 0, 1, 2 …"
            )
        names = [numbered[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UserError(f"{file}: names must be a list of different classes, or a mapping from 0, 1, 2 … to them")
    return names


def _number(word: Any) -> int | None:
    """A whole number from 0 that a word is; of more digits than anything that is counted here, none."""
    return int(word) if isinstance(word, str) and word.isdecimal() and len(word) <= DIGITS else None


def _bases(file: Path, data: dict) -> list[Path]:
    return [file.parent / str(data.get("path") or ""), file.parent]


def _place(file: Path, data: dict, entry: str) -> Path | None:
    """Where an entry of a part lies; ../train/images may be ./train/images, as some exports have it."""
    inner = entry.lstrip("./") if entry.startswith(("./", "../")) else entry
    return next((base / name for name in (entry, inner) for base in _bases(file, data) if _is_there(base / name)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _images(file: Path, data: dict, entry: str) -> list[Path]:
    """The images of a folder, or of a .txt that lists them."""
    bases, path = _bases(file, data), _place(file, data, entry)
    if path is None:
        raise UserError(f"{file}: {entry} is not there, looked for in {bases[0]}")
    if path.is_dir():
        names = find(path).names
        if not names:
            raise UserError(f"{file}: {path} holds no image")
        return [path / name for name in names]
    listed = [line.strip() for line in lines(path)]
    found = []
    for name in listed:
        image = next((base / name for base in (path.parent, *bases) if _is_there(base / name)), None)
        if image is None:
            raise UserError(f"{path}: its image {name} is not there ({len(listed):,} are listed)")
        found.append(image)
    return found


def _rows(image: Path, classes: list[str]) -> Rows:
    """The lines of an image's label file as (where, class, numbers); no label file, or an empty one, is no object."""
    file = _labels(image)
    rows = []
    for number, line in enumerate(lines(file) if file else (), 1):
        where = f"{file}, line {number}"
        try:
            label, *values = (float(word) for word in line.split())
        except ValueError as error:
            raise UserError(f"{where}: {line.strip()[:60]!r} is no class and numbers") from error
        if not math.isfinite(label) or label != int(label) or not 0 <= label < len(classes):
            raise UserError(f"{where}: the class {label:g} is none of 0 to {len(classes) - 1}")
        rows.append((where, int(label), values))
    return Rows(image, file, rows)


def _noted(found: Rows, classes: list[str], shape: Points | None, stated: bool) -> Noted:
    """The boxes of one image. Key points of a `shape` follow their box, which is then the first four numbers; `stated` by kpt_shape, all have them."""
    boxes, names = [], []
    for where, label, values in found.rows:
        count = len(values)
        if count == 4 or (shape is not None and count == shape.total):
            x, y, w, h = values[:4]
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        elif stated and shape is not None:
            raise UserError(f"{where}: a class and {count} numbers; a box and its key points have {shape.total}, as kpt_shape has {shape}")
        elif count >= 6 and count % 2 == 0:  # the corners of a polygon
            boxes.append([min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])])
        else:
            raise UserError(
                f"{where}: a class and {count} numbers; a box has 4 (centre, width, height), a polygon an even number from 6, "
                "and key points follow a box as kpt_shape in data.yaml says"
            )
        names.append(classes[label])
    return Noted(found.image, str(found.file or found.image), np.array(boxes, np.float64).reshape(-1, 4), names, shares=True)


def _stated_points(file: Path, data: dict) -> Points | None:
    """What kpt_shape says: how many key points follow a box, each of 2 or 3 numbers."""
    shape = data.get("kpt_shape")
    if shape is None:
        return None
    number, each = map(_number, shape) if isinstance(shape, list) and len(shape) == 2 else (None, None)
    if not number or each not in (2, 3):
        raise UserError(
            f"{file}: kpt_shape is {str(shape)[:60]}; it must be the number of key points and 2 or 3 numbers of each, as [17, 3]"
        )
    return Points(number, each)


def _seen_points(rows: Sequence[list[float]]) -> Points | None:
    """The key points of a set that states none: each object has as many numbers, the first four are a box in the image that holds the points that follow
    (0, 0 is none), and read as corners they would cross themselves somewhere: corners of polygons do not.
    """
    count = len(rows[0]) if rows else 0
    if count < 6 or any(len(values) != count for values in rows):
        return None
    table = np.array(rows)
    if not np.isfinite(table).all():
        return None
    for each in (2, 3):
        number, rest = divmod(count - 4, each)
        if rest or not _held(table[:, :4], table[:, 4:].reshape(len(table), number, each)[..., :2]):
            continue
        if count % 2 or any(_crosses(values.reshape(-1, 2)) for values in table):
            return Points(number, each)
    return None


def _held(boxes: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    """Whether boxes (n, 4) as centre and sides lie in their images, and hold their points (n, k, 2)."""
    low, high = boxes[:, None, :2] - boxes[:, None, 2:] / 2 - ROUNDING, boxes[:, None, :2] + boxes[:, None, 2:] / 2 + ROUNDING
    inside = (low >= -2 * ROUNDING).all() and (high <= 1 + 2 * ROUNDING).all() and (boxes[:, 2:] > 0).all()
    none = (points == 0).all(-1)
    return bool(inside and not none.all() and (((points >= low) & (points <= high)).all(-1) | none).all())


def _crosses(corners: NDArray[np.float64]) -> bool:
    """Whether two sides of the polygon of these corners (k, 2) cross."""
    a, b = corners, np.roll(corners, -1, 0)
    # on which side of the line through each side (rows) the ends of each other side (columns) lie
    side = b - a
    sides = [
        np.sign(side[:, None, 0] * (end - a[:, None])[..., 1] - side[:, None, 1] * (end - a[:, None])[..., 0]) for end in (a[None], b[None])
    ]
    parted = sides[0] * sides[1] < 0
    return bool((parted & parted.T).any())


def _alone(read: list[Rows]) -> list[Path]:
    """The label files in labels/ whose images are not there."""
    folders = {one.file.parent: one.image.parent for one in read if one.file is not None and one.file.parent != one.image.parent}
    found = []
    for labels, images in sorted(folders.items()):
        stems = {path.stem for path in images.iterdir()} | {"classes"}  # classes.txt, as LabelImg writes it
        found += sorted(file for file in labels.glob("*.txt") if file.stem not in stems)
    return found


def _labels(image: Path) -> Path | None:
    """The label file of an image: the last folder images/ is labels/ there, or it lies beside."""
    parts = list(image.parts)
    mirrored = next((n for n in range(len(parts) - 2, -1, -1) if parts[n].lower() == "images"), None)
    near = [image.with_suffix(".txt")]
    if mirrored is not None:
        near.insert(0, Path(*parts[:mirrored], "labels", *parts[mirrored + 1 :]).with_suffix(".txt"))
    return next((file for file in near if file.is_file()), None)
