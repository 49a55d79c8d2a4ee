"""Files that readers stumble over: every one is opened rightly or refused with a reason, quickly and in little memory."""

from __future__ import annotations

import ast
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twoviews.base.errors import UserError
from twoviews.sources.config import ReadConfig, Reading
from twoviews.sources.decode import decode, read_file
from twoviews.sources.errors import Unreadable
from twoviews.sources.spec import open_pictures

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def found(shared_data, tmp_path_factory):
    """What benchmarks/ugly.py says of each file: rows with `file`, `expect`, and `opened` or `refused`."""
    out = tmp_path_factory.mktemp("ugly") / "ugly.json"
    command = [sys.executable, str(BENCHMARKS / "ugly.py"), str(shared_data / "ugly"), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seconds = {row["file"]: row["seconds"] for row in map(json.loads, done.stdout.splitlines())}
    return [{**row, "seconds": seconds[row["file"]]} for row in json.loads(out.read_text())]


def test_each_file_is_opened_or_refused_as_a_careful_reader_would(found, shared_data):
    manifest = {row["file"]: row for row in csv.DictReader((shared_data / "ugly" / "MANIFEST.csv").open(encoding="utf-8"))}
    assert len(found) > 150
    for row in found:
        wanted, got = manifest[row["file"]], row.get("named", row)
        if wanted["expect"] == "open":
            assert "opened" in got, (row["file"], got)
            assert got["opened"][1:] == [int(wanted["height"]), int(wanted["width"])], row["file"]
        elif wanted["expect"] == "refuse":
            assert "refused" in got, row["file"]
            assert len(got["refused"]) > 8
        if "named" in row:  # and is never guessed at
            assert "--channels" in row["refused"] or "--range" in row["refused"], row["file"]


def test_the_table_of_the_docs_is_what_happens(found):
    table = {row["file"]: row for row in json.loads((BENCHMARKS.parent / "docs" / "figures" / "ugly.json").read_text(encoding="utf-8"))}
    assert {row["file"] for row in found} == set(table)
    for row in found:
        assert row.get("opened") == table[row["file"]].get("opened"), row["file"]  # reasons are in the words of libraries, which change


def test_no_file_takes_much_memory_or_time(found):
    assert max(row["megabytes"] for row in found) < 500
    assert max(row["seconds"] for row in found) < 10


def test_frames_beyond_the_first_are_told_of(found, shared_data):
    frames = {row["file"]: row.get("frames") for row in found}
    assert frames["animated.gif"] == 4
    assert frames["multipage.tif"] == 3
    remarks = " ".join(open_pictures(shared_data / "ugly").remarks)
    assert "hold several frames or pages: the first is taken" in remarks
    assert "side below 8 px" in remarks


def test_reasons_help(found):
    refused = {row["file"]: row.get("refused", "") for row in found}
    for file, words in {
        "git_lfs_pointer.jpg": "git lfs pull",
        "html_error_page.jpg": "HTML page",
        "pdf_named.png": "PDF",
        "zip_named.jpg": "zip",
        "drawing.svg": "SVG",
        "ljt_12bit.jpg": "12 bits",
        "truncated_half.jpg": "truncated",
        "pickled_object.npy": "pickle",
        "channels_first.npy": "looks like (C, H, W)",
        "bomb_30000x30000_1bit.png": "decompression bomb",
    }.items():
        assert words in refused[file], file


def test_colours_are_right(shared_data):
    ugly = shared_data / "ugly"
    plain = read_file(ugly / "plain.jpg").float().mean((1, 2))
    for name in ("cmyk_adobe_inverted.jpg", "palette.png", "rgb16.tif", "exif_orientation_5.jpg", "lossy.webp", "icc_broken.jpg"):
        assert (read_file(ugly / name).float().mean((1, 2)) - plain).abs().max() < 12, name
    first, second = (read_file(ugly / name, Reading(5)) for name in ("five_bands.npy", "fortran.npy"))
    assert (first == second).all()
    bands, planes = (read_file(ugly / f"eight_bands_{name}.tif", Reading(8)) for name in ("contig", "planar"))
    assert (bands == planes).all()
    assert set(np.unique(read_file(ugly / "one_bit.png").numpy())) == {0, 255}


def test_truncated_pictures_are_taken_only_when_asked(shared_data):
    path = shared_data / "ugly" / "truncated_half.jpg"
    with pytest.raises(Unreadable, match="truncated"):
        read_file(path)
    whole, half = read_file(shared_data / "ugly" / "plain.jpg"), read_file(path, Reading(truncated=True))
    assert half.shape == whole.shape
    assert (half[:, :40].float() - whole[:, :40].float()).abs().mean() < 3
    with pytest.raises(Unreadable):  # and the switch does not stay
        read_file(path)


def test_the_limit_of_pixels_is_an_option():
    import io

    file = io.BytesIO()
    Image.new("L", (400, 300)).save(file, "PNG")
    assert decode(file.getvalue()).shape == (3, 300, 400)
    with pytest.raises(Unreadable, match=r"more than 100,000 pixels.*--max-pixels"):
        decode(file.getvalue(), Reading(max_pixels=100_000))


@pytest.mark.parametrize(
    ("range", "black", "white"), [("0:1000", 0, 1000), ("-100:100", -100, 100), ("data", -7, 90)], ids=["from zero", "signed", "data"]
)
def test_ranges(range, black, white):
    values = np.linspace(black, white, 48).reshape(6, 8)
    for kind in (np.float32, np.float64):
        got = _npy(values.astype(kind), Reading(1, range))
        assert np.abs(got[0].numpy() - np.linspace(0, 255, 48).reshape(6, 8)).max() <= 0.51
    assert _npy(np.array([[-50, 1050]] * 4, np.float32), Reading(1, "0:1000")).flatten().tolist()[:2] == [0, 255]


def _npy(array, how):
    import io

    file = io.BytesIO()
    np.save(file, array)
    return decode(file.getvalue(), how)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 8, 16])
@pytest.mark.parametrize("format", ["npy", "tif"])
def test_own_channels(channels, format, tmp_path):
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 65536, (24, 20, channels), np.uint16)
    path = tmp_path / f"a.{format}"
    if format == "npy":
        np.save(path, pixels)
    else:
        tifffile.imwrite(
            path, pixels if channels > 1 else pixels[..., 0], photometric="minisblack", planarconfig="contig" if channels > 1 else None
        )
    got = read_file(path, Reading(channels))
    assert got.shape == (channels, 24, 20)
    assert np.abs(got.permute(1, 2, 0).numpy() - pixels / 257).max() <= 0.51
    other = 7 if channels != 7 else 6
    with pytest.raises(Unreadable, match=f"--channels {channels}"):
        read_file(path, Reading(other))


def test_awkward_names(shared_data, tmp_path):
    """The names of names.txt, links and special files: what can be read is, nothing hangs, nothing outside is followed into."""
    plain = (shared_data / "ugly" / "plain.jpg").read_bytes()
    made, text = [], (shared_data / "ugly" / "names.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, target = line.partition(" -> ")
        raw = os.fsencode(ast.literal_eval(name))
        path = os.path.join(os.fsencode(tmp_path), raw)  # noqa: PTH118 (bytes)
        if target:
            Path(os.fsdecode(path)).symlink_to(ast.literal_eval(target))
        else:
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(plain)
            made.append(os.fsdecode(raw))
    (tmp_path / "plain.jpg").write_bytes(plain)
    os.mkfifo(tmp_path / "pipe.jpg")
    deep = "/".join(["d" * 200] * 18)
    far = tmp_path / deep[: 4000 - len(str(tmp_path)) - 30]
    far.mkdir(parents=True)
    (far / "deep.jpg").write_bytes(plain)
    pictures = open_pictures(tmp_path, config=ReadConfig(check="full"), in_memory=False)
    names = {pictures.training.name(n) for n in range(len(pictures.training))}
    assert {name for name in made if not name.startswith(".")} <= names
    assert {"plain.jpg", "good_link.jpg"} <= names
    assert any(name.endswith("deep.jpg") for name in names)
    skipped = dict(pictures.skipped)
    assert set(skipped) == {"pipe.jpg", "broken_link.jpg", "loop_a.jpg", "loop_b.jpg"}
    assert skipped["pipe.jpg"] == "not an ordinary file"
    with pytest.raises(UserError, match="--strict"):
        open_pictures(tmp_path, config=ReadConfig(strict=True), in_memory=False)


@pytest.mark.parametrize("check", ["full", "header", "none"])
def test_depth_of_the_check(check, tmp_path):
    for n in range(5):
        Image.effect_noise((140 + n, 130), 50).save(tmp_path / f"{n}.jpg")
    whole = (tmp_path / "0.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) - 40])  # its header is fine
    (tmp_path / "2.jpg").write_bytes(b"")
    pictures = open_pictures(tmp_path, config=ReadConfig(check=check))
    assert {name for name, _ in pictures.skipped} == {"full": {"1.jpg", "2.jpg"}, "header": {"2.jpg"}, "none": set()}[check]
