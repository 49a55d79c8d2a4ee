"""Where vectors are written to and read from: a folder of Parquet parts, one .parquet, one .npz, or a LanceDB table (`lance:DIR`)."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ..base.errors import UserError
from ..base.files import to_json, write_whole
from ..base.names import one_line, reachable, spelled, utf8
from ..base.settings import path_argument
from ..sources.source import ImageSource
from ..sources.spec import Pictures

KEY = b"twoviews"  # of the schema's metadata: provenance as JSON
LANCE, TABLE = "lance:", "vectors"


@dataclasses.dataclass
class Vectors:
    """Vectors (n, d) float32 with their pictures' paths, splits, labels (None where unknown) and numbers `ids` over all splits, ascending.

    `about` is their provenance, `pictures` are the pictures themselves where they are open. A picture that could not be read has no row, so a row
    is not an id: `rows` leads from ids to rows, `entry` says what a row is.
    """

    h: Tensor
    paths: list[str]
    splits: list[str]
    labels: list[str | None]
    about: dict[str, Any]
    ids: np.ndarray
    pictures: Pictures | None = None

    def __len__(self) -> int:
        return len(self.h)

    def rows(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The rows of pictures by their numbers. Raises KeyError for one that has no vector."""
        wanted = np.asarray(ids, np.int64)
        found = np.searchsorted(self.ids, wanted).clip(max=max(0, len(self) - 1))
        if len(wanted) and (not len(self) or (self.ids[found] != wanted).any()):
            raise KeyError(f"no vector of picture {wanted[0] if not len(self) else wanted[self.ids[found] != wanted][0]}")
        return found

    @cached_property
    def parted(self) -> bool:
        """Whether there are several parts, so that a path alone does not tell which image is meant."""
        return len(set(self.splits)) > 1

    @cached_property
    def twice(self) -> set[str]:
        """The paths that occur in several parts."""
        count = Counter(path for path, _ in set(zip(self.paths, self.splits, strict=True)))
        return {path for path, parts in count.items() if parts > 1}

    def title(self, entry: dict[str, Any]) -> str:
        """What an entry is called on a line: its path, and its part before it where there are several."""
        return one_line(f"{entry['split']}: {entry['path']}" if self.parted else entry["path"])

    def entry(self, row: int) -> dict[str, Any]:
        """What is said of a row wherever it is named: id, path, split and label."""
        return {"id": int(self.ids[row]), "path": self.paths[row], "split": self.splits[row], "label": self.labels[row]}


def schema(features: int, about: dict[str, Any]) -> pa.Schema:
    """Columns and provenance of every Parquet file and table of vectors."""
    fields = [
        ("id", pa.int64()),
        ("path", pa.string()),
        ("split", pa.string()),
        ("label", pa.string()),
        ("vector", pa.list_(pa.float32(), features)),
    ]
    return pa.schema(fields, {KEY: to_json(about).encode()})


def write_part(path: Path, source: ImageSource, ids: np.ndarray, first: int, split: str, h: Tensor, about: dict[str, Any]) -> None:
    """The vectors (k, d) of the pictures `ids` of a split as one Parquet file; the split's own numbers begin at `first`."""
    known = source.labels
    labels = [None if known is None or known[i] < 0 else utf8(str(source.classes[int(known[i])])) for i in ids]
    paths = [spelled(source.name(int(i))) for i in ids]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(h.cpu().numpy().ravel()), h.shape[1])
    columns = [pa.array(ids + first, pa.int64()), pa.array(paths), pa.array([split] * len(ids)), pa.array(labels, pa.string()), vectors]
    table = pa.Table.from_arrays(columns, schema=schema(h.shape[1], about))
    write_whole(path, lambda beside: pq.write_table(table, beside))


def is_vectors(spec: str) -> bool:
    """Whether a SPEC names vectors that are there already."""
    path = Path(spec)
    if spec.startswith(LANCE) or path.suffix == ".npz":
        return True
    if path.is_dir():
        return any(path.glob("part-*.parquet"))
    return path.suffix == ".parquet" and path.is_file() and _ours(path)


def _ours(path: Path) -> bool:
    try:
        return KEY in (pq.read_schema(reachable(path)).metadata or {})
    except (OSError, pa.ArrowInvalid):  # whoever reads it as pictures says what is wrong
        return False


def merge(parts: list[Path], target: str) -> None:
    """Parts into one sink, one part in memory at a time. Raises UserError for an extra that is missing."""
    first = pq.read_schema(reachable(parts[0]))
    if target.startswith(LANCE):
        lance = connect(target)
        lance.create_table(TABLE, pa.RecordBatchReader.from_batches(first, batches(parts)), mode="overwrite")
        return
    path = Path(target)

    def parquet(beside: Path) -> None:
        with pq.ParquetWriter(beside, first) as writer:
            for part in parts:
                writer.write_table(pq.read_table(reachable(part)))

    def npz(beside: Path) -> None:
        count, features = sum(pq.read_metadata(reachable(part)).num_rows for part in parts), first.field("vector").type.list_size
        raw = beside.with_suffix(".npy")
        try:
            vectors = np.lib.format.open_memmap(raw, "w+", np.float32, (count, features))
            at = 0
            text: dict[str, list] = {name: [] for name in ("id", "path", "split", "label")}
            for part in parts:
                table = pq.read_table(reachable(part))
                vectors[at : at + len(table)] = matrix(table)
                at += len(table)
                for name, values in text.items():
                    values += table.column(name).to_pylist()
            vectors.flush()
            del vectors
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                archive.write(raw, "vector.npy")
                for name, values in text.items():
                    with archive.open(f"{name}.npy", "w") as file:
                        np.lib.format.write_array(file, np.array(["" if v is None else v for v in values]), allow_pickle=False)
                with archive.open("about.npy", "w") as file:
                    np.lib.format.write_array(file, np.array((first.metadata or {})[KEY].decode()), allow_pickle=False)
        finally:
            raw.unlink(missing_ok=True)

    write_whole(path, npz if path.suffix == ".npz" else parquet)


def batches(parts: list[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of all parts, a batch at a time."""
    for part in parts:
        yield from pq.read_table(reachable(part)).to_batches()


def matrix(table: pa.Table) -> np.ndarray:
    """The vector column as (n, d) float32."""
    column = table.column("vector").combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), table.schema.field("vector").type.list_size)


def read(spec: str | Path) -> Vectors:
    """Vectors from any sink. Raises UserError for what `twoviews embed` did not write."""
    path = path_argument("vectors", spec)
    spec = str(spec)
    if spec.startswith(LANCE):
        return from_table(open_table(spec).to_arrow(), spec)
    if path.suffix == ".npz":
        return _from_npz(path)
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    try:
        return from_table(pa.concat_tables([pq.read_table(reachable(file)) for file in files]), spec)
    except (OSError, pa.ArrowInvalid, IndexError) as error:
        raise UserError(f"{spec} cannot be read as vectors: {error}") from error


def provenance(spec: str | Path) -> dict[str, Any]:
    """What is known of the vectors of any sink, without reading them all. Raises UserError for what `twoviews embed` did not write."""
    spec, path = str(spec), Path(spec)
    if path.suffix == ".npz" and not spec.startswith(LANCE):
        return _from_npz(path).about
    if spec.startswith(LANCE):
        schema = open_table(spec).schema
    else:
        file = min(path.glob("part-*.parquet")) if path.is_dir() else path
        try:
            schema = pq.read_schema(reachable(file))
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"{spec} cannot be read as vectors: {error}") from error
    return _about(schema, spec)


def _about(schema: pa.Schema, spec: str) -> dict[str, Any]:
    about = (schema.metadata or {}).get(KEY)
    if about is None or "vector" not in schema.names:
        raise UserError(
            f"{spec} was not written by twoviews embed: it has no provenance and no column vector; it has {', '.join(schema.names)}"
        )
    return json.loads(about)


def from_table(table: pa.Table, spec: str) -> Vectors:
    """Vectors from an Arrow table with our columns and provenance."""
    about = _about(table.schema, spec)
    table = table.sort_by("id")
    texts = [table.column(name).to_pylist() for name in ("path", "split", "label")]
    return Vectors(torch.from_numpy(matrix(table).copy()), texts[0], texts[1], texts[2], about, table.column("id").to_numpy())


def _from_npz(path: Path) -> Vectors:
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("its parts are packed, which could unpack to any size")
        with np.load(path, allow_pickle=False) as data:
            order = np.argsort(data["id"], kind="stable")
            texts = [data[name][order].tolist() for name in ("path", "split", "label")]
            about = json.loads(str(data["about"]))
            h = torch.from_numpy(data["vector"][order])
            return Vectors(h, texts[0], texts[1], [t or None for t in texts[2]], about, data["id"][order])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} was not written by twoviews embed: {error}") from error


def open_table(spec: str) -> Any:
    """The LanceDB table of vectors in `lance:DIR`. Raises UserError where there is none."""
    database = connect(spec)
    try:
        return database.open_table(TABLE)
    except (ValueError, OSError, RuntimeError) as error:
        raise UserError(f"{spec} has no table {TABLE!r}: twoviews embed … --out {spec} writes it") from error


def connect(spec: str) -> Any:
    """The LanceDB database of `lance:DIR`; DIR may also be an object store's address. Raises UserError where lancedb is missing."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # it tells each user that a new table is new
    try:
        import lancedb
    except ImportError as error:
        raise UserError("lance:… needs LanceDB: uv pip install 'twoviews[lance]'") from error
    return lancedb.connect(str(_database(spec)))


def _database(spec: str) -> Path | str:
    """The folder of `lance:DIR` by a path that LanceDB takes; an object store's address as it is."""
    name = spec.removeprefix(LANCE)
    if "://" in name:
        return name
    folder = Path(name)
    if reachable(folder) != folder:
        folder.mkdir(parents=True, exist_ok=True)  # a link has to lead somewhere
    return reachable(folder)
