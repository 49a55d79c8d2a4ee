"""TIFF by its tags: every kind is read as it was written, or refused with the reason."""

from __future__ import annotations

import collections
import io
import runpy
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from twoviews.sources.config import Reading
from twoviews.sources.decode import decode, info
from twoviews.sources.errors import Unreadable
from twoviews.sources.values import from_lab

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RAMP = np.linspace(0, 1, 9 * 21).reshape(9, 21)


def written(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def levels(data, channels=1, range="auto"):
    """(H, W) or (H, W, C) as it comes out."""
    return decode(data, Reading(channels, range)).permute(1, 2, 0).numpy().squeeze().astype(float)


def close(got, want, limit=1.0):
    return got.shape == want.shape and np.abs(got - want).max() <= limit


def test_every_tiff_of_the_grid_is_read_as_it_was_written(tmp_path):
    """Types × compressions × planes × tiles × byte orders × predictors × photometrics, against the array that was written, in float64."""
    grid = runpy.run_path(str(BENCHMARKS / "tiff_grid.py"))
    found = {file.name: grid["outcome"](file, tmp_path / "a.tif") for file in grid["files"]()}
    assert {name: what for name, what in found.items() if what != "equal"} == {}
    assert len(found) > 1000
    kinds = collections.Counter(name.split(" bits ")[0] for name in found)
    assert min(kinds.values()) >= 20, kinds


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_pixels_and_size_alike(orientation, kind, order, big):
    stored = (RAMP * (255 if kind == "u1" else 65535 if kind == "u2" else 1)).astype(kind)
    data = written(stored, byteorder=order, bigtiff=big, extratags=[(274, "H", 1, orientation, True)])
    exif = Image.Exif()
    exif[274] = orientation
    plain = Image.fromarray((RAMP * 255).round().astype(np.uint8))
    file = io.BytesIO()
    plain.save(file, "PNG", exif=exif)
    upright = levels(file.getvalue())
    found, got = info(data), levels(data)
    assert (found.height, found.width) == got.shape == upright.shape
    assert found.stored == (9, 21)
    assert found.orientation == orientation
    assert close(got, upright)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_deflate"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_pillows_tiffs(orientation, compression):
    image = Image.fromarray((np.stack([RAMP, RAMP[:, ::-1], RAMP[::-1]], 2) * 255).astype(np.uint8))
    file, png = io.BytesIO(), io.BytesIO()
    image.save(file, "TIFF", compression=compression, tiffinfo={274: orientation})
    image.save(png, "PNG", exif=(lambda e: (e.__setitem__(274, orientation), e)[1])(Image.Exif()))
    found, got, want = info(file.getvalue()), levels(file.getvalue(), 3), levels(png.getvalue(), 3)
    assert found.reader == "pillow"
    assert (found.height, found.width) == got.shape[:2]
    assert close(got, want, 30 if compression == "jpeg" else 0)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_orientation_in_xmp_counts_where_the_tag_is_missing(kind):
    """Pillow turns such a file when it loads it."""
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    values = (RAMP * (255 if kind == "u1" else 65535)).astype(kind)
    data = written(values, extratags=[(700, "B", len(xmp), xmp, True)])
    found = info(data)
    assert (found.height, found.width, found.orientation) == (21, 9, 6)
    assert close(levels(data), (RAMP * 255).T[:, ::-1])


def test_what_no_reader_turns_into_colours_is_refused_by_its_name():
    data = written(
        (RAMP * 255).astype("u1"), photometric="cfa", extratags=[(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
    )
    for channels in (1, 3):
        with pytest.raises(Unreadable, match="its colours are a sensor's mosaic"):
            decode(data, Reading(channels))


def test_a_part_that_declares_more_than_its_place_is_refused():
    """A strip that is a JPEG: its own header, not the TIFF's, decides how much memory a decoder takes."""
    colours = np.stack([RAMP, RAMP, RAMP]).repeat(2, 1) * 255
    data = bytearray(written(colours.astype("u1"), photometric="rgb", planarconfig="separate", compression="jpeg"))
    assert decode(bytes(data)).shape == (3, 18, 21)
    struct.pack_into(">HH", data, bytes(data).find(b"\xff\xc0") + 5, 4000, 4000)
    with pytest.raises(Unreadable, match="declares 4000 × 4000 pixels"):
        decode(bytes(data))


def test_packed_bits_may_be_compressed():
    """tifffile does not write these; a strip is compressed here."""
    values = (RAMP[:, :20] * 4095).astype("u2")
    plain = written(values, bitspersample=12)
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        tags, begin = {tag.code: tag.valueoffset for tag in file.pages.first.tags}, file.pages.first.dataoffsets[0]
    packed = zlib.compress(plain[begin:])
    data = bytearray(plain[:begin] + packed)
    struct.pack_into("<H", data, tags[259], 8)
    struct.pack_into("<I", data, tags[279], len(packed))
    assert close(levels(bytes(data)), values / 4095 * 255, 0.51)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("kind", "factor"), [("u2", 4000), ("u4", 100_000), ("f4", 250.0), ("i2", 3000)])
def test_the_range_is_what_the_file_states(kind, factor, order):
    """SMinSampleValue and SMaxSampleValue; what the values happen to be says nothing."""
    letter = {"u2": "H", "u4": "I", "f4": "f", "i2": "h"}[kind]
    values = (RAMP * 0.5 * factor).astype(kind)
    data = written(values, byteorder=order, extratags=[(340, letter, 1, 0, True), (341, letter, 1, factor, True)])
    assert info(data).range == (0.0, factor)
    assert close(levels(data), values / factor * 255, 0.51)
    assert close(levels(data, range=f"0:{factor / 2}"), values / (factor / 2) * 255, 0.51)


@pytest.mark.parametrize("fill", [1.0, 0.05], ids=["all of the range", "a part of it"])
@pytest.mark.parametrize(("kind", "bits"), [("u1", 4), ("u2", 10), ("u2", 12), ("u2", 16), ("u4", 32)])
def test_scale_is_the_bits_and_never_the_values(kind, bits, fill):
    most = 2**bits - 1
    values = (RAMP * fill * most).astype(kind)
    data = written(values, bitspersample=bits) if bits not in (16, 32) else written(values)
    assert close(levels(data), values / most * 255, 0.51)


@pytest.mark.parametrize(("kind", "of"), [("i1", "int8"), ("i2", "int16"), ("i4", "int32")])
def test_signed_numbers_need_a_range_as_in_npy(kind, of):
    values = (RAMP * 100).astype(kind)
    file = io.BytesIO()
    np.save(file, values)
    for data in (written(values), file.getvalue()):
        with pytest.raises(Unreadable, match=f"{of} from 0 to 100: say what is black and white with --range"):
            decode(data)
        assert close(levels(data, range="-50:150"), (values + 50.0) / 200 * 255, 0.51)
        assert close(levels(data, range="data"), values / 100 * 255, 0.51)


def test_floats_are_scaled_from_0_to_1_and_refused_beyond():
    assert close(levels(written((RAMP * 0.3).astype("f4"))), RAMP * 0.3 * 255, 0.51)
    for values in (RAMP * 1.5, RAMP - 0.5):
        with pytest.raises(Unreadable, match="say what is black and white with --range"):
            decode(written(values.astype("f4")))
    with pytest.raises(Unreadable, match="not numbers"):
        decode(written(np.full((9, 9), np.nan, "f4")))
    with pytest.raises(Unreadable, match="complex"):
        decode(written(RAMP.astype("c8")))


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("range", ["auto", "0:0.5", "data"])
def test_white_is_zero_is_inverted_about_the_range(kind, range):
    most = {"u1": 255, "u2": 65535, "f4": 1}[kind]
    values = (0.1 + RAMP * 0.5) * most
    if kind != "f4" and ":" in range:
        range = f"0:{most // 2}"
    values = values.round().astype(kind) if kind != "f4" else values.astype(kind)
    low, high = (0, most) if range == "auto" or kind == "u1" else (values.min(), values.max()) if range == "data" else (0, most / 2)
    want = 255 - ((values.astype(float) - low) / (high - low) * 255).clip(0, 255)
    assert close(levels(written(values, photometric="miniswhite"), range=range), want)


@pytest.mark.parametrize("separate", [False, True], ids=["interleaved", "planes"])
def test_opacity_is_laid_on_white_by_its_own_type(separate):
    colours = np.stack([RAMP * 4095, RAMP[::-1] * 4095, RAMP[:, ::-1] * 4095, RAMP * 65535], 2).astype("u2")
    pixels = colours.transpose(2, 0, 1) if separate else colours
    data = written(
        np.ascontiguousarray(pixels), photometric="rgb", extrasamples=["unassalpha"], planarconfig="separate" if separate else "contig"
    )
    alpha = colours[..., 3:] / 65535
    want = colours[..., :3] / 4095 * 255 * alpha + 255 * (1 - alpha)
    assert close(levels(data, 3, "0:4095"), want, 0.51)
    own = levels(data, 4, "0:4095")
    assert close(own[..., :3], colours[..., :3] / 4095 * 255, 0.51)
    assert close(own[..., 3], colours[..., 3] / 257, 0.51)


def test_samples_beyond_colour_are_taken_only_when_asked():
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 7, 5)).astype("u2")
    data = written(pixels, photometric="rgb", extrasamples=["unspecified", "unassalpha"])
    alpha = pixels[..., 4:] / 65535
    assert close(levels(data, 3), pixels[..., :3] / 257 * alpha + 255 * (1 - alpha), 0.51)
    assert close(levels(data, 5), pixels / 257, 0.51)
    bands = written(pixels, photometric="minisblack", planarconfig="contig")
    with pytest.raises(Unreadable, match="--channels 5"):
        decode(bands)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_ycbcr_within_jpeg(subsampling, tile):
    colours = (np.stack([RAMP, 0.5 + 0 * RAMP, RAMP[:, ::-1]], 2).repeat(4, 0).repeat(4, 1) * 255).astype(np.uint8)
    stored = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    data = written(stored, photometric="ycbcr", compression="jpeg", subsampling=subsampling, tile=tile, compressionargs={"level": 98})
    assert np.abs(levels(data, 3) - colours)[:-1].mean() < 3  # tifffile pads the last row's tiles with black


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_what_pillow_writes(mode, compression):
    image = Image.fromarray((np.stack([RAMP, RAMP[:, ::-1], RAMP[::-1]], 2) * 255).astype(np.uint8))
    image = image.convert("L").convert("LA") if mode == "LA" else image if mode == "LAB" else image.convert(mode)
    if mode == "LAB":
        from PIL import ImageCms

        image = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    want = np.asarray(from_lab(image) if mode == "LAB" else image.convert("RGB"))
    assert close(levels(file.getvalue(), 3), want.astype(float))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("inverted", [False, True])
def test_fax(compression, inverted):
    image = Image.fromarray(RAMP > 0.5)
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression, tiffinfo={262: 0} if inverted else {})
    whole = Image.open(io.BytesIO(file.getvalue()))
    assert whole.tag_v2[262] == (0 if inverted else 1)
    assert (levels(file.getvalue()) == np.asarray(image) * 255.0).all()


@pytest.mark.parametrize(("kind", "bits"), [("u1", 1), ("u1", 4), ("u1", 8), ("u2", 12)])
def test_bits_in_reversed_order(kind, bits):
    """FillOrder 2, as fax machines write."""
    values = (RAMP[:, :20] * (2**bits - 1)).round().astype(kind)
    data = bytearray(written(values, **({} if bits == 8 else {"bitspersample": bits})))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        page = file.pages.first
        begin, length, entry = page.dataoffsets[0], page.databytecounts[0], page.tags["XResolution"].offset
    struct.pack_into("<HHII", data, entry, 266, 3, 1, 2)  # in the place of a tag that says nothing here
    data[begin : begin + length] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data[begin : begin + length])
    assert close(levels(bytes(data)), values / (2**bits - 1) * 255)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_cielab_of_other_layouts(kind):
    """Planes, or 16 bits, which Pillow does not read: the same colours as the interleaved one of 8 bits."""
    lab = np.stack([RAMP * 200 + 20, RAMP[::-1] * 60, RAMP[:, ::-1] * 60], 2).astype("u1")
    plain = levels(written(lab, photometric="cielab"), 3)
    other = lab if kind == "u1" else lab.astype("u2") * 256
    planes = np.ascontiguousarray(other.transpose(2, 0, 1))
    assert info(written(lab, photometric="cielab")).reader == "pillow"
    assert close(levels(written(planes, photometric="cielab", planarconfig="separate"), 3), plain, 4)


def test_the_first_of_several_pages_is_read_and_they_are_counted():
    pages = np.stack([RAMP * 255, RAMP * 0, RAMP * 100]).astype(np.uint8)
    for options in ({}, {"bigtiff": True}, {"byteorder": ">"}, {"compression": "zlib"}):
        data = written(pages, photometric="minisblack", **options)
        assert info(data).frames == 3
        assert close(levels(data), pages[0].astype(float), 0)


def test_headers_are_read_from_files_as_from_bytes(tmp_path):
    for number, options in enumerate(({}, {"tile": (16, 16)}, {"byteorder": ">", "bigtiff": True})):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(written((RAMP * 65535).astype("u2"), **options))
        assert info(path) == info(path.read_bytes())


def test_tiffs_that_declare_more_than_they_hold_are_refused_before_memory_is_taken():
    for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}):
        data = bytearray(written((RAMP * 65535).astype("u2"), **options))
        with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
            places = {tag.code: tag.valueoffset for tag in file.pages.first.tags}
        for code, most in ((256, 12_000), (257, 12_000)):
            struct.pack_into("<I", data, places[code], most)
        with pytest.raises(Unreadable, match="truncated: it declares"):
            info(bytes(data))
        with pytest.raises(Unreadable, match="truncated: it declares"):
            decode(bytes(data))
        if "tile" in options:
            struct.pack_into("<H", data, places[322], 65520)
            struct.pack_into("<H", data, places[323], 65520)
            with pytest.raises(Unreadable, match="decompression bomb"):
                info(bytes(data))


def test_damaged_tiffs_have_a_reason():
    data = written((RAMP * 65535).astype("u2"), compression="zlib")
    for cut in (9, 40, 150, len(data) - 30):
        with pytest.raises(Unreadable):
            decode(data[:cut])


def test_what_is_missing_is_said_with_the_line_that_installs_it(monkeypatch):
    plain, deep = written((RAMP * 255).astype("u1")), written((RAMP * 65535).astype("u2"), compression="zstd")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "imagecodecs" else name)

    def asarray(*_, **__):
        raise ValueError("<COMPRESSION.ZSTD: 50000> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    assert close(levels(plain), RAMP * 255)
    with pytest.raises(Unreadable, match=r"needs imagecodecs: uv pip install 'twoviews\[scientific\]'"):
        decode(deep)


# -- bands, opacity, tables of colours ----------------------------------------------------------------------------------------------------------

COLOURS = np.stack([RAMP, 1 - RAMP, RAMP[:, ::-1] * 0.5], 2)
CLEAR = (0.25 + 0.75 * RAMP[::-1])[..., None]


def whole(values, kind):
    return (values * (255 if kind == "u1" else 65535)).round().astype(kind)


@pytest.mark.parametrize("separate", [False, True], ids=["interleaved", "planes"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colours_and_opacity_that_are_called_gray_are_colours(kind, separate):
    """GDAL writes MinIsBlack and says of the last sample that it is opacity."""
    pixels = whole(np.concatenate([COLOURS, CLEAR], 2), kind)
    options = {"photometric": "minisblack", "planarconfig": "separate" if separate else "contig"}
    lie = (lambda a: np.ascontiguousarray(a.transpose(2, 0, 1))) if separate else np.ascontiguousarray
    data = written(lie(pixels), extrasamples=["unspecified", "unspecified", "unassalpha"], **options)
    assert close(levels(data, 3), (COLOURS * CLEAR + 1 - CLEAR) * 255, 1.51)
    assert close(levels(data, 4)[..., 3], CLEAR[..., 0] * 255)
    five = written(lie(pixels[..., [0, 1, 2, 0, 3]]), extrasamples=["unspecified"] * 3 + ["unassalpha"], **options)
    for channels in (1, 3):
        with pytest.raises(Unreadable, match="4 bands that nothing names, and opacity: --channels 5 keeps them"):
            decode(five, Reading(channels))
    assert close(levels(five, 5), pixels[..., [0, 1, 2, 0, 3]] / (1 if kind == "u1" else 257))


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_opacity_beside_white_is_zero_and_cmyk(kind, compression):
    inverted = written(
        whole(np.dstack([1 - RAMP, CLEAR]), kind), photometric="miniswhite", extrasamples=["unassalpha"], compression=compression
    )
    assert close(levels(inverted), (RAMP[..., None] * CLEAR + 1 - CLEAR)[..., 0] * 255, 1.51)
    inks = whole(np.dstack([1 - COLOURS, 0 * RAMP, CLEAR]), kind)
    data = written(inks, photometric="separated", extrasamples=["unassalpha"], compression=compression)
    assert close(levels(data, 3), (COLOURS * CLEAR + 1 - CLEAR) * 255, 1.51)


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"byteorder": ">"}, {"bigtiff": True}], ids=str)
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_table_of_colours_may_hold_bytes(kind, options):
    """Old writers put 0 to 255 where 16 bits belong; which it is says the table and not the picture."""
    count = 256 if kind == "u1" else 65536
    table = np.stack([np.arange(count) % 256, (np.arange(count) * 7 + 3) % 256, 255 - np.arange(count) % 256]).astype("u2")
    indices = whole(RAMP, kind)
    want = np.moveaxis(table[:, indices], 0, -1)
    for scale in (1, 257):
        assert close(levels(written(indices, photometric="palette", colormap=table * scale, **options), 3), want, 0)


# -- YCbCr --------------------------------------------------------------------------------------------------------------------------------------


def shared_colours(pixels, across, down, rows, packed):
    """A YCbCr TIFF of strips of `rows`, whose colours are shared, from (H, W, 3)."""
    height, width = pixels.shape[:2]
    tall, wide = -(-height // down) * down, -(-width // across) * across
    padded = np.pad(pixels, ((0, tall - height), (0, wide - width), (0, 0)), mode="edge").astype(int)
    blocks = padded.reshape(tall // down, down, wide // across, across, 3)
    light = blocks[..., 0].swapaxes(1, 2).reshape(*blocks.shape[::2][:2], -1)
    units = np.concatenate([light, blocks[:, 0, :, 0, 1:]], 2).astype(np.uint8)
    strips = [units[top // down : (top + rows) // down].tobytes() for top in range(0, height, rows)]
    strips = [zlib.compress(strip) if packed else strip for strip in strips]
    tags = ImageFileDirectory_v2(prefix=b"II")
    tags[256], tags[257], tags[258], tags[259], tags[262], tags[277], tags[278] = width, height, (8, 8, 8), 8 if packed else 1, 6, 3, rows
    tags[273] = tuple(sum(map(len, strips[:n])) for n in range(len(strips)))  # behind the tags, as their writer has it
    tags[279], tags[530] = tuple(map(len, strips)), (across, down)
    return b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + b"".join(strips)


@pytest.mark.parametrize("rows", [8, 24])
@pytest.mark.parametrize("steps", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (4, 4)])
def test_colours_that_pixels_share_are_read_alike_with_and_without_compression(steps, rows):
    pixels = np.asarray(Image.fromarray((np.resize(COLOURS, (21, 37, 3)) * 255).astype(np.uint8)).convert("YCbCr"))
    plain, packed = (shared_colours(pixels, *steps, rows, way) for way in (False, True))
    assert (info(plain).reader, info(packed).reader) == ("tifffile", "pillow")
    got = levels(plain, 3)
    assert close(got, levels(packed, 3), 0)
    across, down = steps
    colours = pixels[::down, ::across, 1:].repeat(down, 0).repeat(across, 1)[:21, :37]
    want = Image.fromarray(np.concatenate([pixels[..., :1], colours], 2), "YCbCr").convert("RGB")
    assert close(got, np.asarray(want).astype(float), 1)
    with pytest.raises(Unreadable, match="truncated"):
        decode(plain[:-20])


@pytest.mark.parametrize("separate", [False, True], ids=["interleaved", "planes"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_black_and_white_of_ycbcr_are_those_of_its_tags(compression, separate):
    """Video's levels, 16 to 235."""
    light = np.array([[16, 235, 126], [16, 235, 70]], np.uint8)
    pixels = np.dstack([light, np.full_like(light, 128), np.full_like(light, 128)])
    pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if separate else pixels
    levels_of_video = (532, "2I", 6, (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1), True)
    options = {"photometric": "ycbcr", "compression": compression, "planarconfig": "separate" if separate else "contig"}
    got = levels(written(pixels, extratags=[levels_of_video], **options), 3)
    assert close(got, ((light - 16.0) / 219 * 255)[..., None].repeat(3, 2), 1)
    assert close(levels(written(pixels, **options), 3), light[..., None].repeat(3, 2).astype(float), 0)


@pytest.mark.parametrize("most", [4095, 65535])
def test_opacity_has_its_own_largest_value(most):
    """SMaxSampleValue of each sample."""
    pixels = np.dstack([(COLOURS * 4095).round(), CLEAR * most]).astype("u2")
    stated = [(340, "H", 4, (0,) * 4, True), (341, "H", 4, (4095, 4095, 4095, most), True)]
    data = written(pixels, photometric="rgb", extrasamples=["unassalpha"], extratags=stated)
    assert info(data).range == (0.0, 4095.0)
    assert close(levels(data, 3), (COLOURS * CLEAR + 1 - CLEAR) * 255)
    assert close(levels(data, 4)[..., 3], CLEAR[..., 0] * 255)
