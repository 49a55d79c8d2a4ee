"""Parquet files in Hugging Face's image layout: a struct column of bytes and path, and a label column with its class names."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..base.errors import UserError, nearest
from .config import ReadConfig, Reading
from .errors import Unreadable
from .files import SPLITS
from .source import Encoded

IMAGE_COLUMNS = ("img", "image", "picture", "jpg", "png")
LABEL_COLUMNS = ("label", "labels", "fine_label", "coarse_label")
IN_MEMORY = 4 << 30  # bytes of Parquet files up to which they are held in memory; larger ones are read by row groups
GROUPS_BYTES = 1 << 30  # of row groups that a process holds at a time


class Table(Encoded):
    """Pictures in memory as the bytes of their files."""

    def __init__(self, files: Sequence[Path], how: Reading, label_column: str = ""):
        tables = [_read(file, label_column) for file in files]
        schema = tables[0].schema
        self.how = how
        self.images = pa.chunked_array([chunk for t in tables for chunk in t.column(_image_column(t.schema, str(files[0]))).chunks])
        column = label_of(schema, label_column, str(files[0]))
        self.labels, self.classes = labels_of([t.column(column) for t in tables] if column else [], schema, column)
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.name}\0{file.stat().st_size}\0{pq.read_metadata(file).num_rows}\0".encode())
        self._fingerprint = digest.hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return named(self.images[index].as_py(), index)

    def bytes(self, index: int) -> bytes:
        return bytes_of(self.images[index].as_py(), index)


class Groups(Encoded):
    """Pictures of Parquet files, local or remote, read by row groups: what is too large for memory, or is not to be copied first.

    A block is a row group. Each process holds the groups it used last.
    """

    def __init__(self, files: Sequence[str], how: Reading, label_column: str = "", filesystem: Any = None):
        self.how, self.files, self.filesystem = how, list(files), filesystem
        metas = [pq.read_metadata(file, filesystem=filesystem) for file in self.files]
        schema = pq.read_schema(self.files[0], filesystem=filesystem)
        self.image = _image_column(schema, self.files[0])
        rows = [meta.row_group(g).num_rows for meta in metas for g in range(meta.num_row_groups)]
        self.where = [(file, g) for file, meta in enumerate(metas) for g in range(meta.num_row_groups)]
        self.blocks = np.cumsum([0, *rows])
        column = label_of(schema, label_column, self.files[0])
        own = [pq.read_table(file, columns=[column], filesystem=filesystem).column(0) for file in self.files] if column else []
        self.labels, self.classes = labels_of(own, schema, column)
        text = "\0".join(
            f"{file.rsplit('/', 1)[-1]}\0{meta.num_rows}\0{meta.serialized_size}" for file, meta in zip(self.files, metas, strict=True)
        )
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.held: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __len__(self) -> int:
        assert self.blocks is not None
        return int(self.blocks[-1])

    def row(self, index: int) -> dict[str, Any]:
        """One picture as a dictionary of bytes and path."""
        assert self.blocks is not None
        group = int(np.searchsorted(self.blocks, index, "right")) - 1
        if group not in self.held:
            file, number = self.where[group]
            try:
                with pq.ParquetFile(self.files[file], filesystem=self.filesystem) as opened:
                    self.held[group] = opened.read_row_group(number, [self.image]).column(0)
            except (OSError, pa.ArrowInvalid) as error:
                raise Unreadable(f"row group {number} of {self.files[file]} cannot be read: {error}") from error
            while len(self.held) > 1 and sum(column.nbytes for column in self.held.values()) > GROUPS_BYTES:
                self.held.popitem(last=False)
        self.held.move_to_end(group)
        return self.held[group][index - int(self.blocks[group])].as_py()

    def name(self, index: int) -> str:
        return named(self.row(index), index)

    def bytes(self, index: int) -> bytes:
        return bytes_of(self.row(index), index)


def named(row: dict[str, Any] | None, index: int) -> str:
    """A picture's name: its path, else its number."""
    return (row or {}).get("path") or f"row {index}"


def bytes_of(row: dict[str, Any] | None, index: int) -> bytes:
    """A picture's bytes. Raises Unreadable where there are none."""
    data = (row or {}).get("bytes")
    if data is None:
        raise Unreadable(f"row {index} holds a path but no bytes" if row else f"row {index} is empty")
    return data


def table(path: Path, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """The splits of a .parquet file (one: "all") or of a folder of them, by how their names begin: train-…, test-… or validation-….

    Raises UserError for files without an image column.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    splits: dict[str, list[Path]] = {}
    for file in files:
        name = file.stem.split("-")[0].lower()
        splits.setdefault(SPLITS.get(name, name), []).append(file)
    if "train" not in splits or path.is_file():
        splits = {"all": files}
    large = sum(file.stat().st_size for file in files) > IN_MEMORY

    def one(own: list[Path]) -> Encoded:
        return Groups([str(f) for f in own], how, config.label_column) if large else Table(own, how, config.label_column)

    return {name: one(splits[name]) for name in ("train", "test", "unlabelled", "all") if name in splits}


def label_of(schema: pa.Schema, asked: str, where: str) -> str:
    """The column of labels: the one asked for, else a usual one of whole numbers, else "". Raises UserError with the choices."""
    if asked and asked not in schema.names:
        raise UserError(f"{where} has no column {asked!r}.{nearest(asked, schema.names)} It has {', '.join(schema.names)}")
    return asked or next((n for n in LABEL_COLUMNS if n in schema.names and pa.types.is_integer(schema.field(n).type)), "")


def labels_of(columns: list[Any], schema: pa.Schema, name: str) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Labels (n,), −1 where there is none, and class names, of the label columns of some files."""
    if not columns:
        return None, []
    values = [value for column in columns for value in column.to_pylist()] if not pa.types.is_integer(schema.field(name).type) else None
    if values is not None:
        classes = sorted({str(v) for v in values if v is not None})
        number = {text: i for i, text in enumerate(classes)}
        return np.array([-1 if v is None else number[str(v)] for v in values], np.int64), classes
    labels = np.concatenate([column.fill_null(-1).to_numpy() for column in columns]).astype(np.int64)
    return labels, class_names(schema, name) or [str(i) for i in range(int(labels.max(initial=-1)) + 1)]


def _read(file: Path, label_column: str) -> pa.Table:
    try:
        schema = pq.read_schema(file)
        label = label_of(schema, label_column, str(file))
        return pq.read_table(file, columns=[_image_column(schema, str(file)), *([label] if label else [])])
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file} cannot be read as Parquet: {error}") from error


def _image_column(schema: pa.Schema, where: str) -> str:
    for name in (*IMAGE_COLUMNS, *schema.names):
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                return name
    raise UserError(f"{where} has no image column: expected a struct of bytes and path; it has {', '.join(schema.names)}")


def class_names(schema: pa.Schema, column: str) -> list[str]:
    """What the schema's `huggingface` metadata calls the classes; empty where it does not."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])
        feature = info["info"]["features"][column]
        return list(feature.get("names") or feature["feature"]["names"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return []
