"""What the header of an image file says. Size, orientation, channels and values are decided here once; pixels are read by the same description."""

from __future__ import annotations

import dataclasses
import re

import numpy as np


@dataclasses.dataclass(frozen=True)
class PictureInfo:
    """The description of one image file.

    `reader` is who reads its pixels: simplejpeg, pillow, tifffile, imagecodecs, pydicom, numpy. `height` and `width` are those of the
    upright image, `stored` is (height, width) as the pixels lie in the file; `orientation` is the EXIF one (1 upright … 8). `channels`, `dtype` (of
    NumPy) and `photometric` (gray, white-is-zero, rgb, cmyk, ycbcr, cielab, icclab, palette, or "" where nothing says what the channels are) are the
    file's own; `alpha` is the channel that holds opacity, if any, and `associated` whether colours are multiplied by it already, and
    `opaque` what of it is wholly opaque, where the file states it. `range` is what is
    black and white by the type or the tags of the file; None where nothing in the file says so (floats and signed values without a stated range);
    `bits` are those of one sample.
    """

    reader: str
    height: int
    width: int
    frames: int = 1
    stored: tuple[int, int] = (0, 0)
    orientation: int = 1
    channels: int = 3
    dtype: str = "uint8"
    photometric: str = "rgb"
    range: tuple[float, float] | None = (0.0, 255.0)
    bits: int = 8
    alpha: int | None = None
    associated: bool = False
    opaque: float | None = None


def upright(height: int, width: int, orientation: int) -> tuple[int, int]:
    """(height, width) of stored pixels once they are turned upright."""
    return (width, height) if orientation >= 5 else (height, width)


def type_range(dtype: np.dtype, bits: int = 0) -> tuple[float, float] | None:
    """Black and white of a type, or of unsigned numbers of some `bits`; None for signed numbers and floats."""
    if dtype.kind not in "bu":
        return None
    return 0.0, float(2 ** (bits or (1 if dtype.kind == "b" else 8 * dtype.itemsize)) - 1)


def orientation_in_xmp(xmp: str | bytes) -> int:
    """The orientation that XMP states, as an attribute in either quotes or as an element; 1 where it states none."""
    text = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp
    said = re.search(r"""\btiff:Orientation(?:\s*=\s*["']|\s*>)\s*([1-8])\s*["'<]""", text)
    return int(said[1]) if said else 1
