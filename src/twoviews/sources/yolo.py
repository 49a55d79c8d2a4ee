"""Annotations of YOLO: a data.yaml with classes and parts, and a .txt for each image, labels/ beside images/."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import UserError
from .annotation import OF_PART, TEST, WHOLE, Annotated, Noted, lines
from .find import find
from .parts import part_of

USUAL = ("data", "dataset")  # names of the description, where there are several .yaml


def yolo_file(root: Path) -> Path | None:
    """The description of a folder of YOLO's: a .yaml that names classes and a part."""
    found = []
    for file in sorted({*root.glob("*.yaml"), *root.glob("*.yml")}):
        try:
            found += [file] if _describes(_load(file)) else []
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
    data = _load(file)
    if not _describes(data):
        raise UserError(f"{file} describes no boxes: it needs names, and train with a folder or a list of images")
    classes = _classes(file, data)
    parts: dict[str, list[Noted]] = {}
    counts, left = Counter[str](), []
    for key, value in data.items():
        part = OF_PART.get(part_of(str(key)) or "")
        if part is None or not value:
            continue
        if part == TEST and isinstance(value, str) and _place(file, data, value) is None:  # exports name one that they do not hold
            left.append(f"{key}, as {value} is not there")
            continue
        images = [image for entry in (value if isinstance(value, list) else [value]) for image in _images(file, data, str(entry))]
        parts[part] = parts.get(part, []) + [_read(image, classes, counts) for image in dict.fromkeys(images)]
    left += [f"no label file for {counts['unlabelled']:,} images: taken as without an object"] if counts["unlabelled"] else []
    if len(parts) == 1:
        parts = {WHOLE: next(iter(parts.values()))}
    if not any(noted.names for part in parts.values() for noted in part):
        raise UserError(
            f"{file}: none of its images has a box; labels are looked for in labels/ where the images lie in images/, and beside the images"
        )
    return Annotated("YOLO", parts, classes, left)


def _load(file: Path) -> dict[Any, Any]:
    """The mapping that a .yaml is, its values words, lists and mappings: PyYAML's base loader makes nothing else, and no truth values of names."""
    import yaml  # timm brings it

    try:
        data = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{file} describes no images: it is to hold names, train and val")
    return data


def _describes(data: dict) -> bool:
    if not ("names" in data or "nc" in data):
        return False
    return any(part_of(str(key)) in OF_PART and isinstance(value, str | list) for key, value in data.items())


def _classes(file: Path, data: dict) -> list[str]:
    """Names by number: a list, a mapping from numbers, or only their count."""
    names = data.get("names")
    if not names and str(data.get("nc")).isdecimal():
        names = [str(number) for number in range(int(data["nc"]))]
    if isinstance(names, dict):
        names = {int(key) if str(key).isdecimal() else key: name for key, name in names.items()}
        if set(names) != set(range(len(names))):
            raise UserError(f"{file}: the numbers of its names are {list(names)[:5]}; they must be 0, 1, 2 …")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise UserError(f"{file}: names must be a list of different classes, or a mapping from 0, 1, 2 … to them")
    return [str(name) for name in names]


def _bases(file: Path, data: dict) -> list[Path]:
    return [file.parent / str(data.get("path") or ""), file.parent]


def _place(file: Path, data: dict, entry: str) -> Path | None:
    """Where an entry of a part lies; ../train/images may be ./train/images, as some exports have it."""
    inner = entry.lstrip("./") if entry.startswith(("./", "../")) else entry
    return next((base / name for name in (entry, inner) for base in _bases(file, data) if (base / name).exists()), None)


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
        image = next((base / name for base in (path.parent, *bases) if (base / name).is_file()), None)
        if image is None:
            raise UserError(f"{path}: its image {name} is not there ({len(listed):,} are listed)")
        found.append(image)
    return found


def _read(image: Path, classes: list[str], counts: Counter[str]) -> Noted:
    """The boxes of one image; no label file, or an empty one, is no object."""
    file = _labels(image)
    counts["unlabelled"] += file is None
    boxes, names = [], []
    for number, line in enumerate(lines(file) if file else (), 1):
        where = f"{file}, line {number}"
        try:
            label, *values = (float(word) for word in line.split())
        except ValueError as error:
            raise UserError(f"{where}: {line.strip()[:60]!r} is no class and numbers") from error
        if not math.isfinite(label) or label != int(label) or not 0 <= label < len(classes):
            raise UserError(f"{where}: the class {label:g} is none of 0 to {len(classes) - 1}")
        if len(values) == 4:
            x, y, w, h = values
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        elif len(values) >= 6 and len(values) % 2 == 0:  # the corners of a polygon
            boxes.append([min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])])
        else:
            raise UserError(
                f"{where}: a class and {len(values)} numbers; a box has 4 (centre, width, height), a polygon an even number from 6"
            )
        names.append(classes[int(label)])
    return Noted(image, str(file or image), np.array(boxes, np.float64).reshape(-1, 4), names, shares=True)


def _labels(image: Path) -> Path | None:
    """The label file of an image: the last folder images/ is labels/ there, or it lies beside."""
    parts = list(image.parts)
    mirrored = next((n for n in range(len(parts) - 2, -1, -1) if parts[n].lower() == "images"), None)
    near = [image.with_suffix(".txt")]
    if mirrored is not None:
        near.insert(0, Path(*parts[:mirrored], "labels", *parts[mirrored + 1 :]).with_suffix(".txt"))
    return next((file for file in near if file.is_file()), None)
