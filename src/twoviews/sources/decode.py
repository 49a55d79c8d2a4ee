"""Picture bytes → uint8 (C, H, W): EXIF-rotated, gray, RGB or the file's own channels, whatever it held (CMYK, palette, 16 bits, alpha).

`info` describes a file by its header; `decode` reads the pixels by that description. Ordinary JPEGs go to libjpeg-turbo at once (simplejpeg), which
takes half of Pillow's time and can shrink while it decodes; what Pillow knows goes to Pillow, as long as it keeps every bit; other readers do the
rest (tiff.py, dicom.py, scientific.py). The content decides, never the name.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import simplejpeg
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from . import dicom, pillow, scientific, tiff
from .config import Reading
from .errors import Unreadable, reason
from .info import PictureInfo
from .pillow import from_pil
from .values import RGB, UPRIGHT, as_channels, from_array

__all__ = ["as_channels", "could_be_image", "decode", "from_array", "from_pil", "info", "read_bytes", "read_file"]

START = 132  # bytes that tell one kind of file from another
USUAL = (b"\xff\xd8\xff", b"\x89PNG")
MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"8BPS\0\1", b"qoif", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"\0\0\1\0",
    b"DDS \x7c\0\0\0", b"icns", b"\x01\xda\0", b"\x01\xda\1", scientific.NPY, *tiff.MAGIC,
)  # fmt: skip
BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def could_be_image(start: bytes) -> bool:
    """Whether a file that begins with these bytes (132 are enough) may be a picture that is read here, whatever its name."""
    return (
        start.startswith(MAGIC)
        or dicom.is_dicom(start)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in BRANDS)
        or (start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in (12, 40, 52, 56, 64, 108, 124))  # its header's length
        or (start[:2] in (b"P1", b"P4") and start[2:3].isspace())
        or scientific.is_netpbm(start)
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
        kind = "truncated" if lost else "damaged or truncated" if text.startswith("decoder error") else type(error).__name__
        nothing = how.truncated and kind.endswith("truncated")
        raise Unreadable(f"{kind}: {text}" + (": --truncated takes nothing of it" if nothing else "")) from error


def info(file: bytes | Path, how: Reading = RGB) -> PictureInfo:
    """What the header of a picture file, or of its bytes, says; a file is read no further than it must. Raises Unreadable with the reason."""
    start = file[:START] if isinstance(file, bytes) else _read(file, START)
    if not start:
        raise Unreadable("empty file")
    with _explained(how):
        found = _of_others(file, start, how)
        if found is not None:
            return found
        try:
            with pillow.opened(file, how) as image:
                return pillow.pillow_info(image, file, how)
        except UnidentifiedImageError as error:
            raise Unreadable(reason(_whole(file))) from error


def _of_others(file: bytes | Path, start: bytes, how: Reading) -> PictureInfo | None:
    """The description of a file that is not Pillow's alone."""
    if start.startswith(USUAL):  # most files: nothing else is asked
        return None
    if dicom.is_dicom(start):
        return dicom.dicom_info(_whole(file), how)
    if start.startswith(scientific.NPY):
        return scientific.npy_info(_whole(file), how)
    if tiff.is_tiff(start):
        return tiff.tiff_info(file, how)
    return scientific.netpbm_info(_whole(file), how) if scientific.is_netpbm(start) else None


def decode(data: bytes, how: Reading = RGB, shrink: float = 1.0, found: PictureInfo | None = None) -> Tensor:
    """Bytes of a picture file → uint8 (C, H, W) with the channels of `how`. Raises Unreadable with the reason.

    `shrink` allows a JPEG to come out smaller by up to this factor in each direction, if that saves time: by 2, 4 or 8. `found` is what `info` said
    of these bytes, where that is known already.
    """
    if not data:
        raise Unreadable("empty file")
    with _explained(how):
        found = found or _of_others(data, data[:START], how)
        if found is None or found.reader in pillow.READERS:
            return _picture(data, how, shrink, found)
        if found.reader == "pydicom":
            return from_array(dicom.dicom(data, how), how)
        if found.reader == "tifffile":
            array, found = tiff.tiff(data, found, how)
            return from_array(array, how, found)
        array = scientific.npy(data) if data.startswith(scientific.NPY) else scientific.netpbm(data, found, how)
        return from_array(array.reshape(*found.stored, found.channels), how, found)


def _picture(data: bytes, how: Reading, shrink: float, found: PictureInfo | None) -> Tensor:
    """A picture that Pillow knows. Its header is read once: here, if it was not before."""
    fast = _jpeg(data, found, how, shrink) if found else None
    if fast is not None:
        return fast
    try:
        with pillow.opened(data, how) as image:
            if found is None and pillow.is_plain(image, data):
                return from_pil(image, how, 1)
            if found is None:
                found = pillow.pillow_info(image, data, how, frames=False)
                fast = _jpeg(data, found, how, shrink)
            return fast if fast is not None else pillow.pixels(image, data, how, found)
    except UnidentifiedImageError as error:
        raise Unreadable(reason(data)) from error
    except OSError:
        if not how.truncated:
            raise
    return pillow.lenient(data, how)


def _jpeg(data: bytes, found: PictureInfo, how: Reading, shrink: float) -> Tensor | None:
    """A JPEG by libjpeg-turbo; None for others, and where it refuses, so that Pillow may say why."""
    if found.reader != "simplejpeg":
        return None
    factor = 2 ** min(3, int(math.log2(max(shrink, 1.0))))
    least = [-(-side // factor) if factor > 1 else 0 for side in found.stored]
    try:
        array = simplejpeg.decode_jpeg(data, "RGB" if how.channels == 3 else "GRAY", min_height=least[0], min_width=least[1])
    except ValueError:
        return None
    return from_array(UPRIGHT.get(found.orientation, lambda a: a)(array), how)


def _whole(file: bytes | Path) -> bytes:
    return file if isinstance(file, bytes) else read_bytes(file)


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
