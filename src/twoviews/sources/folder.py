"""A folder of image files, flat or nested; class folders give labels if there are any, folders called after parts give these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.console import detail
from ..base.errors import UserError
from .choose import beside
from .config import Reading
from .files import SUFFIXES, Files, shown
from .find import Found, find
from .parts import ALL, NONE, TEST, TRAIN, VAL, Split, is_aside, is_wrapper, part_of, says_only, split_by_part
from .understood import images, not_taken


def folder(root: Path, how: Reading, parts: Sequence[str] = ()) -> dict[str, Files]:
    """The files below `root` by part, not yet looked at: {"all": …}, or {"train": …, "val": …} where it has folders called so, here or further down.

    Labels: if every image of a part lies in a subfolder, the first folder is its class. `parts` are those of ReadConfig, with NAME a folder, a path of
    folders below `root`, or a pattern. Raises UserError when there is no image, and where folders can be read in two ways.
    """
    found = find(root)
    if not found.names:
        raise UserError(_nothing(root, found))
    names, left = _without_masks(found.names, parts)
    left += [f"{images(count)} in {folder}, as thumbnails (rename it to take it)" for folder, count in found.thumbnails.items()]
    at, split = _parts(root, names, parts)
    if split is None:
        out = {ALL: _files(root, names, how)}
    else:
        if at:
            detail(f"the parts of {root} lie in {at}")
        out = _of_parts(root / at, [name[len(at) :] for name in names if name.startswith(at)] if at else names, split, how)
        left = [*_left_out(names, at, split), *left]
    first = next(iter(out.values()))
    first.beside, first.others = tuple(left), found.others
    return out


def _without_masks(names: list[str], asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """The images without those in folders of masks and the like beside a folder of images, and what is said of these. What is asked for is kept."""
    if list(asked) == [NONE]:
        return names, []
    below: dict[str, set[str]] = {}
    for folder in {name.rpartition("/")[0] for name in names}:
        while folder:
            above, _, own = folder.rpartition("/")
            below.setdefault(above, set()).add(own)
            folder = above
    wanted = {piece for text in asked for piece in text.rpartition("=")[2].split("/")}
    masks = {f"{above}/{own}".lstrip("/") + "/": own for above, inside in below.items() for own in beside(inside) if own not in wanted}
    if not masks:
        return names, []
    starts = tuple(masks)
    kept = [name for name in names if not name.startswith(starts)]
    if not kept:
        return names, []
    counts = Counter(own for name in names for own in {own for start, own in masks.items() if name.startswith(start)})
    return kept, [
        f"{images(count)} in {'folders' if list(masks.values()).count(own) > 1 else 'a folder'} {own}" for own, count in counts.items()
    ]


def _files(root: Path, names: list[str], how: Reading, known: Collection[str] = (), at: str = "") -> Files:
    """The files of one folder, labelled by the folders in it; why they have no labels, if a few images in no folder are the reason."""
    source = Files(root, names, *classes_of(names, known), how)
    source.no_labels = _stray(names, at)
    return source


def _stray(names: Sequence[str], at: str = "") -> str:
    """Why images have no labels, where the few that lie in no class folder are the reason; "" where there is no such reason."""
    loose = [at + name for name in names if "/" not in name]
    rest = [name for name in names if "/" in name]
    if not loose and len(tops := {name.partition("/")[0] for name in rest}) == 1:
        return _stray([name.partition("/")[2] for name in rest], f"{at}{tops.pop()}/")
    if not 0 < len(loose) < len(rest) or not classes_of(rest)[1]:
        return ""
    lie, them = ("lies", "it") if len(loose) == 1 else ("lie", "them")
    return f"{shown(loose[:3], len(loose))} {lie} in no class folder, and all others do: move or delete {them}"


def _nothing(root: Path, found: Found) -> str:
    text = f"no pictures in {root}: no file below it ends in {', '.join(sorted(SUFFIXES))}"
    passed = ", ".join(f"{count:,} {what}" for what, count in found.junk.most_common(5))
    return text + not_taken(found.others) + (f"; passed by: {passed}" if passed else "")


def _tops(names: Iterable[str], at: str) -> tuple[dict[str, bool], dict[str, set[str]], int]:
    """The folders right below `at`, and whether they hold images themselves; the folders in each; how many images lie at `at` itself or beside it."""
    flat: dict[str, bool] = {}
    inside: dict[str, set[str]] = {}
    loose = 0
    for name in names:
        top, _, rest = (name[len(at) :] if name.startswith(at) else "").partition("/")
        if not rest:
            loose += 1
            continue
        folder, deeper, _ = rest.partition("/")
        own = inside.setdefault(top, set())
        if deeper:
            own.add(folder)
        flat[top] = flat.get(top, False) or not deeper
    return flat, inside, loose


def _parts(root: Path, names: list[str], asked: Sequence[str]) -> tuple[str, Split | None]:
    """Where the folders of parts lie ("" or a path that ends in /), and which they are; None where there are none."""
    if list(asked) == [NONE]:
        return "", None
    firsts = [text.partition("=")[2].split("/")[0] for text in asked]
    at = ""
    while True:
        tops, inside, loose = _tops(names, at)
        only = next(iter(tops)) if len(tops) == 1 else ""
        wrapper = bool(only) and not loose and not any(fnmatchcase(only, first) for first in firsts)
        if asked and not wrapper:
            return at, split_by_part(_folders(names, at, asked), asked, where=str(root / at), what="folder")
        if not asked:
            flat = {top for top, own in tops.items() if own}
            split = split_by_part(tops, where=str(root / at), what="folder", flat=flat, inside=inside)
            alone = (
                only and loose and part_of(only) == TRAIN and not tops[only]
            )  # the training part with its class folders, and images beside it
            if list(split.parts) != [ALL] or split.left or alone:
                return at, split
        if wrapper:
            at += f"{only}/"
        elif inner := _inner(root, at, tops, inside):
            at += f"{inner}/"
        else:
            return "", None


def _inner(root: Path, at: str, tops: dict[str, bool], inside: dict[str, set[str]]) -> str:
    """The one of several folders that holds the parts; "" where none does. Raises UserError where that can be read in two ways."""
    held = {top: _held(folders) for top, folders in inside.items()}
    whole = [top for top, own in held.items() if TRAIN in own and len(own) > 1]
    if len(whole) > 1:
        shown = ", ".join(whole[:4]) + (" …" if len(whole) > 4 else "")
        (train, test), other = _pair(held[whole[0]])
        raise UserError(
            f"each of the folders {shown} in {root / at} holds parts, such as {train} and {test}, and they can be read in two ways: they are classes, "
            f"--parts {TRAIN}={at}*/{train} {other}={at}*/{test}; or sets of their own: give one of them, {root / at / whole[0]}"
        )
    if whole:
        top = whole[0]
        beside = [other for other, own in tops.items() if own and not is_aside(other) and part_of(other) is None]
        if len(beside) > is_wrapper(top):  # they may as well be classes
            (train, test), other = _pair(held[top])
            raise UserError(
                f"the folder {top} in {root / at} holds parts, and {', '.join(beside[:4])} beside it hold images, which can be read in two ways: {top} is the "
                f"set, --parts {TRAIN}={top}/{train} {other}={top}/{test}; or all of them are classes, --parts {NONE}"
            )
        return top
    across = {}
    for top, own in held.items():
        for part, name in own.items():
            if says_only(name):
                across.setdefault(part, f"{top}/{name}")
    if TRAIN in across and len(across) > 1:
        (train, test), other = _pair(across)
        raise UserError(
            f"the folders of {root / at} hold {train} and {test}, and they can be read in two ways: parts, --parts {TRAIN}={train} {other}={test}; "
            f"or {', '.join(list(tops)[:4])} are classes, --parts {NONE}"
        )
    return ""


def _held(folders: Collection[str]) -> dict[str, str]:
    """{part: the first folder called after it} of train, val and test."""
    found: dict[str, str] = {}
    for name in sorted(folders):
        if (part := part_of(name)) in (TRAIN, VAL, TEST):
            found.setdefault(part, name)
    return found


def _pair(held: dict[str, str]) -> tuple[tuple[str, str], str]:
    """The training part and the first of what is held out, and which this is."""
    other = TEST if TEST in held else VAL
    return (held[TRAIN], held[other]), other


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
    known: Sequence[str] = ()
    for part, folders in split.parts.items():
        starts = tuple(f"{folder}/" for folder in folders)
        own = [name for name in names if name.startswith(starts)]
        if len(folders) == 1:
            source = _files(root / folders[0], [name[len(folders[0]) + 1 :] for name in own], how, known, f"{folders[0]}/")
        else:
            told = _told(own, folders)
            source = Files(root, own, *classes_of(told, known), how)
            source.no_labels = _stray(told)
        out[part] = source
        known = known or source.classes
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
