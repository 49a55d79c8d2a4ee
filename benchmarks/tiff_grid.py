"""Small TIFFs of every kind that tifffile writes (types × compressions × planes × tiles × byte orders × predictors × photometrics): how many are read
as they were written, refused, or wrong.

Run: python benchmarks/tiff_grid.py [--show]
"""

from __future__ import annotations

import argparse
import collections
import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from twoviews.sources.config import Reading
from twoviews.sources.decode import read_file
from twoviews.sources.errors import Unreadable

SHAPE = (9, 21)
PREDICTED = ("lzw", "zlib", "deflate", "zstd", "lzma")
COMPRESSIONS = (None, *PREDICTED, "packbits", "png", "jpeg2000", "jpegxl", "webp", "lerc", "jpeg")
LOSSY = {"jpeg": 40.0}  # the one compression that is not told to keep every value; the pictures here are smooth
EXACT: dict[str, dict[str, Any]] = {
    "jpeg": {"level": 95},
    "webp": {"lossless": True},
    "jpegxl": {"lossless": True},
    "jpeg2000": {"reversible": True},
}
WIDE = ("u1", "u2", "f4")  # types that meet every compression
TYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
BITS = {1: "u1", 2: "u1", 4: "u1", 10: "u2", 12: "u2", 14: "u2", 24: "u4"}
SAMPLES = {
    "minisblack": 1,
    "miniswhite": 1,
    "palette": 1,
    "rgb": 3,
    "rgb+unassalpha": 4,
    "rgb+assocalpha": 4,
    "separated": 4,
    "minisblack+unassalpha": 2,
}


class File(NamedTuple):
    """One file: what it is, how it is written and read, and the gray levels (H, W, C) that are right."""

    name: str
    data: bytes
    how: Reading
    right: np.ndarray
    limit: float


def values(kind: np.dtype, bits: int, samples: int) -> tuple[np.ndarray, float, float]:
    """A smooth picture (H, W, samples) that uses part of its type's range, and what is black and white of it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    plain = np.stack([0.1 + 0.7 * (x * (1 + n % 2) + y * (n + 1)) / (40 + 10 * n) for n in range(samples)], axis=2).clip(0, 0.9)
    if kind.kind == "f":
        return plain.astype(kind), 0.0, 1.0
    low, high = (0.0, float(2**bits - 1)) if kind.kind == "u" else (-float(2 ** (bits - 1)), float(2 ** (bits - 1) - 1))
    array = low + plain * (high - low)
    if samples in (2, 4):
        array[..., -1] = plain[..., -1] * high  # opacity is never negative
    return array.astype(kind), low, high


def right(array: np.ndarray, low: float, high: float, photometric: str, table: np.ndarray | None) -> np.ndarray:
    """What an array means as gray or RGB, in float64, 0 … 255."""
    if table is not None:
        return table[:, array[..., 0]].transpose(1, 2, 0) / 257.0
    x, alpha = (array.astype(np.float64) - low) / (high - low), array[..., -1:].astype(np.float64) / high
    colours, _, extra = photometric.partition("+")
    if extra:
        x = x[..., : 3 if colours == "rgb" else 1]
        x = {"unassalpha": x * alpha + 1 - alpha, "assocalpha": x + 1 - alpha, "unspecified": x}[extra]
    if colours == "miniswhite":
        x = 1 - x
    if colours == "separated":
        x[..., 3:] = alpha
        x = (1 - x[..., :3]) * (1 - x[..., 3:])
    return x.clip(0, 1) * 255


def written(array: np.ndarray, **options: Any) -> bytes | None:
    """The file; None for what tifffile does not write."""
    file = io.BytesIO()
    try:
        tifffile.imwrite(file, array, metadata=None, **options)
    except (ValueError, TypeError, NotImplementedError, RuntimeError):
        return None
    return file.getvalue()


def files() -> Iterator[File]:
    """The grid."""
    kinds = [(kind, 8 * np.dtype(kind).itemsize) for kind in TYPES] + [(kind, bits) for bits, kind in BITS.items()]
    for (kind, bits), photometric in itertools.product(kinds, SAMPLES):
        packed = bits != 8 * np.dtype(kind).itemsize
        if photometric == "separated" and kind[0] == "i":
            continue
        if photometric == "palette" and (kind, bits) not in (("u1", 8), ("u2", 16), ("u1", 4)):
            continue
        array, low, high = values(np.dtype(kind), bits, SAMPLES[photometric])
        table = None
        if photometric == "palette":
            table = np.random.default_rng(0).integers(0, 256, (3, 2**bits)).astype(np.uint16) * 257
        want = right(array, low, high, photometric, table)
        name, _, extra = photometric.partition("+")
        common: dict[str, Any] = {"photometric": name, "extrasamples": [extra] if extra else None, "colormap": table}
        how = Reading(want.shape[2], f"{low:.0f}:{high:.0f}" if kind[0] == "i" else "auto")
        planes = ("contig", "separate") if array.shape[2] > 1 else (None,)
        for about in layouts(kind, bits, photometric):
            planes = about.get("planarconfig") == "separate"
            pixels = array[..., 0] if array.shape[2] == 1 else array.transpose(2, 0, 1) if planes else array
            if about["byteorder"] == ">" and (packed or about.get("compression") == "jpeg2000"):
                pixels = pixels.byteswap()  # tifffile swaps bytes before it packs bits, where it should not
            data = written(np.ascontiguousarray(pixels), **{k: v for k, v in common.items() if v is not None}, **about)
            if data is not None:
                label = f"{kind} {bits} bits {photometric} " + " ".join(f"{key}={value}" for key, value in about.items())
                yield File(label, data, how, want, LOSSY.get(about.get("compression", ""), 1.0))


def layouts(kind: str, bits: int, photometric: str) -> Iterator[dict[str, Any]]:
    """How one picture may lie in a file, as options of tifffile: all layouts for some types, a few for the others."""
    compressions: tuple[str | None, ...] = (None,)
    if bits == 8 * np.dtype(kind).itemsize:
        compressions = COMPRESSIONS if kind in WIDE else (None, "zlib", "lzw", "lerc")
    planes = ("contig", "separate") if SAMPLES[photometric] > 1 else (None,)
    for compression, plane, tile, order in itertools.product(compressions, planes, (None, (16, 16)), "<>"):
        if compression not in (None, "zlib", "lzw") and (tile is None) == (order == ">"):
            continue
        if compression == "jpeg" and (kind != "u1" or photometric == "palette"):
            continue
        for predictor in (False, True) if compression in PREDICTED else (False,):
            about = {"compression": compression, "planarconfig": plane, "tile": tile, "byteorder": order, "predictor": predictor}
            about |= {"compressionargs": EXACT.get(compression or "")}
            if compressions == (None,) and bits != 8 * np.dtype(kind).itemsize:
                about["bitspersample"] = bits
            yield {key: value for key, value in about.items() if value not in (None, False)}


def outcome(file: File, path: Path) -> str:
    """equal, or why it was refused, or how wrong it is; `path` is where the file is put for it."""
    path.write_bytes(file.data)
    try:
        got = read_file(path, file.how)
    except Unreadable as error:
        return f"refused: {error}"
    if got.shape != (file.right.shape[2], *SHAPE):
        return f"wrong: {tuple(got.shape)}"
    error = np.abs(got.permute(1, 2, 0).numpy() - file.right).max()
    return "equal" if error <= file.limit else f"wrong: by {error:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="each file that is not equal")
    show = parser.parse_args().show
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for file in files():
            found = outcome(file, Path(folder) / "a.tif")
            counts[found.partition(":")[0]] += 1
            if show and found != "equal":
                print(file.name, found)
    print(f"{counts.total():,} files: {counts['equal']:,} equal, {counts['refused']} refused, {counts['wrong']} wrong")


if __name__ == "__main__":
    main()
