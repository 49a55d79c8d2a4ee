"""TensorFlow's checkpoint files, read without TensorFlow: PREFIX.index is a sorted table of protocol buffers, PREFIX.data-… holds the bytes.

TF1 checkpoints (version 2 of the format), TF2 checkpoints and a SavedModel's variables/ are all of this kind. Only numbers, offsets and names are read: nothing
in these files is ever executed. (table format of LevelDB; tensor_bundle.proto, trackable_object_graph.proto of TensorFlow)
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..base.errors import UserError

MAGIC, FOOTER = 0xDB4775248B80FB57, 48
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
TYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8"), 19: np.dtype("<f2")}
MOST = 1 << 31  # bytes of one tensor or index: more is no checkpoint of ours


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a tensor lies."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


class Damaged(ValueError):
    """Bytes that are not what the format says."""


def find_prefix(path: str | Path) -> Path:
    """The PREFIX of a checkpoint: given as such, as its .index or .data file, as a folder with one in it, or as a SavedModel.

    Raises UserError when there is none, or several.
    """
    path = Path(path)
    if path.name.endswith(".index"):
        path = path.with_name(path.name.removesuffix(".index"))
    elif ".data-" in path.name:
        path = path.with_name(path.name.split(".data-")[0])
    if path.with_name(f"{path.name}.index").is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path} is no TensorFlow checkpoint: there is no {path.name}.index")
    inside = sorted(
        file.with_name(file.name.removesuffix(".index")) for place in (path, path / "variables") for file in place.glob("*.index")
    )
    if len(inside) != 1:
        found = ", ".join(map(str, inside)) or "no .index file"
        raise UserError(f"{path} holds {found}: give the prefix of one checkpoint, such as {path / 'model.ckpt-250228'}")
    return inside[0]


class Bundle:
    """A checkpoint: `entries` by name. Raises UserError for files that are damaged or of another kind."""

    def __init__(self, prefix: Path):
        self.prefix, self.index = prefix, prefix.with_name(f"{prefix.name}.index")
        try:
            data = self.index.read_bytes()
            raw = dict(_table(data))
            header = {number: value for number, _, value in _fields(raw.pop(b"", b""))}
            self.shards = int(header.get(1, 1))  # type: ignore[arg-type]
            if header.get(2, 0):
                raise UserError(f"{self.index} is of a big-endian machine, which is not read here")
            self.entries = {key.decode(): _entry(value) for key, value in raw.items()}
        except (Damaged, struct.error, IndexError, UnicodeDecodeError) as error:
            raise UserError(f"{self.index} is no TensorFlow checkpoint, or damaged: {error}") from error
        except OSError as error:
            raise UserError(f"{self.index} cannot be read: {error.strerror}") from error

    def read(self, name: str) -> np.ndarray:
        """A tensor of numbers."""
        entry = self.entries[name]
        if entry.dtype not in TYPES:
            raise UserError(f"{self.prefix}: {name} is of TensorFlow's type {entry.dtype}; only floats and integers are read")
        kind = TYPES[entry.dtype]
        count = int(np.prod(entry.shape, dtype=np.int64))
        if count * kind.itemsize != entry.size:
            raise UserError(
                f"{self.prefix}: {name} has {entry.size} bytes, and its shape {entry.shape} needs {count * kind.itemsize}: the file is damaged"
            )
        return np.frombuffer(self._bytes(entry, name), kind).reshape(entry.shape)

    def full_names(self) -> dict[str, str]:
        """Names of the entries of an object-based checkpoint: its keys are attribute paths, the graph in it knows the variables' names."""
        if GRAPH not in self.entries:
            return {name: name for name in self.entries}
        entry = self.entries[GRAPH]
        data = self._bytes(entry, GRAPH)
        try:
            length, at = _varint(data, 0)
            graph = data[at + 4 : at + 4 + length]  # behind the length stands a checksum of it
            out = {}
            for number, _, node in _fields(graph):
                if number != 1:
                    continue
                for kind, _, attribute in _fields(node):  # type: ignore[arg-type]
                    if kind == 2:
                        found = {n: value for n, _, value in _fields(attribute)}  # type: ignore[arg-type]
                        if 3 in found:
                            out[found[3].decode()] = found.get(2, b"").decode() or found[3].decode()  # type: ignore[union-attr]
        except (Damaged, IndexError, UnicodeDecodeError) as error:
            raise UserError(f"{self.prefix}: its graph of objects is damaged: {error}") from error
        return {name: out.get(name, name) for name in self.entries if name != GRAPH}

    def _bytes(self, entry: Entry, name: str) -> bytes:
        file = self.prefix.with_name(f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.shards:05d}")
        try:
            with file.open("rb") as opened:
                opened.seek(entry.offset)
                data = opened.read(entry.size)
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}. A checkpoint is its .index and all its .data files") from error
        if len(data) != entry.size:
            raise UserError(f"{file} ends before {name} does: it is cut short")
        return data


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a sorted table."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise Damaged("the mark at its end is missing")
    footer = data[-FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _block(data, offset, size):
        begin, at = _varint(handle, 0)
        length, _ = _varint(handle, at)
        yield from _block(data, begin, length)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block: each key as what it shares with the one before, and the rest."""
    if offset + size + 1 > len(data):
        raise Damaged("a block lies behind its end")
    block, kind = data[offset : offset + size], data[offset + size]
    if kind == 1:
        import pyarrow as pa

        length, _ = _varint(block, 0)
        if length > MOST:
            raise Damaged("a block is too large")
        try:
            block = pa.Codec("snappy").decompress(block, length).to_pybytes()
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"a block cannot be unpacked: {error}") from error
    elif kind != 0:
        raise Damaged(f"compression {kind} is not known")
    restarts = struct.unpack("<I", block[-4:])[0]
    end, at, key = len(block) - 4 * (restarts + 1), 0, b""
    if end < 0:
        raise Damaged("a block is too short")
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + rest + length > end:
            raise Damaged("a key or value is longer than its block")
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + length]
        at += rest + length


def _entry(data: bytes) -> Entry:
    found: dict[int, int | bytes] = {number: value for number, _, value in _fields(data)}
    shape = []
    for number, _, dimension in _fields(found.get(2, b"")):  # type: ignore[arg-type]
        if number == 2:
            shape.append(next((int(value) for n, _, value in _fields(dimension) if n == 1), 0))  # type: ignore[arg-type]
    dtype, shard, offset, size = (int(found.get(number, 0)) for number in (1, 3, 4, 5))  # type: ignore[arg-type]
    if size > MOST or any(side < 0 or side > MOST for side in shape):
        raise Damaged("a tensor is too large")
    return Entry(dtype, tuple(shape), shard, offset, size)


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field, wire type, value) of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, wire, value
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
            yield number, wire, data[at : at + width]
            at += width
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise Damaged("a field is longer than its message")
            yield number, wire, data[at : at + length]
            at += length
        else:
            raise Damaged(f"wire type {wire} is not known")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Damaged("it ends in a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Damaged("a number has no end")
