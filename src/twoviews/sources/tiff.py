"""TIFF by its tags: size, orientation, type, photometric and range are read from the first page's directory; the pixels by Pillow where they are
plain (8 bits, or black and white, interleaved, in an ordinary compression), else by tifffile."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from . import ycbcr
from .config import Reading
from .errors import INSTALL, Unreadable
from .info import PictureInfo, orientation_in_xmp, type_range, upright
from .scientific import PACKED, refuse_bomb, shape_of
from .values import MODES

if TYPE_CHECKING:
    import tifffile

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PHOTOMETRICS = {0: "white-is-zero", 1: "gray", 2: "rgb", 3: "palette", 5: "cmyk", 6: "ycbcr", 8: "cielab", 9: "icclab"}
OTHERS = {4: "a mask", 10: "ITU Lab", 32803: "a sensor's mosaic (CFA)", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw"}
COLOURS = {"rgb": 3, "cmyk": 4, "ycbcr": 3, "cielab": 3, "icclab": 3}  # channels; all others have 1
PICTURES = (7, 33003, 33004, 33005, 33007, 34712, 34892, 34933, 50001)  # JPEG, JPEG 2000, PNG, WebP
JPEGS = (6, 7, 33007, 34892)  # whose decoders make RGB of YCbCr
# What Pillow reads rightly: photometric → compressions. 1 none, 2 to 4 fax, 5 LZW, 7 JPEG, 8 and 32946 deflate, 32773 PackBits.
EVERY = frozenset((1, 5, 7, 8, 32946, 32773))
PILLOWS = {
    "gray": EVERY,
    "white-is-zero": EVERY - {7},
    "rgb": EVERY,
    "palette": EVERY - {7},
    "cmyk": EVERY,
    "ycbcr": (EVERY | {6}) - {1},
    "cielab": EVERY - {7},
}
FAX = frozenset((1, 2, 3, 4, 5, 8, 32946, 32773))


def is_tiff(data: bytes) -> bool:
    """Whether these bytes begin like a TIFF or BigTIFF."""
    return data[:4] in MAGIC


def tiff_info(file: bytes | Path, how: Reading) -> PictureInfo:
    """The description of a TIFF's first page by its tags. Raises Unreadable for more pixels than its bytes can hold."""
    with _opened(file) as (stream, length):
        start = stream.read(16)
        tags, frames = _directory(stream, start)
    bits, kind = _type(tags)
    samples = int(tags.get(277, 1))
    photometric = int(tags.get(262, 2 if samples >= 3 else 1))  # where nothing is said, as libtiff takes it
    name = PHOTOMETRICS.get(photometric) or OTHERS.get(photometric, f"of the kind {photometric}")
    if int(tags.get(32997, 1)) > 1:
        raise Unreadable("holds a volume, not a picture")
    stored = shape_of((int(tags[257]), int(tags[256]), samples), how)
    _refuse_hollow(tags, bits, length, how)
    orientation = _orientation(tags)
    found = PictureInfo(
        "tifffile",
        *upright(*stored[:2], orientation),
        frames=frames,
        stored=stored[:2],
        orientation=orientation,
        channels=samples,
        dtype=str(kind),
        photometric=name,
        range=_range(tags, bits, kind, COLOURS.get(name, 1)),
        bits=bits,
    )
    return _with_reader(_with_alpha(found, tags), tags, known=start[:4] != MAGIC[3])


def tiff(data: bytes, found: PictureInfo, how: Reading) -> tuple[np.ndarray, PictureInfo]:
    """The pixels of a first page, (H, W, C) with alpha behind the colours, by tifffile; and what they are now that they are decoded."""
    tags, _ = _directory(io.BytesIO(data), data[:16])
    try:
        array, table = _samples(data, found, tags)
    except Exception as error:
        missing = _end(tags) - len(data)
        if missing <= 0:
            raise
        if not how.truncated or tags.get(259, 1) != 1 or missing > len(data) * PACKED:
            none = ": --truncated takes nothing of what is compressed like this" if how.truncated else ""
            raise Unreadable(f"truncated: {len(data):,} of {len(data) + missing:,} bytes{none}") from error
        array, table = _samples(data + bytes(missing), found, tags)
    if array.shape != (*found.stored, found.channels):
        raise Unreadable(f"its tags say {(*found.stored, found.channels)}, its pixels are {array.shape}")
    if found.photometric == "palette" and table is not None:
        array = (np.moveaxis(table, 0, -1) >> (0 if _has_bytes(table) else 8)).astype(np.uint8)[array[..., 0].astype(np.uint16)]
        return array, replace(found, photometric="rgb", channels=3, dtype="uint8", range=(0.0, 255.0), bits=8, alpha=None)
    if found.photometric == "ycbcr" and how.channels in MODES:
        array = ycbcr.to_rgb(array, tags, found.range[1] if found.range else 1.0)
        found = replace(found, photometric="rgb")
    if found.photometric == "cielab":
        array = array.copy()
        array[..., 1:3] ^= array.dtype.type(1 << (found.bits - 1))  # signed in the file
    colours = COLOURS.get(found.photometric, 1)
    _refuse_bands(found, how)
    if how.channels in MODES and (found.photometric in COLOURS or found.alpha is not None):
        kept = [*range(colours), *([] if found.alpha is None else [found.alpha])]  # samples that are neither are no colours
        array = array[..., kept]
        found = replace(found, channels=len(kept), alpha=None if found.alpha is None else colours)
    return array, found


def _samples(data: bytes, found: PictureInfo, tags: ImageFileDirectory_v2) -> tuple[np.ndarray, np.ndarray | None]:
    """What lies in the file, (H, W, C), and its table of colours."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is an error
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        _refuse_hollow_segments(data, page, found)
        try:
            if _shares_colours(found, tags):
                array = ycbcr.unpacked(data, page, ycbcr.subsampling(tags))[None]
            else:
                array = page.asarray(squeeze=False)[:, 0]
        except ValueError as error:
            if "imagecodecs" in str(error) and importlib.util.find_spec("imagecodecs") is None:
                raise Unreadable(f"this TIFF's compression needs imagecodecs: {INSTALL}") from error
            raise
        if found.bits == 24 and found.dtype == "uint32" and file.byteorder == ">" and _swaps_three_bytes():
            array = array.byteswap()
        return array.transpose(1, 2, 0, 3).reshape(*array.shape[1:3], -1), page.colormap


def _end(tags: ImageFileDirectory_v2) -> int:
    """Where the last strip or tile ends by the tags; 0 where they do not say."""
    starts, lengths = (np.atleast_1d(tags.get(strips, tags.get(tiles, 0))) for strips, tiles in ((273, 324), (279, 325)))
    return max((int(start) + int(length) for start, length in zip(starts, lengths, strict=False)), default=0)


def _has_bytes(table: ArrayLike) -> bool:
    """Whether a table of colours holds bytes, as old writers made it, where 16 bits belong: as libtiff knows it."""
    return int(np.max(table)) < 256


def _shares_colours(found: PictureInfo, tags: ImageFileDirectory_v2) -> bool:
    """Whether it is an uncompressed YCbCr of bytes whose colours are stored smaller, which tifffile does not unpack."""
    bare = found.photometric == "ycbcr" and found.dtype == "uint8" and found.channels == 3
    return bare and int(tags.get(259, 1)) == int(tags.get(284, 1)) == 1 and ycbcr.subsampling(tags) != (1, 1)


def _refuse_bands(found: PictureInfo, how: Reading) -> None:
    """Raises Unreadable where gray or RGB is asked for, and nothing says which of several bands that is."""
    bands = found.channels - (found.alpha is not None)
    unnamed = (found.photometric == "" and found.alpha is not None) or (found.photometric == "white-is-zero" and bands > 1)
    if unnamed and how.channels in MODES:
        keep = "" if found.channels in MODES else f": --channels {found.channels} keeps them"
        raise Unreadable(f"holds {bands} bands that nothing names{', and opacity' if found.alpha is not None else ''}{keep}")


def _refuse_hollow_segments(data: bytes, page: tifffile.TiffPage, found: PictureInfo) -> None:
    """Raises Unreadable for a strip or tile that is a picture in its turn, and declares more pixels than its place has."""
    if int(page.compression) not in PICTURES:
        return
    place = max(math.prod(found.stored), page.tilewidth * page.tilelength)
    for begin, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        with contextlib.suppress(UnidentifiedImageError), Image.open(io.BytesIO(data[begin : begin + length])) as part:
            if part.width * part.height > place:
                raise Unreadable(f"a part of it declares {part.width} × {part.height} pixels, more than there is place for")


def _swaps_three_bytes() -> bool:
    """Whether imagecodecs unpacks 24 bits into big-endian numbers the wrong way round, as 2026.3.6 does."""
    import imagecodecs

    return int(imagecodecs.packints_decode(b"\0\0\1", np.dtype(">u4"), 24)[0]) != 1


@contextlib.contextmanager
def _opened(file: bytes | Path) -> Iterator[tuple[IO[bytes], int]]:
    if isinstance(file, bytes):
        yield io.BytesIO(file), len(file)
    else:
        with file.open("rb") as stream:
            yield stream, file.stat().st_size


def _directory(stream: IO[bytes], start: bytes) -> tuple[ImageFileDirectory_v2, int]:
    """The tags of the first page, and how many pages there are. By Pillow's reader of tags, which takes no memory for what they declare."""
    big = b"+" in start[2:4]
    # it knows a BigTIFF by the little-endian header only
    tags = ImageFileDirectory_v2(MAGIC[2] + start[4:], start[:2]) if big else ImageFileDirectory_v2(start[:8])
    at: int = tags.next  # type: ignore[attr-defined]
    stream.seek(at)
    tags.load(stream)
    order = "little" if start[:2] == b"II" else "big"
    widths = (8, 20, 8) if big else (2, 12, 4)  # of the count, an entry, the next directory's place
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        stream.seek(at)
        count = stream.read(widths[0])
        stream.seek(int.from_bytes(count, order) * widths[1], 1)
        after = stream.read(widths[2])
        if len(after) < widths[2]:
            break
        at = int.from_bytes(after, order)
    if 256 not in tags or 257 not in tags:
        raise Unreadable("a TIFF whose first page says no size")
    return tags, len(seen)


def _orientation(tags: ImageFileDirectory_v2) -> int:
    """How pixels are turned: what the tag says, else what XMP says."""
    xmp = tags.get(700, b"")
    found = int(tags[274]) if 274 in tags else orientation_in_xmp(xmp if isinstance(xmp, bytes) else bytes(xmp))
    return found if 1 <= found <= 8 else 1


def _type(tags: ImageFileDirectory_v2) -> tuple[int, np.dtype]:
    """Bits of a sample, and NumPy's type for it."""
    samples = int(tags.get(277, 1))  # some files have more values than samples
    bits, formats = ({int(value) for value in np.atleast_1d(tags.get(tag, 1))[:samples]} for tag in (258, 339))
    if len(bits) > 1 or len(formats) > 1:
        raise Unreadable(f"a TIFF whose samples have several types: {sorted(bits)} bits")
    width, form = bits.pop(), formats.pop()
    letter = {1: "u", 2: "i", 3: "f", 4: "u"}.get(form)
    if letter is None:
        raise Unreadable("holds complex numbers, which are no pixels")
    size = next((size for size in (1, 2, 4, 8) if width <= 8 * size), None)
    if size is None or (letter == "f" and width not in (16, 24, 32, 64)) or (letter == "i" and width not in (8, 16, 32, 64)):
        raise Unreadable(f"a TIFF of {width} bits a sample")
    return width, np.dtype(f"{letter}{size}")


def _range(tags: ImageFileDirectory_v2, bits: int, kind: np.dtype, colours: int) -> tuple[float, float] | None:
    """Black and white: what SMinSampleValue and SMaxSampleValue say of more than 8 bits, else all that the bits can hold."""
    stated = [tags.get(tag) for tag in (340, 341)]
    if kind.itemsize > 1 and None not in stated:
        ends = [np.atleast_1d(np.asarray(end, np.float64)) for end in stated]
        if len(ends[0]) == len(ends[1]) == int(tags.get(277, 1)):  # opacity has its own
            ends = [end[:colours] if 338 in tags else end for end in ends]
        low, high = float(ends[0].min()), float(ends[1].max())
        if np.isfinite([low, high]).all() and low < high:
            return low, high
    return type_range(kind, bits)


def _refuse_hollow(tags: ImageFileDirectory_v2, bits: int, length: int, how: Reading) -> None:
    """tifffile took 11 GB for 290 bytes that declare 155 million pixels."""
    width, height, samples = int(tags[256]), int(tags[257]), int(tags.get(277, 1))
    shared = samples == 3 and tags.get(262) == 6
    declared = (ycbcr.declared(height, width, ycbcr.subsampling(tags)) if shared else height * width * samples) * bits // 8
    refuse_bomb(int(tags.get(322, 1)) * int(tags.get(323, 1)), how)
    if declared > length * (PACKED if tags.get(259, 1) != 1 or how.truncated else 1):
        raise Unreadable(f"truncated: it declares {declared:,} bytes of pixels, and holds {length:,}")


def _with_alpha(found: PictureInfo, tags: ImageFileDirectory_v2) -> PictureInfo:
    """Which sample is opacity: the first that ExtraSamples calls so. Four of RGB without that tag are RGBA, as everybody writes them."""
    colours = COLOURS.get(found.photometric, 1)
    extra = [int(e) for e in np.atleast_1d(tags.get(338, ()))]
    if not extra and found.photometric == "rgb" and found.channels == 4:
        extra = [2]
    place = next((n for n, e in enumerate(extra) if e in (1, 2, 999) and colours + n < found.channels), None)
    if place is not None:
        most = np.atleast_1d(tags.get(341, ()))
        own = float(most[colours + place]) if len(most) == found.channels and not found.dtype.endswith("int8") else None
        found = replace(found, alpha=colours + place, associated=extra[place] == 1, opaque=own or None)
    bands = found.channels - (place is not None)
    if found.photometric == "gray" and bands == 3 and found.alpha == 3:
        return replace(found, photometric="rgb")  # as it is without the alpha
    return replace(found, photometric="") if bands < colours or (found.photometric == "gray" and bands > 1) else found  # nothing names them


def _with_reader(found: PictureInfo, tags: ImageFileDirectory_v2, *, known: bool) -> PictureInfo:
    """Who reads the pixels; `known` is whether Pillow knows such files at all."""
    compression, colours = int(tags.get(259, 1)), COLOURS.get(found.photometric, 1)
    one = found.channels == colours
    clear = found.alpha == colours == found.channels - 1 and not found.associated
    alone = one or (clear and found.photometric == {1: "gray", 2: "rgb"}.get(int(tags.get(262, 0))))
    known = known and (274 in tags or found.orientation == 1)  # Pillow, which turns a TIFF itself, overlooks some of XMP
    plain = known and 262 in tags and found.dtype == "uint8" and int(np.max(tags.get(339, 1))) == 1 and int(tags.get(284, 1)) == 1
    if found.photometric == "palette" and 320 in tags and _has_bytes(tags[320]):
        return found
    if plain and (
        (alone and found.bits == 8 and compression in PILLOWS.get(found.photometric, ()))
        or (one and found.bits == 1 and found.photometric in ("gray", "white-is-zero") and compression in FAX)
    ):
        return replace(found, reader="pillow")
    if found.photometric == "ycbcr" and compression in JPEGS:
        return replace(found, photometric="rgb")
    return found
