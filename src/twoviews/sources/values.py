"""Arrays of any type → uint8 (C, H, W). Here `range` has its one meaning, for gray, colour and alpha of every format."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .config import DATA, Reading
from .errors import Unreadable
from .info import PictureInfo, type_range

RGB = Reading()
MODES = {1: "L", 3: "RGB"}
ROUNDING = 1e-6  # by which floats from 0 to 1 may lie beside them
GRAY = (0.2989, 0.5870, 0.1140)  # what red, green and blue weigh
UPRIGHT = {  # by the EXIF orientation
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def from_array(array: np.ndarray, how: Reading = RGB, found: PictureInfo | None = None) -> Tensor:
    """An array (H, W) or (H, W, C) of any type → uint8 (channels, H, W); gray is repeated, colours are averaged with the usual weights.

    `found` describes the file that it was read from: how it is turned, and what its channels and values mean.
    """
    if array.ndim not in (2, 3):
        raise Unreadable(f"an array of shape {array.shape}; a picture is (H, W) or (H, W, C)")
    array = array[..., None] if array.ndim == 2 else array
    if found is None and array.dtype != np.uint8:
        kind = array.dtype
        about = {"channels": array.shape[2], "dtype": str(kind), "range": type_range(kind), "bits": 8 * kind.itemsize}
        found = PictureInfo("numpy", *array.shape[:2], photometric="", **about)
    if found is not None:
        array = UPRIGHT.get(found.orientation, lambda a: a)(to_bytes(array, how, found))
    image = torch.from_numpy(np.array(array, order="C")).permute(2, 0, 1)  # kept interleaved, which resizes fastest
    return as_channels(image, how.channels)


def to_bytes(array: np.ndarray, how: Reading, found: PictureInfo) -> np.ndarray:
    """(H, W, C) of a file's own values → uint8, as gray or RGB where `how` asks for one of these. Raises Unreadable for values that need a range."""
    colours = how.channels in MODES
    alpha = found.alpha if colours else None
    as_they_are = found.photometric in ("gray", "rgb", "") or not (colours or found.photometric == "white-is-zero")
    if array.dtype == np.uint8 and found.range == (0.0, 255.0) and alpha is None and as_they_are:
        return array
    opacity = None if found.alpha is None else _opacity(array[..., found.alpha], found)
    if opacity is not None:
        array = np.delete(array, found.alpha or 0, axis=2)
    values = _meant(scaled(array, how, found), found, colours)
    if opacity is not None and colours:
        values = (values if found.associated else values * opacity) + 255 * (1 - opacity)
    elif opacity is not None:
        values = np.insert(values, found.alpha or 0, 255 * opacity[..., 0], axis=2)
    return values.clip(0, 255).round().astype(np.uint8)


def scaled(array: np.ndarray, how: Reading, found: PictureInfo) -> np.ndarray:
    """Numbers of any type → float64, 0 black and 255 white. Up to 8 bits are always scaled by their type, all else by the range of `how`."""
    kind = array.dtype
    if kind.kind not in "buif":
        raise Unreadable(f"holds {kind}, which are no pixels")
    if kind.kind == "f" and not np.isfinite(array).all():
        raise Unreadable("holds values that are not numbers")
    few = kind.kind in "bu" and kind.itemsize == 1
    if how.limits and not few:
        low, high = how.limits
    elif how.range == DATA and not few:
        low, high = float(array.min()), float(array.max())
    elif found.range is not None:
        low, high = found.range
    else:
        low, high = float(array.min()), float(array.max())
        if kind.kind != "f" or low < -ROUNDING or high > 1 + ROUNDING:
            raise Unreadable(f"{kind} from {low:g} to {high:g}: say what is black and white with --range LOW:HIGH, or --range data")
        low, high = 0.0, 1.0
    return ((array.astype(np.float64) - low) * (255 / (high - low) if high > low else 0.0)).clip(0, 255)


def _opacity(alpha: np.ndarray, found: PictureInfo) -> np.ndarray:
    """A channel of opacity, (H, W) → (H, W, 1) from 0 to 1 by what the file states of it, else by its type: no range of colours is meant for it."""
    kind = alpha.dtype.kind
    high = found.opaque or (1.0 if kind == "f" else float(2 ** (found.bits - (kind == "i")) - 1))
    return (alpha.astype(np.float64) / high).clip(0, 1)[..., None]


def _meant(values: np.ndarray, found: PictureInfo, colours: bool) -> np.ndarray:
    """Values from 0 to 255 → gray or RGB by their photometric; without `colours` only what is white is settled."""
    kind = found.photometric
    if kind == "white-is-zero":
        return np.concatenate([255 - values[..., :1], values[..., 1:]], axis=2)
    if not colours or kind in ("gray", "rgb", ""):
        return values
    if kind == "cmyk":
        return (255 - values[..., :3]) * (255 - values[..., 3:4]) / 255
    if kind in ("cielab", "icclab"):
        plain = np.ascontiguousarray(values.round().astype(np.uint8))
        plain[..., 1:] ^= 128  # Pillow takes a and b as signed bytes
        return np.asarray(from_lab(Image.frombytes("LAB", plain.shape[1::-1], plain))).astype(np.float64)
    raise Unreadable(f"its colours are {kind}, which no reader here turns into gray or RGB")


def from_lab(image: Image.Image) -> Image.Image:
    """A CIELAB image as sRGB."""
    from PIL import ImageCms

    done = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert done is not None
    return done


def as_channels(image: Tensor, channels: int) -> Tensor:
    """uint8 (…, C, H, W) → with `channels`; gray and RGB become each other, everything else must fit. Raises Unreadable."""
    have = image.shape[-3]
    if have == channels:
        return image
    if have == 1 and channels == 3:
        return image.expand(*image.shape[:-3], channels, *image.shape[-2:]).contiguous()
    if have == 3 and channels == 1:
        weights = torch.tensor(GRAY)[:, None, None]
        return (image.float() * weights).sum(-3, keepdim=True).round().to(torch.uint8)
    raise Unreadable(f"a picture of {have} channels cannot be made one of {channels}: --channels {have} keeps them")
