"""What the header of an image file says. Size, orientation, channels and values are decided here once; pixels are read by the same description."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PictureInfo:
    """The description of one image file.

    `reader` is who reads its pixels: simplejpeg, pillow, tifffile, pydicom, numpy. `height` and `width` are those of the upright image, `stored` is
    (height, width) as the pixels lie in the file; `orientation` is the EXIF one (1 upright … 8). `channels`, `dtype` (of NumPy) and `photometric`
    (gray, white-is-zero, rgb, cmyk, ycbcr, palette, …) are the file's own. `range` is what is black and white by the type or the tags of the file;
    None where nothing in the file says so (floats and signed values without a stated range).
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
