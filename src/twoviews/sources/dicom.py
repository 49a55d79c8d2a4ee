"""DICOM by pydicom: bytes → array (H, W, C) of the file's own values, or of bytes where the file itself says how it is shown."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import dicom_values
from .config import Reading
from .errors import INSTALL, Unreadable
from .info import PictureInfo
from .scientific import shape_of

MAGIC = b"DICM"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())  # value types with a length of two bytes
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
META, IDENTIFYING, LAST_EARLY = 0x0002, 0x0008, 0x0028  # groups of elements
PACKED, HOLLOW = 2000, 64 << 20  # a compressed frame above so many bytes is not taken for more than PACKED times its length
KINDS = {"MONOCHROME1": "white-is-zero", "MONOCHROME2": "gray", "RGB": "rgb", "PALETTE COLOR": "palette"}
warnings.filterwarnings("ignore", module=r"pydicom\.|twoviews\.sources\.dicom")  # remarks on odd elements; what matters is an error


def is_dicom(data: bytes) -> bool:
    """Whether these bytes (the first 132 are enough) begin like a DICOM file, with or without a preamble."""
    return data[128:132] == MAGIC or any(_begins_bare(data, order) for order in "<>")


def _begins_bare(data: bytes, order: str) -> bool:
    """Two elements one after the other, in the order and of the groups that a data set begins with."""
    first = _element(data, 0, order)
    if first is None or first[0] >> 16 not in (META, IDENTIFYING):
        return False
    tag, end, explicit = first
    if not explicit and tag >> 16 == META:
        return False  # always explicit
    second = _element(data, end, order)
    if second is None:  # the first value is longer than what we see: character sets, kinds of image
        return tag in (0x00080005, 0x00080008) and data[4:6] == b"CS" and end < 1024
    return second[0] > tag and second[0] >> 16 <= (LAST_EARLY if explicit else IDENTIFYING) and second[2] == explicit


def _element(data: bytes, at: int, order: str) -> tuple[int, int, bool] | None:
    """(tag, where the next element begins, whether its type is written) of the element at a place; None where none can be."""
    if at + 12 > len(data):
        return None
    group, element = struct.unpack_from(f"{order}HH", data, at)
    kind = data[at + 4 : at + 6]
    if kind in SHORT:
        head, length = 8, struct.unpack_from(f"{order}H", data, at + 6)[0]
    elif kind in LONG and data[at + 6 : at + 8] == b"\0\0":
        head, length = 12, struct.unpack_from(f"{order}I", data, at + 8)[0]
    elif order == "<":  # types that are not written are little-endian
        head, length = 8, struct.unpack_from("<I", data, at + 4)[0]
    else:
        return None
    return None if length % 2 else (group << 16 | element, at + head + length, kind in SHORT or kind in LONG)


def dicom_info(data: bytes, how: Reading) -> PictureInfo:
    """What the header of a DICOM says. Raises Unreadable for one without a picture, or with one too large."""
    with _explained():
        return _info(_dataset(data, how), how)


def dicom(data: bytes, how: Reading) -> np.ndarray:
    """The first frame of a DICOM, (H, W, 1) dark to bright or (H, W, 3) RGB.

    With range `auto` bytes by the file's VOI table, its first window, or its stored bits (floats as they are, where there is no window); else the
    values in their units, MONOCHROME1 inverted about the range. Padded pixels are black. Raises Unreadable.
    """
    with _explained():
        found = _dataset(data, how)
        info = _info(found, how)
        if how.truncated:
            _fill(found)
        array = _frame(found, info)
        if info.photometric == "palette":
            return dicom_values.palette(found, array, how)
        return dicom_values.color(found, array, how) if array.ndim == 3 else dicom_values.gray(found, array, how)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """pydicom raises whatever its parsers meet."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"a DICOM that cannot be read: {' '.join(str(error).split())[:300]}") from error


def _dataset(data: bytes, how: Reading):
    try:
        import pydicom
    except ImportError as error:
        raise Unreadable(f"DICOM needs pydicom: {INSTALL}") from error
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    _refuse_inflated(data, how)
    found = pydicom.dcmread(io.BytesIO(data), force=True)  # also without a preamble
    found.ensure_file_meta()
    if "TransferSyntaxUID" not in found.file_meta:
        implicit, little = found.original_encoding
        found.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        )
    return found


def _refuse_inflated(data: bytes, how: Reading) -> None:
    """Of a deflated data set, what comes out is counted before pydicom makes it."""
    at = data.find(DEFLATED.encode(), 0, 4096)
    if at < 0 or data[at + len(DEFLATED) : at + len(DEFLATED) + 1].isdigit():
        return
    start = 0 if data[128:132] != MAGIC else 132
    length = struct.unpack_from("<I", data, start + 8)[0]  # of the group that names the syntax
    packed, left, made = zlib.decompressobj(-zlib.MAX_WBITS), data[start + 12 + length :], 0
    while left and not packed.eof:
        made += len(packed.decompress(left, 1 << 20))
        left = packed.unconsumed_tail
        if made > 8 * how.max_pixels:
            raise Unreadable(f"a deflated DICOM of more than {made >> 20:,} MB: refused as a decompression bomb (--max-pixels)")


def _info(found, how: Reading) -> PictureInfo:
    storage = found.get("SOPClassUID") or found.file_meta.get("MediaStorageSOPClassUID")
    of = f" ({storage.name})" if storage else ""
    if not any(name in found for name in dicom_values.PIXELS) or not found.get("Rows") or not found.get("Columns"):
        cut = ", or one that ends before it: --truncated takes nothing of compressed pixels" if how.truncated else ""
        raise Unreadable(f"a DICOM without a picture{of}{cut}")
    kind, samples = str(found.get("PhotometricInterpretation", "")), int(found.get("SamplesPerPixel", 1) or 1)
    if samples not in (1, 3) or not (kind in KINDS or kind.startswith("YBR")):
        raise Unreadable(f"a DICOM of {samples} samples a pixel in {kind or 'no stated colours'}, which are not read")
    _decoder(found)
    photometric = KINDS.get(kind, "ycbcr")
    height, width, _ = shape_of((int(found.Rows), int(found.Columns), samples), how)
    dtype, limits = dicom_values.kind_and_range(found, how)
    return PictureInfo(
        "pydicom", height, width, max(1, int(found.get("NumberOfFrames") or 1)), (height, width),
        channels=3 if photometric == "palette" else samples, dtype=dtype, photometric=photometric, range=limits,
    )  # fmt: skip


def _decoder(found):
    """pydicom's decoder of the file's transfer syntax. Raises Unreadable where there is none, or what it needs is missing."""
    from pydicom.pixels import get_decoder

    from . import dicom_codecs  # noqa: F401 (adds what pydicom has no decoder for)

    syntax = found.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise Unreadable(f"a DICOM in {syntax.name}, which is not read") from error
    if not decoder.is_native and not decoder.is_available:
        raise Unreadable(f"a DICOM in {syntax.name} needs imagecodecs: {INSTALL}")
    return decoder


def _frame(found, info: PictureInfo) -> np.ndarray:
    """The stored values of the first frame: (H, W), or (H, W, 3) as RGB; only this frame is decoded."""
    decoder = _decoder(found)
    if not decoder.is_native:
        _refuse_hollow(found, info)
    words = decoder.is_native or decoder.UID == RLE  # as they were written, with whatever lies beside the stored bits
    deep = info.photometric == "ycbcr" and int(found.get("BitsAllocated", 8)) > 8  # pydicom converts bytes only
    options: dict[str, Any] = {"allow_excess_frames": False, "correct_unused_bits": not words}
    array, made = decoder.as_array(found, index=0, raw=deep, **options)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if words and "PixelData" in found:
        array = dicom_values.aligned(found, array)
    left = str(made["photometric_interpretation"])
    if deep and left.startswith("YBR_FULL"):
        return dicom_values.rgb(found, array)
    if left.startswith("YBR"):
        raise Unreadable(f"a DICOM in {left}, which nothing here makes RGB")
    return array


def _fill(found) -> None:
    """Put zeros where the file ends before its pixels, as far as they are not compressed."""
    from pydicom.pixels.utils import get_expected_length

    if "PixelData" in found and not found.file_meta.TransferSyntaxUID.is_compressed:
        held, wanted = len(found.PixelData), get_expected_length(found)
        if held < wanted <= held * PACKED:
            found.PixelData += bytes(wanted - held)


def _refuse_hollow(found, info: PictureInfo) -> None:
    """Before a decoder takes memory: a compressed frame of another size than the header's, or one too short to hold so much."""
    from pydicom.encaps import get_frame

    from .dicom_codecs import frame_size

    offsets = (found.ExtendedOffsetTable, found.ExtendedOffsetTableLengths) if "ExtendedOffsetTableLengths" in found else None
    frame = get_frame(found.PixelData, 0, number_of_frames=info.frames, extended_offsets=offsets)
    size = frame_size(frame)
    if size is not None and size != (info.height, info.width):
        raise Unreadable(f"a DICOM of {info.width} x {info.height} pixels by its header, of {size[1]} x {size[0]} by its compressed frame")
    samples = 1 if info.photometric == "palette" else info.channels
    declared = info.height * info.width * samples * (int(found.BitsAllocated) // 8)
    if declared > max(HOLLOW, len(frame) * PACKED):
        raise Unreadable(f"truncated: it declares {declared:,} bytes of pixels, and holds {len(frame):,} compressed ones")
