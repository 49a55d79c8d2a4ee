"""Picture bytes → uint8 (C, H, W): EXIF-rotated, gray or RGB, whatever the file held (CMYK, palette, 16 bits, alpha).

Ordinary JPEGs go to libjpeg-turbo at once (simplejpeg), which takes half of Pillow's time and can shrink while it decodes; all else, and
every broken file, goes to Pillow.
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..base.errors import TwoviewsError

MODES = {1: "L", 3: "RGB"}
MAX_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs
warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on odd metadata; what matters is an error


class Unreadable(TwoviewsError):
    """One picture that cannot be read; the message is the reason."""


def decode(data: bytes, channels: int = 3, shrink: float = 1.0) -> Tensor:
    """Bytes of a picture file → uint8 (C, H, W) with 1 or 3 channels. Raises Unreadable with the reason.

    `shrink` allows a JPEG to come out smaller by up to this factor in each direction, if that saves time: by 2, 4 or 8.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            plain = image.format == "JPEG" and (image.mode == "L" or (image.mode == "RGB" and channels == 3))
            fast = _jpeg(data, image, channels, shrink) if plain else None
            return from_pil(image, channels) if fast is None else fast
    except UnidentifiedImageError as error:
        raise Unreadable("not a picture in a known format") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels: refused as a decompression bomb") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, TypeError, IndexError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


UPRIGHT = {  # by the EXIF orientation
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def _jpeg(data: bytes, image: Image.Image, channels: int, shrink: float) -> Tensor | None:
    """A JPEG by libjpeg-turbo; None where it refuses, so that Pillow may say why. `image` is its opened header."""
    if image.width * image.height > MAX_PIXELS:
        return None
    factor = 2 ** min(3, int(math.log2(max(shrink, 1.0))))
    least = (-(-image.height // factor), -(-image.width // factor)) if factor > 1 else (0, 0)
    try:
        array = simplejpeg.decode_jpeg(data, "RGB" if channels == 3 else "GRAY", min_height=least[0], min_width=least[1])
    except ValueError:
        return None
    return from_array(UPRIGHT.get(_orientation(image), lambda a: a)(array), channels)


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(0x0112, 1)


def upright_size(data: bytes) -> tuple[int, int]:
    """(height, width) of the upright picture, from its header. Raises Unreadable with the reason."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            height, width = image.height, image.width
            return (width, height) if _orientation(image) >= 5 else (height, width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def from_pil(image: Image.Image, channels: int = 3) -> Tensor:
    """A PIL image → uint8 (C, H, W): the first frame, upright, alpha on white, 16 bits scaled to 8."""
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"more than {MAX_PIXELS:,} pixels: refused as a decompression bomb")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        array = np.asarray(image, np.float64)
        if not np.isfinite(array).all():
            raise Unreadable("holds values that are not numbers")
        top = 65535.0 if image.mode.startswith("I") and array.max(initial=0) > 255 else max(255.0, array.max(initial=0))
        image = Image.fromarray((array.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return from_array(np.asarray(image.convert(MODES[3])), channels) if channels == 3 else from_array(np.asarray(image.convert("L")), 1)


def from_array(array: np.ndarray, channels: int = 3) -> Tensor:
    """A uint8 array (H, W) or (H, W, C) → uint8 (channels, H, W); gray is repeated, colours are averaged with the usual weights."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise Unreadable(f"an array picture must be uint8 (H, W) or (H, W, C), not {array.dtype} {array.shape}")
    array = array[..., None] if array.ndim == 2 else array
    return as_channels(torch.from_numpy(np.array(array, order="C")).permute(2, 0, 1), channels)  # kept interleaved, which resizes fastest


def as_channels(image: Tensor, channels: int) -> Tensor:
    """uint8 (…, C, H, W) with 1 or 3 channels → with `channels` of 1 or 3."""
    have = image.shape[-3]
    if have == channels:
        return image
    if have == 1:
        return image.expand(*image.shape[:-3], channels, *image.shape[-2:]).contiguous()
    if have == 3 and channels == 1:
        weights = torch.tensor([0.2989, 0.5870, 0.1140])[:, None, None]
        return (image.float() * weights).sum(-3, keepdim=True).round().to(torch.uint8)
    raise Unreadable(f"a picture of {have} channels cannot be made one of {channels}")


def read_file(path: Path, channels: int = 3, shrink: float = 1.0) -> Tensor:
    """A picture file → uint8 (C, H, W); `shrink` as for `decode`. Raises Unreadable with the reason."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    if not data:
        raise Unreadable("empty file")
    return decode(data, channels, shrink)
