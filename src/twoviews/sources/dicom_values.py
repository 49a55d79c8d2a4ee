"""What the stored values of a DICOM mean: units, windows, tables, padding, colours (PS3.3 C.7.6.3, C.11.1, C.11.2). Datasets are pydicom's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import AUTO, Reading
from .errors import Unreadable

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
FRAMES = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")  # where the enhanced kinds keep what others have at the top
GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
Limits = tuple[float, float]


def element(found, name: str) -> Any:
    """The value of an element, of the first frame where frames have their own; None where it is missing or empty."""
    values = [found.get(name)]
    for frames in FRAMES:
        for frame in (found.get(frames) or ())[:1]:
            values += [item.get(name) for group in GROUPS for item in (frame.get(group) or ())[:1]]
    return next((value for value in values if value is not None and (not hasattr(value, "__len__") or len(value))), None)


def first(found, name: str) -> float | None:
    """The first number of an element that may hold several."""
    value = element(found, name)
    value = value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value
    return None if value is None else float(value)


def stored_range(found) -> Limits | None:
    """Smallest and largest value that the stored bits can hold; None for floats."""
    if "PixelData" not in found:
        return None
    bits = int(found.BitsStored)
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if found.get("PixelRepresentation") else (0.0, 2.0**bits - 1)


def kind_and_range(found, how: Reading) -> tuple[str, Limits | None]:
    """Type of the values that come out for `how`, and what is black and white of them."""
    limits = stored_range(found)
    colored = int(found.get("SamplesPerPixel", 1) or 1) == 3 or found.PhotometricInterpretation == "PALETTE COLOR"
    if how.range == AUTO and (limits is not None or element(found, "VOILUTSequence") or window(found) is not None):
        return "uint8", (0.0, 255.0)
    if colored:
        top = 2.0 ** _palette_bits(found) - 1 if found.PhotometricInterpretation == "PALETTE COLOR" else (limits or (0.0, 255.0))[1]
        return ("uint8" if top <= 255 else "uint16" if top <= 65535 else "uint32"), (0.0, top)
    return "float64", modality(found, np.zeros(0))[1]


def aligned(found, array: np.ndarray) -> np.ndarray:
    """Words as they were written → values: the bits beside the stored ones (overlays, rubbish) are cleared, the sign is spread."""
    allocated, bits = 8 * array.dtype.itemsize, int(found.BitsStored)
    high = int(found.get("HighBit", bits - 1))
    if int(found.BitsAllocated) == 1 or bits == allocated:
        return array
    high = high if bits - 1 <= high < allocated else bits - 1
    return array << array.dtype.type(allocated - 1 - high) >> array.dtype.type(allocated - bits)


def gray(found, array: np.ndarray, how: Reading) -> np.ndarray:
    """Stored values (H, W) → (H, W, 1), as `dicom.dicom` gives them."""
    padded, inverted = _padded(found, array), found.PhotometricInterpretation == "MONOCHROME1"
    values, limits = modality(found, array)
    if how.range == AUTO:
        shown = _shown(found, values, limits)
        if shown is not None:
            shown = 255 - shown if inverted else shown
            shown[padded] = 0
            return shown[..., None]
    kept = values[~padded]
    low, high = how.limits or ((0.0, 1.0) if how.range == AUTO or not kept.size else (float(kept.min()), float(kept.max())))
    if inverted:
        values = low + high - values
    values[padded] = low
    return values[..., None]


def modality(found, stored: np.ndarray) -> tuple[NDArray[np.float64], Limits | None]:
    """Stored values → the units of the modality, and the range that the type has in them."""
    limits = stored_range(found)
    if table := element(found, "ModalityLUTSequence"):
        values, start, bits = _table(found, table[0].LUTDescriptor, table[0].LUTData, (limits or (0.0, 0.0))[0] < 0)
        return _look_up(stored, values, start).astype(np.float64), (0.0, 2.0**bits - 1)
    slope, intercept = first(found, "RescaleSlope"), first(found, "RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    values = stored.astype(np.float64) * slope + intercept
    if limits is None:
        return values, None
    low, high = sorted(end * slope + intercept for end in limits)
    return values, (low, high)


def window(found) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window; None where there is no valid one."""
    center, width = first(found, "WindowCenter"), first(found, "WindowWidth")
    function = str(element(found, "VOILUTFunction") or "LINEAR").upper()
    if center is None or width is None or not math.isfinite(center + width) or width < (1 if function == "LINEAR" else 1e-300):
        return None
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise Unreadable(
            f"a DICOM with a window of the kind {function}, which is not read: say what is black and white with --range LOW:HIGH"
        )
    return center, width, function


def _shown(found, values: NDArray[np.float64], limits: Limits | None) -> NDArray[np.uint8] | None:
    """Bytes by the VOI table, else the first window, else the range of the type; None where the file says none of them."""
    if table := element(found, "VOILUTSequence"):
        entries, start, bits = _table(found, table[0].LUTDescriptor, table[0].LUTData, limits is None or limits[0] < 0)
        return _bytes(_look_up(values, entries, start), (0.0, 2.0**bits - 1))
    if (found_window := window(found)) is not None:
        return _windowed(values, *found_window)
    return None if limits is None else _bytes(values, limits)


def _windowed(values: NDArray[np.float64], center: float, width: float, function: str) -> NDArray[np.uint8]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3. Levels are cut, not rounded, as viewers do; the smallest part keeps what should be whole from falling below."""
    if function == "SIGMOID":
        part = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    else:
        center, width = (center - 0.5, width - 1) if function == "LINEAR" else (center, width)
        low, high = center - width / 2, center + width / 2
        part = np.where(values <= low, 0.0, np.where(values > high, 1.0, (values - center) / (width or 1.0) + 0.5))
    return np.floor(part * 255 + 1e-6).astype(np.uint8)


def _bytes(values: np.ndarray, limits: Limits) -> NDArray[np.uint8]:
    low, high = limits
    return ((values.astype(np.float64) - low) * (255 / ((high - low) or 1.0))).clip(0, 255).round().astype(np.uint8)


def _padded(found, array: np.ndarray) -> NDArray[np.bool_]:
    """Where pixels are padding: what lies between the padding value and the range's end, both as they are stored."""
    for name in ("PixelPaddingValue", "FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue"):
        ends = [first(found, name), first(found, f"{name.removesuffix('Value')}RangeLimit")]
        if ends[0] is not None and (name == "PixelPaddingValue") == (array.dtype.kind in "ui"):
            break
    else:
        return np.zeros(array.shape, bool)
    if array.dtype.kind == "i":  # written as an unsigned number by some
        ends = [v - 2 ** int(found.BitsAllocated) if v is not None and v > np.iinfo(array.dtype).max else v for v in ends]
    value, other = ends[0], ends[0] if ends[1] is None else ends[1]
    if math.isnan(value):
        return np.isnan(array)
    return (array >= min(value, other)) & (array <= max(value, other))


def _table(found, descriptor, data, signed: bool) -> tuple[NDArray[np.int64], int, int]:
    """Entries of a lookup table, the first value that it maps, and the bits of its entries. `signed`: whether values below 0 may come in."""
    count, start, bits = (int(v) for v in descriptor)
    count = count % 65536 or 65536
    start = start - 65536 if signed and start >= 32768 else start % 65536 if not signed else start
    if isinstance(data, bytes):
        entries = _words(found, data, 2 if len(data) >= 2 * count else 1)
    else:
        entries = np.atleast_1d(np.asarray(data)) % 65536
    if not len(entries):
        raise Unreadable("a DICOM with an empty lookup table")
    return entries[:count].astype(np.int64), start, bits


def _words(found, data: bytes, size: int) -> np.ndarray:
    """Numbers of one or two bytes of an element of words; bytes lie swapped in big-endian words."""
    order = "<" if found.file_meta.TransferSyntaxUID.is_little_endian else ">"
    words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")
    return words if size == 2 else words.astype("<u2").view(np.uint8)


def _look_up(values: np.ndarray, entries: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Values below the first entry get the first, those above the last get the last."""
    return entries[np.clip(np.rint(values).astype(np.int64) - start, 0, len(entries) - 1)]


def _palette_bits(found) -> int:
    return int(found.RedPaletteColorLookupTableDescriptor[2])


def palette(found, array: np.ndarray, how: Reading) -> np.ndarray:
    """Indices (H, W) → colours (H, W, 3), of bytes or 16 bits by the palette; with range `auto` bytes."""
    signed, bits = bool(found.get("PixelRepresentation")), _palette_bits(found)
    channels = []
    for name in ("Red", "Green", "Blue"):
        descriptor, data = found.get(f"{name}PaletteColorLookupTableDescriptor"), found.get(f"{name}PaletteColorLookupTableData")
        if data is None:
            data = _segments(found, found[f"Segmented{name}PaletteColorLookupTableData"].value, bits)
        entries, start, _ = _table(found, descriptor, data, signed)
        channels.append(_look_up(array, entries, start))
    out = np.stack(channels, -1)
    bits = 16 if bits > 8 or out.max() > 255 else 8  # 16 in a table that says 8, as old writers did
    return out.astype(np.uint8) if bits == 8 else _colors(out.astype(np.uint16), 65535.0, how)


def _segments(found, data: bytes, bits: int) -> list[int]:
    """The entries of a segmented palette (PS3.3 C.7.9.2)."""
    from pydicom.pixels.processing import _expand_segmented_lut

    words = _words(found, data, 1 if bits == 8 else 2).tolist()
    return _expand_segmented_lut(tuple(words), f"<{len(words)}{'B' if bits == 8 else 'H'}")


def color(found, array: np.ndarray, how: Reading) -> np.ndarray:
    """RGB (H, W, 3) → with range `auto` bytes by the stored bits, else as it is."""
    limits = stored_range(found)
    return array if limits is None else _colors(array, limits[1], how)


def _colors(array: np.ndarray, top: float, how: Reading) -> np.ndarray:
    return array if how.range != AUTO or (array.dtype == np.uint8 and top == 255) else _bytes(array, (0.0, top))


def rgb(found, array: np.ndarray) -> np.ndarray:
    """YBR_FULL of more than 8 bits → RGB, by the formula that pydicom has for bytes (PS3.3 C.7.6.3.1.2)."""
    top = 2.0 ** int(found.BitsStored) - 1
    y, b, r = np.moveaxis(array.astype(np.float64) - [0, (top + 1) / 2, (top + 1) / 2], -1, 0)
    out = np.stack([y + 1.402 * r, y - (0.114 * 1.772 * b + 0.299 * 1.402 * r) / 0.587, y + 1.772 * b], -1)
    return np.floor(out + 0.5).clip(0, top).astype(array.dtype)
