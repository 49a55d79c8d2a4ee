"""shards:PATTERN: pictures in tar files, WebDataset's format, on disk, over http, or in an object store (fsspec).

A picture is its bytes at a place in a shard. `index.json` (what `twoviews shard` writes) tells how many there are; a shard's own index, read when
the shard is, where they lie. Shards of others are looked through once. Nothing is ever unpacked: names in a tar are names, not paths.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..base.console import track
from ..base.errors import RunError, UserError
from ..base.files import write_whole
from ..base.names import reachable
from .choose import several
from .config import ReadConfig, Reading
from .errors import Unreadable
from .labels import Column, Labels, numbered
from .names import SHARDS, series
from .parts import split_by_part
from .patterns import expand, matching
from .samples import ABOUT, SCHEMA, escaped, look_through
from .source import Encoded

INDEX, BESIDE = "index.json", ".index.parquet"
TRIES, PAUSE = 4, 1.0  # times that a shard is fetched, and seconds after the first failure; then twice as long
HELD = 64  # open shards, and indexes, that a process keeps
READING = 3  # counts up when samples are read in another way: what is kept of tars looked through is then made again


@dataclasses.dataclass(frozen=True)
class Shard:
    """One tar file. `count` and `digest` (sha256) are those of the index; −1 and "" where nobody knows them."""

    url: str
    count: int = -1
    digest: str = ""


class Store:
    """Where shards lie: local paths as they are; others are fetched whole into a cache folder that keeps the last used `limit` bytes."""

    def __init__(self, cache: str, limit: float):
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.cache, self.limit = Path(cache) if cache else base / "twoviews" / "shards", limit

    def local(self, url: str, digest: str = "") -> Path:
        """A local file of this content. Raises RunError when it cannot be fetched."""
        if "://" not in url:
            return Path(url)
        path = self.cache / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}-{url.rsplit('/', 1)[-1][-80:]}"
        if path.is_file():
            os.utime(path)
            return path
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one fetches
            if not path.is_file():
                self._make_room()
                self._fetch(url, path, digest)
        return path

    def _fetch(self, url: str, path: Path, digest: str) -> None:
        for attempt in range(TRIES):
            try:
                write_whole(path, lambda beside: _download(url, beside, digest))
                return
            except ValueError as error:
                if attempt == TRIES - 1:
                    raise RunError(f"{url} could not be fetched in {attempt + 1} tries: {error}. The last checkpoint is good") from error
                time.sleep(PAUSE * 2**attempt)

    def _make_room(self) -> None:
        """Remove the shards used longest ago. A file that a process still reads lives until it is closed."""
        found = sorted((p.stat().st_atime, p.stat().st_size, p) for p in self.cache.iterdir() if p.is_file() and not p.name.startswith("."))
        held = sum(size for _, size, _ in found)
        for _, size, path in found:
            if held <= self.limit:
                return
            path.unlink(missing_ok=True)
            held -= size


def _download(url: str, target: Path, digest: str) -> None:
    import fsspec

    found = hashlib.sha256()
    with target.open("wb") as file:
        try:
            with fsspec.open(url, "rb") as source:
                while data := source.read(1 << 20):  # type: ignore[attr-defined]
                    found.update(data)
                    file.write(data)
        except FileNotFoundError as error:
            raise RunError(f"{url} does not exist") from error  # asking again would not make it
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise ValueError(str(error) or type(error).__name__) from error
        except Exception as error:  # each store has errors of its own
            raise ValueError(str(error) or type(error).__name__) from error
    if digest and found.hexdigest() != digest:
        raise ValueError(f"its sha256 is {found.hexdigest()[:16]}…, the index says {digest[:16]}…")


class Shards(Encoded):
    """The pictures of some tar files, one after the other. A block is a shard."""

    def __init__(self, shards: Sequence[Shard], classes: Sequence[str], how: Reading, store: Store, key: str = ""):
        self.how, self.store, self.shards, self.key = how, store, list(shards), key
        self.blocks = np.cumsum([0, *(shard.count for shard in shards)])
        self.classes = list(classes)
        self._labels: NDArray[np.int64] | None = None
        self.indexes: OrderedDict[int, pa.Table] = OrderedDict()
        self.files: OrderedDict[int, BinaryIO] = OrderedDict()

    @property
    def near(self) -> bool:  # type: ignore[override]
        return not any("://" in shard.url for shard in self.shards)

    @property
    def fingerprint(self) -> str:
        text = "\0".join(f"{shard.url.rsplit('/', 1)[-1]}\0{shard.count}\0{shard.digest}" for shard in self.shards)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def behind(self) -> list[str]:
        return [shard.url for shard in self.shards]

    @property
    def labels(self) -> NDArray[np.int64] | None:  # type: ignore[override]
        """Of all shards: their indexes are read for it, and only for it."""
        if self._labels is None and len(self.classes) > 1:
            own = (self.index(shard).column("label").to_numpy() for shard in range(len(self.shards)))
            self._labels = np.concatenate([*own])
        return self._labels

    def labels_at(self, ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The labels of some pictures, from the indexes of their shards."""
        if self._labels is not None or len(self.classes) < 2:
            return None if self._labels is None else self._labels[ids]
        return np.array([self.index(shard).column("label")[row].as_py() for shard, row in map(self.place, ids.tolist())], np.int64)

    def __len__(self) -> int:
        assert self.blocks is not None
        return int(self.blocks[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "files": OrderedDict(), "indexes": OrderedDict()}

    def index(self, shard: int) -> pa.Table:
        """Where the pictures of a shard lie."""
        if shard not in self.indexes:
            while len(self.indexes) >= HELD:
                self.indexes.popitem(last=False)
            self.indexes[shard] = index_of(self.shards[shard], self.store, self.classes, self.key)
        self.indexes.move_to_end(shard)
        return self.indexes[shard]

    def place(self, index: int) -> tuple[int, int]:
        """(shard, row) of a picture."""
        assert self.blocks is not None
        shard = int(np.searchsorted(self.blocks, index, "right")) - 1
        return shard, index - int(self.blocks[shard])

    def name(self, index: int) -> str:
        shard, row = self.place(index)
        return os.fsdecode(self.index(shard).column("name")[row].as_py())

    def bytes(self, index: int) -> bytes:
        shard, row = self.place(index)
        table = self.index(shard)
        offset, size = (table.column(name)[row].as_py() for name in ("offset", "size"))
        if shard not in self.files:
            while len(self.files) >= HELD:
                self.files.popitem(last=False)[1].close()
            path = self.store.local(self.shards[shard].url, self.shards[shard].digest)
            try:
                self.files[shard] = path.open("rb")
            except OSError as error:
                raise Unreadable(f"{path}: {error.strerror}") from error
        self.files.move_to_end(shard)
        file = self.files[shard].fileno()
        if not 0 <= offset <= offset + size <= os.fstat(file).st_size:
            raise Unreadable(f"truncated: {self.shards[shard].url} ends before this picture does")
        return os.pread(file, size, offset)  # at a place: forked processes share the file, not its position


def index_of(shard: Shard, store: Store, classes: Sequence[str], key: str = "") -> pa.Table:
    """The index beside a shard, else the one made by looking through it, which is kept in the cache. Raises UserError for what is no tar."""
    table = _beside(shard, store)
    table = _looked_through(shard, store, classes, key) if table is None else table
    if shard.count >= 0 and len(table) != shard.count:
        raise RunError(f"{shard.url} has {len(table)} pictures, {INDEX} says {shard.count}")
    return table


def _beside(shard: Shard, store: Store) -> pa.Table | None:
    beside = f"{shard.url}{BESIDE}"
    with contextlib.suppress(OSError, RunError, pa.ArrowInvalid):
        if "://" in shard.url or Path(beside).is_file():
            return _read_index(store.local(beside))
    return None


def _read_index(path: Path) -> pa.Table:
    """A kept index; those of before hold classes as text."""
    table = pq.read_table(reachable(path))
    return table.select(SCHEMA.names).cast(SCHEMA.with_metadata(table.schema.metadata))


def _looked_through(shard: Shard, store: Store, classes: Sequence[str], key: str) -> pa.Table:
    path = store.local(shard.url, shard.digest)
    stat = path.stat()
    what = repr((str(path.resolve()), stat.st_size, stat.st_mtime_ns, READING, key)).encode()
    kept = store.cache / "indexes" / f"{hashlib.sha256(what).hexdigest()[:24]}.parquet"
    table = None
    with contextlib.suppress(OSError, pa.ArrowInvalid, KeyError):
        table = _read_index(kept)
    if table is None:
        table = made = look_through(path, key)
        with contextlib.suppress(RunError):  # a cache that cannot be written costs time only
            write_whole(kept, lambda part: pq.write_table(made, part))
    if classes:
        number = {data: i for i, name in enumerate(classes) for data in (escaped(name).encode(), os.fsencode(name))}
        labels = pa.array([number.get(name, -1) for name in table.column("class").to_pylist()], pa.int64())
        table = table.set_column(SCHEMA.names.index("label"), "label", labels)
    return table


def shards(spec: str, how: Reading, config: ReadConfig) -> dict[str, Shards]:
    """The parts of shards:FOLDER (with index.json) or shards:PATTERN, with {000..099} or *. Raises UserError for what is not there."""
    pattern, store = spec.removeprefix(SHARDS), Store(config.cache, config.cache_gb * 1e9)
    if ".tar" not in pattern.rsplit("/", 1)[-1]:
        found = read_index(pattern.removesuffix(f"/{INDEX}").rstrip("/"), store)
        return {
            split: Shards([Shard(f"{found['at']}/{s['file']}", s["count"], s["sha256"]) for s in own], found["classes"], how, store)
            for split, own in found["splits"].items()
        }
    urls = [url for part in expand(pattern) for url in matching(part)]
    if not urls:
        raise UserError(f"{spec}: no such shards")
    missing = next((url for url in urls if "://" not in url and not Path(url).is_file()), None)
    if missing:
        raise UserError(f"{spec}: {missing} does not exist")
    return _of_others(spec, urls, how, store, config)


def _of_others(spec: str, urls: Sequence[str], how: Reading, store: Store, config: ReadConfig) -> dict[str, Shards]:
    """Shards without an index.json, looked through; by the parts that they are called after."""
    common = os.path.commonprefix(list(urls)).rpartition("/")[0]  # noqa: RUF071 (up to the last slash; of URLs too)
    called = {url: series(url.removeprefix(common).lstrip("/"), config.parts) for url in urls}
    split = split_by_part(called.values(), config.parts, where=spec, what="shard")
    taken = {own: [url for url in urls if called[url] in names] for own, names in split.parts.items()}
    urls = [url for own in taken.values() for url in own]
    try:
        tables = {url: index_of(Shard(url), store, (), config.image_key) for url in track(urls, "looking through shards", len(urls))}
    except RunError as error:
        raise UserError(f"{spec}: {error}") from error
    abouts = [json.loads((table.schema.metadata or {}).get(ABOUT, b"{}")) for table in tables.values()]
    found = numbered([Column(url, ".cls or .json", len(table), table.column("class")) for url, table in tables.items()])
    if all(table.column("class").null_count == len(table) for table in tables.values()):
        found = Labels([], [], "these shards hold no .cls files, nor labels in .json files")
    if any(about.get("several") for about in abouts):
        found = Labels([], [], "there are several labels an image in the .json files of these shards")
    remarks = [*dict.fromkeys(remark for about in abouts for remark in about.get("remarks", ())), *found.remarks]
    names = pa.chunked_array([chunk for table in tables.values() for chunk in table.column("name").chunks])
    if (twice := len(names) - pc.count_distinct(names).as_py()) and len(urls) > 1:  # type: ignore[attr-defined]
        remarks.append(f"{several(twice, 'name')} of images more than once in these shards, and all are taken")
    out = {}
    for part, own in taken.items():
        source = Shards([Shard(url, len(tables[url])) for url in own], found.classes, how, store, config.image_key)
        source._labels = found.of([urls.index(url) for url in own])
        source.no_labels, source.remarks = found.why, remarks
        source.beside = [f"{several(list(called.values()).count(name), 'shard')} {name}" for name in split.left]
        out[part] = source
    next(iter(out.values())).others = sum((Counter(about.get("others", {})) for about in abouts), Counter[str]())
    return out


def read_index(folder: str, store: Store) -> dict[str, Any]:
    """index.json of a folder of shards, checked; `at` is the folder. Raises UserError for one that is missing or damaged."""
    try:
        if "://" in folder:
            import fsspec

            with fsspec.open(f"{folder}/{INDEX}", "rb") as file:
                found = json.loads(file.read())  # type: ignore[attr-defined]
        else:
            found = json.loads((Path(folder) / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {INDEX}: `twoviews shard` writes it last; or name the shards, as in shards:{folder}/*.tar"
        ) from error
    except ImportError as error:
        raise UserError(f"{folder}: {error}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}/{INDEX} cannot be read: {error}") from error
    try:
        for own in found["splits"].values():
            for shard in own:
                if not isinstance(shard["count"], int) or shard["count"] < 1 or not re.fullmatch(r"[\w.-]+\.tar", shard["file"]):
                    raise ValueError(shard)
                shard["sha256"] + ""
        if not found["splits"] or not all(isinstance(name, str) for name in found["classes"]):
            raise ValueError("no splits, or classes without names")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder}/{INDEX} is not what `twoviews shard` writes: {error!r}") from error
    return {**found, "at": folder}
