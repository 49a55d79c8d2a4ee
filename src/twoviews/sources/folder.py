"""A folder of image files, flat or nested; class folders give labels if there are any, folders called after parts give these."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.console import detail
from ..base.errors import UserError
from .config import Reading
from .files import SUFFIXES, Files
from .find import Found, find
from .parts import ALL, NONE, TEST, TRAIN, VAL, Split, part_of, split_by_part
from .understood import images, not_taken


def folder(root: Path, how: Reading, parts: Sequence[str] = ()) -> dict[str, Files]:
    """The files below `root` by part, not yet looked at: {"all": …}, or {"train": …, "val": …} where it has folders called so, here or further down.

    Labels: if every image of a part lies in a subfolder, the first folder is its class. `parts` are those of ReadConfig, with NAME a folder, a path of
    folders below `root`, or a pattern. Raises UserError when there is no image, and where folders can be read in two ways.
    """
    found = find(root)
    if not found.names:
        raise UserError(_nothing(root, found))
    at, split = _parts(root, found.names, parts)
    if split is None:
        out = {ALL: Files(root, found.names, *classes_of(found.names), how)}
    else:
        if at:
            detail(f"the parts of {root} lie in {at}")
        out = _of_parts(root / at, [name[len(at) :] for name in found.names if name.startswith(at)] if at else found.names, split, how)
        next(iter(out.values())).beside = tuple(_left_out(found.names, at, split))
    next(iter(out.values())).others = found.others
    return out


def _nothing(root: Path, found: Found) -> str:
    text = f"no pictures in {root}: no file below it ends in {', '.join(sorted(SUFFIXES))}"
    passed = ", ".join(f"{count:,} {what}" for what, count in found.junk.most_common(5))
    return text + not_taken(found.others) + (f"; passed by: {passed}" if passed else "")


def _tops(names: Iterable[str], at: str) -> tuple[dict[str, bool], int]:
    """The folders right below `at`, and whether they hold images themselves; and how many images lie at `at` itself or beside it."""
    flat: dict[str, bool] = {}
    loose = 0
    for name in names:
        top, _, rest = (name[len(at) :] if name.startswith(at) else "").partition("/")
        if not rest:
            loose += 1
        elif not flat.get(top):
            flat[top] = "/" not in rest
    return flat, loose


def _parts(root: Path, names: list[str], asked: Sequence[str]) -> tuple[str, Split | None]:
    """Where the folders of parts lie ("" or a path that ends in /), and which they are; None where there are none."""
    if list(asked) == [NONE]:
        return "", None
    firsts = [text.partition("=")[2].split("/")[0] for text in asked]
    at = ""
    while True:
        tops, loose = _tops(names, at)
        only = next(iter(tops)) if len(tops) == 1 else ""
        wrapper = bool(only) and not loose and not any(fnmatchcase(only, first) for first in firsts)
        if asked and not wrapper:
            return at, split_by_part(_folders(names, at, asked), asked, where=str(root / at), what="folder")
        if not asked:
            split = split_by_part(tops, where=str(root / at), what="folder", flat={top for top, own in tops.items() if own})
            alone = (
                only and loose and part_of(only) == TRAIN and not tops[only]
            )  # the training part with its class folders, and images beside it
            if list(split.parts) != [ALL] or split.left or alone:
                return at, split
        if wrapper:
            at += f"{only}/"
        elif inner := _inner(root, names, at, tops):
            at += f"{inner}/"
        else:
            return "", None


def _inner(root: Path, names: list[str], at: str, tops: dict[str, bool]) -> str:
    """The one of several folders that holds the parts; "" where none does. Raises UserError where several do."""
    below: dict[str, set[str]] = {top: set() for top in tops}
    for name in names:
        pieces = name[len(at) :].split("/", 2)
        if len(pieces) == 3 and name.startswith(at):
            below[pieces[0]].add(pieces[1])
    whole = []
    for top, inside in below.items():
        meant = {part_of(name) for name in inside}
        if TRAIN in meant and (TEST in meant or VAL in meant):
            whole.append(top)
    if len(whole) > 1:
        shown = ", ".join(whole[:4]) + (" …" if len(whole) > 4 else "")
        train, held = (next(name for name in sorted(below[whole[0]]) if part_of(name) in wanted) for wanted in ((TRAIN,), (TEST, VAL)))
        raise UserError(
            f"each of the folders {shown} in {root / at} holds parts, such as {train} and {held}, and they can be read in two ways: they are classes, "
            f"--parts {TRAIN}={at}*/{train} {part_of(held)}={at}*/{held}; or sets of their own: give one of them, {root / at / whole[0]}"
        )
    return whole[0] if whole else ""


def _folders(names: list[str], at: str, asked: Sequence[str]) -> list[str]:
    """The folders below `at` that --parts can speak of: the first of each name, and where it gives paths, the folders of that depth instead."""
    patterns = [text.partition("=")[2] for text in asked]
    found: dict[str, None] = {}
    tops: dict[str, None] = {}
    for name in names:
        pieces = name[len(at) :].split("/")[:-1] if name.startswith(at) else []
        own = [path for pattern in patterns if fnmatchcase(path := "/".join(pieces[: pattern.count("/") + 1]), pattern)]
        found |= dict.fromkeys(own)
        tops |= dict.fromkeys(pieces[:1])
    return [*found, *(top for top in tops if top not in found and not any(path.startswith(f"{top}/") for path in found))]


def _of_parts(root: Path, names: list[str], split: Split, how: Reading) -> dict[str, Files]:
    """The files of each part. Of one folder, names are below it; of several, below `root`."""
    out: dict[str, Files] = {}
    known: list[str] = []
    for part, folders in split.parts.items():
        starts = tuple(f"{folder}/" for folder in folders)
        own = [name for name in names if name.startswith(starts)]
        if len(folders) == 1:
            own = [name[len(folders[0]) + 1 :] for name in own]
            at, labels, classes = root / folders[0], *classes_of(own, known)
        else:
            at, labels, classes = root, *classes_of(_told(own, folders), known)
        out[part] = Files(at, own, labels, classes, how)
        known = known or classes
    return out


def _told(names: list[str], folders: list[str]) -> list[str]:
    """Names of a part of several folders without what says the part, so that what says the class comes first."""
    at = {name: next(folder for folder in folders if name.startswith(f"{folder}/")) for name in names}
    deep = all("/" in name[len(folder) + 1 :] for name, folder in at.items())
    kept = {}
    for folder in folders:
        pieces = folder.split("/")
        if part_of(pieces[-1]) is None and deep:
            pieces = pieces[:-1]
        kept[folder] = "".join(f"{piece}/" for piece in pieces if part_of(piece) is None)
    return [kept[folder] + name[len(folder) + 1 :] for name, folder in at.items()]


def _left_out(names: list[str], at: str, split: Split) -> Iterable[str]:
    """What lies beside the parts, in words."""
    taken = tuple(f"{at}{folder}/" for folders in split.parts.values() for folder in folders)
    counts: dict[str, int] = {}
    loose = 0
    for name in names:
        if not name.startswith(taken):
            top, _, rest = (name[len(at) :] if name.startswith(at) else name).partition("/")
            if rest:
                counts[top] = counts.get(top, 0) + 1
            else:
                loose += 1
    yield from (f"{images(count)} in {top}" for top, count in counts.items())
    if loose:
        yield f"{images(loose)} beside the folders"


def classes_of(names: Sequence[str], known: Collection[str] = ()) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Labels and class names by the first folder of each name, or the second where all lie in one; None where an image lies in no folder, or all in one.

    `known`: the classes of the training part; images of one of these alone are labelled all the same.
    """
    if not names or not all("/" in name for name in names):
        return None, []
    tops = [name.split("/", 1)[0] for name in names]
    classes = sorted(set(tops))
    if len(classes) == 1 and classes[0] not in known:
        inside = [name.split("/", 1)[1] for name in names]
        tops = [name.split("/", 1)[0] for name in inside] if all("/" in name for name in inside) else []
        classes = sorted(set(tops))
        if len(classes) < 2 and not set(classes) & set(known):
            return None, []
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[top] for top in tops], np.int64), classes
