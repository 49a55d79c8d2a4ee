"""Pictures that Pillow does not know: NumPy's .npy, TIFF with other channels than RGB. Bytes → array (H, W, C) of the file's own type.

None of these readers runs code that a file brings: arrays of objects are refused, and sizes are looked at before memory is taken.
"""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Callable

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .config import MAX_CHANNELS, Reading
from .errors import Unreadable

NPY, TIFF = b"\x93NUMPY", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PACKED = 2000  # times that pixels may be packed, about what deflate reaches at best
Reader = Callable[[bytes, Reading], np.ndarray]


def reader(data: bytes) -> Reader | None:
    """Who reads these bytes, if they are none of Pillow's."""
    return npy if data.startswith(NPY) else None


def is_tiff(data: bytes) -> bool:
    """Whether these bytes begin like a TIFF or BigTIFF."""
    return data[:4] in TIFF


def shape_of(shape: tuple[int, ...], how: Reading) -> tuple[int, int, int]:
    """(height, width, channels) of an array's shape. Raises Unreadable for what is no picture, or one too large."""
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or min(shape) < 1:
        raise Unreadable(f"an array of shape {shape}; a picture is (H, W) or (H, W, C)")
    if shape[2] > MAX_CHANNELS:
        first = "; this looks like (C, H, W): write it with its channels last" if shape[0] <= MAX_CHANNELS else ""
        raise Unreadable(f"an array of shape {shape}; a picture is (H, W) or (H, W, C) with up to {MAX_CHANNELS} channels{first}")
    refuse_bomb(shape[0] * shape[1], how)
    return shape


def refuse_bomb(pixels: int, how: Reading) -> None:
    """Raises Unreadable for more pixels than are allowed."""
    if pixels > how.max_pixels:
        raise Unreadable(f"more than {how.max_pixels:,} pixels: refused as a decompression bomb (--max-pixels)")


def npy_shape(data: bytes, how: Reading) -> tuple[int, int, int]:
    """(height, width, channels) by the header of a .npy."""
    file = io.BytesIO(data)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    warnings.filterwarnings("ignore", module=__name__)  # remarks on old headers; what matters is an error
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise Unreadable(f"a .npy of version {version}")
    shape, _, dtype = read[version](file)
    if dtype.hasobject:
        raise Unreadable("holds Python objects (a pickle), which are never read")
    if dtype.kind not in "buif":
        raise Unreadable(f"holds {dtype}, which are no pixels")
    if len(data) - file.tell() < math.prod(shape) * dtype.itemsize:
        raise Unreadable(f"truncated: {len(data) - file.tell():,} of {math.prod(shape) * dtype.itemsize:,} bytes of pixels")
    return shape_of(shape, how)


def npy(data: bytes, how: Reading) -> np.ndarray:
    """A .npy of shape (H, W) or (H, W, C)."""
    shape = npy_shape(data, how)
    return np.load(io.BytesIO(data), allow_pickle=False).reshape(shape)


def tiff(data: bytes, how: Reading) -> np.ndarray:
    """The first page of a TIFF with all its channels, interleaved or plane by plane."""
    page, shape = _page(data), tiff_shape(data, how)
    array = page.asarray()
    if page.planarconfig == 2 and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    return array.reshape(shape)


def tiff_shape(data: bytes, how: Reading) -> tuple[int, int, int]:
    """(height, width, channels) by the header of a TIFF. Raises Unreadable for more pixels than its bytes can hold."""
    page = _page(data)
    if page.imagedepth > 1:
        raise Unreadable("holds a volume, not a picture")
    return shape_of((page.imagelength, page.imagewidth, page.samplesperpixel), how)


def _page(data: bytes):
    try:
        import tifffile
    except ImportError as error:
        raise Unreadable("this kind of TIFF needs tifffile: uv pip install 'twoviews[scientific]'") from error
    _refuse_hollow(data)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is an error
    return tifffile.TiffFile(io.BytesIO(data)).pages.first


def _refuse_hollow(data: bytes) -> None:
    """By Pillow's reader of tags: tifffile took 11 GB for 290 bytes that declare 155 million pixels."""
    start = data[:16] if data[2:3] in b"+" or data[3:4] in b"+" else data[:8]
    tags = ImageFileDirectory_v2(start)
    file = io.BytesIO(data)
    file.seek(tags.next)  # type: ignore[attr-defined]
    tags.load(file)
    bits = np.max(tags.get(258, 1))
    declared = int(tags[256]) * int(tags[257]) * int(tags.get(277, 1)) * int(bits) // 8
    if declared > len(data) * (PACKED if tags.get(259, 1) != 1 else 1):
        raise Unreadable(f"truncated: it declares {declared:,} bytes of pixels, and holds {len(data):,}")
