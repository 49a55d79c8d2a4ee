"""One description of a file decides its size, orientation, channels and values: JPEG, PNG, WebP, HEIF and all others; TIFF has a file of its own."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from twoviews.sources.config import ReadConfig, Reading
from twoviews.sources.decode import could_be_image, decode, from_pil, info, read_file
from twoviews.sources.errors import Unreadable
from twoviews.sources.files import SUFFIXES
from twoviews.sources.source import Encoded, Picture
from twoviews.sources.spec import open_pictures
from twoviews.views.draw import draw
from twoviews.views.pipeline import Views, view_keys

STORED = {  # how an upright picture lies in a file of this orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def smooth(height, width):
    """Colours without steps, (H, W, 3) uint8; no two orientations of it are alike."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x * 2 + y) * 255 / (2 * width + height)], 2).round().astype(np.uint8)


def coded(array, format, **options):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(file, format, **options)
    return file.getvalue()


def oriented(upright, format, orientation, **options):
    """The bytes of a file that shows `upright`, stored in another orientation."""
    stored = STORED[orientation](upright)
    if format == "TIFF":
        return coded(stored, format, tiffinfo={274: orientation}, **options)
    exif = Image.Exif()
    exif[274] = orientation
    return coded(stored, format, exif=exif.tobytes(), **options)  # as bytes, of which pillow-heif makes HEIF's own turn


def png(array, kind, transparent=None):
    """A PNG of 16 bits, (H, W, C) big-endian, of a colour type."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    clear = b"" if transparent is None else chunk(b"tRNS", np.asarray(transparent, ">u2").tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def levels(data, channels=3, range="auto"):
    return decode(data, Reading(channels, range)).permute(1, 2, 0).numpy().astype(float)


class Bytes(Encoded):
    """A source of one picture."""

    how = Reading()

    def __init__(self, data):
        self.data = data

    def name(self, index):
        return "the picture"

    def bytes(self, index):
        return self.data


FORMATS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "HEIF": {"quality": -1},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", FORMATS)
def test_views_of_a_turned_file_are_those_of_its_upright_copy(format, orientation, tmp_path):
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    upright = smooth(64, 200)
    (tmp_path / "a.png").write_bytes(coded(upright, "PNG"))
    (tmp_path / f"b.{format.lower()}").write_bytes(oriented(upright, format, orientation, **FORMATS[format]))
    source = open_pictures(tmp_path, config=ReadConfig(check="none"), in_memory=False).training
    plain, turned = Picture(source, 0), Picture(source, 1)
    assert turned.size == plain.size == source.size(1) == (64, 200)
    assert turned.read().shape == (3, 64, 200)
    views = Views(size=16)
    a, b = (torch.stack([views.cut([picture], np.array([n], np.uint64))[0] for n in range(8)]).float() for picture in (plain, turned))
    assert (a - b).abs().mean() < (3.0 if format in ("JPEG", "HEIF", "AVIF") else 0.01)


@pytest.mark.parametrize("shrink", [1, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_that_is_decoded_smaller_is_turned_the_same(orientation, shrink):
    upright = smooth(128, 320)
    data = oriented(upright, "JPEG", orientation, quality=95)
    for known in (None, info(data)):
        got = decode(data, Reading(), shrink, known)
        assert got.shape == (3, 128 // int(shrink), 320 // int(shrink))
        want = torch.nn.functional.avg_pool2d(torch.from_numpy(upright).permute(2, 0, 1).float(), int(shrink))
        assert (got.float() - want).abs().mean() < 3


def test_a_jpeg_is_never_decoded_smaller_than_its_smaller_crop():
    """Both crops keep at least as many pixels as the views have, where the picture has them."""
    data = coded(smooth(512, 512), "JPEG", quality=95)

    class Watched(Picture):
        decoded = 0

        def read(self, shrink=1.0):
            image = super().read(shrink)
            self.decoded = image.shape[-1]
            return image

    views, found = Views(size=64), set()
    for n in range(24):
        keys, picture = np.array([n], np.uint64), Watched(Bytes(data), 0)
        views.crop_pairs([picture], keys)
        smaller = draw(view_keys(keys), np.array([512, 512]), np.array([512, 512]), views.config).box[:, 2:].min()
        assert smaller * picture.decoded / 512 >= 64
        found.add(picture.decoded)
    assert len(found) >= 2  # and it is made use of


def test_a_file_is_described_once_for_its_size_and_its_pixels(monkeypatch):
    import twoviews.sources.pillow as module

    counted = []
    opened = module.opened
    monkeypatch.setattr(module, "opened", lambda *a: (counted.append(1), opened(*a))[1])

    picture = Picture(Bytes(coded(smooth(60, 90), "JPEG")), 0)
    assert picture.size == picture.size == (60, 90)
    assert picture.read().shape == (3, 60, 90)
    assert len(counted) == 1


@pytest.mark.parametrize("place", ["before", "behind"])
def test_orientation_of_a_png_wherever_it_is_written(place):
    upright = smooth(30, 50)
    data = oriented(upright, "PNG", 6)
    at = data.index(b"eXIf") - 4
    length = struct.unpack(">I", data[at : at + 4])[0] + 12
    block = data[at : at + length]
    rest = data[:at] + data[at + length :]
    end = rest.index(b"IEND") - 4
    moved = rest[:end] + block + rest[end:] if place == "behind" else rest[:33] + block + rest[33:]
    assert (info(moved).height, info(moved).width) == (30, 50)
    assert (levels(moved) == upright).all()


XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {}</rdf:RDF></x:xmpmeta>'
WAYS = [
    'tiff:Orientation="6"/>',
    "tiff:Orientation='6'/>",
    "tiff:Orientation = '6'/>",
    'tiff:Orientation\n=\t"6" />',
    "><tiff:Orientation>6</tiff:Orientation></rdf:Description>",
    "><tiff:Orientation >\n 6 </tiff:Orientation></rdf:Description>",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF of 16 bits"])
def test_orientation_in_xmp_however_it_is_written(format, way):
    import tifffile

    upright, xmp = smooth(30, 50), XMP.format(way).encode()
    stored = np.ascontiguousarray(STORED[6](upright))
    if format.startswith("TIFF"):
        file = io.BytesIO()
        pixels = stored if format == "TIFF" else stored.astype(np.uint16) * 257
        tifffile.imwrite(file, pixels, photometric="rgb", metadata=None, extratags=[(700, "B", len(xmp), xmp, True)])
        data = file.getvalue()
    elif format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        about = PngInfo()
        about.add_itxt("XML:com.adobe.xmp", xmp.decode())
        data = coded(stored, "PNG", pnginfo=about)
    else:
        data = coded(stored, format, xmp=xmp, **FORMATS[format])
    assert (info(data).height, info(data).width, info(data).orientation) == (30, 50, 6)
    assert np.abs(levels(data) - upright).max() <= (12 if format == "JPEG" else 0)


# -- range --------------------------------------------------------------------------------------------------------------------------------------

VALUES = np.random.default_rng(0).integers(0, 4096, (12, 17, 4)).astype(np.uint16)


def sixteen(kind):
    """The same values of 12 bits in 16, as a file of a kind, and how many channels are colours."""
    import imagecodecs
    import tifffile

    file = io.BytesIO()
    if kind == "npy gray":
        np.save(file, VALUES[..., 0])
    elif kind == "npy rgb":
        np.save(file, VALUES[..., :3])
    elif kind.startswith("tiff"):
        name = {"gray": "minisblack", "rgb": "rgb", "planes": "rgb", "alpha": "rgb"}[kind.split()[1]]
        pixels = VALUES[..., 0] if name == "minisblack" else VALUES if "alpha" in kind else VALUES[..., :3]
        if "planes" in kind:
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        more = {"planarconfig": "separate"} if "planes" in kind else {"extrasamples": ["unassalpha"]} if "alpha" in kind else {}
        tifffile.imwrite(file, pixels, photometric=name, **more)
    elif kind.startswith("png"):
        return {
            "png gray": lambda: png(VALUES[..., :1], 0),
            "png rgb": lambda: png(VALUES[..., :3], 2),
            "png gray alpha": lambda: png(VALUES[..., [0, 3]], 4),
            "png rgb alpha": lambda: png(VALUES, 6),
        }[kind]()
    elif kind.startswith("jp2"):
        return imagecodecs.jpeg2k_encode(VALUES[..., 0] if "gray" in kind else VALUES[..., :3], reversible=True, level=0, bitspersample=16)
    elif kind == "pgm":
        return b"P5\n# made here\n17 12\n65535\n" + VALUES[..., 0].astype(">u2").tobytes()
    elif kind == "ppm":
        return b"P6 17 12 65535\n" + VALUES[..., :3].astype(">u2").tobytes()
    elif kind == "ppm in text":
        return b"P3 17 12 65535\n" + " ".join(map(str, VALUES[..., :3].ravel())).encode()
    return file.getvalue()


KINDS = [
    *(
        "npy gray",
        "npy rgb",
        "tiff gray",
        "tiff rgb",
        "tiff planes",
        "tiff alpha",
        "png gray",
        "png rgb",
        "png gray alpha",
        "png rgb alpha",
    ),
    *("jp2 gray", "jp2 rgb", "pgm", "ppm", "ppm in text"),
]


@pytest.mark.parametrize("range", ["auto", "0:4095", "1000:3000", "data"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_range_means_the_same_for_every_format(kind, range):
    data = sixteen(kind)
    colours = VALUES[..., :1] if "gray" in kind or kind == "pgm" else VALUES[..., :3]
    low, high = {"auto": (0, 65535), "data": (colours.min(), colours.max())}.get(range) or map(int, range.split(":"))
    want = ((colours.astype(float) - low) / (high - low) * 255).clip(0, 255)
    if "alpha" in kind:
        alpha = VALUES[..., 3:] / 65535  # whatever the range
        want = want * alpha + 255 * (1 - alpha)
    assert np.abs(levels(data, want.shape[2], range) - want).max() <= 0.51
    assert info(data, Reading(3, range)).dtype == "uint16"


@pytest.mark.parametrize("range", ["0:10", "100:200", "data"])
def test_pictures_of_8_bits_stay_as_they_are_whatever_the_range(range):
    image = smooth(20, 30) // 2
    for format in ("PNG", "TIFF", "BMP", "WEBP"):
        data = coded(image, format, **({"lossless": True} if format == "WEBP" else {}))
        assert (levels(data, 3, range) == image).all()
    file = io.BytesIO()
    np.save(file, image)
    assert (levels(file.getvalue(), 3, range) == image).all()


@pytest.mark.parametrize("kind", ["png rgb", "png gray alpha", "png rgb alpha", "jp2 rgb"])
def test_without_a_reader_of_every_bit_the_type_is_enough_and_a_range_is_refused(kind, monkeypatch):
    data = sixteen(kind)
    whole = levels(data)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert info(data).reader == "pillow"
    assert np.abs(levels(data) - whole).max() <= 1
    for how in (Reading(3, "0:4095"), Reading(3, "data")):
        with pytest.raises(Unreadable, match=r"needs imagecodecs: uv pip install 'twoviews\[scientific\]'"):
            decode(data, how)
        with pytest.raises(Unreadable, match="needs imagecodecs"):
            info(data, how)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_transparent_colour_of_16_bits_is_white(channels):
    pixels = VALUES[..., :channels] * 16
    data = png(pixels, 0 if channels == 1 else 2, transparent=pixels[3, 4])
    want = pixels / 257
    want[(pixels == pixels[3, 4]).all(2)] = 255
    assert np.abs(levels(data, channels) - want).max() <= 0.51


@pytest.mark.parametrize("most", [255, 4000])
def test_16_bits_are_scaled_by_their_type_and_not_by_their_values(most):
    values = np.linspace(0, most, 256).reshape(16, 16).astype(np.uint16)
    for data in (coded(values, "PNG"), coded(values, "TIFF")):
        assert np.abs(levels(data, 1)[..., 0] - values / 257).max() <= 0.51


@pytest.mark.parametrize(("most", "bits"), [(1000, 10), (4095, 12), (300, 9)])
def test_netpbm_is_scaled_by_its_largest_value(most, bits):
    values = np.linspace(0, most, 6 * 7).reshape(6, 7).astype(np.uint16)
    data = b"P5 7 6 %d\n" % most + values.astype(">u2").tobytes()
    assert info(data).bits == bits
    assert np.abs(levels(data, 1)[..., 0] - values / most * 255).max() <= 0.51
    with pytest.raises(Unreadable, match="truncated"):
        decode(data[:-5])
    with pytest.raises(Unreadable, match="decompression bomb"):
        info(b"P5 70000 60000 65535\n" + bytes(100))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["Pf", "PF"])
def test_pfm(kind, order):
    image = np.random.default_rng(1).random((5, 6, 1 if kind == "Pf" else 3)).astype("f4")
    data = f"{kind}\n6 5\n{'-1.0' if order == '<' else '1.0'}\n".encode() + image[::-1].astype(f"{order}f4").tobytes()
    assert np.abs(levels(data, image.shape[2]) - image * 255).max() <= 0.51
    assert np.abs(levels(data, image.shape[2], "0:0.5") - (image * 510).clip(0, 255)).max() <= 0.51


def test_more_bits_than_are_read_are_said_where_a_range_needs_them():
    """AVIF of 10 bits: read as 8 by its type."""
    import imagecodecs

    values = smooth(16, 16).astype(np.uint16) * 4
    data = imagecodecs.avif_encode(values, level=100, bitspersample=10)
    assert np.abs(levels(data) - values / 1023 * 255).mean() < 3
    with pytest.raises(Unreadable, match=r"10 bits a sample, of which 8 are read: --range 0:1023"):
        decode(data, Reading(3, "0:1023"))


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("kind", ["i1", "i2"])
def test_signed_jpeg_2000_needs_a_range_and_keeps_its_signs(kind, codec, monkeypatch):
    import imagecodecs

    values = np.linspace(-120, 120, 6 * 9).reshape(6, 9).round().astype(kind) * (1 if kind == "i1" else 250)
    data = imagecodecs.jpeg2k_encode(values, codecformat=codec, reversible=True, level=0)
    assert info(data).dtype == str(values.dtype)
    with pytest.raises(Unreadable, match="say what is black and white with --range"):
        decode(data)
    low, high = int(values.min()), int(values.max())
    for range in ("data", f"{low}:{high}"):
        assert np.abs(levels(data, 1, range)[..., 0] - (values.astype(float) - low) / (high - low) * 255).max() <= 0.51
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unreadable, match="with signs needs imagecodecs"):
        decode(data)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [1, 4, 7])
def test_jpeg_2000_of_few_bits_reaches_white(bits, channels):
    import imagecodecs

    values = smooth(6, 9)[..., :channels] >> (8 - bits)
    data = imagecodecs.jpeg2k_encode(values.squeeze(), bitspersample=bits, reversible=True, level=0)
    assert np.abs(levels(data, channels) - values / (2**bits - 1) * 255).max() <= 0.51


@pytest.mark.parametrize("packed", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_sgi_of_16_bits_is_scaled_by_its_type_and_has_no_other_range(channels, packed):
    start = struct.pack(">hBBHHHHll4x80sl404x", 474, packed, 2, 3 if channels == 3 else 2, 17, 12, channels, 0, 65535, b"", 0)
    pixels = (VALUES[..., :channels] * 16)[::-1].transpose(2, 0, 1).astype(">u2")
    if packed:  # one run of 17 words a row, behind tables of where rows begin and how long they are
        rows = [struct.pack(">H", 0x80 | 17) + row.tobytes() + b"\0\0" for row in pixels.reshape(-1, 17)]
        count = len(rows)
        places = [512 + 8 * count + sum(map(len, rows[:n])) for n in range(count)]
        body = struct.pack(f">{count}I{count}I", *places, *map(len, rows)) + b"".join(rows)
    else:
        body = pixels.tobytes()
    assert np.abs(levels(start + body, channels) - VALUES[..., :channels] * 16 / 257).max() <= 1
    with pytest.raises(Unreadable, match="16 bits a sample, of which 8 are read: --range 0:4095"):
        decode(start + body, Reading(channels, "0:4095"))


def test_a_bitmap_of_16_bits_a_pixel_has_fewer_a_sample():
    colours = struct.pack("<12I", 40, 2, 1, 1 | 16 << 16, 3, 4, 0, 0, 0, 0, 0, 0)[:40] + struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    data = b"BM" + struct.pack("<IHHI", 70, 0, 0, 66) + colours + struct.pack("<2H", 0xF800, 0x07E0)
    for range in ("auto", "0:10"):
        assert levels(data, 3, range).tolist() == [[[255, 0, 0], [0, 255, 0]]]


# -- colours ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 90)])
def test_gray_has_pillows_weights(colour):
    image = Image.new("RGB", (3, 3), colour)
    file = io.BytesIO()
    np.save(file, np.asarray(image))
    want = image.convert("L").getpixel((1, 1))
    for data in (file.getvalue(), coded(np.asarray(image), "PNG"), coded(np.asarray(image), "TIFF")):
        assert abs(float(decode(data, Reading(1))[0, 1, 1]) - want) <= 1


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP"])
def test_what_is_transparent_is_white_and_hides_its_colour(format):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 250, 0, 0])
    image.putpixel((0, 0), 0)
    file = io.BytesIO()
    if format == "WEBP":
        image.info["transparency"] = 1
        image.convert("RGBA").save(file, format, lossless=True)
    else:
        image.save(file, format, transparency=1)
    got = decode(file.getvalue())
    assert got[:, 0, 0].tolist() == [10, 20, 30]
    assert got[:, 1:, 1:].unique().tolist() == [255]
    assert decode(file.getvalue(), Reading(1))[0, 2, 2] == 255


@pytest.mark.parametrize(("bits", "key"), [(1, 0), (1, 1), (2, 1), (2, 3), (4, 5), (4, 15), (8, 5)])
def test_one_gray_of_few_bits_that_is_transparent_is_white(bits, key):
    """The key lies in the file in the file's own bits."""
    most = 2**bits - 1
    values = np.arange(32).reshape(2, 16) % (most + 1)
    rows = b"".join(
        b"\0" + np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes() for row in values
    )

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 2, bits, 0, 0, 0, 0)) + chunk(b"tRNS", struct.pack(">H", key))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    want = np.where(values == key, 255, values * (255 // most))
    assert (levels(data, 1)[..., 0] == want).all()
    with Image.open(io.BytesIO(data)) as image:
        assert (from_pil(image, Reading(1))[0].numpy() == want).all()


def test_images_of_32_bits_need_a_range():
    """PIL's mode I: nothing is guessed from how large its numbers are."""
    image = Image.fromarray(np.array([[0, 40_000], [5, 6]], np.int32))
    with pytest.raises(Unreadable, match="say what is black and white"):
        from_pil(image)
    assert from_pil(image, Reading(1, "0:40000")).flatten().tolist() == [0, 255, 0, 0]


# -- endings and beginnings ---------------------------------------------------------------------------------------------------------------------

ENDINGS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    **dict.fromkeys((".tif", ".tiff", ".btf", ".tf8", ".svs", ".lsm", ".qptiff"), "TIFF"),
    **dict.fromkeys((".j2k", ".j2c", ".jpc", ".jp2", ".jpx", ".jpf"), "JPEG2000"),
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    **dict.fromkeys((".ppm", ".pnm"), "PPM"),
    **{f".{name.lower()}": name for name in ("BMP", "DIB", "GIF", "WEBP", "AVIF", "TGA", "ICO", "ICNS", "QOI", "DDS", "SGI", "PCX", "MPO")},
}
UNWRITTEN = {
    ".pgm",
    ".pbm",
    ".pfm",
    ".psd",
    ".npy",
    ".dcm",
    ".dicom",
    ".ima",
}  # not in colour, or by nobody here: elsewhere in this file and its neighbours
UNMARKED = {".tga", ".pcx", ".dib"}  # formats that begin with nothing of their own


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_every_ending_that_is_taken_can_be_read(ending, tmp_path):
    format = ENDINGS[ending]
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    image = smooth(64, 64) if format in ("ICO", "ICNS") else smooth(40, 60)
    options = {
        "ICO": {"sizes": [(64, 64)]},
        "JPEG2000": {"no_jp2": ending in (".j2k", ".j2c", ".jpc")},
        "TIFF": {"big_tiff": ending in (".btf", ".tf8")},
    }
    path = tmp_path / f"a{ending}"
    path.write_bytes(coded(image, format, **options.get(format, {})))
    found = info(path)
    got = read_file(path)
    assert (found.height, found.width) == tuple(got.shape[1:])
    if format != "ICNS":  # which holds several sizes: the largest is made by Pillow's writer
        assert got.shape == (3, *image.shape[:2])
        assert np.abs(got.permute(1, 2, 0).numpy() - image.astype(float)).mean() < 9
    assert could_be_image(path.read_bytes()[:132]) or ending in UNMARKED
    assert len(open_pictures(tmp_path, config=ReadConfig(check="full")).training) == 1


def test_every_ending_has_its_test():
    assert set(ENDINGS) | UNWRITTEN == set(SUFFIXES)


def test_a_drawing_of_layers():
    """.psd: 3 channels of 8 bits, not packed, as the format's description has it."""
    image = smooth(6, 9)
    data = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 6, 9, 8, 3) + bytes(12) + b"\0\0" + image.transpose(2, 0, 1).tobytes()
    assert could_be_image(data)
    assert (levels(data) == image).all()
    deep = data[:22] + struct.pack(">H", 16) + data[24:40] + image.astype(">u2").transpose(2, 0, 1).tobytes()
    for how in (Reading(), Reading(3, "0:4095")):
        with pytest.raises(Unreadable, match="Photoshop with 16 bits a sample"):
            decode(deep, how)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"hello, I am a text",
        b"BM is short for bitmap and more text follows here",
        b"P5",
        b"<svg",
        b"%PDF-1.7",
        b"PK\3\4",
        b"RIFF\0\0\0\0WAVE",
        b"\0" * 132,
        *[b"\x7fELF\2\1\1", b"II, the second", b"\0\0\0\x18ftypmp42"],
    ],
)
def test_what_does_not_begin_like_a_picture(start):
    assert not could_be_image(start)


def test_what_begins_like_one_of_numpy_or_dicom():
    file = io.BytesIO()
    np.save(file, np.zeros((4, 4), np.uint8))
    assert could_be_image(file.getvalue())
    assert could_be_image(bytes(128) + b"DICM")
    assert could_be_image(b"P5 7 6 255\n")


@pytest.mark.parametrize("kind", ["npy gray", "npy rgb", "tiff gray", "tiff planes", "tiff alpha", "pgm", "ppm", "ppm in text"])
def test_what_a_cut_file_holds_is_taken_where_that_is_asked_for(kind):
    data = sixteen(kind)
    cut, how = data[: -len(data) // 3], Reading(1 if "gray" in kind or kind == "pgm" else 3, truncated=True)
    with pytest.raises(Unreadable, match="truncated"):
        decode(cut, dataclasses.replace(how, truncated=False))
    got, want = decode(cut, how), decode(data, how)
    assert got.shape == want.shape
    assert (got[:, :4] == want[:, :4]).all() or kind == "tiff planes"
    assert (got[0, :4] == want[0, :4]).all()
    assert not (got == want).all()
    assert info(cut, how) == info(data, how)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_a_cut_file_of_which_nothing_can_be_taken_says_so(compression, dtype):
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, smooth(30, 50).astype(dtype), photometric="rgb", metadata=None, compression=compression)
    with pytest.raises(Unreadable, match="truncated"):
        decode(file.getvalue()[:-100])
    with pytest.raises(Unreadable, match="--truncated takes nothing of"):
        decode(file.getvalue()[:-100], Reading(truncated=True))


def test_floats_may_lie_beside_0_and_1_by_a_rounding():
    import tifffile

    for end, fine in ((1.0000001, True), (1.0000008, True), (1.00001, False)):
        values = np.linspace(1 - end, end, 54).reshape(6, 9).astype(np.float32)
        npy, tiff = io.BytesIO(), io.BytesIO()
        np.save(npy, values)
        tifffile.imwrite(tiff, values, metadata=None)
        for data in (npy.getvalue(), tiff.getvalue()):
            if fine:
                assert (levels(data, 1)[..., 0] == (values * 255.0).clip(0, 255).round()).all()
            else:
                with pytest.raises(Unreadable, match="say what is black and white"):
                    decode(data)


def test_pixels_of_another_size_than_the_header_says_are_refused():
    data = coded(smooth(20, 30), "PNG")
    other = dataclasses.replace(info(data), width=31)
    with pytest.raises(Unreadable, match=r"header says 31 × 20, its pixels are 30 × 20"):
        decode(data, Reading(), 1.0, other)
