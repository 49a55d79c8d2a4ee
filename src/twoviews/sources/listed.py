"""A list of files with labels and splits (CSV or Parquet), and arrays in memory: what people with a table, and Python callers, bring."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import UserError, nearest
from .config import ReadConfig, Reading
from .decode import as_channels, from_array, from_pil, read_file
from .errors import Unreadable
from .files import SPLITS, Files, natural
from .sets import fingerprint
from .source import ImageSource, Small

PATHS = ("path", "file", "filename", "file_name", "filepath", "image_path", "image")
LABELS = ("label", "labels", "class", "category", "target")
SPLIT = ("split", "part", "subset", "set")


def listed(path: Path, how: Reading, config: ReadConfig) -> dict[str, Files]:
    """The files of a list, by split. Relative paths are below the list's own folder. Raises UserError for what is wrong with it."""
    columns = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    names = list(columns)
    of_path = _column(path, names, config.path_column, PATHS, "path", needed=True)
    of_label = _column(path, names, config.label_column, LABELS, "label")
    of_split = _column(path, names, config.split_column, SPLIT, "split")
    paths = columns[of_path]
    empty = next((n for n, p in enumerate(paths) if not p), None)
    if not paths or empty is not None:
        raise UserError(f"{path} has no rows" if not paths else f"{path}: row {empty + 1} has no path in the column {of_path!r}")  # type: ignore[operator]
    if config.root_only:
        _refuse_outside(path, paths)
    labels = columns[of_label] if of_label else None
    classes = sorted({text for text in labels if text}, key=natural) if labels else []
    if len(classes) < 2:
        labels, classes = None, []
    number = {name: i for i, name in enumerate(classes)}
    splits = [_split(path, row, text) for row, text in enumerate(columns[of_split])] if of_split else ["all"] * len(paths)
    if set(splits) == {"train"}:
        splits = ["all"] * len(paths)
    out = {}
    for split in sorted(set(splits), key=("train", "test", "unlabelled", "all").index):
        rows = [row for row, own in enumerate(splits) if own == split]
        known = None if labels is None else np.array([number.get(labels[row], -1) for row in rows], np.int64)
        out[split] = Files(path.parent, [paths[row] for row in rows], known, classes, how)
    return out


def _csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            try:
                dialect = csv.Sniffer().sniff(file.readline(), ",;\t") if path.suffix == ".csv" else csv.excel_tab
            except csv.Error:
                dialect = csv.excel  # one column
            file.seek(0)
            rows = list(csv.reader(file, dialect, strict=True))
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table: {error}") from error
    rows = [row for row in rows if row]
    if not rows:
        raise UserError(f"{path} is empty: a list has a line of column names and a line a picture")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise UserError(f"{path}: row {number} has {len(row)} fields, the line of names has {len(rows[0])}")
    if "\0" in "".join(map("".join, rows)):
        raise UserError(f"{path} holds zero bytes: it is no text")
    return {name.strip(): list(values) for name, *values in zip(*rows, strict=True)}


def _parquet(path: Path) -> dict[str, list[str]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    simple = [n for n in table.column_names if not pa.types.is_nested(table.schema.field(n).type)]
    return {name: ["" if v is None else str(v) for v in table.column(name).to_pylist()] for name in simple}


def is_list(path: Path, config: ReadConfig) -> bool:
    """Whether a file is a list of paths: a CSV or TSV, or a Parquet file without pictures but with paths in it."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return True
    if path.suffix != ".parquet":
        return False
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid):
        return False
    plain = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    return bool(config.path_column) or (not any(pa.types.is_struct(f.type) for f in schema) and any(n in plain for n in PATHS))


def _column(path: Path, names: list[str], asked: str, usual: Sequence[str], what: str, needed: bool = False) -> str:
    """The column that was asked for, else the first usual one, else "". Raises UserError with the choices."""
    if asked and asked not in names:
        raise UserError(f"{path} has no column {asked!r}.{nearest(asked, names)} It has {', '.join(names)}")
    found = asked or next((n for u in usual for n in names if n.lower() == u), "")
    if needed and not found:
        raise UserError(
            f"{path} has no column of {what}s that is called as usual ({', '.join(usual)}): say which with --{what}-column. It has {', '.join(names)}"
        )
    return found


def _split(path: Path, row: int, text: str) -> str:
    if text.strip().lower() not in SPLITS:
        raise UserError(f"{path}: row {row + 1} is of the split {text!r}; known are {', '.join(SPLITS)}")
    return SPLITS[text.strip().lower()]


def _refuse_outside(path: Path, paths: list[str]) -> None:
    root = os.path.realpath(path.parent)
    for row, name in enumerate(paths):
        try:
            real = os.path.realpath(path.parent / name)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: row {row + 1}: {error}") from error
        if os.path.commonpath([root, real]) != root:
            raise UserError(f"{path}: row {row + 1} points outside its folder: {name!r}, and --root-only forbids that")


@dataclasses.dataclass
class Arrays:
    """Pictures of several sizes in memory."""

    images: list[Tensor]
    labels: NDArray[np.int64] | None = None
    classes: Sequence[str] = ()

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(str(tuple(image.shape)).encode() + image.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> Tensor:
        return self.images[index]


def from_python(pictures: Any, channels: int | None = None) -> ImageSource:
    """A source from what Python code has: an array (n, H, W) or (n, H, W, C), or a sequence of arrays, PIL images or paths, of any sizes.

    `channels` None: gray stays gray, up to 16 channels stay those of arrays, the rest is RGB. Raises UserError for what is no picture.
    """
    if isinstance(pictures, ImageSource):
        return pictures
    if len(pictures) == 0:
        raise UserError("there are no pictures")
    images = [_one(picture, number, channels) for number, picture in enumerate(pictures)]
    most = channels or max(len(image) for image in images)
    try:
        images = [as_channels(image, most) for image in images]
    except Unreadable as error:
        raise UserError(f"the pictures have different channels: {error}") from error
    if len({image.shape for image in images}) == 1:
        stacked = torch.stack(images)
        return Small(stacked, None, [], fingerprint(stacked, None))
    return Arrays(images)


def _one(picture: Any, number: int, channels: int | None) -> Tensor:
    try:
        if isinstance(picture, (str, Path)):
            return read_file(Path(picture), Reading(channels or 3))
        if isinstance(picture, Tensor):
            picture = picture.numpy()
        if isinstance(picture, np.ndarray):
            if picture.ndim not in (2, 3) or min(picture.shape[:2]) < 1:
                raise UserError(f"picture {number} has the shape {picture.shape}; a picture is (H, W) or (H, W, C)")
            return from_array(picture, Reading(channels or (1 if picture.ndim == 2 else picture.shape[2])))
        return from_pil(picture, Reading(channels or (1 if picture.mode in ("L", "1", "I;16") else 3)))
    except (Unreadable, OSError, AttributeError) as error:
        raise UserError(f"picture {number} is no picture: {error}") from error
