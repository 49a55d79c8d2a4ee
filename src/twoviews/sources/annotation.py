"""What annotations say of one image, and where its boxes lie in the image as it is read: turned with it, cut at its border."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import UserError
from .config import Reading
from .decode import info
from .errors import Unreadable

TRAIN, VALIDATION, TEST, WHOLE = "train", "validation", "test", "all"
OF_PART = {"train": TRAIN, "val": VALIDATION, "test": TEST}  # what parts.part_of calls them
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)  # what damaged annotations make of code
ROUNDED = 0.01  # pixels by which a box of no area may seem to end before it begins
SLACK = 2.0  # pixels that a box may pass the border, and is then cut


@dataclasses.dataclass
class Noted:
    """Boxes (k, 4) of one image as left, top, right, bottom, in pixels from 0 or in `shares` of the sides, and the names of their classes.

    `where` is the file that says it, `size` the (width, height) that it states; 0 where it states none.
    """

    image: Path
    where: str
    boxes: NDArray[np.float64]
    names: list[str]
    size: tuple[float, float] = (0.0, 0.0)
    shares: bool = False


@dataclasses.dataclass
class Annotated:
    """A set as its files have it: the images of each part (one part WHOLE where it has none), classes in their order, what was left out, and `notes` on how it
    was understood.
    """

    kind: str
    parts: dict[str, list[Noted]]
    classes: list[str]
    left: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def apart(found: Annotated) -> Annotated:
    """The set with each image in one part: those of test are not in the others, those of validation not in train; where nothing would be left of
    train, parts are to be drawn anew (WHOLE, or no validation). `notes` say so.
    """
    parts: dict[str, dict[str, Noted]] = {part: {} for part in found.parts}
    for part, listed in found.parts.items():
        for noted in listed:
            parts[part].setdefault(os.path.realpath(noted.image), noted)
    twice = sum(map(len, found.parts.values())) - sum(map(len, parts.values()))
    notes = [*found.notes, *([f"{twice:,} image{'s' if twice > 1 else ''} given twice in one part, and taken once"] if twice else [])]
    train, validation, test = (parts.get(part, {}) for part in (TRAIN, VALIDATION, TEST))
    if WHOLE in parts:
        notes.append("parts drawn here, as the set has none")
    elif train and not train.keys() - (test or validation).keys():
        notes.append(f"all images of train are in {TEST if test else VALIDATION} too: parts drawn anew from all")
        parts = {WHOLE: {**test, **validation, **train}}
    elif train and not train.keys() - test.keys() - validation.keys():
        notes.append("all images of train are in validation or test too: validation drawn anew from both")
        parts = {TRAIN: {**validation, **train}, TEST: test}
    if TEST in parts and parts.get(VALIDATION, {}).keys() == parts[TEST].keys():
        notes.append("test has the same images as validation")
        del parts[TEST]
    for part, others in ((TRAIN, (VALIDATION, TEST)), (VALIDATION, (TEST,))):
        both = [image for image in parts.get(part, ()) if any(image in parts.get(other, ()) for other in others)]
        if both:
            notes.append(
                f"{len(both):,} of {part} left out of it, as {' or '.join(o for o in others if o in parts)} has them too (first: {both[0]})"
            )
            for image in both:
                del parts[part][image]
    return dataclasses.replace(found, parts={part: list(own.values()) for part, own in parts.items() if own}, notes=notes)


# stored (x, y) → upright, by the EXIF orientation; w and h are the stored sides
TURNS: dict[int, Callable[..., tuple]] = {
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}


def turned(boxes: NDArray[np.float64], orientation: int, width: float, height: float) -> NDArray[np.float64]:
    """Boxes of a stored image of these sides → those of the upright one."""
    if orientation not in TURNS:
        return boxes
    a, b = (np.stack(TURNS[orientation](boxes[:, i], boxes[:, i + 1], width, height), 1) for i in (0, 2))
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], 1)


def place(noted: Noted, how: Reading) -> tuple[NDArray[np.float32], NDArray[np.bool_], Counter[str]]:
    """Boxes (k, 4) in the pixels of the upright image, which of them have an area, and what is to be counted. Raises UserError for what cannot be.

    A stated size says which image the annotation means: the stored one, or the upright one. Where it says neither, the stored one is meant;
    but shares of the sides are YOLO's, whose trainers turn images before they lay boxes into them.
    """
    try:
        found = info(noted.image, how)
    except Unreadable as error:
        raise UserError(f"{noted.where}: its image {noted.image} cannot be read: {error}") from error
    stored, upright = (found.stored[1], found.stored[0]), (found.width, found.height)
    stated = (round(noted.size[0]), round(noted.size[1])) if all(side > 0 for side in noted.size) else None
    if stated not in (None, stored, upright):
        raise UserError(
            f"{noted.where} states {stated[0]} x {stated[1]} pixels, the image {noted.image} has {upright[0]} x {upright[1]}: "
            "its boxes are of another image, or it was resized"
        )
    as_shown = noted.shares or stated == upright != stored
    width, height = upright if as_shown else stored
    boxes = noted.boxes * np.array([width, height] * 2) if noted.shares else noted.boxes
    flat = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    boxes = inside(boxes, flat, width, height, noted.where)
    flat |= (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])  # what lay in the slack alone
    counts = Counter({"flat": int(flat.sum()), "empty": int(flat.all())})
    if found.orientation in TURNS and len(boxes):
        counts[
            "shares" if noted.shares else "as shown" if as_shown else "turned" if stated not in (None, upright) else "taken as stored"
        ] += 1
    if not as_shown:
        boxes = turned(boxes, found.orientation, width, height)
    return boxes.astype(np.float32), ~flat, counts


def inside(boxes: NDArray[np.float64], flat: NDArray[np.bool_], width: float, height: float, where: str) -> NDArray[np.float64]:
    """Boxes cut at the border, of which a box may pass SLACK pixels; those without an area are left as they are.
    Raises UserError for boxes outside, or with their corners exchanged.
    """
    if not np.isfinite(boxes).all():
        raise UserError(f"{where}: a box lacks a coordinate")
    backwards = (boxes[:, 2:] < boxes[:, :2] - ROUNDED).any(1)
    if backwards.any():
        raise UserError(f"{where}: the box {_rounded(boxes[backwards][0])} has no area: it ends before it begins")
    out = ~flat & ((boxes[:, :2] < -SLACK).any(1) | (boxes[:, 2] > width + SLACK) | (boxes[:, 3] > height + SLACK))
    if out.any():
        raise UserError(f"{where}: the box {_rounded(boxes[out][0])} lies outside the picture of {width:g} x {height:g} pixels")
    return np.clip(boxes, 0, np.array([width, height, width, height]))


def lines(file: Path) -> list[str]:
    """The lines of a text file that are not empty; bytes that are no UTF-8 stay what they are in file names. Raises UserError."""
    try:
        return [line for line in file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _rounded(box: NDArray[np.float64]) -> list[float]:
    return [round(value, 2) for value in box.tolist()]
