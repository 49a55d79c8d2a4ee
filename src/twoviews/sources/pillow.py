"""Pictures by Pillow, and by readers that keep every bit where Pillow keeps 8 of them: PNG and JPEG 2000 by imagecodecs."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from .config import AUTO, Reading
from .errors import INSTALL, Unreadable
from .info import PictureInfo, orientation_in_xmp, upright
from .scientific import refuse_bomb
from .values import MODES, RGB, UPRIGHT, from_array, from_lab

READERS = ("simplejpeg", "pillow", "imagecodecs")
KINDS = {
    "1": "gray",
    "L": "gray",
    "LA": "gray",
    "La": "gray",
    "P": "palette",
    "PA": "palette",
    "CMYK": "cmyk",
    "YCbCr": "ycbcr",
    "LAB": "cielab",
}
TYPES = {"I": "int32", "F": "float32"}
TURNED = (b"eXIf", b"Raw profile type ", b"XML:com.adobe.xmp")  # what may say how a PNG is turned
PNG = b"\x89PNG\r\n\x1a\n"
HEAD = 65_536  # bytes in which a header says how many bits a sample has
warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on odd metadata; what matters is an error
_LENIENT = threading.Lock()

with contextlib.suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()


@contextlib.contextmanager
def opened(file: bytes | Path, how: Reading) -> Iterator[Image.Image]:
    """Pillow's picture with its header read. A higher limit of pixels than Pillow's own is a switch for all."""
    if Image.MAX_IMAGE_PIXELS is not None and how.max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = how.max_pixels
    in_memory = isinstance(file, bytes)
    formats = ("PNG",) if in_memory and file.startswith(PNG) else None  # the most common in sets of small files: the others are not asked
    with Image.open(io.BytesIO(file) if in_memory else file, formats=formats) as image:
        refuse_bomb(image.width * image.height, how)
        yield image


def pillow_info(image: Image.Image, file: bytes | Path, how: Reading, *, frames: bool = True) -> PictureInfo:
    """The description of a picture that Pillow has opened, and not yet loaded; `frames` are not counted where nobody asks, which takes time."""
    turned = 1 if image.format == "PNG" and not _may_be_turned(file) else orientation(image)
    stored, mode = (image.height, image.width), image.mode
    count = getattr(image, "n_frames", 1) if frames else 1
    bits = _bits(image, file)
    deep = mode.startswith("I;16")
    fast = image.format == "JPEG" and how.channels in MODES and (mode == "L" or (mode == "RGB" and how.channels == 3))
    found = PictureInfo(
        "simplejpeg" if fast else "pillow",
        *upright(*stored, turned),
        frames=count,
        stored=stored,
        orientation=turned,
        channels=len(image.getbands()),
        dtype=TYPES.get(mode, "uint16" if deep else "uint8"),
        photometric=KINDS.get(mode, "rgb" if mode.startswith("RGB") else "gray"),
        range=None if mode in TYPES else (0.0, 65535.0 if deep else 255.0),
        bits=32 if mode in TYPES else 16 if deep else 8,
    )
    clear = image.format == "PNG" and bits == 16 and "transparency" in image.info
    signed = image.format == "JPEG2000" and _precision(file) > 127
    odd = image.format == "JPEG2000" and (deep or signed or bits != 8) and mode not in ("P", "PA")
    if odd or (image.format == "PNG" and (bits > found.bits or clear)):
        if importlib.util.find_spec("imagecodecs"):
            return _whole_bits(found, image, bits, signed)
        if clear or signed or bits < 8 or how.range != AUTO:
            what = "transparency" if clear else "signs" if signed else "a --range" if bits > 8 else "fewer than 8"
            raise Unreadable(f"a {image.format} of {bits} bits with {what} needs imagecodecs: {INSTALL}")
    elif bits > found.bits and how.range != AUTO:
        raise Unreadable(f"has {bits} bits a sample, of which 8 are read: --range {how.range} has no meaning here, auto has")
    return found


def _whole_bits(found: PictureInfo, image: Image.Image, bits: int, signed: bool) -> PictureInfo:
    """The description of a PNG or JPEG 2000 that Pillow would make one of 8 bits, and unsigned."""
    channels, alpha = found.channels, found.channels in (2, 4)
    if image.format == "PNG":  # opacity is a channel of its own, or one colour
        colours = {"I": 1, "L": 1, "R": 3}[_raw_mode(image)[0]]
        alpha = "A;" in _raw_mode(image) or "transparency" in image.info
        channels = colours + alpha
    return replace(
        found,
        reader="imagecodecs",
        channels=channels,
        dtype=f"{'' if signed else 'u'}int{8 if bits <= 8 else 16}",
        photometric="gray" if channels <= 2 else "rgb",
        range=None if signed else (0.0, float(2**bits - 1)),
        bits=bits,
        alpha=channels - 1 if alpha else None,
    )


def _raw_mode(image: Image.Image) -> str:
    """How the samples lie in the file, in Pillow's words, such as RGB;16B."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _bits(image: Image.Image, file: bytes | Path) -> int:
    """Bits of a sample in the file, which may be more than Pillow keeps."""
    if image.format in ("HEIF", "HEIC"):
        return int(image.info.get("bit_depth", 8))
    if image.format == "JPEG2000":
        return (_precision(file) & 0x7F) + 1
    if image.format == "AVIF":
        start = _head(file)
        at = start.find(b"av1C")
        flags = start[at + 6] if 0 <= at < len(start) - 6 else 0
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    tiles = getattr(image, "tile", None)
    if tiles and (tiles[0][0] == "SGI16" or (tiles[0][0] == "bcn" and tiles[0][3][0] == 6)):  # BC6 of DDS holds floats
        return 16
    return 16 if ";16" in _raw_mode(image) and not _raw_mode(image).startswith("BGR") else 8  # BGR;16: 16 bits a pixel


def _precision(file: bytes | Path) -> int:
    """Of the first component of a JPEG 2000: its bits, less 1; and 128 more where it is signed."""
    start = _head(file)
    at = start.find(b"\xff\x4f\xff\x51")  # the codestream, and its sizes
    return start[at + 42] if 0 <= at < len(start) - 42 else 7


def _head(file: bytes | Path) -> bytes:
    if isinstance(file, bytes):
        return file[:HEAD]
    with file.open("rb") as stream:
        return stream.read(HEAD)


def _may_be_turned(file: bytes | Path) -> bool:
    """Whether a PNG says how it is turned, perhaps behind its pixels: Pillow would read them all to find out."""
    data = file if isinstance(file, bytes) else file.read_bytes()
    return any(mark in data for mark in TURNED)


def is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether an opened picture is a PNG of up to 8 bits that lies upright: such are loaded by the ten thousand, and there is no more to describe."""
    return image.format == "PNG" and ";16" not in _raw_mode(image) and not _may_be_turned(data)


def orientation(image: Image.Image) -> int:
    """The orientation, 1 to 8, by EXIF, else by XMP; 1 where there is none."""
    try:
        found = image.getexif().get(0x0112)
    except Exception:
        found = None  # metadata that cannot be read says nothing of the picture
    if found is None:
        found = orientation_in_xmp(image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b"")
    return found if found in UPRIGHT else 1


def pixels(image: Image.Image, data: bytes, how: Reading, found: PictureInfo) -> Tensor:
    """The pixels of a picture as its description says. Raises Unreadable where they have another size."""
    if found.reader == "imagecodecs":
        import imagecodecs

        read = imagecodecs.png_decode if image.format == "PNG" else imagecodecs.jpeg2k_decode
        try:
            return from_array(read(data).reshape(*found.stored, found.channels), how, found)
        except (imagecodecs.PngError, imagecodecs.Jpeg2kError) as error:
            image.load()  # says what is wrong, or reads past it
            if how.range != AUTO:
                raise Unreadable(f"damaged: {error}") from error
    tensor = from_pil(image, how, 1 if image.format == "TIFF" else found.orientation)  # Pillow turns a TIFF when it loads it
    if tuple(tensor.shape[1:]) != (found.height, found.width):
        raise Unreadable(f"its header says {found.width} × {found.height}, its pixels are {tensor.shape[2]} × {tensor.shape[1]}")
    return tensor


def lenient(data: bytes, how: Reading) -> Tensor:
    """A picture as far as its file goes. Pillow knows this as a switch for all."""
    with _LENIENT:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            with opened(data, how) as image:
                return from_pil(image, how)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def from_pil(image: Image.Image, how: Reading = RGB, turned: int | None = None) -> Tensor:
    """A PIL image → uint8 (C, H, W): the first frame, upright; gray and RGB have alpha laid on white, other channels are the file's own.

    `turned` is its orientation, where that is known; else the image is asked.
    """
    refuse_bomb(image.width * image.height, how)
    key = _key(image) if "transparency" in image.info else None
    image.load()
    turn = UPRIGHT.get(orientation(image) if turned is None else turned, lambda a: a)
    if image.mode.startswith("I") or image.mode == "F":
        return from_array(turn(np.asarray(image)), how)
    if how.channels not in MODES:
        plain = image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")
        return from_array(turn(np.asarray(plain)), how)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        if key is not None:
            image = image.copy()
            image.info["transparency"] = key
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    if image.mode == "LAB":
        image = ImageOps.grayscale(from_lab(image)) if how.channels == 1 else from_lab(image)
    mode = MODES[how.channels]
    return from_array(turn(np.asarray(image if image.mode == mode else image.convert(mode))), how)


def _key(image: Image.Image) -> int | None:
    """The gray that is transparent in a PNG of 1, 2 or 4 bits, scaled as its pixels will be once they are loaded; None for others."""
    steps = {"1": 1, "L;2": 3, "L;4": 15}.get(_raw_mode(image))
    key = image.info["transparency"]
    return key * 255 // steps if image.format == "PNG" and steps and isinstance(key, int) else None
