"""A folder of picture files, flat or nested; class folders give labels if there are any, train and test folders give splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import UserError
from .config import Reading
from .files import SPLITS, SUFFIXES, Files, find


def folder(root: Path, how: Reading) -> dict[str, Files]:
    """The files below `root` by split, not yet looked at: {"all": …}, or {"train": …, "test": …} where it has folders of these names.

    Labels: if every picture of a split lies in a subfolder, the first folder is its class. Raises UserError when there is no picture.
    """
    names = find(root)
    if not names:
        raise UserError(f"no pictures in {root}: no file below it ends in {', '.join(sorted(SUFFIXES))}")
    tops = {name.split("/", 1)[0] for name in names if "/" in name}
    if tops and tops <= SPLITS.keys() and {SPLITS[top] for top in tops} == {"train", "test"}:
        out = {}
        for split in ("train", "test"):
            top = next(t for t in sorted(tops) if SPLITS[t] == split)
            out[split] = files(root / top, [name[len(top) + 1 :] for name in names if name.startswith(f"{top}/")], how)
        return out
    return {"all": files(root, names, how)}


def files(root: Path, names: Sequence[str], how: Reading) -> Files:
    """Files with the labels of their folders."""
    return Files(root, names, *classes_of(names), how)


def classes_of(names: Sequence[str]) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Labels and class names by the first folder of each name; None where a picture lies in no folder, or all lie in one."""
    if not all("/" in name for name in names):
        return None, []
    tops = [name.split("/", 1)[0] for name in names]
    classes = sorted(set(tops))
    number = {name: i for i, name in enumerate(classes)}
    return (np.array([number[top] for top in tops], np.int64), classes) if len(classes) > 1 else (None, [])
