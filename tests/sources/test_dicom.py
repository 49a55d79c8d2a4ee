"""DICOM: pydicom's own files against pydicom's own functions, and small files of every kind against formulas in float64."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest

from twoviews.sources.config import Reading
from twoviews.sources.decode import decode
from twoviews.sources.dicom import dicom, dicom_info, is_dicom
from twoviews.sources.errors import Unreadable
from twoviews.sources.find import find

pydicom = pytest.importorskip("pydicom")
imagecodecs = pytest.importorskip("imagecodecs")
from pydicom import uid  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate, get_frame  # noqa: E402
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing, convert_color_space, pixel_array  # noqa: E402

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NATIVE = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian)
RAMP = np.linspace(0, 4095, 20 * 30).reshape(20, 30).astype(np.uint16)


def dataset(pixels, photometric="MONOCHROME2", bits=None, big=False, **tags):
    """A data set of an array (H, W) or (H, W, 3); tags override."""
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel, found.PhotometricInterpretation = 3 if pixels.ndim == 3 else 1, photometric
    if pixels.ndim == 3:
        found.PlanarConfiguration = 0
    if pixels.dtype.kind == "f":
        found.BitsAllocated = 8 * pixels.dtype.itemsize
        setattr(found, "FloatPixelData" if found.BitsAllocated == 32 else "DoubleFloatPixelData", pixels.tobytes())
    else:
        found.BitsAllocated = 8 * pixels.dtype.itemsize
        found.BitsStored = bits or found.BitsAllocated
        found.HighBit, found.PixelRepresentation = found.BitsStored - 1, int(pixels.dtype.kind == "i")
        data = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes() if big else pixels.tobytes()
        found.PixelData = data + b"\0" * (len(data) % 2)
        found["PixelData"].VR = "OB" if found.BitsAllocated == 8 else "OW"
    for name, value in tags.items():
        setattr(found, name, value)
    return found


def written(found, syntax=uid.ExplicitVRLittleEndian, bare=False):
    """The bytes of a file; `bare`: without preamble and meta information."""
    file = io.BytesIO()
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    if bare:
        pydicom.dcmwrite(file, found, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
        return file.getvalue()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.file_meta.MediaStorageSOPClassUID, found.file_meta.MediaStorageSOPInstanceUID = found.SOPClassUID, found.SOPInstanceUID
    pydicom.dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


def made(pixels, *arguments, syntax=uid.ExplicitVRLittleEndian, **tags):
    return written(dataset(pixels, *arguments, big=syntax == uid.ExplicitVRBigEndian, **tags), syntax)


def gray(data, text="auto"):
    """What a network would see, (H, W)."""
    return decode(data, Reading(1, text))[0].numpy().astype(int)


def sequence(**tags):
    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return item


def lut(count, first, bits, data, kind="US"):
    """An item of a sequence of lookup tables."""
    item = sequence(LUTDescriptor=[count, first, bits])
    item.add_new("LUTData", kind, data) if isinstance(data, list) else item.add_new("LUTData", "OW", data)
    return item


# --- pydicom's own files -----------------------------------------------------------------------------------------------------------

BROKEN = {
    "MR_truncated",
    "badVR",
    "JPEG2000-embedded-sequence-delimiter",
    "no_meta",
    "nested_priv_SQ",
    "meta_missing_tsyntax",
}  # which pydicom refuses as well
SAME = {"MR_small_jpeg_ls_lossless": "MR_small", "SC_rgb_jpeg_gdcm": "SC_rgb_rle"}  # what pydicom has no decoder for → the same, plain
DIRECT = {"JPEG-lossy": "jpeg8", "JPGExtended": "jpeg8", "GDCMJ2K_TextGBR": "jpeg2k"} | dict.fromkeys(
    ("JPEGLSNearLossless_08", "JPEGLSNearLossless_16", "SC_rgb_jls_lossy_line", "SC_rgb_jls_lossy_sample"), "jpegls"
)


def as_pydicom_has_it(path):
    """Bytes (H, W) or (H, W, 3) by pydicom's functions, applied plainly, and the scale of the type."""
    found = pydicom.dcmread(path)
    if path.stem in DIRECT:
        array = getattr(imagecodecs, f"{DIRECT[path.stem]}_decode")(get_frame(found.PixelData, 0, number_of_frames=1))
    else:
        array = pixel_array(pydicom.dcmread(path.parent / f"{SAME.get(path.stem, path.stem)}{path.suffix}"), index=0)
    bits, signed = found.BitsStored, found.PixelRepresentation
    ends = np.array([-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1] if signed else [0.0, 2.0**bits - 1])
    if found.PhotometricInterpretation == "PALETTE COLOR":
        return np.round(apply_color_lut(array, found) / 65535 * 255)
    if array.ndim == 3:
        return np.round(array / ends[1] * 255)
    ends = apply_modality_lut(ends, found)
    values = apply_modality_lut(array, found).astype(np.float64)
    if "WindowCenter" in found:
        shown = np.floor((apply_windowing(values, found) - ends[0]) / (ends[1] - ends[0]) * 255 + 1e-6)
    else:
        shown = np.round((values - ends[0]) / (ends[1] - ends[0]) * 255)
    shown = 255 - shown if found.PhotometricInterpretation == "MONOCHROME1" else shown
    if "PixelPaddingValue" in found:
        shown[array == np.array(found.PixelPaddingValue).astype(array.dtype)] = 0
    return shown


@pytest.mark.filterwarnings("ignore")  # pydicom's, of its own files
def test_all_files_of_pydicom_are_read_as_pydicom_reads_them():
    equal, refused, wrong = [], {}, []
    for path in sorted(p for p in FILES.rglob("*") if p.is_file() and (p.suffix in (".dcm", "") and p.name not in ("DICOMDIR", "README"))):
        data = path.read_bytes()
        try:
            found = dicom(data, Reading()) if is_dicom(data[:132]) else None
        except Unreadable as error:
            found = str(error)
        if found is None or isinstance(found, str):
            refused[path.stem] = found
            assert path.stem in BROKEN or "PixelData" not in pydicom.dcmread(path, force=True), path
            continue
        expected = as_pydicom_has_it(path)
        expected = expected[..., None] if expected.ndim == 2 else expected
        (equal if found.shape == expected.shape and (found == expected).all() else wrong).append(path.stem)
        info = dicom_info(data, Reading())
        assert (info.height, info.width, info.channels) == found.shape
        assert (info.reader, info.dtype, info.range) == ("pydicom", "uint8", (0.0, 255.0))
    assert wrong == []
    assert [name for name, text in refused.items() if text is None] == ["no_meta"]  # its first byte is wrong
    assert len(equal) >= 80
    assert refused["reportsi"] == "a DICOM without a picture (Basic Text SR Storage)"


# --- colours -----------------------------------------------------------------------------------------------------------------------


def ybr(rgb, top=255):
    """PS3.3 C.7.6.3.1.2, unrounded."""
    rgb = rgb.astype(np.float64)
    y = rgb @ [0.299, 0.587, 0.114]
    half = (top + 1) / 2
    return np.stack([y, (rgb[..., 2] - y) / 1.772 + half, (rgb[..., 0] - y) / 1.402 + half], -1)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda s: s.keyword)
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colours_of_a_dicom_are_converted_once(photometric, bits, planar, syntax):
    rgb = np.random.default_rng(0).integers(0, 2**bits, (6, 10, 3)).astype(np.uint8 if bits == 8 else np.uint16)
    rgb[0, :3] = np.eye(3) * (2**bits - 1)  # pure red, green, blue
    stored = rgb if photometric == "RGB" else ybr(rgb, 2**bits - 1).round().clip(0, 2**bits - 1).astype(rgb.dtype)
    planes = stored.transpose(2, 0, 1) if planar else stored
    found = dataset(stored, photometric, bits, PlanarConfiguration=planar)
    big = syntax == uid.ExplicitVRBigEndian
    found.PixelData = planes.astype(planes.dtype.newbyteorder(">" if big else "<")).tobytes()
    data = written(found, syntax)
    shown = dicom(data, Reading())
    assert shown.dtype == np.uint8
    assert np.abs(shown - rgb / (2**bits - 1) * 255).max() <= (0.51 if photometric == "RGB" else 2)
    if photometric == "RGB":
        kept = dicom(data, Reading(3, f"0:{2**bits - 1}"))
        assert kept.dtype == rgb.dtype
        assert (kept == rgb).all()
    elif bits == 8:
        assert (shown == convert_color_space(stored, "YBR_FULL", "RGB")).all()


def test_halved_colours_of_a_dicom_are_spread():
    pairs = np.array([[76, 76, 85, 255, 150, 150, 44, 21]], np.uint8).repeat(4, 0)  # two red pixels, two green ones
    found = dataset(np.zeros((4, 4, 3), np.uint8), "YBR_FULL_422")
    found.PixelData = pairs.tobytes()
    shown = dicom(written(found), Reading())
    assert shown[0].tolist() == [[254, 0, 0]] * 2 + [[0, 255, 1]] * 2


@pytest.mark.parametrize("syntax", [*NATIVE[:1], NATIVE[2]], ids=lambda s: s.keyword)
@pytest.mark.parametrize("segmented", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("wide", [False, True])
def test_palettes_of_a_dicom(wide, bits, segmented, syntax):
    """Entries of 8 and 16 bits, for indices of 8 and 16 bits that begin at 10, plain or in segments, in both byte orders."""
    count = 300 if wide else 200
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    table = np.random.default_rng(1).integers(0, 2**bits, (3, count))
    table[:, -86:] = np.linspace(0, 2**bits - 1, 86)
    index = np.arange(400 if wide else 256).reshape(-1, 8).astype(np.uint16 if wide else np.uint8)
    found = dataset(index, "PALETTE COLOR", big=order == ">")
    for name, entries in zip(("Red", "Green", "Blue"), table, strict=True):
        setattr(found, f"{name}PaletteColorLookupTableDescriptor", [count, 10, bits])
        first = entries[:-85]
        parts = [first[:100], first[100:]]
        words = [w for part in parts for w in (0, len(part), *part)] + [1, 85, entries[-1]] if segmented else entries
        packed = np.array(words).astype(f"{order}u{bits // 8}").tobytes()
        packed += b"\0" * (len(packed) % 2)
        if bits == 8 and order == ">":  # bytes lie in words
            packed = np.frombuffer(packed, ">u2").astype("<u2").tobytes()
        setattr(found, f"{'Segmented' * segmented}{name}PaletteColorLookupTableData", packed)
    expected = table[:, np.clip(index.astype(int) - 10, 0, count - 1)].transpose(1, 2, 0)
    data = written(found, syntax)
    assert np.abs(dicom(data, Reading()) - expected / (2**bits - 1) * 255).max() <= 0.51
    assert (dicom(data, Reading(3, "0:65535")) == expected).all()
    assert dicom_info(data, Reading()).photometric == "palette"


# --- windows, tables, units --------------------------------------------------------------------------------------------------------


def test_a_window_of_a_dicom_does_not_depend_on_the_other_pixels():
    values = []
    for other in (1000, 0, 4000, 65535):
        pixels = np.full((8, 8), 1000, np.uint16)
        pixels[0, 0] = other
        values.append(gray(made(pixels, WindowCenter="1000", WindowWidth="500"))[4, 4])
    assert values == [127] * 4


@pytest.mark.filterwarnings("ignore:overflow")  # of pydicom's exp
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("window", [(40, 400), (0.5, 1), (-300.25, 10.5), (3000, 5000)])
@pytest.mark.parametrize("rescale", [None, (1, -1024), (0.5, -7.25), (-2, 100)])
@pytest.mark.parametrize("signed", [False, True])
def test_windows_of_a_dicom_are_those_of_pydicom(function, window, rescale, signed):
    pixels = (RAMP.astype(np.int16) - 2048) if signed else RAMP
    tags = {"WindowCenter": str(window[0]), "WindowWidth": str(window[1])}
    tags |= {"VOILUTFunction": function} if function else {}
    tags |= {"RescaleSlope": str(rescale[0]), "RescaleIntercept": str(rescale[1])} if rescale else {}
    found = dataset(pixels, "MONOCHROME2", 12, **tags)
    values = apply_modality_lut(pixels, found)
    ends = apply_modality_lut(np.array([-2048.0, 2047.0] if signed else [0.0, 4095.0]), found)
    part = (apply_windowing(values, found) - ends[0]) / (ends[1] - ends[0])
    shown = gray(written(found))
    assert (shown == np.floor(part * 255 + 1e-6)).all()
    found.PhotometricInterpretation = "MONOCHROME1"
    assert (gray(written(found)) == 255 - shown).all()


def test_of_several_windows_of_a_dicom_the_first_counts_and_what_is_none_does_not():
    pixels = RAMP
    one = gray(made(pixels, "MONOCHROME2", 12, WindowCenter="1000", WindowWidth="500"))
    assert (gray(made(pixels, "MONOCHROME2", 12, WindowCenter=["1000", "3000"], WindowWidth=["500", "20"])) == one).all()
    plain = gray(made(pixels, "MONOCHROME2", 12))
    for tags in ({"WindowCenter": None, "WindowWidth": None}, {"WindowCenter": "7"}, {"WindowCenter": "7", "WindowWidth": "0"}):
        assert (gray(made(pixels, "MONOCHROME2", 12, **tags)) == plain).all()
    with pytest.raises(Unreadable, match="a window of the kind CURVED"):
        gray(made(pixels, "MONOCHROME2", 12, WindowCenter="7", WindowWidth="9", VOILUTFunction="CURVED"))


def test_enhanced_dicoms_keep_units_and_windows_with_their_frames():
    groups = sequence(
        PixelValueTransformationSequence=[sequence(RescaleSlope="2", RescaleIntercept="-1000")],
        FrameVOILUTSequence=[sequence(WindowCenter="500", WindowWidth="1000")],
    )
    frames = np.stack([RAMP, RAMP[::-1]])
    found = dataset(RAMP, "MONOCHROME2", 12, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[groups, sequence()])
    found.PixelData = frames.tobytes()
    plain = made(RAMP, "MONOCHROME2", 12, RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="500", WindowWidth="1000")
    assert (gray(written(found)) == gray(plain)).all()
    assert (gray(written(found), "-1000:8000") == gray(plain, "-1000:8000")).all()
    assert dicom_info(written(found), Reading()).frames == 2


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["US", "OW", "OW bytes"])
@pytest.mark.parametrize("syntax", [*NATIVE[:1], NATIVE[2]], ids=lambda s: s.keyword)
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_lookup_tables_of_a_dicom_have_output_bits_of_their_own(name, syntax, kind, bits):
    if kind == "OW bytes" and bits != 8:
        return
    entries = np.random.default_rng(bits).integers(0, 2**bits, 1000)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    if kind == "US":
        data = entries.tolist()
    else:
        data = entries.astype(f"{order}u2" if kind == "OW" else "u1").tobytes()
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes() if kind == "OW bytes" and order == ">" else data
    found = dataset(RAMP, "MONOCHROME2", 12, big=order == ">", **{name: [lut(1000, 50, bits, data)]})
    expected = entries[np.clip(RAMP.astype(int) - 50, 0, 999)]
    assert np.abs(gray(written(found, syntax)) - expected / (2**bits - 1) * 255).max() <= 0.51
    low, high = 0, 2**bits - 1
    units = expected if name == "ModalityLUTSequence" else RAMP  # a VOI table is a look, a modality table makes units
    assert np.abs(gray(written(found, syntax), f"{low}:{high}") - (units / high * 255).clip(0, 255)).max() <= 0.51


def test_a_table_of_a_dicom_may_begin_below_zero():
    pixels = np.arange(-8, 8, dtype=np.int16).reshape(4, 4)
    entries = list(range(0, 160, 10))
    item = lut(16, 0, 8, entries)
    item.add_new("LUTDescriptor", "SS", [16, -8, 8])
    assert gray(made(pixels, VOILUTSequence=[item])).reshape(-1).tolist() == entries
    item.add_new("LUTDescriptor", "US", [16, 65528, 8])
    assert gray(made(pixels, VOILUTSequence=[item])).reshape(-1).tolist() == entries


@pytest.mark.parametrize("text", ["auto", "0:4095", "data"])
def test_monochrome1_of_a_dicom_is_inverted_about_the_range(text):
    pixels = np.full((4, 4), 100, np.uint16)
    pixels[0, 0], pixels[0, 1] = 300, 4000
    shown = gray(made(pixels, "MONOCHROME1", 12), text)
    low, high = (100, 4000) if text == "data" else (0, 4095)
    assert shown[2, 2] == round(255 * (high - 100) / (high - low))
    assert shown[0, 0] == round(255 * (high - 300) / (high - low))
    assert (shown == 255 - gray(made(pixels, "MONOCHROME2", 12), text)).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("text", ["auto", "-500:500", "data"])
@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("kind", ["one", "range", "written unsigned"])
def test_padded_pixels_of_a_dicom_are_black_and_do_not_count(kind, window, text, photometric):
    pixels = np.linspace(-400, 400, 64).reshape(8, 8).round().astype(np.int16)
    pixels[0], pixels[7, 7] = -2000, 3000
    tags = {"WindowCenter": "0", "WindowWidth": "1000"} if window else {}
    padded = pixels == -2000
    found = dataset(pixels, photometric, **tags)
    if kind == "range":
        found.add_new("PixelPaddingValue", "SS", 3000)
        found.add_new("PixelPaddingRangeLimit", "SS", 2500)
        padded = pixels == 3000
    else:
        found.add_new("PixelPaddingValue", *(("SS", -2000) if kind == "one" else ("US", 63536)))
    shown = gray(written(found), text)
    assert (shown[padded] == 0).all()
    without = dataset(pixels, photometric, **tags)
    if text != "data":
        assert (shown[~padded] == gray(written(without), text)[~padded]).all()
        return
    low, high = pixels[~padded].min(), pixels[~padded].max()
    part = (pixels - low) / (high - low) * 255
    assert np.abs(shown - (255 - part if photometric == "MONOCHROME1" else part))[~padded].max() <= 0.51


# --- bits --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("allocated", "bits"), [(8, 8), (8, 6), (16, 16), (16, 12), (16, 9), (32, 32), (32, 20)])
@pytest.mark.parametrize("syntax", NATIVE[:3], ids=lambda s: s.keyword)
def test_stored_bits_of_a_dicom_are_its_scale(syntax, allocated, bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    values = (np.random.default_rng(2).integers(0, 2**bits, (9, 7)) + low).astype(f"{'i' if signed else 'u'}{allocated // 8}")
    data = made(values, "MONOCHROME2", bits, syntax=syntax)
    assert np.abs(gray(data) - (values.astype(float) - low) / (2**bits - 1) * 255).max() <= 0.51
    assert (dicom(data, Reading(1, "0:1"))[..., 0] == values).all()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("high", [9, 11, 13, 15])
@pytest.mark.parametrize("rle", [False, True])
def test_bits_beside_the_stored_ones_of_a_dicom_are_no_values(rle, high, signed):
    """Overlays and rubbish above and below, wherever the highest bit lies."""
    values = np.random.default_rng(3).integers(-512 * signed, 1024 - 512 * signed, (9, 8))
    other = np.random.default_rng(4).integers(0, 65536, (9, 8))
    mask = 1023 << (high - 9)
    words = ((values << (high - 9)) & mask | other & ~mask & 0xFFFF).astype(np.uint16)
    found = dataset(words, "MONOCHROME2", 10, HighBit=high, PixelRepresentation=int(signed))
    if rle:
        found.file_meta = FileMetaDataset()
        found.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        found.set_original_encoding(False, True)
        whole = dataset(words)
        whole.file_meta = found.file_meta
        whole.compress(uid.RLELossless)
        found.PixelData = whole.PixelData
        found["PixelData"].is_undefined_length = True
    data = written(found, uid.RLELossless if rle else uid.ExplicitVRLittleEndian)
    assert (dicom(data, Reading(1, "0:1"))[..., 0] == values).all()


def test_one_bit_of_a_dicom_is_black_or_white():
    bits = np.random.default_rng(5).integers(0, 2, (5, 7))
    found = dataset(bits.astype(np.uint8), BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=2)
    found.PixelData = np.packbits(np.stack([bits, 1 - bits]).reshape(-1), bitorder="little").tobytes() + b"\0"
    assert (gray(written(found)) == bits * 255).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_a_dicom_need_a_range_or_a_window(dtype):
    values = np.linspace(-3, 4, 30).reshape(5, 6).astype(dtype)
    with pytest.raises(Unreadable, match="say what is black and white with --range"):
        gray(made(values))
    assert np.abs(gray(made(values), "-3:5") - (values + 3) / 8 * 255).max() <= 0.51
    assert np.abs(gray(made(values, "MONOCHROME1"), "-3:5") - (5 - values) / 8 * 255).max() <= 0.51
    shown = gray(made(values, WindowCenter="0", WindowWidth="2", VOILUTFunction="LINEAR_EXACT"))
    assert (shown == np.floor(((values.astype(float) + 1) / 2).clip(0, 1) * 255 + 1e-6)).all()
    assert dicom_info(made(values), Reading()).range is None
    part = np.linspace(0, 1, 30).reshape(5, 6).astype(dtype)
    assert np.abs(gray(made(part)) - part * 255).max() <= 0.51


# --- files -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", NATIVE[:3], ids=lambda s: s.keyword)
@pytest.mark.parametrize("charset", [None, "ISO_IR 100"])
def test_files_without_a_preamble_are_dicoms_too(charset, syntax):
    found = dataset(RAMP, "MONOCHROME2", 12, big=syntax == uid.ExplicitVRBigEndian)
    if charset:
        found.SpecificCharacterSet = charset
    data = written(found, syntax, bare=True)
    assert is_dicom(data[:132])
    assert (gray(data) == gray(made(RAMP, "MONOCHROME2", 12))).all()
    meta = written(found, syntax)[132:]  # group 2 without a preamble
    assert is_dicom(meta[:132])
    assert (gray(meta) == gray(data)).all()


def test_bytes_of_other_kinds_are_no_dicoms():
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "TGA", "PPM", "WEBP", "ICO", "SGI", "PCX"):
        file = io.BytesIO()
        image.save(file, kind)
        assert not is_dicom(file.getvalue()[:132]), kind
    g = np.random.default_rng(1)
    for first in (b"\x08\0", b"\0\x08", b"\x02\0", b"\0\x02", b"\x08\0\0\0", b"\x02\0\0\0", b"\x08\0\x02\0"):
        for rest in (b"\0" * 130, b"\xff" * 130, b"\x08\0\0\0" * 33, *(g.bytes(130) for _ in range(200))):
            assert not is_dicom(first + rest)
    for step in (1, 2, 4, 8):  # integers in both orders
        assert not any(is_dicom(np.arange(8, 200, step).astype(kind).tobytes()[:132]) for kind in ("<u2", ">u2", "<i4", ">i4"))
    assert not is_dicom(b"")


def test_of_several_frames_of_a_dicom_the_first_is_taken():
    for syntax in NATIVE:
        frames = np.stack([RAMP, RAMP[::-1], RAMP // 2])
        found = dataset(RAMP, "MONOCHROME2", 12, NumberOfFrames=3)
        found.PixelData = frames.astype(">u2" if syntax == uid.ExplicitVRBigEndian else "<u2").tobytes()
        data = written(found, syntax)
        assert (gray(data) == gray(made(RAMP, "MONOCHROME2", 12))).all()
        assert dicom_info(data, Reading()).frames == 3


COMPRESSED = {
    "jpeg-ls": (uid.JPEGLSLossless, lambda a: imagecodecs.jpegls_encode(a)),
    "lossless": (
        uid.JPEGLosslessSV1,
        lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, colorspace="RGB" if a.ndim == 3 else None),
    ),
    "lossless, predictor 6": (uid.JPEGLossless, lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=6)),
    "jpeg 2000": (uid.JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k")),
    "htj2k": (uid.HTJ2KLossless, lambda a: imagecodecs.htj2k_encode(a)),
}


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("colored", [False, True])
def test_compressed_dicoms_equal_plain_ones(colored, bits, name):
    syntax, encode = COMPRESSED[name]
    if name == "lossless, predictor 6" and (colored or bits == 16):
        return  # the encoder at hand does not write these rightly
    ramp = np.linspace(0, 2**bits - 1, 24 * 40).reshape(24, 40)
    pixels = (np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1) if colored else ramp).astype(np.uint8 if bits == 8 else np.uint16)
    photometric = "RGB" if colored else "MONOCHROME2"
    found = dataset(pixels, photometric, bits)
    frame = bytes(encode(np.ascontiguousarray(pixels)))
    found.PixelData = encapsulate([frame, frame])
    found.NumberOfFrames = 2
    found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    data, plain = written(found, syntax), made(pixels, photometric, bits)
    assert (dicom(data, Reading(1, "0:1")) == (pixels if colored else pixels[..., None])).all()
    assert (dicom(data, Reading()) == dicom(plain, Reading())).all()
    found.Rows = 25
    with pytest.raises(Unreadable, match="40 x 25 pixels by its header, of 40 x 24 by its compressed frame"):
        dicom(written(found, syntax), Reading())


def test_signed_values_of_a_dicom_in_jpeg_ls():
    pixels = np.linspace(-2000, 2000, 24 * 40).reshape(24, 40).astype(np.int16)
    found = dataset(pixels)
    frame = imagecodecs.jpegls_encode(pixels.view(np.uint16))
    found.PixelData = encapsulate([bytes(frame)])
    found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    assert (dicom(written(found, uid.JPEGLSLossless), Reading(1, "0:1"))[..., 0] == pixels).all()


def test_dicoms_without_a_decoder_or_in_a_syntax_that_nothing_reads_say_so(monkeypatch):
    from pydicom.pixels import get_decoder

    dicom((FILES / "MR_small_jpeg_ls_lossless.dcm").read_bytes(), Reading())
    monkeypatch.setattr(get_decoder(uid.JPEGLSLossless), "_available", {})
    with pytest.raises(Unreadable, match=r"needs imagecodecs: uv pip install 'twoviews\[scientific\]'"):
        dicom((FILES / "MR_small_jpeg_ls_lossless.dcm").read_bytes(), Reading())
    with pytest.raises(Unreadable, match=r"MPEG.* is not read"):
        dicom(written(_encapsulated(b"x" * 20), uid.MPEG2MPML), Reading())


def _encapsulated(frame):
    found = dataset(RAMP)
    found.PixelData = encapsulate([frame])
    found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    return found


def test_dicoms_that_declare_more_than_they_hold_are_refused():
    with pytest.raises(Unreadable, match="more than 100 pixels: refused as a decompression bomb"):
        dicom(made(RAMP), Reading(max_pixels=100))
    with pytest.raises(Unreadable, match="more than 100 pixels"):
        dicom_info(made(RAMP), Reading(max_pixels=100))
    with pytest.raises(Unreadable, match="number of bytes of pixel data is less than expected"):
        dicom(made(RAMP, Rows=10_000, Columns=10_000), Reading())
    huge = _encapsulated(b"\0" * 40)
    huge.Rows = huge.Columns = 13_000
    with pytest.raises(Unreadable, match="truncated: it declares 338,000,000 bytes"):
        dicom(written(huge, uid.RLELossless), Reading())
    small = _encapsulated(bytes(imagecodecs.jpeg2k_encode(np.zeros((400, 300), np.uint16), level=0, codecformat="j2k")))
    with pytest.raises(Unreadable, match="30 x 20 pixels by its header, of 300 x 400 by its compressed frame"):
        dicom(written(small, uid.JPEG2000Lossless), Reading())


def test_a_deflated_bomb_is_refused():
    plain = made(RAMP, syntax=uid.DeflatedExplicitVRLittleEndian)
    assert (gray(plain) == gray(made(RAMP))).all()
    head = plain[: plain.index(b"1.2.840.10008.1.2.1.99") + 22]
    length = int.from_bytes(plain[140:144], "little")
    packer = zlib.compressobj(wbits=-15)
    bomb = plain[: 144 + length] + packer.compress(b"\0" * (9 << 20)) + packer.flush()
    assert len(head) < len(bomb) < 20_000
    with pytest.raises(Unreadable, match="refused as a decompression bomb"):
        dicom(bomb, Reading(max_pixels=1 << 20))


@pytest.mark.filterwarnings("error")
def test_damaged_dicoms_are_unreadable_and_nothing_is_printed(capfd):
    for syntax, data in (
        ("plain", made(RAMP)),
        ("bare", written(dataset(RAMP), bare=True)),
        ("jpeg", (FILES / "SC_rgb_small_odd_jpeg.dcm").read_bytes()),
    ):
        for cut in (*range(0, 200, 7), *range(200, len(data), max(1, len(data) // 60))):
            if is_dicom(data[:cut]):
                with pytest.raises(Unreadable):
                    dicom(data[:cut], Reading())
        g = np.random.default_rng(0)
        for _ in range(60):
            damaged = bytearray(data)
            for at in g.integers(132 if syntax != "bare" else 40, len(data), 3):
                damaged[at] = g.integers(256)
            try:
                dicom(bytes(damaged), Reading())
                dicom_info(bytes(damaged), Reading())
            except Unreadable:
                pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", NATIVE[:3])
def test_what_a_cut_file_holds_is_taken_where_that_is_asked_for(syntax):
    data = made(RAMP, bits=12, syntax=syntax)
    cut = data[:-400]
    with pytest.raises(Unreadable, match="less than expected"):
        decode(cut, Reading(1))
    got = decode(cut, Reading(1, truncated=True))[0].numpy()
    assert (got[:13] == gray(data)[:13]).all()
    assert (got[14:] == 0).all()


def test_a_cut_file_of_compressed_pixels_says_that_nothing_can_be_taken():
    with pytest.raises(Unreadable, match="ends before it: --truncated takes nothing of compressed pixels"):
        decode((FILES / "MR_small_RLE.dcm").read_bytes()[:-400], Reading(1, truncated=True))


def test_files_are_found_by_their_endings(tmp_path):
    for ending in ("dcm", "dicom", "ima", "IMA"):
        (tmp_path / ending).mkdir()
        (tmp_path / ending / f"a.{ending}").write_bytes(made(RAMP, bits=12))
    assert find(tmp_path).names == ["IMA/a.IMA", "dcm/a.dcm", "dicom/a.dicom", "ima/a.ima"]
