"""Decoders of compressed DICOM frames that pydicom has no plugin for here, by imagecodecs: JPEG of 12 bits, lossless JPEG, JPEG-LS, JPEG 2000.

Importing this adds them to pydicom's own decoders, behind those that are there. It is pydicom's interface of plugins: `is_available`, `DECODER_DEPENDENCIES`,
and a function that makes bytes of a frame.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec

import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

NAMES = {  # the function of imagecodecs for each
    uid.JPEGBaseline8Bit: "jpeg8", uid.JPEGExtended12Bit: "jpeg8", uid.JPEGLossless: "jpegsof3", uid.JPEGLosslessSV1: "jpegsof3",
    uid.JPEGLSLossless: "jpegls", uid.JPEGLSNearLossless: "jpegls", uid.JPEG2000Lossless: "jpeg2k", uid.JPEG2000: "jpeg2k",
    uid.HTJ2KLossless: "htj2k", uid.HTJ2KLosslessRPCL: "htj2k", uid.HTJ2K: "htj2k",
}  # fmt: skip
DECODER_DEPENDENCIES = dict.fromkeys(NAMES, ("numpy", "imagecodecs"))
FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's frame header


def is_available(syntax: str) -> bool:
    """Whether imagecodecs is there; pydicom asks."""
    return syntax in NAMES and find_spec("imagecodecs") is not None


def decode_frame(frame: bytes, runner) -> bytes:
    """One frame, as pydicom's runner asks for it; the runner is told what came out."""
    import imagecodecs

    name = NAMES[runner.transfer_syntax]
    colored = {"colorspace": "RGB", "outcolorspace": "RGB"} if name == "jpeg8" and runner.samples_per_pixel == 3 else {}
    array: np.ndarray = getattr(imagecodecs, f"{name}_decode")(frame, **colored)
    runner.set_option("bits_allocated", 8 * array.itemsize)
    if runner.samples_per_pixel == 3:
        runner.set_option("planar_configuration", 0)
        if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):  # undone while decoding
            runner.set_option("photometric_interpretation", "RGB")
    return array.tobytes()


def frame_size(frame: bytes) -> tuple[int, int] | None:
    """(height, width) by the header of a compressed frame, so that none is decoded that is larger than it may be; None where it is not found."""
    if frame[:2] == b"\xff\xd8":
        at = 2
        while at + 9 <= len(frame) and frame[at] == 0xFF:
            if frame[at + 1] in FRAME:
                return struct.unpack_from(">HH", frame, at + 5)
            at += 1 if frame[at + 1] == 0xFF else 2 + struct.unpack_from(">H", frame, at + 2)[0]
        return None
    at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)  # JPEG 2000, also inside a .jp2
    if at < 0 or at + 24 > len(frame):
        return None
    width, height, left, top = struct.unpack_from(">IIII", frame, at + 8)
    return height - top, width - left


for _syntax in NAMES:
    get_decoder(_syntax).add_plugin("imagecodecs", (__name__, "decode_frame"))
