"""Picture bytes → uint8 (C, H, W): EXIF-rotated, gray, RGB or the file's own channels, whatever it held (CMYK, palette, 16 bits, alpha).

Ordinary JPEGs go to libjpeg-turbo at once (simplejpeg), which takes half of Pillow's time and can shrink while it decodes; other pictures, and
every broken file, go to Pillow; what Pillow does not know to scientific.py. The content decides, never the name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from . import dicom, scientific
from .config import DATA, Reading
from .errors import Unreadable, reason
from .scientific import refuse_bomb

RGB = Reading()
MODES = {1: "L", 3: "RGB"}
warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on odd metadata; what matters is an error
_LENIENT = threading.Lock()

with contextlib.suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()


def could_be_image(start: bytes) -> bool:
    """Whether a file that begins with these bytes (132 are enough) may be a picture that is read here, whatever its name."""
    marks = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"\0\0\0\x0cjP  ", scientific.NPY)
    return (
        start.startswith(marks)
        or scientific.is_tiff(start)
        or dicom.is_dicom(start)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or start[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1")
    )


@contextlib.contextmanager
def _explained(how: Reading) -> Iterator[None]:
    """Turn whatever decoders raise into Unreadable: damaged files make them meet anything."""
    try:
        yield
    except Unreadable:
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable(f"more than {how.max_pixels:,} pixels: refused as a decompression bomb (--max-pixels)") from error
    except Exception as error:
        text = str(error).split("\n")[0]
        lost = "truncated" in text.lower() and "truncated: " not in text
        raise Unreadable(f"truncated: {text}" if lost else f"{type(error).__name__}: {text}") from error


def decode(data: bytes, how: Reading = RGB, shrink: float = 1.0) -> Tensor:
    """Bytes of a picture file → uint8 (C, H, W) with the channels of `how`. Raises Unreadable with the reason.

    `shrink` allows a JPEG to come out smaller by up to this factor in each direction, if that saves time: by 2, 4 or 8.
    """
    if not data:
        raise Unreadable("empty file")
    read = (
        dicom.dicom
        if dicom.is_dicom(data)
        else scientific.reader(data) or (scientific.tiff if how.channels not in MODES and scientific.is_tiff(data) else None)
    )
    with _explained(how):
        if read is not None:
            return from_array(read(data, how), how)
        try:
            return _picture(data, how, shrink)
        except UnidentifiedImageError as error:
            if scientific.is_tiff(data):
                return from_array(scientific.tiff(data, how), how)
            raise Unreadable(reason(data)) from error


def _picture(data: bytes, how: Reading, shrink: float) -> Tensor:
    with _opened(data, how) as image:
        plain = image.format == "JPEG" and (image.mode == "L" or (image.mode == "RGB" and how.channels == 3)) and how.channels in MODES
        fast = _jpeg(data, image, how, shrink) if plain else None
        if fast is not None:
            return fast
        try:
            return from_pil(image, how)
        except OSError:
            if not how.truncated:
                raise
    with _LENIENT:  # Pillow knows this as a switch for all
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            with _opened(data, how) as image:
                return from_pil(image, how)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextlib.contextmanager
def _opened(file: bytes | Path, how: Reading) -> Iterator[Image.Image]:
    """Pillow's picture with its header read. A higher limit of pixels than Pillow's own is a switch for all, too."""
    if Image.MAX_IMAGE_PIXELS is not None and how.max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = how.max_pixels
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        refuse_bomb(image.width * image.height, how)
        yield image


UPRIGHT = {  # by the EXIF orientation
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def _jpeg(data: bytes, image: Image.Image, how: Reading, shrink: float) -> Tensor | None:
    """A JPEG by libjpeg-turbo; None where it refuses, so that Pillow may say why. `image` is its opened header."""
    factor = 2 ** min(3, int(math.log2(max(shrink, 1.0))))
    least = (-(-image.height // factor), -(-image.width // factor)) if factor > 1 else (0, 0)
    try:
        array = simplejpeg.decode_jpeg(data, "RGB" if how.channels == 3 else "GRAY", min_height=least[0], min_width=least[1])
    except ValueError:
        return None
    return from_array(UPRIGHT.get(_orientation(image), lambda a: a)(array), how)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:
        return 1  # metadata that cannot be read says nothing of the picture


@dataclasses.dataclass(frozen=True)
class Header:
    """What a picture's header says: its upright size, and how many frames or pages the file holds."""

    height: int
    width: int
    frames: int = 1


def header(file: bytes | Path, how: Reading = RGB) -> Header:
    """The header of a picture file or its bytes; a file is read no further than it must. Raises Unreadable with the reason."""
    start = file[:132] if isinstance(file, bytes) else _read(file, 132)
    read = dicom.dicom_shape if dicom.is_dicom(start) else scientific.npy_shape if scientific.reader(start) else None
    with _explained(how):
        if read is not None:
            return Header(*read(_whole(file), how)[:2])
        try:
            with _opened(file, how) as image:
                turned = _orientation(image) >= 5
                return Header(*((image.width, image.height) if turned else (image.height, image.width)), getattr(image, "n_frames", 1))
        except UnidentifiedImageError as error:
            data = _whole(file)
            if not data:
                raise Unreadable("empty file") from error
            if scientific.is_tiff(data):
                return Header(*scientific.tiff_shape(data, how)[:2])
            raise Unreadable(reason(data)) from error


def _whole(file: bytes | Path) -> bytes:
    return file if isinstance(file, bytes) else read_bytes(file)


def from_pil(image: Image.Image, how: Reading = RGB) -> Tensor:
    """A PIL image → uint8 (C, H, W): the first frame, upright; gray and RGB have alpha laid on white, other channels are the file's own."""
    refuse_bomb(image.width * image.height, how)
    image.load()
    turn = UPRIGHT.get(_orientation(image), lambda a: a)
    if image.mode.startswith("I") or image.mode == "F":
        array = np.asarray(image)
        if image.mode == "I" and array.min() >= 0 and array.max() <= 65535:
            array = array.astype(np.uint16)  # 16 bits in Pillow's 32
        return from_array(turn(array), how)
    if how.channels not in MODES:
        plain = image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")
        return from_array(turn(np.asarray(plain)), how)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    if image.mode == "LAB":
        image = ImageOps.grayscale(_from_lab(image)) if how.channels == 1 else _from_lab(image)
    return from_array(turn(np.asarray(image.convert(MODES[how.channels]))), how)


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    done = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert done is not None
    return done


def from_array(array: np.ndarray, how: Reading = RGB) -> Tensor:
    """An array (H, W) or (H, W, C) of any type → uint8 (channels, H, W); gray is repeated, colours are averaged with the usual weights."""
    if array.ndim not in (2, 3):
        raise Unreadable(f"an array of shape {array.shape}; a picture is (H, W) or (H, W, C)")
    array = to_bytes(array[..., None] if array.ndim == 2 else array, how)
    return as_channels(
        torch.from_numpy(np.array(array, order="C")).permute(2, 0, 1), how.channels
    )  # kept interleaved, which resizes fastest


def to_bytes(array: np.ndarray, how: Reading) -> np.ndarray:
    """Values of any type → uint8 by the range of `how`; bytes stay as they are. Raises Unreadable for values that need a range, or are no numbers."""
    kind = array.dtype
    if kind == np.uint8:
        return array
    if kind == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if kind.kind not in "uif":
        raise Unreadable(f"holds {kind}, which are no pixels")
    if kind.kind == "f" and not np.isfinite(array).all():
        raise Unreadable("holds values that are not numbers")
    if how.limits:
        low, high = how.limits
    elif how.range == DATA:
        low, high = float(array.min()), float(array.max())
    elif kind.kind == "u":
        low, high = 0.0, float(np.iinfo(kind).max)
    else:
        low, high = float(array.min()), float(array.max())
        if kind.kind == "i" or low < 0 or high > 1:
            raise Unreadable(f"{kind} from {low:g} to {high:g}: say what is black and white with --range LOW:HIGH, or --range data")
        low, high = 0.0, 1.0
    scaled = (array.astype(np.float64) - low) * (255 / (high - low) if high > low else 0.0)
    return scaled.clip(0, 255).round().astype(np.uint8)


def as_channels(image: Tensor, channels: int) -> Tensor:
    """uint8 (…, C, H, W) → with `channels`; gray and RGB become each other, everything else must fit. Raises Unreadable."""
    have = image.shape[-3]
    if have == channels:
        return image
    if have == 1 and channels == 3:
        return image.expand(*image.shape[:-3], channels, *image.shape[-2:]).contiguous()
    if have == 3 and channels == 1:
        weights = torch.tensor([0.2989, 0.5870, 0.1140])[:, None, None]
        return (image.float() * weights).sum(-3, keepdim=True).round().to(torch.uint8)
    raise Unreadable(f"a picture of {have} channels cannot be made one of {channels}: --channels {have} keeps them")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises Unreadable with the reason; what is no ordinary file, such as a pipe, is not opened."""
    return _read(path, -1)


def _read(path: Path, count: int) -> bytes:
    try:
        if not path.is_file():
            path.stat()  # says why, where it is not there
            raise Unreadable("not an ordinary file")
        with path.open("rb") as file:
            return file.read(count)
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from error


def read_file(path: Path, how: Reading = RGB, shrink: float = 1.0) -> Tensor:
    """A picture file → uint8 (C, H, W); `shrink` as for `decode`. Raises Unreadable with the reason."""
    return decode(read_bytes(path), how, shrink)
