"""DICOM by pydicom: bytes → array (H, W, C) of the file's own values, or of bytes where the file itself says how it is shown."""

from __future__ import annotations

import io

import numpy as np

from .config import Reading
from .errors import Unreadable
from .info import PictureInfo
from .scientific import shape_of

MAGIC = b"DICM"


def is_dicom(data: bytes) -> bool:
    """Whether these bytes begin like a DICOM file."""
    return data[128:132] == MAGIC


def dicom(data: bytes, how: Reading) -> np.ndarray:
    """A single-frame DICOM: rescaled to its units, dark to bright; with range `auto` by its window or its stored bits, as bytes."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space

    found = _dataset(data)
    dicom_shape(data, how)
    array, kind = found.pixel_array, str(found.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        array = apply_color_lut(array, found)
        return (array / (65535 if array.dtype == np.uint16 else 255) * 255).round().astype(np.uint8)
    if array.ndim == 3:
        return convert_color_space(array, kind, "RGB") if kind.startswith("YBR") else array
    values = apply_modality_lut(array, found).astype(np.float64)
    if how.range == "auto":
        if "WindowCenter" in found or "VOILUTSequence" in found:
            values = apply_voi_lut(apply_modality_lut(array, found), found).astype(np.float64)
            low, high = values.min(), values.max()
            if "WindowCenter" in found and "VOILUTSequence" not in found:
                center, width = (float(np.atleast_1d(found[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
                low, high = min(low, center - width / 2), max(high, center + width / 2)
        else:
            bits, signed = int(found.BitsStored), bool(found.get("PixelRepresentation", 0))
            stored = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
            low, high = sorted(apply_modality_lut(stored, found).astype(np.float64).tolist())
        values = (values - low) * (255 / (high - low or 1.0))
        values = values.clip(0, 255).round().astype(np.uint8)
        return (255 - values if kind == "MONOCHROME1" else values)[..., None]
    return (values.min() + values.max() - values if kind == "MONOCHROME1" else values)[..., None]


def dicom_shape(data: bytes, how: Reading) -> tuple[int, int, int]:
    """(height, width, channels) by the header of a DICOM."""
    found = _dataset(data)
    if "PixelData" not in found or "Rows" not in found:
        raise Unreadable("a DICOM without a picture")
    if int(found.get("NumberOfFrames", 1) or 1) > 1:
        raise Unreadable(f"a DICOM of {found.NumberOfFrames} frames; only single frames are read")
    return shape_of((int(found.Rows), int(found.Columns), int(found.get("SamplesPerPixel", 1))), how)


def _dataset(data: bytes):
    try:
        import pydicom
    except ImportError as error:
        raise Unreadable("DICOM needs pydicom: uv pip install 'twoviews[scientific]'") from error
    try:
        return pydicom.dcmread(io.BytesIO(data))
    except Exception as error:  # it raises whatever its parsers meet
        raise Unreadable(f"a DICOM that cannot be read: {error}") from error


def dicom_info(data: bytes, how: Reading) -> PictureInfo:
    """The description of a DICOM by its header."""
    height, width, channels = dicom_shape(data, how)
    return PictureInfo("pydicom", height, width, stored=(height, width), channels=channels, photometric="rgb" if channels == 3 else "gray")
