"""Picture files below a folder: found once, sorted, checked. What a folder, a list and a set with split files have in common."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..base import draws as rng
from ..base.console import track
from ..base.errors import UserError
from ..base.files import write_whole
from ..base.names import one_line, reachable
from .config import ReadConfig, Reading
from .decode import decode, info, read_bytes
from .errors import Unreadable
from .info import PictureInfo
from .source import Encoded

SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".btf", ".tf8", ".svs", ".lsm",
        ".qptiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf", ".avif", ".heic", ".heif", ".hif", ".tga",
        ".psd", ".ico", ".icns", ".qoi", ".dds", ".sgi", ".pcx", ".npy", ".dcm", ".dicom", ".ima",
    )
)  # fmt: skip
FULL = 100_000  # files up to which each is decoded once before a run, and its size in bytes is part of the fingerprint
SIZES = 10_000  # files whose sizes are, of more
CHUNK = 4096  # files that are looked at together
STILL = 0.9  # share of its files that must still be there for a run to go on
TINY = 8  # pixels: a side below makes no sensible crop


class Files(Encoded):
    """Files `names` below `root`, with labels if there are any. Names lie in one Arrow array: worker processes share its memory.

    `targets` (n, classes) holds 1, 0, or −1 (does not count) where a picture may show several classes.
    """

    near = True

    def __init__(
        self,
        root: Path,
        names: Sequence[str] | pa.LargeBinaryArray,
        labels: NDArray[np.int64] | None,
        classes: Sequence[str],
        how: Reading,
        *,
        targets: NDArray[np.int64] | None = None,
    ):
        self.root, self.labels, self.classes, self.how, self.targets = root, labels, classes, how, targets
        self.names: pa.LargeBinaryArray = names if isinstance(names, pa.LargeBinaryArray) else stored(names)
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """Of names, sizes in bytes (of many files, those of some), labels and targets."""
        if not self._fingerprint:
            digest = hashlib.sha256()
            for buffer in self.names.buffers()[1:]:  # where names begin, and the names
                digest.update(buffer or b"")
            for index in range(len(self)) if len(self) <= FULL else sample(len(self), SIZES):
                name = self.names[index].as_py()
                try:
                    length = os.stat(os.path.join(os.fsencode(self.root), name)).st_size  # noqa: PTH116, PTH118 (a million times)
                except OSError:
                    length = -1
                digest.update(b"%d\0" % length)
            for values in (self.labels, self.targets):
                digest.update(b"" if values is None else values.tobytes())
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def __len__(self) -> int:
        return len(self.names)

    def behind(self) -> Iterator[bytes]:
        root = os.fsencode(self.root)
        return (os.path.join(root, name.as_py()) for name in self.names)  # noqa: PTH118 (a million times)

    def name(self, index: int) -> str:
        return os.fsdecode(self.names[index].as_py())

    def path(self, index: int) -> Path:
        return self.root / self.name(index)

    def bytes(self, index: int) -> bytes:
        return read_bytes(self.path(index))


def stored(names: Sequence[str]) -> pa.LargeBinaryArray:
    """File names as one Arrow array of their bytes."""
    return pa.array([os.fsencode(name) for name in names], pa.large_binary())


def keep(source: Files, path: Path) -> None:
    """Write the list of a source's files, so that a run goes on with it whatever becomes of the folder."""
    about = {b"fingerprint": source.fingerprint.encode()}
    table = pa.table({"name": source.names}, schema=pa.schema([("name", pa.large_binary())], about))
    write_whole(path, lambda part: pq.write_table(table, part))


def kept(source: Files, path: Path) -> Files | None:
    """The source as it was when its list was written to `path`, if that was another; None where most of its files are no longer there.

    Files that are gone are met, and stood in for, when they are read.
    """
    try:
        table = pq.read_table(reachable(path))
        fingerprint = (table.schema.metadata or {})[b"fingerprint"].decode()
        names: pa.LargeBinaryArray = table.column("name").combine_chunks()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): the list of this run's pictures cannot be read") from error
    if fingerprint == source.fingerprint:
        return source
    still = pc.sum(pc.is_in(names, value_set=source.names)).as_py() or 0  # type: ignore[attr-defined]
    if still < STILL * len(names):
        return None
    before = Files(source.root, names, None, [], source.how)
    before._fingerprint = fingerprint
    return before


@dataclasses.dataclass
class Looked:
    """What a look at files found: which are `good`, why others are not, and what there is to say of the good ones."""

    good: NDArray[np.int64]
    skipped: list[tuple[str, str]]
    remarks: list[str]


def check(source: Encoded, config: ReadConfig) -> Looked:
    """Look at each picture as `config.check` says; `auto` looks at what is near and not too many, and at all where `strict` asks for it.

    Files of several frames, and tiny ones, are remarked on.
    """
    n, how = len(source), source.how
    auto = "full" if config.strict or (source.near and n <= FULL) else "none"
    depth = config.check if config.check != "auto" else auto
    if depth == "none":
        return Looked(np.arange(n), [], [])

    turn = (
        contextlib.nullcontext() if isinstance(source, Files) else threading.Lock()
    )  # what other sources hold open is one thread's at a time

    def one(index: int) -> PictureInfo | str:
        try:
            if depth == "header" and isinstance(source, Files):
                return info(source.path(index), how)
            with turn:
                data = source.bytes(index)
            if depth == "header":
                return info(data, how)
            found = info(data, how)
            decode(data, how, found=found)
            return found
        except Unreadable as error:
            return str(error)

    good: list[NDArray[np.int64]] = []
    skipped: list[tuple[str, str]] = []
    several: list[str] = []
    tiny: list[str] = []
    counts = [0, 0]
    starts = range(0, n, CHUNK)
    with ThreadPoolExecutor() as pool:
        for start in track(starts, "checking pictures", len(starts)):
            ids = np.arange(start, min(start + CHUNK, n))
            found = list(pool.map(one, ids.tolist()))
            fine = np.array([isinstance(f, PictureInfo) for f in found])
            good.append(ids[fine])
            for index, f in zip(ids.tolist(), found, strict=True):
                if isinstance(f, str):
                    skipped.append((source.name(index), f))
                    continue
                for place, (odd, names) in enumerate(((f.frames > 1, several), (min(f.height, f.width) < TINY, tiny))):
                    counts[place] += odd
                    if odd and len(names) < 3:
                        names.append(source.name(index))
    remarks = frames(several, counts[0])
    if counts[1]:
        remarks.append(f"{counts[1]} pictures have a side below {TINY} px ({shown(tiny, counts[1])})")
    return Looked(np.concatenate(good) if good else np.arange(0), skipped, remarks)


def frames(names: list[str], count: int) -> list[str]:
    """The remark on files of several frames; none where there are none."""
    return [f"{count} files hold several frames or pages: the first is taken ({shown(names, count)})"] if count else []


def shown(names: list[str], count: int) -> str:
    """Some names, in a form that cannot harm a terminal."""
    return ", ".join(map(one_line, names)) + (", …" if count > len(names) else "")


def sample(n: int, count: int = 64) -> list[int]:
    """Some of n pictures, keyed, from all over the set."""
    return rng.subset(n, min(n, count), "sample").tolist()
