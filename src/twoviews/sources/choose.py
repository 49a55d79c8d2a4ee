"""Which of several columns, or images of a sample, is meant: the one that is asked for, else the one that is called as usual."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ..base.errors import UserError, nearest

PATHS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img_path", "image_file", "image_name", "image_filename",
    "paths", "files", "image", "img",
)  # fmt: skip
LABELS = ("label", "labels", "class", "category", "target", "class_name", "label_name", "fine_label", "coarse_label", "cls")
SPLIT = ("split", "part", "subset", "set")
IMAGES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "images", "rgb", "color", "colour", "input", "pixels")
BESIDE = frozenset(
    (
        "mask", "masks", "depth", "segmentation", "segmentations", "seg", "segm", "semantic", "instance", "panoptic", "label", "labels",
        "annotation", "annotations", "thumbnail", "thumbnails", "thumb", "edge", "edges", "canny", "normal", "normals", "conditioning", "trimap",
        "matte", "alpha", "heatmap", "saliency", "flow", "gt", "gts", "groundtruth", "truth", "overlay", "overlays", "disparity", "sketch", "bbox",
        "boxes", "depths",
    )
)  # fmt: skip  # words of what lies beside an image and is none to learn from
_PLAIN = frozenset(("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "rgb"))  # words of folders of images
AUXILIARY = len(IMAGES) + 1  # `rank` of such


def tidy(name: str) -> str:
    """A column's name as it is compared: `File Name` is `file_name`."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def words(name: str) -> list[str]:
    """The words of a name, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def rank(name: str) -> int:
    """How far a name is from that of a plain image: usual ones in their order, then any other, then masks, depths and the like."""
    if tidy(name) in IMAGES:
        return IMAGES.index(tidy(name))
    return AUXILIARY if BESIDE & set(words(name)) else len(IMAGES)


def beside(folders: Collection[str]) -> list[str]:
    """Those of the folders in one folder that hold masks, depths and the like of the images in another: `masks` beside `images`."""
    said = {folder: set(words(folder)) for folder in folders}
    plain = [folder for folder, own in said.items() if own & _PLAIN and not own & BESIDE]
    return [folder for folder, own in said.items() if own & BESIDE] if plain else []


def column(where: object, names: Sequence[str], asked: str, usual: Sequence[str], what: str, needed: bool = False) -> str:
    """The column that was asked for, else the first usual one, else "". Raises UserError with the choices; `what` is a path, label, split, image."""
    if asked and asked not in names:
        raise UserError(f"{where} has no column {asked!r}.{nearest(asked, names)} It has {', '.join(names)}")
    found = asked or next((n for u in usual for n in names if tidy(n) == u), "")
    if needed and not found:
        raise UserError(
            f"{where} has no column of {what}s that is called as usual ({', '.join(usual)}): say which with --{what}-column. It has {', '.join(names)}"
        )
    return found


def took(column: str, what: str, others: Sequence[str] = (), option: str = "") -> str:
    """The remark on a choice among several."""
    if len(others) < 2:
        return f"{what}: the column {column!r}"
    return f"{what}: the column {column!r} of {', '.join(map(repr, others))} ({option} chooses)"


def several(count: int, what: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
