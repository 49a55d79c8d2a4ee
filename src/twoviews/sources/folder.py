"""A folder of picture files, flat or nested: found once, sorted, checked; class folders give labels if there are any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..base.console import track
from ..base.errors import UserError
from .decode import Unreadable, read_file

SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".png",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".jp2",
        ".avif",
        ".jfif",
    )
)
SPLITS = {"train": "train", "training": "train", "test": "test", "val": "test", "validation": "test", "valid": "test"}


class Folder:
    """The readable pictures below `root`. `skipped` lists the others as (path, reason).

    Labels: if every picture lies in a subfolder, the first folder below the root is its class; otherwise there are none.
    """

    def __init__(
        self,
        root: Path,
        channels: int,
        paths: Sequence[str],
        skipped: Sequence[tuple[str, str]],
        sizes: Sequence[tuple[int, int]],
    ):
        self.root, self.channels, self.paths, self.skipped, self.sizes = (
            root,
            channels,
            list(paths),
            list(skipped),
            list(sizes),
        )
        classes = sorted({path.split("/")[0] for path in paths}) if all("/" in path for path in paths) else []
        self.classes: Sequence[str] = classes if len(classes) > 1 else []
        number = {name: i for i, name in enumerate(self.classes)}
        self.labels: NDArray[np.int64] | None = np.array([number[p.split("/")[0]] for p in paths], np.int64) if self.classes else None
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(f"{path}\0{(root / path).stat().st_size}\0".encode("utf-8", "surrogateescape"))
        self.fingerprint = digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return self.paths[index]

    def size(self, index: int) -> tuple[int, int]:
        return self.sizes[index]

    def read(self, index: int, shrink: float = 1.0) -> Tensor:
        path = self.root / self.paths[index]
        try:
            return read_file(path, self.channels, shrink)
        except Unreadable as error:
            raise Unreadable(f"{path}: {error}. It could be read when the folder was checked") from error


def find(root: Path) -> list[str]:
    """Picture files below `root` by their ending, as sorted relative paths with forward slashes. Hidden files and folders are left out."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name).relative_to(root).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)


def check(root: Path, paths: Sequence[str], channels: int) -> tuple[list[str], list[tuple[str, str]], list[tuple[int, int]]]:
    """Decode each picture once: the readable paths, (path, reason) of the others, and the (height, width) of the readable."""

    def one(path: str) -> tuple[int, int] | str:
        try:
            return tuple(read_file(root / path, channels).shape[1:])  # type: ignore[return-value]
        except Unreadable as error:
            return str(error)

    good: list[str] = []
    skipped: list[tuple[str, str]] = []
    sizes: list[tuple[int, int]] = []
    with ThreadPoolExecutor() as pool:
        for path, result in zip(paths, track(pool.map(one, paths), "checking pictures", len(paths)), strict=True):
            if isinstance(result, str):
                skipped.append((path, result))
            else:
                good.append(path)
                sizes.append(result)
    return good, skipped, sizes


def folder(root: Path, channels: int = 3) -> dict[str, Folder]:
    """The source below `root` by split: {"all": …}, or {"train": …, "test": …} where it has folders of these names.

    Raises UserError when there is no picture, or none that can be read.
    """
    paths = find(root)
    if not paths:
        raise UserError(f"no pictures in {root}: no file below it ends in {', '.join(sorted(SUFFIXES))}")
    good, skipped, sizes = check(root, paths, channels)
    if not good:
        raise UserError(f"none of the {len(paths)} pictures in {root} can be read; the first: {skipped[0][0]}: {skipped[0][1]}")
    tops = {path.split("/")[0] for path in paths if "/" in path}
    if tops and tops <= SPLITS.keys() and {SPLITS[top] for top in tops} == {"train", "test"}:
        out = {}
        for split in ("train", "test"):
            top = next(t for t in sorted(tops) if SPLITS[t] == split)
            inside = [(path[len(top) + 1 :], size) for path, size in zip(good, sizes, strict=True) if path.startswith(f"{top}/")]
            bad = [(path[len(top) + 1 :], reason) for path, reason in skipped if path.startswith(f"{top}/")]
            out[split] = Folder(root / top, channels, [p for p, _ in inside], bad, [s for _, s in inside])
        return out
    return {"all": Folder(root, channels, good, skipped, sizes)}
