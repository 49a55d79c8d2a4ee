"""`shard`: pictures → tar files of their original bytes with an index, in WebDataset's format. A kill costs one shard; processes share them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..base import draws as rng
from ..base import processes
from ..base.console import say, track
from ..base.errors import UserError
from ..base.files import write_text, write_whole
from ..base.names import reachable
from ..base.work import working
from .config import ShardConfig
from .decode import as_channels
from .errors import Unreadable
from .files import SUFFIXES, sample
from .samples import SCHEMA, escaped
from .shards import BESIDE, INDEX
from .source import Encoded, EncodedPart, ImageSource
from .spec import open_pictures

KEY = b"twoviews"  # of a shard's index: what belongs to the shard, as JSON


TARGET_BYTES = 200_000_000


def shard(images: str | Path | ImageSource, out: str | Path, **options: Any) -> dict[str, Any]:
    """Write all pictures of a SPEC as shards into the folder `out`, which `shards:OUT` then names; returns its index.

    Bytes stay as they are; sets without files become PNG. `options` are fields of ShardConfig. The same call goes on where it was killed.
    """
    config, out = ShardConfig(**options), Path(out)
    joined = processes.join()
    pictures = open_pictures(images, 3, config, in_memory=False)
    splits = pictures.splits
    settings = {
        "per_shard": config.per_shard,
        "sort": config.sort,
        "seed": config.seed,
        "pictures": {name: source.fingerprint for name, source in splits.items()},
    }
    with working(out, "shard", settings):
        classes = list(dict.fromkeys(str(name) for source in (pictures.labelled, *splits.values()) for name in source.classes))
        listed = {name: _split(source, name, out, config, classes) for name, source in splits.items()}
        processes.largest([0.0])  # all shards are written
        index = {
            "format": 1,
            "spec": pictures.spec,
            "count": sum(len(source) for source in splits.values()),
            "classes": classes,
            "splits": {name: [about(out / file) for file in files] for name, files in listed.items()},
            "skipped": len(pictures.skipped),
        }
        processes.first(
            lambda: write_text(out / INDEX, json.dumps(index, indent=2) + "\n")
        )  # ASCII: names may be no UTF-8, and are read back
    if joined:
        processes.leave()
    return index


def _split(source: ImageSource, name: str, out: Path, config: ShardConfig, classes: list[str]) -> list[str]:
    """This process's shards of one split, those that are missing. Returns the names of all."""
    n = len(source)
    order = np.arange(n) if config.sort else rng.permutation(n, config.seed, "shards", name)
    each = config.per_shard or _per_shard(source)
    parts = np.array_split(order, range(each, n, each))
    files = [f"{name}-{number:06d}.tar" for number in range(len(parts))]
    own = range(processes.rank(), len(parts), processes.world())
    todo = [i for i in own if not ((out / files[i]).is_file() and (out / f"{files[i]}{BESIDE}").is_file())]
    if len(todo) < len(own):
        say(f"going on: {len(own) - len(todo)} of {len(own)} shards are there")
    for i in track(todo, f"writing shards of {name}", len(todo)):
        write_shard(source, parts[i], out / files[i], classes)
    return files


def _per_shard(source: ImageSource) -> int:
    sizes = [len(raw(source, index)) for index in sample(len(source))]
    return max(1, round(TARGET_BYTES / max(1.0, float(np.mean(sizes)))))


def write_shard(source: ImageSource, ids: np.ndarray, path: Path, classes: list[str]) -> None:
    """One tar of these pictures, and its index beside it; labels are numbers of `classes`. Equal pictures make equal bytes."""
    rows: dict[str, list] = {name: [] for name in SCHEMA.names}
    digest = hashlib.sha256()
    labels = source.labels
    place = {name: i for i, name in enumerate(classes)}

    def fill(part: Path) -> None:
        with part.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for number, index in enumerate(ids.tolist()):
                data, key = raw(source, index), f"{path.stem}-{number:07d}"
                name = source.name(index)
                class_name = None if labels is None or labels[index] < 0 else str(source.classes[int(labels[index])])
                label = -1 if class_name is None else place[class_name]
                suffix = _suffix(name, data)
                offset = _add(archive, f"{key}{suffix}", data)
                if label >= 0:
                    _add(archive, f"{key}.cls", str(label).encode())
                about = {"name": escaped(name), "class": None if class_name is None else escaped(class_name)}
                _add(archive, f"{key}.json", json.dumps(about, ensure_ascii=False).encode())
                own = None if class_name is None else os.fsencode(class_name)
                for column, value in zip(SCHEMA.names, (os.fsencode(name), offset, len(data), label, own), strict=True):
                    rows[column].append(value)
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)

    write_whole(path, fill)
    own = {"count": len(ids), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
    table = pa.table(rows, schema=SCHEMA.with_metadata({KEY: json.dumps(own).encode()}))
    write_whole(path.with_name(f"{path.name}{BESIDE}"), lambda part: pq.write_table(table, part))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> int:
    """A file of the archive, without owner or time; returns where its bytes begin."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
    return archive.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _suffix(name: str, data: bytes) -> str:
    """The ending of a picture's name, else one by its content."""
    own = re.search(r"\.[A-Za-z0-9]{1,5}$", name)
    if own and own[0].lower() in SUFFIXES:
        return own[0].lower()
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"


def raw(source: ImageSource, index: int) -> bytes:
    """A picture as the bytes of its file; of a source without files as PNG. Raises UserError for what cannot be read any more."""
    try:
        if isinstance(source, (Encoded, EncodedPart)):
            return source.bytes(index)
        image = source.read(index)
        if len(image) not in (1, 3):
            image = as_channels(image, 3)
    except Unreadable as error:
        raise UserError(f"{source.name(index)}: {error}") from error
    file = io.BytesIO()
    Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


def about(path: Path) -> dict[str, Any]:
    """A shard's line in the index: file, count, bytes, sha256. Raises UserError for a shard that has lost its index."""
    found = (pq.read_schema(reachable(path.with_name(f"{path.name}{BESIDE}"))).metadata or {}).get(KEY)
    if found is None:
        raise UserError(f"{path}{BESIDE} was not written by twoviews shard")
    return {"file": path.name, **json.loads(found)}
