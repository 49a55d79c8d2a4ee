"""What the columns of Parquet and Arrow tables are by their types: images, paths, and neither."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .choose import AUXILIARY, IMAGES, rank
from .decode import info
from .errors import Unreadable

FIRST = 8  # rows that are looked at where a column's name does not say that it holds images


def read_schema(file: str, filesystem: Any = None) -> pa.Schema | None:
    """The schema of a Parquet file, None where it cannot be read."""
    try:
        return pq.read_schema(file, filesystem=filesystem)
    except (OSError, pa.ArrowInvalid):
        return None


def is_binary(kind: pa.DataType) -> bool:
    """Whether values are bytes, in any of Arrow's layouts."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether values are text, in any of Arrow's layouts, categories too."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_paths(kind: pa.DataType) -> bool:
    """Whether values may be paths: text, or bytes, as names of files are."""
    return is_text(kind) or is_binary(kind)


def is_label(kind: pa.DataType) -> bool:
    """Whether values may be labels: not bytes, not structs or maps, nor lists of these."""
    if pa.types.is_dictionary(kind) or hasattr(kind, "value_type"):
        return is_label(kind.value_type)
    return not (is_binary(kind) or pa.types.is_nested(kind))


def _is_image(kind: pa.DataType) -> bool:
    """Hugging Face's layout of an image: a struct of bytes and path, whatever else is in it."""
    if not pa.types.is_struct(kind):
        return False
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    if "bytes" not in fields:
        return fields.keys() == {"path"}
    return is_binary(fields["bytes"]) or (pa.types.is_null(fields["bytes"]) and "path" in fields)


def image_columns(schema: pa.Schema, plain: bool = False) -> list[str]:
    """The columns of images by type, and those of bytes that are called after images; `plain`: without masks, depths and the like."""
    own = [f.name for f in schema if _is_image(f.type) or (is_binary(f.type) and (rank(f.name) < len(IMAGES) or _said(schema, f.name)))]
    return [name for name in own if not plain or rank(name) < AUXILIARY]


def _said(schema: pa.Schema, name: str) -> bool:
    """Whether the `huggingface` metadata calls a column an image."""
    try:
        return json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][name]["_type"] == "Image"
    except (KeyError, ValueError, TypeError):
        return False


def found_images(file: str, schema: pa.Schema, filesystem: Any = None) -> list[str]:
    """The columns of bytes whose first values are images, whatever they are called."""
    names = [field.name for field in schema if is_binary(field.type)]
    return [name for name in names if _begins_with_image(file, name, filesystem)]


def _begins_with_image(file: str, name: str, filesystem: Any) -> bool:
    with pq.ParquetFile(file, filesystem=filesystem) as opened:
        for batch in opened.iter_batches(FIRST, columns=[name]):
            first = next((value for value in batch.column(0).to_pylist() if value), None)
            try:
                return first is not None and bool(info(first))
            except Unreadable:
                return False
    return False
