"""YCbCr of a TIFF that is no JPEG → RGB by its tags, as libtiff does: what is black and white, the weights, the smaller planes of colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import Unreadable

if TYPE_CHECKING:
    import tifffile

SUBSAMPLING, COEFFICIENTS, REFERENCE = 530, 529, 532  # tags
STEPS = (1, 2, 4)  # pixels that may share a colour, in each direction
WEIGHTS = (0.299, 0.587, 0.114)


def subsampling(tags: Mapping[int, Any]) -> tuple[int, int]:
    """How many pixels share a colour: across, and down."""
    across, down = (int(step) for step in np.atleast_1d(tags.get(SUBSAMPLING, (1, 1)))[:2])
    if across not in STEPS or down not in STEPS:
        raise Unreadable(f"a YCbCr TIFF whose colours are shared by {across} × {down} pixels")
    return across, down


def declared(height: int, width: int, steps: tuple[int, int]) -> int:
    """Samples of so many pixels, with the smaller planes of colour."""
    across, down = steps
    return math.ceil(height / down) * math.ceil(width / across) * (across * down + 2)


def unpacked(data: bytes, page: tifffile.TiffPage, steps: tuple[int, int]) -> NDArray[np.uint8]:
    """Uncompressed bytes whose colours are shared → (H, W, 3). They lie in blocks: the Y of each pixel, then one Cb and one Cr."""
    across, down = steps
    height, width, block = page.imagelength, page.imagewidth, across * down + 2
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    out = np.zeros((height + tall + down, width + wide + across, 3), np.uint8)
    columns = math.ceil(width / wide)
    for number, (begin, length) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        top, left = number // columns * tall, number % columns * wide
        rows = math.ceil((tall if page.is_tiled else min(tall, height - top)) / down)
        across_it = math.ceil(wide / across)
        if top >= height:
            break
        part = np.frombuffer(data[begin : begin + length], np.uint8)
        if len(part) < rows * across_it * block:
            raise Unreadable(f"truncated: {len(part):,} of {rows * across_it * block:,} bytes of a strip")
        part = part[: rows * across_it * block].reshape(rows, across_it, block)
        place = out[top : top + rows * down, left : left + across_it * across]
        place[..., 0] = part[..., :-2].reshape(rows, across_it, down, across).swapaxes(1, 2).reshape(rows * down, across_it * across)
        place[..., 1:] = part[..., -2:].repeat(down, 0).repeat(across, 1)
    return out[:height, :width]


def to_rgb(array: np.ndarray, tags: Mapping[int, Any], top: float) -> np.ndarray:
    """Y, Cb, Cr (H, W, 3 or more) of values up to `top` → R, G, B of the same type; channels behind them stay."""
    half = (top + 1) / 2
    black = np.asarray(tags.get(REFERENCE, (0, top, half, top, half, top)), np.float64)
    red, green, blue = (float(weight) for weight in tags.get(COEFFICIENTS, WEIGHTS))
    if len(black) != 6 or (black[1::2] == black[::2]).any() or green <= 0:
        raise Unreadable("a YCbCr TIFF whose tags say no colours")
    y, b, r = ((array[..., n] - black[2 * n]) * ((top if n == 0 else half - 1) / (black[2 * n + 1] - black[2 * n])) for n in range(3))
    red_part, blue_part = 2 * (1 - red) * r, 2 * (1 - blue) * b
    colours = np.stack([y + red_part, y - (blue * blue_part + red * red_part) / green, y + blue_part], 2)
    if array.dtype.kind != "f":
        colours = colours.clip(0, top).round()
    return np.concatenate([colours.astype(array.dtype), array[..., 3:]], axis=2)
