"""A list of files with labels and parts: CSV, TSV, Parquet or JSON lines; and a folder of images with such a list inside (Hugging Face's metadata)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..base.errors import UserError
from ..base.names import meant
from . import labels as of_labels
from .choose import LABELS, PATHS, SPLIT, column, several, tidy, took
from .config import ReadConfig, Reading
from .files import SUFFIXES, Files
from .find import find
from .folder import classes_of
from .parts import ALL, NONE, any_part, part_of, split_by_part
from .schema import image_columns, is_label, is_paths, read_schema
from .text import read_lines, read_table, readable
from .understood import images

USUAL = frozenset((*PATHS, *LABELS, *SPLIT))
METADATA = ("metadata.csv", "metadata.parquet", "metadata.jsonl")
FILE_NAME = "file_name"  # what Hugging Face's metadata calls the column of paths


@dataclasses.dataclass
class Rows:
    """What a list says: paths, and labels and values of its split where it has such columns."""

    paths: list[str]
    labels: of_labels.Column
    splits: list[str] | None
    remarks: list[str]


def listed(path: Path, how: Reading, config: ReadConfig) -> dict[str, Files]:
    """The files of a list, by part. Relative paths are below the list's own folder. Raises UserError for what is wrong with it."""
    rows = read_rows(path, config)
    return _files(path, path.parent, [("", rows)], how, config)


def metadata(root: Path, how: Reading, config: ReadConfig) -> dict[str, Files]:
    """The files of a folder with a metadata.csv, .parquet or .jsonl that names them in a column file_name, or of its folders of parts; {} for others."""
    for base in (root, root / "data"):
        if found := _metadata_in(base):
            rows = read_rows(found, config, FILE_NAME)
            tops = [name.partition("/")[0] for name in rows.paths]
            if rows.splits is None and all("/" in name for name in rows.paths) and all(part_of(top) for top in set(tops)):
                rows.splits = tops
            return _with_rest(_files(found, base, [("", rows)], how, config), base, [("", rows)], found.name)
        folders = _part_folders(base)
        each = {name: found for name in folders if (found := _metadata_in(base / name))}
        if each:
            lists = [(name, read_rows(found, config, FILE_NAME)) for name, found in each.items()]
            known = {str(v) for _, rows in lists if rows.labels.values is not None for v in rows.labels.values.unique().to_pylist()}
            lists += [(name, rows) for name in folders if name not in each and (rows := _unlisted(base / name, known))]
            for name, rows in lists:
                rows.splits = [name] * len(rows.paths)
            return _with_rest(_files(base, base, lists, how, config), base, lists, next(iter(each.values())).name)
    return {}


def _unlisted(folder: Path, known: set[str]) -> Rows | None:
    """The images of a folder of a part that has no list, where others have one; their class folders are labels if the lists know any of them."""
    names = find(folder).names
    if not names:
        return None
    numbers, classes = classes_of(names)
    values = None if numbers is None or not known & set(classes) else pa.chunked_array([pa.array([classes[n] for n in numbers])])
    return Rows(names, of_labels.Column(str(folder), "", len(names), values), None, [])


def _with_rest(parts: dict[str, Files], base: Path, lists: Sequence[tuple[str, Rows]], name: str) -> dict[str, Files]:
    """The parts, with what is said of images that lie below `base` and that no list names."""
    named = {os.path.normpath(f"{folder}/{path}" if folder else path) for folder, rows in lists for path in rows.paths}
    found = find(base)
    rest = sum(path not in named for path in found.names)
    first = next(iter(parts.values()))
    first.others = found.others
    if rest:
        first.beside = [*first.beside, f"{images(rest)} not in {name}"]
    return parts


def _part_folders(base: Path) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(base) as entries:  # said where image files are looked for
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and part_of(entry.name))
    return []


def _metadata_in(folder: Path) -> Path | None:
    for name in METADATA:
        path = folder / name
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            schema = read_schema(str(path))
            named = bool(schema) and FILE_NAME in schema.names
        else:
            try:
                with path.open("rb") as file:
                    named = FILE_NAME.encode() in file.readline().replace(b"\0", b"")
            except OSError:
                named = True  # what is wrong with it is said where it is read
        if named:
            return path
    return None


def read_rows(path: Path, config: ReadConfig, path_column: str = "") -> Rows:
    """A list as it is written. Raises UserError for one without paths, or that cannot be read."""
    remarks: list[str] = []
    if path.suffix.lower() == ".parquet":
        schema = _schema(path)
        fit = [field.name for field in schema if is_label(field.type) or is_paths(field.type)]
        of_path, of_label, of_split = chosen = _chosen(path, schema.names, fit, config, path_column)
        columns, labels = _of_parquet(path, chosen)
    else:
        lines = path.suffix.lower() == ".jsonl"
        columns, remarks = (read_lines(path), []) if lines else read_table(path, USUAL | {tidy(name) for name in _asked(config)})
        fit = [name for name, values in columns.items() if not any(isinstance(v, dict) for v in values)]
        of_path, of_label, of_split = _chosen(path, list(columns), fit, config, path_column)
        labels = _of_text(path, of_label, columns.get(of_label, []))
    paths = [os.fsdecode(p) if isinstance(p, bytes) else "" if p is None else str(p) for p in columns[of_path]]
    empty = next((n for n, p in enumerate(paths) if not p), None)
    if not paths or empty is not None:
        raise UserError(f"{path} has no rows" if not paths else f"{path}: row {empty + 1} has no path in the column {of_path!r}")  # type: ignore[operator]
    paths = [_there(path.parent, p) for p in paths]
    if config.root_only:
        _refuse_outside(path, paths)
    splits = ["" if v is None else readable(str(v)).strip() for v in columns[of_split]] if of_split else None
    if tidy(of_split) in SPLIT[1:] and not (config.split_column or config.parts or any_part(value for value in splits or () if value)):
        of_split, splits = "", None  # a `part` of a body, a `set` of cards
    remarks += [took(name, what) for name, what in ((of_path, "paths"), (of_label, "labels"), (of_split, "parts")) if name]
    return Rows(paths, dataclasses.replace(labels, count=len(paths)), splits, remarks)


def _asked(config: ReadConfig) -> list[str]:
    return [name for name in (config.path_column or config.image_column, config.label_column, config.split_column) if name]


def _chosen(path: Path, names: list[str], fit: list[str], config: ReadConfig, path_column: str) -> tuple[str, str, str]:
    """The columns of paths, labels and splits; "" for those that there are not. Of `fit` are those that nobody asked for."""
    try:
        of_path = column(path, names, config.path_column or config.image_column or path_column, PATHS, "path", needed=True)
    except UserError:
        first = next((name for name in names if Path(name).suffix.lower() in SUFFIXES), None)
        if first is None:
            raise
        raise UserError(
            f"{path} has no line of column names: its first is already an image ({first!r}). Put path,label or the like above it"
        ) from None
    rest = [name for name in fit if name != of_path]
    label, split = (
        column(path, names if asked else rest, asked, usual, what)
        for asked, usual, what in ((config.label_column, LABELS, "label"), (config.split_column, SPLIT, "split"))
    )
    return of_path, label, split


def _of_text(path: Path, name: str, values: Sequence) -> of_labels.Column:
    if not name:
        return of_labels.Column(str(path), "", 0, None)
    try:
        array = pa.array([readable(v).strip() if isinstance(v, str) else v for v in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        rows = {type(v): f"{v!r} in row {row}" for row, v in reversed([*enumerate(values, 1)]) if v is not None}
        raise UserError(
            f"{path}: the column {name!r} holds values of several types, such as {' and '.join([*rows.values()][::-1][:3])}: write all as text, or all as numbers"
        ) from error
    return of_labels.Column(str(path), name, 0, pa.chunked_array([array]))


def _schema(path: Path) -> pa.Schema:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    if twice := next((name for name in schema.names if schema.names.count(name) > 1), None):
        raise UserError(f"{path} has two columns {twice!r}: give each a name of its own")
    return schema


def _of_parquet(path: Path, chosen: tuple[str, str, str]) -> tuple[dict[str, list], of_labels.Column]:
    """The columns of paths and splits as lists, and the labels."""
    of_path, of_label, of_split = chosen
    try:
        kept = pq.read_table(path, columns=list(dict.fromkeys(name for name in chosen if name)))
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    columns = {name: kept.column(name).to_pylist() for name in (of_path, of_split) if name}
    if not of_label:
        return columns, of_labels.Column(str(path), "", 0, None)
    return columns, of_labels.Column(str(path), of_label, 0, kept.column(of_label), of_labels.class_names(kept.schema, of_label))


def _there(root: Path, name: str) -> str:
    """A path as the disk has it: the bytes that a list holds, else what may be meant by them, if that is there."""
    if name.isascii() and "\\" not in name and name == name.strip():
        return name
    text = readable(name)
    others = [
        text,
        name.replace("\\", "/"),
        text.replace("\\", "/"),
        meant(text),  # as our own lists and vectors escape names that are no UTF-8
        name.strip(),
        *(unicodedata.normalize(form, text) for form in ("NFC", "NFD")),
    ]
    try:
        return next((other for other in (name, *others) if os.path.lexists(root / other)), text)
    except ValueError:  # a zero byte
        return text


def _files(where: Path, root: Path, lists: Sequence[tuple[str, Rows]], how: Reading, config: ReadConfig) -> dict[str, Files]:
    """The files of some lists by part; each list's paths are below the folder that stands with it, below `root`."""
    paths = [name if not folder else f"{folder}/{name}" for folder, rows in lists for name in rows.paths]
    splits = [value for _, rows in lists for value in rows.splits or [""] * len(rows.paths)]
    if config.parts and list(config.parts) != [NONE] and not any(splits):
        raise UserError(f"{where} has no column that says what is which part: --parts goes by its values, and --split-column names it")
    found = of_labels.numbered([rows.labels for _, rows in lists])
    labels = found.of(range(len(lists)))
    parts, beside = by_values(where, splits, config) if any(splits) or config.parts else ({ALL: np.arange(len(paths))}, [])
    missing = (
        "" if found.why or labels is not None else f"{where} has no column of labels that is called as usual (--label-column names one)"
    )
    out = {}
    for part, ids in parts.items():
        source = Files(root, [paths[i] for i in ids], None if labels is None else labels[ids], found.classes, how)
        source.no_labels = found.why or missing
        source.remarks = [*dict.fromkeys(remark for _, rows in lists for remark in rows.remarks), *found.remarks]
        source.beside = beside
        out[part] = source
    return out


def by_values(where: Path, splits: list[str], config: ReadConfig) -> tuple[dict[str, np.ndarray], list[str]]:
    """The rows of each part, and what is said of those that are in none."""
    counts = Counter(splits)
    if list(config.parts) == [NONE]:
        return {ALL: np.arange(len(splits))}, []
    wrong = next((value for value in counts if value and part_of(value) is None), None)
    if wrong is not None and not config.parts and not any_part(value for value in counts if value):
        row = splits.index(wrong) + 1
        raise UserError(
            f"{where}: row {row} is of the split {wrong!r}, which is not called after a part: --parts train={wrong} … says which it is, --parts {NONE} takes all as one"
        )
    split = split_by_part([value for value in counts if value], config.parts, where=str(where), what="split")
    kinds = np.array(splits, object)
    rows = {part: np.flatnonzero(np.isin(kinds, names)) for part, names in split.parts.items()}
    left = [*split.left, *([""] if counts[""] else [])]
    return rows, [f"{several(counts[value], 'row')} {f'of the split {value}' if value else 'without a split'}" for value in left]


def is_list(path: Path, config: ReadConfig) -> bool:
    """Whether a file is a list of paths: text, or a Parquet file without images but with paths in it."""
    if path.suffix.lower() != ".parquet":
        return path.suffix.lower() in (".csv", ".tsv", ".jsonl")
    schema = read_schema(str(path))
    if schema is None:
        return False
    plain = [field.name for field in schema if is_paths(field.type)]
    if config.path_column or config.image_column:
        return (config.path_column or config.image_column) in plain or not config.image_column
    return not image_columns(schema, plain=True) and any(tidy(name) in PATHS for name in plain)


def _refuse_outside(path: Path, paths: list[str]) -> None:
    root = os.path.realpath(path.parent)
    for row, name in enumerate(paths):
        try:
            real = os.path.realpath(path.parent / name)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: row {row + 1}: {error}") from error
        if os.path.commonpath([root, real]) != root:
            raise UserError(f"{path}: row {row + 1} points outside its folder: {name!r}, and --root-only forbids that")
