"""Annotations of COCO: a .json for each part, in annotations/ beside captions and keypoints, beside the images, or in a folder of each part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ..base.errors import UserError
from .annotation import DAMAGE, OF_PART, TEST, TRAIN, VALIDATION, WHOLE, Annotated, Noted
from .files import shown
from .parts import part_of

ORDER = (WHOLE, TRAIN, VALIDATION, TEST)
LOOKED = 20  # images of a file by which the folder they lie in is found


def coco_files(root: Path) -> tuple[list[Path], list[Path]]:
    """The .json of a folder that may be annotations: in it, in annotations/, in folders called after parts; and those that are not even looked into:
    what lies beside instances_*, where there are any.
    """
    folders = [root, *(sub for sub in root.iterdir() if sub.is_dir() and (sub.name.lower() == "annotations" or part_of(sub.name)))]
    files = sorted(file for folder in folders for file in folder.glob("*.json") if not file.name.startswith("."))
    instances = [file for file in files if file.stem.lower().startswith("instances")]
    return (instances, [file for file in files if file not in instances]) if instances else (files, [])


def coco(root: Path, files: list[Path], beside: Sequence[Path] = ()) -> Annotated | None:
    """The set of some .json; of several, those that hold no boxes are left out, as `beside` is. None where none does. Raises UserError, with the file."""
    loaded = {file: _load(file) for file in files}
    taken = {file: data for file, data in loaded.items() if _has_boxes(data)}
    if not taken:
        near = [file for file in files if isinstance(loaded[file], dict) and {"images", "annotations"} <= loaded[file].keys()]
        if len(files) > 1 and not near:
            return None
        taken = {file: loaded[file] for file in (near or files)[:1]}
    parts = _parts(root, list(taken))
    others = [file.relative_to(root).as_posix() for file in (*files, *beside) if file not in parts]
    left = [shown(others[:5], len(others))] if others else []
    counts, classes, found = Counter[str](), dict[str, None](), {}
    for file, part in sorted(parts.items(), key=lambda item: ORDER.index(item[1])):
        try:
            found[part] = _read(file, taken[file], counts, classes)
        except UserError:
            raise  # a ValueError too, and says what it is
        except DAMAGE as error:
            raise UserError(f"{file} is no COCO annotation: {type(error).__name__} {error}") from error
    left += [f"{counts['crowd']:,} crowd{'s' if counts['crowd'] > 1 else ''}"] if counts["crowd"] else []
    return Annotated("COCO", found, list(classes), left)


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except DAMAGE as error:
        raise UserError(f"{file} is no COCO annotation: {type(error).__name__} {error}") from error


def _has_boxes(data: Any) -> bool:
    """Whether this is a file of boxes: not captions, panoptic segments, images alone, or something else."""
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations", "categories")):
        return False
    return bool(data["images"]) and any(isinstance(item, dict) and "bbox" in item for item in data["annotations"])


def _parts(root: Path, files: list[Path]) -> dict[Path, str]:
    """{file: its part}, by its name or its folder's. Raises UserError for two of one part."""
    if len(files) == 1:
        return {files[0]: WHOLE}
    named = {file: part_of(file.stem) or (part_of(file.parent.name) if file.parent != root else None) for file in files}
    parts: dict[Path, str] = {}
    for file, name in named.items():
        part = OF_PART.get(name or "")
        other = next((one for one, own in parts.items() if own == part), None)
        if part and other:
            raise UserError(
                f"{root} has two files of boxes for the {part} part: {other.name} and {file.name}; take one away, or give one .json"
            )
        if part:
            parts[file] = part
    if not parts:
        raise UserError(
            f"{root} has {len(files)} files of boxes ({', '.join(f.name for f in files[:4])}), and none is called train, val or test: give one"
        )
    return parts


def _read(file: Path, data: Any, counts: Counter[str], classes: dict[str, None]) -> list[Noted]:
    """The images of one file with their boxes; its categories are added to `classes` in the order of their ids, joined by their names."""
    categories = {item["id"]: str(item["name"]) for item in data["categories"]}
    classes.update(dict.fromkeys(categories[key] for key in sorted(categories)))
    images = {image["id"]: image for image in data["images"]}
    if not images:
        raise UserError(f"{file} lists no pictures")
    if len(images) < len(data["images"]):
        raise UserError(f"{file} lists {len(data['images']):,} pictures of {len(images):,} ids: each needs one of its own")
    boxes: dict[Any, list[list[float]]] = {key: [] for key in images}
    names: dict[Any, list[str]] = {key: [] for key in images}
    for item in data["annotations"]:
        which = f"{file}: annotation {item.get('id', '')}".rstrip()
        if item.get("iscrowd"):
            counts["crowd"] += 1
            continue
        box, image, category = item.get("bbox"), item.get("image_id"), item.get("category_id")
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
            raise UserError(f"{which} has no bbox of four numbers, but {str(box)[:60]}")
        if image not in boxes:
            raise UserError(f"{which} is of the image {image!r}, which the file does not list")
        if category not in categories:
            raise UserError(f"{which} has the category {category!r}, which the file does not list")
        boxes[image].append([box[0], box[1], box[0] + box[2], box[1] + box[3]])
        names[image].append(categories[category])
    if not any(names.values()):
        raise UserError(f"{file} has no boxes")
    named = Counter(str(image["file_name"]) for image in images.values())
    twice = next((name for name, count in named.items() if count > 1), None)
    if twice is not None:
        raise UserError(
            f"{file} lists the picture {twice} {named[twice]} times, under different ids: join them, as its boxes are those of all"
        )
    paths = _images(file, [str(image["file_name"]) for image in images.values()])
    return [
        Noted(
            path, f"{file}, {image['file_name']}", np.array(boxes[key], np.float64).reshape(-1, 4), names[key],
            (float(image.get("width") or 0), float(image.get("height") or 0)),
        )
        for path, (key, image) in zip(paths, images.items(), strict=True)
    ]  # fmt: skip


def _images(file: Path, names: list[str]) -> list[Path]:
    """Where the images of a file lie: beside it, in images/ or data/, in a folder of its name, or the same one folder up."""
    words = file.stem.split("_")
    split = [word for n in range(len(words)) if (word := "_".join(words[n:]))]  # instances_train2017, train2017
    inside = ["", "images", "data", "JPEGImages", *split, *(f"images/{name}" for name in split)]
    folders = [base / sub for base in (file.parent, file.parent.parent) for sub in inside]
    looked = names[:: max(1, len(names) // LOOKED)]
    plain = [name.replace("\\", "/") for name in looked]
    bare = [PureWindowsPath(name).name for name in looked]
    best = max(
        ((sum((folder / name).is_file() for name in of), -n, folder, of is bare) for n, (folder, of) in enumerate((f, o) for o in (plain, bare) for f in folders)),
        key=lambda found: found[:2],
    )  # fmt: skip
    if not best[0]:
        raise UserError(f"{file}: its first picture {names[0]} is not found beside it, in images/, {split[-1]}/, or a folder above")
    folder = best[2]
    paths = [folder / (PureWindowsPath(name).name if best[3] else name.replace("\\", "/")) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        raise UserError(f"{file}: {len(missing):,} of its {len(names):,} pictures are not in {folder}, the first: {missing[0]}")
    return paths
