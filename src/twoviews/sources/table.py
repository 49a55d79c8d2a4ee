"""Parquet files that hold images: structs of bytes and path (Hugging Face's layout) or plain bytes, and labels beside them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..base.errors import UserError
from . import labels as of_labels
from .choose import LABELS, SPLIT, column, rank, several, tidy, took
from .config import ReadConfig, Reading
from .errors import Unreadable
from .files import SUFFIXES
from .listed import by_values
from .names import series
from .parts import ALL, NONE, any_part, split_by_part
from .schema import found_images, image_columns, is_binary, is_label, is_paths, read_schema
from .source import Encoded, part

IN_MEMORY = 4 << 30  # bytes of Parquet files up to which they are held in memory; larger ones are read by row groups
GROUPS_BYTES = 1 << 30  # of row groups that a process holds at a time


class Rows(Encoded):
    """Images in the rows of a table: the bytes of a file, its path, or both. Paths without bytes are looked for in `folders`; a kind says what a row is."""

    files: Sequence[str] = ()
    folders: Sequence[Path] = ()
    root_only = False

    def row(self, index: int) -> dict[str, Any] | bytes | None:
        """One image as it lies in the table. Raises Unreadable."""
        raise NotImplementedError

    def _row(self, index: int) -> tuple[str, bytes | None]:
        row = self.row(index)
        if isinstance(row, bytes):
            return "", row
        path = (row or {}).get("path") or ""
        return os.fsdecode(path), (row or {}).get("bytes")

    def name(self, index: int) -> str:
        """Its path, else its number."""
        return self._row(index)[0] or f"row {index}"

    def bytes(self, index: int) -> bytes:
        path, data = self._row(index)
        if data is not None:
            return data
        if not path:
            raise Unreadable(f"row {index} is empty")
        for folder in self.folders:
            file = folder / path
            if file.is_file():
                if self.root_only and not file.resolve().is_relative_to(folder.resolve()):
                    raise Unreadable(f"row {index} points outside its folder: {path!r}, and --root-only forbids that")
                return file.read_bytes()
        raise Unreadable(f"row {index} holds a path but no bytes, and there is no file {path!r} beside it")


class Table(Rows):
    """Images in memory as the bytes of their files."""

    near = True

    def __init__(self, files: Sequence[Path], columns: Sequence[pa.ChunkedArray], how: Reading):
        self.how, self.files, self.columns = how, list(map(str, files)), list(columns)
        self.bounds = np.cumsum([0, *map(len, columns)])
        digest = hashlib.sha256()
        for file, rows in zip(files, columns, strict=True):
            digest.update(f"{file.name}\0{file.stat().st_size}\0{len(rows)}\0".encode("utf-8", "surrogateescape"))
        self._fingerprint = digest.hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def behind(self) -> Sequence[str]:
        return self.files

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def row(self, index: int) -> dict[str, Any] | bytes | None:
        file = int(np.searchsorted(self.bounds, index, "right")) - 1
        return self.columns[file][index - int(self.bounds[file])].as_py()


class Groups(Rows):
    """Images of Parquet files, local or remote, read by row groups: what is too large for memory, or is not to be copied first.

    A block is a row group. Each process holds the groups it used last.
    """

    def __init__(self, files: Sequence[str], image: str, how: Reading, filesystem: Any = None):
        self.how, self.files, self.image, self.filesystem = how, list(files), image, filesystem
        metas = [pq.read_metadata(file, filesystem=filesystem) for file in self.files]
        rows = [meta.row_group(g).num_rows for meta in metas for g in range(meta.num_row_groups)]
        self.where = [(file, g) for file, meta in enumerate(metas) for g in range(meta.num_row_groups)]
        self.blocks = np.cumsum([0, *rows])
        text = "\0".join(
            f"{file.rsplit('/', 1)[-1]}\0{meta.num_rows}\0{meta.serialized_size}" for file, meta in zip(self.files, metas, strict=True)
        )
        self._fingerprint = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.held: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def behind(self) -> Sequence[str]:
        return self.files if self.filesystem is None else ()

    def __len__(self) -> int:
        assert self.blocks is not None
        return int(self.blocks[-1])

    def row(self, index: int) -> dict[str, Any] | bytes | None:
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


def parquet_files(root: Path) -> list[Path]:
    """The Parquet files with images of a folder and of those in it, hidden ones left out; none where there are image files and no Parquet with images."""
    waiting, found, others = [root], [], []
    while waiting:
        folder = waiting.pop(0)
        own, folders, pictures = [], [], False
        with contextlib.suppress(PermissionError), os.scandir(folder) as entries:  # said where image files are looked for
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.name.lower().endswith(".parquet"):
                    own.append(folder / entry.name)
                else:
                    pictures = pictures or os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122 (many files)
        schemas = {file: read_schema(str(file)) for file in sorted(own)}
        images = [file for file, schema in schemas.items() if schema is None or image_columns(schema)]  # what cannot be read is named later
        if pictures and not images:
            return found
        found += images
        others += schemas
        waiting += [folder / name for name in sorted(folders)]
    return found or others


def table(path: Path, how: Reading, config: ReadConfig) -> dict[str, Encoded]:
    """The parts of a .parquet file or of a folder of them, by the names of files and of the folders in it, or by a column that says it.

    Raises UserError for files without images, and for such whose columns do not fit together.
    """
    files = [path] if path.is_file() else parquet_files(path)
    large = sum(file.stat().st_size for file in files) > IN_MEMORY
    root = path.parent if path.is_file() else path
    split = _split_column(_schema(str(files[0]), None), config)
    by_rows = split and (config.split_column or len(files) == 1)
    out = tables([str(file) for file in files], str(root), how, config, (NONE,) if by_rows else config.parts, large=large)
    if path.is_dir() and (others := sum(1 for _ in path.rglob("*.parquet")) - len(files)) > 0:
        for source in out.values():
            source.beside = [*source.beside, f"{several(others, 'Parquet file')} without images"]
    if list(out) != [ALL] or not split or (large and not config.split_column):
        return out
    return _by_column(out[ALL], split, config)


def tables(
    files: Sequence[str], root: str, how: Reading, config: ReadConfig, asked: Sequence[str], *, large: bool, filesystem: Any = None
) -> dict[str, Encoded]:
    """Sources of Parquet files, by the parts that their names say, or `asked`. All of them give the same numbers to the same labels.

    `large`: read by row groups. Raises UserError.
    """
    called = {file: series(file.removeprefix(root).lstrip("/"), asked) for file in files}
    split = split_by_part(called.values(), asked, where=root, what="file")
    taken = {own: [file for file in files if called[file] in names] for own, names in split.parts.items()}
    files = [file for own in taken.values() for file in own]
    schemas = {file: _schema(file, filesystem) for file in files}
    image, remark = _image(files[0], schemas[files[0]], config, filesystem)
    label = _label(files, schemas, image, config, filesystem)
    read = {}
    for file in files:
        if image not in schemas[file].names:
            raise UserError(f"{file} has no column {image!r} of images, as {files[0]} has; it has {', '.join(schemas[file].names)}")
        wanted = [*([] if large else [image]), *([label] if label in schemas[file].names else [])]
        read[file] = _read(file, wanted, filesystem)
    found = of_labels.numbered([_labels_in(file, schemas[file], label, read[file]) for file in files] if label else [])
    missing = "" if label else f"{files[0]} has no column of labels that is called as usual (--label-column names one)"
    remarks = [remark, *([took(label, "labels")] if label else []), *found.remarks]
    out: dict[str, Encoded] = {}
    for own, members in taken.items():
        source: Rows
        if large:
            source = Groups(members, image, how, filesystem)
        else:
            source = Table([Path(file) for file in members], [read[file].column(image) for file in members], how)
        source.labels, source.classes = found.of([files.index(file) for file in members]), found.classes
        source.no_labels, source.remarks = found.why or missing, remarks
        source.beside = [f"{several(list(called.values()).count(name), 'file')} {name}" for name in split.left]
        source.folders = [Path(root), *dict.fromkeys(Path(file).parent for file in members)] if filesystem is None else []
        source.root_only = config.root_only
        out[own] = source
    return out


def _schema(file: str, filesystem: Any) -> pa.Schema:
    try:
        schema = pq.read_schema(file, filesystem=filesystem)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file} cannot be read as Parquet: {error}") from error
    if twice := next((name for name, count in Counter(schema.names).items() if count > 1), None):
        raise UserError(f"{file} has two columns {twice!r}: give each a name of its own")
    return schema


def _read(file: str, columns: list[str], filesystem: Any) -> pa.Table:
    try:
        with pq.ParquetFile(file, filesystem=filesystem) as opened:
            if columns:
                return opened.read(columns)
            return pa.table({"": pa.nulls(opened.metadata.num_rows)})
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file} cannot be read as Parquet: {error}") from error


def _image(file: str, schema: pa.Schema, config: ReadConfig, filesystem: Any) -> tuple[str, str]:
    """The column of images, and the remark on it. Raises UserError where there is none."""
    names = image_columns(schema) or found_images(file, schema, filesystem)
    if config.image_column:
        chosen = column(file, schema.names, config.image_column, (), "image")
        if chosen not in names and chosen not in found_images(file, schema, filesystem):
            raise UserError(
                f"{file}: the column {chosen!r} holds {schema.field(chosen).type}, not images; of images are {', '.join(names) or 'none'}"
            )
        return chosen, took(chosen, "images", names, "--image-column")
    if not names:
        raise UserError(
            f"{file} has no image column: expected a struct of bytes and path, or the bytes of image files; it has {', '.join(schema.names)}"
        )
    chosen = min(names, key=rank)
    return chosen, took(chosen, "images", names, "--image-column")


def _label(files: Sequence[str], schemas: Mapping[str, pa.Schema], image: str, config: ReadConfig, filesystem: Any) -> str:
    """The column of labels: the one that is asked for, a usual one of the first file that has one, else the first with named classes; "" for none."""
    if config.label_column:
        own = next((schemas[file] for file in files if config.label_column in schemas[file].names), schemas[files[0]])
        return column(files[0], own.names, config.label_column, LABELS, "label")
    for file in files:
        schema = schemas[file]
        names = [
            field.name for field in schema if field.name != image and (is_label(field.type) or _is_name(file, schema, field, filesystem))
        ]
        found = column(file, names, "", LABELS, "label") or next((name for name in names if of_labels.class_names(schema, name)), "")
        if found:
            return found
    return ""


def _is_name(file: str, schema: pa.Schema, field: pa.Field, filesystem: Any) -> bool:
    """Whether a column of bytes is called after labels and holds no images: names of classes as bytes."""
    return is_binary(field.type) and tidy(field.name) in LABELS and field.name not in found_images(file, schema, filesystem)


def _labels_in(file: str, schema: pa.Schema, label: str, read: pa.Table) -> of_labels.Column:
    values = read.column(label) if label in schema.names else None
    return of_labels.Column(file, label, len(read), values, of_labels.class_names(schema, label))


def _split_column(schema: pa.Schema, config: ReadConfig) -> str:
    return config.split_column or next((field.name for field in schema if is_paths(field.type) and tidy(field.name) in SPLIT), "")


def _by_column(source: Encoded, name: str, config: ReadConfig) -> dict[str, Encoded]:
    """The parts of one source by a column of its rows; one that nobody asked for counts where it names parts."""
    assert isinstance(source, Rows)
    for file in source.files:
        column(file, _schema(file, None).names, name, SPLIT, "split")
    values = [
        "" if v is None else (os.fsdecode(v) if isinstance(v, bytes) else str(v)).strip()
        for file in source.files
        for v in _read(file, [name], None).column(0).to_pylist()
    ]
    if not (config.split_column or config.parts or any_part(value for value in values if value)):
        return {ALL: source}
    rows, beside = by_values(Path(source.files[0]), values, config)
    parts: dict[str, Encoded] = {}
    for own, ids in rows.items():
        parts[own] = part(source, ids)  # type: ignore[assignment]
        parts[own].remarks, parts[own].beside = [*source.remarks, took(name, "parts")], [*source.beside, *beside]
    return parts
