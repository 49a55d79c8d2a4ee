"""Parquet files in Hugging Face's image layout: a struct column of bytes and path, and a label column with its class names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import UserError
from .decode import Unreadable, decode, upright_size

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels", "fine_label", "coarse_label")


class Table:
    """Pictures in memory as the bytes of their files; decoded when read. `skipped` lists rows that cannot be read."""

    def __init__(self, files: Sequence[Path], channels: int):
        tables = [_read(file) for file in files]
        schema = tables[0].schema
        self.channels = channels
        self.images = pa.chunked_array([chunk for t in tables for chunk in t.column(_image_column(t.schema, files[0])).chunks])
        labels = [name for name in LABEL_COLUMNS if name in schema.names and pa.types.is_integer(schema.field(name).type)]
        self.labels: NDArray[np.int64] | None = None
        self.classes: Sequence[str] = []
        if labels:
            values = np.concatenate([t.column(labels[0]).to_numpy() for t in tables])
            self.labels = np.where(np.isnan(values), -1, values).astype(np.int64) if values.dtype.kind == "f" else values.astype(np.int64)
            self.classes = _class_names(schema, labels[0]) or [str(i) for i in range(int(self.labels.max(initial=-1)) + 1)]
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.name}\0{file.stat().st_size}\0{pq.read_metadata(file).num_rows}\0".encode())
        self.fingerprint = digest.hexdigest()[:16]
        self.skipped: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        path = self.images[index]["path"].as_py() if "path" in [f.name for f in self.images.type] else None
        return path or str(index)

    def size(self, index: int) -> tuple[int, int]:
        return upright_size(self.bytes(index))

    def read(self, index: int, shrink: float = 1.0) -> Tensor:
        try:
            return decode(self.bytes(index), self.channels, shrink)
        except Unreadable as error:
            raise Unreadable(f"row {index}: {error}") from error

    def bytes(self, index: int) -> bytes:
        data = self.images[index]["bytes"].as_py()
        if data is None:
            raise Unreadable(f"row {index} holds a path but no bytes")
        return data


def table(path: Path, channels: int = 3) -> dict[str, Table]:
    """The splits of a .parquet file (one: "all") or of a folder of them, by how their names begin: train-…, test-… or validation-….

    Raises UserError for files without an image column.
    """
    if path.is_file():
        return {"all": Table([path], channels)}
    files = sorted(path.glob("*.parquet"))
    splits: dict[str, list[Path]] = {}
    for file in files:
        name = file.stem.split("-")[0].lower()
        splits.setdefault({"validation": "test", "val": "test"}.get(name, name), []).append(file)
    if "train" not in splits:
        return {"all": Table(files, channels)}
    return {name: Table(splits[name], channels) for name in ("train", "test", "unlabelled") if name in splits}


def _read(file: Path) -> pa.Table:
    try:
        schema = pq.read_schema(file)
        columns = [_image_column(schema, file), *(name for name in LABEL_COLUMNS if name in schema.names)]
        return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file} cannot be read as Parquet: {error}") from error


def _image_column(schema: pa.Schema, file: Path) -> str:
    for name in IMAGE_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
                return name
    raise UserError(
        f"{file} has no image column: expected {' or '.join(IMAGE_COLUMNS)}, a struct of bytes and path; it has {', '.join(schema.names)}"
    )


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])
        feature = info["info"]["features"][column]
        return list(feature.get("names") or feature["feature"]["names"])
    except (KeyError, ValueError, TypeError):
        return []
