"""Pictures that Pillow does not know or not in full: NumPy's .npy, netpbm of more than 8 bits and PFM; and the limits that hold for every reader.

Nothing here runs code that a file brings: arrays of objects are refused, and sizes are looked at before memory is taken.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from dataclasses import replace

import numpy as np

from .config import MAX_CHANNELS, Reading
from .errors import Unreadable
from .info import PictureInfo, type_range

warnings.filterwarnings("ignore", "Reading `.npy`")  # remarks on old headers; what matters is an error
NPY = b"\x93NUMPY"
GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
NETPBM = re.compile(rb"P([2356Ff])%b(\d+)%b(\d+)%b([+-]?[\d.]+)\s" % (GAP, GAP, GAP))
PACKED = 2000  # times that pixels may be longer than the file that holds them: about what deflate reaches at best
LONGEST = 65_536  # bytes in which a netpbm header with its remarks must end


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


def npy_info(data: bytes, how: Reading) -> PictureInfo:
    """The description of a .npy of shape (H, W) or (H, W, C) by its header."""
    file = io.BytesIO(data)
    shape, kind = _npy_header(file)
    if (len(data) - file.tell()) * (PACKED if how.truncated else 1) < math.prod(shape) * kind.itemsize:
        raise Unreadable(f"truncated: {len(data) - file.tell():,} of {math.prod(shape) * kind.itemsize:,} bytes of pixels")
    return _array_info(shape_of(shape, how), kind, 8 * kind.itemsize)


def _npy_header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type; the file is read up to the pixels."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise Unreadable(f"a .npy of version {version}")
    shape, _, kind = read[version](file)
    if kind.hasobject:
        raise Unreadable("holds Python objects (a pickle), which are never read")
    if kind.kind not in "buif":
        raise Unreadable(f"holds {kind}, which are no pixels")
    return shape, kind


def npy(data: bytes) -> np.ndarray:
    """The pixels of a .npy, (H, W) or (H, W, C); what is missing at its end is 0."""
    file = io.BytesIO(data)
    shape, kind = _npy_header(file)
    missing = file.tell() + math.prod(shape) * kind.itemsize - len(data)
    whole = data + bytes(missing) if missing > 0 else data
    return np.load(io.BytesIO(whole), allow_pickle=False)


def is_netpbm(data: bytes) -> bool:
    """Whether these bytes begin like a picture of netpbm's that may have more than 8 bits."""
    return data[:2] in (b"P2", b"P3", b"P5", b"P6", b"PF", b"Pf") and data[2:3].isspace()


def netpbm_info(data: bytes, how: Reading) -> PictureInfo | None:
    """The description of a .pgm, .ppm or .pnm of more than 8 bits, or of a .pfm; None for others, which Pillow reads."""
    header = NETPBM.match(data[:LONGEST])
    if header is None or (header[1] not in b"Ff" and int(float(header[4])) <= 255):
        return None
    most = float(header[4])
    shape = shape_of((int(header[3]), int(header[2]), 3 if header[1] in b"36F" else 1), how)
    kind = np.dtype(np.float32 if header[1] in b"Ff" else np.uint16)
    if kind == np.uint16 and most > 65535:
        raise Unreadable(f"a netpbm picture whose largest value is {most:.0f}; 65535 is the most there may be")
    held = len(data) - header.end()
    least = math.prod(shape) * (2 if header[1] in b"23" else kind.itemsize)  # in text, a digit and a space
    if held * (PACKED if how.truncated else 1) < least - 1:
        raise Unreadable(f"truncated: {held:,} of {least:,} bytes of pixels")
    found = _array_info(shape, kind, 8 * kind.itemsize)
    return found if kind == np.float32 else replace(found, range=(0.0, most), bits=int(most).bit_length())


def netpbm(data: bytes, found: PictureInfo, how: Reading) -> np.ndarray:
    """The pixels of a picture that `netpbm_info` described, (H, W, C); with `how.truncated` what is missing at its end is 0."""
    header = NETPBM.match(data[:LONGEST])
    assert header is not None
    shape = (*found.stored, found.channels)
    if header[1] in b"23":
        words = re.sub(rb"#[^\r\n]*", b"", data[header.end() :]).split(maxsplit=math.prod(shape))[: math.prod(shape)]
        if len(words) < math.prod(shape) and not how.truncated:
            raise Unreadable(f"truncated: {len(words):,} of {math.prod(shape):,} values")
        words += [b"0"] * (math.prod(shape) - len(words))
        return np.array(words).astype(np.uint16).reshape(shape)
    kind = ">u2" if header[1] in b"56" else "<f4" if header[4].startswith(b"-") else ">f4"
    missing = header.end() + math.prod(shape) * np.dtype(kind).itemsize - len(data)
    whole = data + bytes(missing) if missing > 0 else data
    array = np.frombuffer(whole, kind, math.prod(shape), header.end()).reshape(shape)
    return array[::-1] if header[1] in b"Ff" else array  # a .pfm begins with its lowest row


def _array_info(shape: tuple[int, int, int], kind: np.dtype, bits: int) -> PictureInfo:
    height, width, channels = shape
    return PictureInfo(
        "numpy",
        height,
        width,
        stored=(height, width),
        channels=channels,
        dtype=str(kind),
        photometric="",
        range=type_range(kind),
        bits=bits,
    )
