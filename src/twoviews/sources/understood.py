"""What was understood of the images of a SPEC, in one line: how many, of which classes, in which parts, and what is not taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .files import shown
from .parts import TEST, VAL
from .source import ImageSource

CLASSES, ENDINGS = 3, 5  # names of classes, and endings of files, that the line has room for


def understood(
    splits: dict[str, ImageSource], beside: Sequence[str], others: Counter[str], skipped: Sequence[tuple[str, str]], listed: str = ""
) -> str:
    """« 1,240 images, 3 classes (cat, dog, rabbit) in train 1,000 · val 120 · test 120; left out: 4 in docs; 3 files not taken: 2 .tga, 1 unreadable ».

    `beside`: what lies beside the parts and is left out. `others`: files that are no images, by their ending. `skipped`: what cannot be read, and why;
    `listed` is the file that lists it.
    """
    text = f"{images(sum(len(source) for source in splits.values()))}{_labels(splits)}"
    if len(splits) > 1 or "all" not in splits:
        text += " in " + " · ".join(f"{name} {len(source):,}" for name, source in splits.items())
    if beside:
        text += f"; left out: {', '.join(beside[:ENDINGS])}" + (", …" if len(beside) > ENDINGS else "")
    return text + not_taken(others, skipped, listed)


def images(count: int) -> str:
    """« 1 image », « 1,240 images »."""
    return f"{count:,} image{'s' if count != 1 else ''}"


def _labels(splits: dict[str, ImageSource]) -> str:
    """The classes, where the part that is learned from has labels."""
    source = next((splits[name] for name in ("train", "all") if name in splits), next(iter(splits.values())))
    if not len(source.classes):
        loose = getattr(source, "no_labels", "").partition(" in no class folder")
        return " without labels" + (f" ({loose[0]} in no class folder)" if loose[1] else "")
    classes = list(source.classes)
    text = f", {len(classes):,} class{'es' if len(classes) > 1 else ''} ({shown(classes[:CLASSES], len(classes))})"
    far = getattr(source, "blocks", None) is not None  # their labels are not fetched for this
    for name, other in splits.items():
        if name in (VAL, TEST) and (more := [own for own in other.classes if own not in set(classes)]):
            text += f", {len(more):,} more in {name} alone ({shown(more[:CLASSES], len(more))})"
    missing = 0 if far or source.labels is None else int(np.count_nonzero(source.labels < 0))
    return text + (f", {images(missing)} without a label" if missing else "")


def not_taken(others: Counter[str], skipped: Sequence[tuple[str, str]] = (), listed: str = "") -> str:
    """« ; 37 files not taken: 30 .tga, 5 without an ending, 2 unreadable (skipped.csv) »; "" for none."""
    kinds = [f"{count:,} {ending}" for ending, count in others.most_common(ENDINGS)] + (["…"] if len(others) > ENDINGS else [])
    if skipped:
        name, why = skipped[0]
        kinds.append(f"{len(skipped):,} unreadable ({listed or f'{shown([name], 1)}: {why}'})")
    total = sum(others.values()) + len(skipped)
    return f"; {total:,} file{'s' if total > 1 else ''} not taken: {', '.join(kinds)}" if kinds else ""
