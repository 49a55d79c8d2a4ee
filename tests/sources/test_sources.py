"""Pictures of every kind that issue users bring: folders, odd files, Parquet, sets; and what cannot be read."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from twoviews.base import draws as rng
from twoviews.base.errors import UserError
from twoviews.sources.config import ReadConfig, Reading
from twoviews.sources.decode import decode, from_array, info
from twoviews.sources.errors import Unreadable
from twoviews.sources.files import Files
from twoviews.sources.loader import Loader
from twoviews.sources.source import Part, Picture, Small, labelled, part
from twoviews.sources.spec import images, open_pictures
from twoviews.views.pipeline import Views


def photo(size=(40, 30), seed=0, mode="RGB"):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def data(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def close(tensor, image, limit=3.0):
    want = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32)).permute(2, 0, 1)
    return tensor.shape == want.shape and (tensor.float() - want).abs().mean() < limit


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "PPM"])
def test_formats(format):
    assert close(decode(data(photo(), format)), photo(), 12.0 if format in ("GIF", "JPEG", "WEBP") else 0.5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    upright = photo()
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turned[orientation]) if orientation in turned else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("JPEG", "PNG"):
        assert close(decode(data(stored, format, exif=exif)), upright, 12.0 if format == "JPEG" else 0.5)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "RGBA", "YCbCr"])
def test_modes(mode):
    format = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    image = photo().convert(mode)
    got = decode(data(image, format))
    assert got.shape == (3, 30, 40)
    assert close(got, image.convert("RGB"), 1.0)
    assert decode(data(image, format), Reading(1)).shape == (1, 30, 40)


def test_alpha_is_laid_on_white():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (decode(data(image, "PNG")) == 255).all()


def test_16_bits_are_scaled():
    values = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    got = decode(data(Image.fromarray(values), "PNG"))
    assert (got[0].float() - torch.from_numpy(values / 257.0).float()).abs().max() <= 0.51
    assert (got[0] == got[2]).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, I am a text", "not a picture"),
        (data(photo(), "JPEG")[:300], "damaged JPEG|truncated"),
        (data(photo(), "PNG")[:-60], "truncated|OSError|SyntaxError"),
        (data(photo((400, 300)), "JPEG")[:-500], "truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "not a picture|Error"),
    ],
)
def test_what_is_no_picture_has_a_reason(content, reason):
    with pytest.raises(Unreadable, match=reason):
        decode(content)


def test_decompression_bombs_are_refused():
    header = data(Image.new("1", (8, 8)), "PNG")
    size = struct.pack(">II", 50_000, 50_000)
    import zlib

    chunk = b"IHDR" + size + header[24:29]
    bomb = header[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + header[33:]
    with pytest.raises(Unreadable, match="decompression bomb"):
        decode(bomb)


@pytest.fixture
def classes(tmp_path):
    """Six pictures in two class folders, of different sizes, and two that cannot be read."""
    for n in range(6):
        folder = tmp_path / "photos" / ("cat" if n % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        photo((40 + 10 * n, 30), n).save(folder / f"{n}.png")
    (tmp_path / "photos" / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "photos" / "cat" / "empty.png").write_bytes(b"")
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"x")
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


def test_class_folders(classes):
    pictures = open_pictures(classes)
    source = pictures.training
    assert isinstance(source, Files)
    assert [source.name(n) for n in range(6)] == ["cat/1.png", "cat/3.png", "cat/5.png", "dog/0.png", "dog/2.png", "dog/4.png"]
    assert source.classes == ["cat", "dog"]
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dict(pictures.skipped)["cat/empty.png"] == "empty file"
    assert "dog/broken.jpg" in dict(pictures.skipped)
    assert source.read(0).shape == (3, 30, 50)
    assert pictures.test is None
    again = open_pictures(classes).training
    assert again.fingerprint == source.fingerprint
    (classes / "dog" / "0.png").unlink()
    assert open_pictures(classes).training.fingerprint != source.fingerprint


def test_flat_and_nested_folders_need_no_labels(classes):
    photo().save(classes / "flat.png")
    source = open_pictures(classes).training
    assert len(source) == 7
    assert source.labels is None
    with pytest.raises(UserError, match=r"flat\.png lies in no class folder"):
        labelled(source, "knn")


def test_train_and_test_folders(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for n in range(count):
            folder = tmp_path / split / f"c{n % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            photo((20 + n, 20), n).save(folder / f"{n}.png")
    pictures = open_pictures(tmp_path)
    assert len(pictures.training) == 4
    assert len(pictures.test) == 2
    assert pictures.test.classes == ["c0", "c1"]
    assert len(images(tmp_path, "test")) == 2


def test_small_pictures_of_one_size_live_in_memory(tmp_path):
    for n in range(3):
        photo((24, 24), n).save(tmp_path / f"{n}.png")
    source = open_pictures(tmp_path).training
    assert isinstance(source, Small)
    assert source.images.shape == (3, 3, 24, 24)
    assert source.name(1) == "1.png"
    assert close(source.read(2), photo((24, 24), 2), 0.5)
    assert images(tmp_path, channels=1).images.shape == (3, 1, 24, 24)


def write_parquet(path, count, column="img", names=("a", "b"), broken=()):
    rows = [{"bytes": b"x" if n in broken else data(photo((16, 16), n), "PNG"), "path": f"{n}.png"} for n in range(count)]
    table = pa.table(
        {column: pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()})), "label": pa.array([n % 2 for n in range(count)])}
    )
    info = {"info": {"features": {column: {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), path)


def test_parquet(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00002.parquet", 5)
    write_parquet(tmp_path / "train-00001-of-00002.parquet", 3, broken=(1,))
    write_parquet(tmp_path / "test-00000-of-00001.parquet", 2)
    pictures = open_pictures(tmp_path)
    source = pictures.training
    assert isinstance(source, Small)
    assert len(source) == 7
    assert source.classes == ["a", "b"]
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 0, 0]
    assert pictures.skipped == [("1.png", "not a picture in a known format, or one with a damaged header")]
    assert len(pictures.test) == 2
    assert source.name(0) == "0.png"
    write_parquet(tmp_path / "one.parquet", 4, "image")
    assert len(open_pictures(tmp_path / "one.parquet").training) == 4


def test_wrong_parquet(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"no image column.*it has x"):
        open_pictures(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("not parquet")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        open_pictures(tmp_path / "b.parquet")


def test_real_cifar(shared_data):
    source = open_pictures(shared_data / "cifar10" / "test.parquet").training
    assert source.images.shape == (10_000, 3, 32, 32)
    assert source.classes[3] == "cat"
    assert np.bincount(source.labels).tolist() == [1000] * 10


def test_ugly_files_are_opened_or_left_out(shared_data):
    import csv

    pictures = open_pictures(shared_data / "ugly")
    skipped = dict(pictures.skipped)
    opened = {pictures.training.name(n) for n in range(len(pictures.training))}
    for row in csv.DictReader((shared_data / "ugly" / "MANIFEST.csv").open()):
        if row["expect"] == "refuse":
            assert row["file"] not in opened, row["file"]
    assert all(skipped.values())
    assert "truncated_half.jpg" in skipped
    upright = {name for name in opened if name.startswith("exif_orientation_")}
    assert len(upright) >= 8


@pytest.mark.parametrize(
    ("spec", "words"),
    [("cifar11", "Did you mean cifar10"), ("nowhere/photos", "does not exist"), ("digit", "Did you mean digits")],
)
def test_missing(spec, words):
    with pytest.raises(UserError, match=words):
        open_pictures(spec)


def test_folders_without_pictures(tmp_path):
    with pytest.raises(UserError, match="no pictures in"):
        open_pictures(tmp_path)
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(UserError, match=r"none of the 1 pictures.*a\.png"):
        open_pictures(tmp_path)
    (tmp_path / "b.txt").write_text("no")
    with pytest.raises(UserError, match="is a file"):
        open_pictures(tmp_path / "b.txt")
    with pytest.raises(UserError, match="has no part 'test'"):
        images(_one(tmp_path), "test")


def _one(folder):
    photo().save(folder / "a.png")
    return folder


def test_digits():
    pictures = open_pictures("digits", channels=1)
    assert len(pictures.training) == 1257
    assert len(pictures.test) == 540
    assert pictures.training.images.shape == (1257, 1, 8, 8)
    assert pictures.training.images.max() == 255
    assert images("digits").images.shape == (1257, 3, 8, 8)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "fashion-mnist"])
def test_sets_that_are_not_there(name, tmp_path):
    with pytest.raises(UserError, match="--download"):
        open_pictures(name, config=ReadConfig(root=str(tmp_path)))


def test_fashion_mnist_from_its_files(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 6), ("t10k", 4)):
        pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + pixels.tobytes())
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + bytes(range(count)))
    pictures = open_pictures("fashion-mnist", config=ReadConfig(root=str(tmp_path)))
    assert pictures.training.images.shape == (6, 3, 28, 28)
    assert pictures.test.labels.tolist() == [0, 1, 2, 3]
    assert len(pictures.training.classes) == 10


def test_stl10_has_an_unlabelled_part(tmp_path, monkeypatch):
    """torchvision's own reader on files in its format; only the check of their published hashes is left out."""
    from torchvision.datasets import STL10

    folder = tmp_path / STL10.base_folder
    folder.mkdir()
    for name, count in (("train", 3), ("test", 2), ("unlabeled", 5)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 96, 96), dtype=np.uint8)
        (folder / f"{name}_X.bin").write_bytes(pixels.tobytes())
        if name != "unlabeled":
            (folder / f"{name}_y.bin").write_bytes(bytes(range(1, count + 1)))
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    monkeypatch.setattr(STL10, "_check_integrity", lambda self: True)
    pictures = open_pictures("stl10", config=ReadConfig(root=str(tmp_path)))
    assert len(pictures.training) == 5
    assert pictures.training.labels is None
    assert pictures.labelled.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(classes, workers):
    source, views = open_pictures(classes).training, Views(size=16)
    loader = Loader(source, views.crop_pairs, workers)
    ids = [np.array([3, 1]), np.array([5, 0, 2])]
    for epoch in range(2):
        batches = [(i, rng.key(epoch, i)) for i in ids]
        for got, (which, keys) in zip(loader(batches), batches, strict=True):
            want = torch.cat([views.crop_pairs([Picture(source, int(i))], keys[n : n + 1]) for n, i in enumerate(which)])
            assert torch.equal(got.images, want)


def test_parts(classes):
    source = open_pictures(classes).training
    some = part(source, np.array([4, 1]))
    assert isinstance(some, Part)
    assert (some.name(0), some.labels.tolist(), len(some)) == ("dog/2.png", [1, 0], 2)
    assert torch.equal(some.read(1), source.read(1))
    assert some.fingerprint != source.fingerprint
    small = part(images("digits"), np.array([7, 8]))
    assert small.images.shape[0] == 2


def test_arrays():
    assert from_array(np.zeros((4, 5), np.uint8)).shape == (3, 4, 5)
    with pytest.raises(Unreadable):
        from_array(np.full((4, 5), 300, np.float32))
    with pytest.raises(Unreadable):
        from_array(np.zeros((4, 5, 7), np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_pillows(orientation, mode):
    """libjpeg-turbo's pixels, turned upright, are what Pillow gives."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    photo((37, 52), 3).convert(mode).save(file, "JPEG", exif=exif, quality=90)
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    found = info(file.getvalue())
    assert (found.height, found.width) == (whole.height, whole.width)
    for channels, mode in ((3, "RGB"), (1, "L")):
        want = from_array(np.asarray(whole.convert(mode)), Reading(channels))
        got = decode(file.getvalue(), Reading(channels))
        assert got.shape == want.shape
        assert torch.equal(got, want)


@pytest.mark.parametrize("kept", [True, False], ids=["loader kept", "loader gone"])
@pytest.mark.parametrize("stuck", [False, True], ids=["waiting", "stuck in a picture"])
def test_a_script_ends_while_its_workers_wait(classes, kept, stuck):
    """Workers that are still there when Python ends must not keep it: they do not heed SIGTERM, and one may hang in a picture for ever."""
    import subprocess
    import sys

    script = f"""
import time
from twoviews.base import draws
from twoviews.sources.loader import Loader
from twoviews.sources.spec import open_pictures
from twoviews.views.pipeline import Views
import numpy as np
source = open_pictures({str(classes)!r}).training
pairs = Views(size=16).crop_pairs
def cut(pictures, keys):
    if {stuck} and pictures[0].index == 2:
        time.sleep(1e6)
    return pairs(pictures, keys)
loader = Loader(source, cut, 2)
batches = loader([(np.array([i]), draws.key(i)) for i in range(6)])
print(next(batches).images.shape, flush=True)
if not {kept}:
    del loader
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "3, 16, 16" in done.stdout
    assert not done.stderr
