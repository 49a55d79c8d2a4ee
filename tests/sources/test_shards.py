"""Tar files of others: which files are one sample, which image of it is meant, where its label stands; and what `twoviews shard` writes, read back."""

from __future__ import annotations

import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from twoviews.base.errors import UserError
from twoviews.sources.config import ReadConfig
from twoviews.sources.shard import shard, write_shard
from twoviews.sources.source import labelled
from twoviews.sources.spec import open_pictures

KINDS = ("B\udce4r", "Kuh")  # one is no UTF-8


def png(shade: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 9), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(path, *members, **options):
    """A tar of members: names of images, whose red is their place, or (name, text)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for n, one in enumerate(members):
            name, data = (one, png(n)) if isinstance(one, str) else (one[0], one[1].encode())
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def read(tmp_path):
    def opened(pattern, **options):
        return open_pictures(
            f"shards:{pattern}", config=ReadConfig(check="none", cache=str(tmp_path / "cache"), **options), in_memory=False
        )

    return opened


def named(source):
    """[(name, class or None)] of a source."""
    labels = [-1] * len(source) if source.labels is None else source.labels.tolist()
    return [(source.name(i), None if n < 0 else source.classes[n]) for i, n in enumerate(labels)]


def names(source):
    return [source.name(i) for i in range(len(source))]


def shades(source):
    return [int(source.read(i)[0, 0, 0]) for i in range(len(source))]


SAMPLES = {
    "image before depth": (["0.depth.png", "0.jpg"], ["0.jpg"]),
    "image before mask": (["0.mask.png", "0.png", "1.png", "1.mask.png"], ["0.png", "1.png"]),
    "photograph before its mask of the same name": (["0.png", "0.jpg", "1.png", "1.jpg"], ["0.jpg", "1.jpg"]),
    "rgb before depth": (["0.depth.png", "0.rgb.png"], ["0.rgb.png"]),
    "a sample with nothing but a mask": (["0.jpg", "0.seg.png", "1.seg.png"], ["0.jpg"]),
    "nothing but depths": (["0.depth.png", "1.depth.png"], ["0.depth.png", "1.depth.png"]),
    "two views": (["0.right.png", "0.left.png"], ["0.right.png"]),
    "other words": (["0.foo.png", "0.bar.png", "1.foo.png", "1.bar.png"], ["0.foo.png", "1.foo.png"]),
    "dates": (["2023.01.01.png", "2023.01.02.png"], ["2023.01.01.png", "2023.01.02.png"]),
    "dates and depths": (["2023.01.depth.png", "2023.01.png", "2023.02.png", "2023.02.depth.png"], ["2023.01.png", "2023.02.png"]),
    "dates of several endings": (["a.1.png", "a.2.jpg"], ["a.1.png", "a.2.jpg"]),
    "numbers behind words": (["cat.0.jpg", "cat.1.jpg", "dog.0.jpg"], ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg"]),
    "versions": (["v1.2/0.png", "v1.2/1.png", "v1.3/0.png"], ["v1.2/0.png", "v1.2/1.png", "v1.3/0.png"]),
    "capitals": (["0.Depth.PNG", "0.JPG"], ["0.JPG"]),
    "hidden and Apple's": (["._0.png", "__MACOSX/0.png", "d/0.png", "d/.1.png"], ["d/0.png"]),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_sample_is_its_plain_image(tmp_path, read, kind):
    files, want = SAMPLES[kind]
    source = read(write(tmp_path / "a.tar", *files)).training
    assert names(source) == want
    assert shades(source) == [files.index(name) for name in want]
    again = read(tmp_path / "a.tar").training  # from what is kept of the tar
    assert (names(again), again.remarks) == (want, source.remarks)


def test_an_image_is_chosen_by_its_ending(tmp_path, read):
    write(tmp_path / "a.tar", "0.depth.png", "0.JPG", "1.depth.png", "1.JPG", "2.JPG")
    source = read(tmp_path / "a.tar").training
    assert names(source) == ["0.JPG", "1.JPG", "2.JPG"]
    assert source.remarks[0] == "a.tar: several images a sample (jpg, depth.png): jpg is taken (--image-key chooses)"
    for key in ("depth.png", ".Depth.PNG"):
        source = read(tmp_path / "a.tar", image_key=key).training
        assert names(source) == ["0.depth.png", "1.depth.png"]
        assert source.remarks[-1] == "a.tar: 1 sample without an image ending in depth.png left out"
    with pytest.raises(UserError, match=r"no image in it ends in 'dept\.png'\. Did you mean depth\.png\? Endings are jpg, depth\.png"):
        read(tmp_path / "a.tar", image_key="dept.png")


LABELS = {
    ".cls": ([("0.cls", "10"), ("1.cls", "9\n")], ["10", "9"]),
    ".CLS": ([("0.CLS", "10"), ("1.CLS", "9")], ["10", "9"]),
    ".cls.txt": ([("0.cls.txt", "cat\n"), ("1.cls.txt", "dog"), ("1.txt", "a dog on a mat")], ["cat", "dog"]),
    "IDs": ([("0.cls", "1000000000000"), ("1.cls", "2084071")], ["1000000000000", "2084071"]),
    "minus one": ([("0.cls", "-1"), ("1.cls", "9"), ("2.cls", "10")], [None, "9", "10"]),
    "label in .json": ([("0.json", '{"label": 10.0, "x": {}}'), ("1.json", '{"Label": 9}'), ("2.json", "broken")], ["10", "9", None]),
    "class in .json": ([("0.json", '{"class": "cat"}'), ("1.json", '{"cls": "dog"}')], ["cat", "dog"]),
    ".cls before .json": ([("0.json", '{"label": 5}'), ("0.cls", "cat"), ("1.cls", "dog")], ["cat", "dog"]),
    "one in a list": ([("0.json", '{"label": [3]}'), ("1.json", '{"label": ["4"]}'), ("2.json", '{"label": []}')], ["3", "4", None]),
    "captions": ([("0.txt", "a cat"), ("1.txt", "a dog")], [None, None]),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("dotted", [False, True])
def test_labels_stand_beside_the_image(tmp_path, read, kind, dotted):
    beside, want = LABELS[kind]
    key = "day.{}" if dotted else "{}"
    files = [f"{key.format(n)}.png" for n in range(3)]
    source = read(write(tmp_path / "a.tar", *files, *((key.format(name), text) for name, text in beside))).training
    assert [label for _, label in named(source)] == [*want, None][:3]
    numbers = [text for text in source.classes if text.isdecimal()]
    assert numbers == sorted(numbers, key=int)


def test_several_labels_a_sample_are_for_training_only(tmp_path, read):
    source = read(write(tmp_path / "a.tar", "0.png", ("0.json", '{"label": [1, 2]}'), "1.png", ("1.json", '{"label": [1]}'))).training
    assert source.labels is None
    with pytest.raises(UserError, match=r"needs one label an image: there are several labels an image in the \.json files"):
        labelled(source, "an evaluation")
    source = read(write(tmp_path / "b.tar", "0.png")).training
    with pytest.raises(UserError, match=r"these shards hold no \.cls files"):
        labelled(source, "an evaluation")


@pytest.mark.parametrize("files", [("0.png", ("0.cls", "a"), "0.png", ("0.cls", "b")), (("0.cls", "a"), "0.png", ("0.cls", "b"), "0.png")])
def test_names_that_are_there_twice_are_told_and_both_taken(tmp_path, read, files):
    source = read(write(tmp_path / "a.tar", *files)).training
    assert named(source) == [("0.png", "a"), ("0.png", "b")]
    assert len(set(shades(source))) == 2
    assert source.remarks == ["a.tar holds 1 name more than once, and all their files are taken (0.png)"]
    write(tmp_path / "b.tar", "0.png", ("0.cls", "a"))
    assert "2 names of images more than once in these shards, and all are taken" in read(tmp_path / "*.tar").training.remarks


@pytest.mark.parametrize(
    "files",
    [
        ("imagenet1k-train-0000", "imagenet1k-train-0001", "imagenet1k-validation-0000", "imagenet1k-test-0000"),
        ("train-000001", "train-2", "val-0", "test"),
        ("train/000", "train/001", "val/000", "test/000"),
    ],
)
def test_parts_go_by_the_names_of_shards(tmp_path, read, files):
    for n, name in enumerate(files):
        write(tmp_path / "set" / f"{name}.tar", f"{n}.png", (f"{n}.cls", str((7, 8, 8, 7)[n])))
    found = read(tmp_path / "set" / ("*/*.tar" if "/" in files[0] else "*.tar"))
    assert {part: named(source) for part, source in found.splits.items()} == {
        "train": [("0.png", "7"), ("1.png", "8")], "val": [("2.png", "8")], "test": [("3.png", "7")],
    }  # fmt: skip
    assert [source.labels.tolist() for source in found.splits.values()] == [[0, 1], [1], [0]]


@pytest.fixture
def listed(tmp_path):
    """Three parts whose classes are no UTF-8, the test part without one of them."""
    for part, count in (("train", 4), ("val", 3), ("test", 1)):
        for n in range(count):
            folder = os.fsencode(tmp_path / "photos" / part / KINDS[n % 2])
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 (bytes)
            with open(folder + b"/%d.png" % n, "wb") as file:  # noqa: PTH123
                file.write(png(10 * n + len(part)))
    rows = [
        f"{part}/{KINDS[n % 2]}/{n}.png,{10**12 + n % 2},{part}\n"
        for part, count in (("train", 4), ("val", 3), ("test", 1))
        for n in range(count)
    ]
    (tmp_path / "photos" / "list.csv").write_bytes(("path,label,split\n" + "".join(rows)).encode("utf-8", "surrogateescape"))
    return tmp_path / "photos"


@pytest.mark.parametrize("pattern", ["", "/*.tar"])
def test_what_shard_writes_comes_back(tmp_path, listed, read, pattern):
    before = open_pictures(listed / "list.csv", in_memory=False)
    shard(listed / "list.csv", tmp_path / "out", per_shard=3)
    after = read(f"{tmp_path / 'out'}{pattern}")
    assert {part: sorted(named(source)) for part, source in after.splits.items()} == {
        part: sorted(named(source)) for part, source in before.splits.items()
    }
    assert list(after.splits) == ["train", "val", "test"]
    assert after.training.classes == [str(10**12), str(10**12 + 1)]
    for part, source in after.splits.items():
        own = before.splits[part]
        at = {own.name(n): n for n in range(len(own))}
        assert [source.bytes(n) for n in range(len(source))] == [own.bytes(at[source.name(n)]) for n in range(len(source))]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("pattern", ["", "/*.tar"])
def test_classes_that_are_no_utf8_come_back(tmp_path, listed, read, pattern, lost):
    before = open_pictures(listed / "train", in_memory=False).training
    shard(listed / "train", tmp_path / "out", per_shard=3)
    json.loads((tmp_path / "out" / "index.json").read_text("utf-8"))
    if lost:
        for beside in (tmp_path / "out").glob("*.index.parquet"):
            beside.unlink()
    after = read(f"{tmp_path / 'out'}{pattern}").training
    shown = ["B\\xe4r", "Kuh"] if lost and pattern else list(KINDS)
    assert list(after.classes) == shown
    reds = dict(zip(shades(before), before.labels.tolist(), strict=True))
    assert [reds[red] for red in shades(after)] == after.labels.tolist()


def test_parts_with_other_classes_keep_their_names(tmp_path, read):
    class Own:
        """A source of four gray images."""

        def __init__(self, classes):
            self.classes, self.labels, self.fingerprint = classes, np.array([0, 1, 1, 0]), str(classes)

        def __len__(self):
            return 4

        def name(self, index):
            return f"{index}.png"

        def read(self, index):
            return torch.zeros(1, 9, 9, dtype=torch.uint8)

    write_shard(Own(["c", "b"]), np.arange(4), tmp_path / "test-0.tar", ["a", "b", "c"])
    index = pq.read_table(tmp_path / "test-0.tar.index.parquet")
    assert index.column("label").to_pylist() == [2, 1, 1, 2]
    assert [label for _, label in named(read(tmp_path / "test-0.tar").training)] == ["c", "b", "b", "c"]


def test_indexes_of_before_are_read(tmp_path, listed, read):
    """They hold the names of classes as text."""
    shard(listed / "list.csv", tmp_path / "out", per_shard=3)
    want = {part: named(source) for part, source in read(tmp_path / "out").splits.items()}
    for beside in (tmp_path / "out").glob("*.index.parquet"):
        table = pq.read_table(beside)
        place = table.column_names.index("class")
        pq.write_table(table.set_column(place, "class", table.column("class").cast(pa.string())), beside)
    for pattern in ("", "/*.tar"):
        assert {part: named(source) for part, source in read(f"{tmp_path / 'out'}{pattern}").splits.items()} == want


def test_what_a_tar_holds_and_is_not_taken_is_counted(tmp_path, read):
    path = write(
        tmp_path / "a.tar", "0.png", ("0.cls", "a"), ("1.jxl", "x"), ("2.bad.png", "x"), "3.png", ("3.cls", "b"), ("clip.mp4", "x"), ("5.exr", "x"),
        "00a1b2", ("notes", "x"), ("README.txt", "x"), ("__MACOSX/z.xyz", "x"),
    )  # fmt: skip
    source = read(path).training
    assert names(source) == ["0.png", "2.bad.png", "3.png", "00a1b2"]
    assert source.labels.tolist() == [0, -1, 1, -1]
    for _ in range(2):  # the second time from what is kept of the tar
        found = open_pictures(f"shards:{path}", config=ReadConfig(cache=str(tmp_path / "cache")))
        assert found.understood.startswith("3 images, 2 classes (a, b), 1 image without a label; 5 files not taken: 1 .jxl, 1 .mp4, 1 .exr")
        assert "1 without an ending, 1 unreadable (2.bad.png: " in found.understood
        assert found.training.labels.tolist() == [0, 1, -1]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_in_a_tar(tmp_path, read, kind):
    path = write(tmp_path / "a.tar", "0.png", "x/1.png")
    with tarfile.open(path, "a") as archive:
        for name, to in (("2.png", "x/1.png"), ("3.png", "gone.png")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, to
            archive.addfile(member)
    found = read(path)
    assert shades(found.training) == ([0, 1, 1] if kind == tarfile.LNKTYPE else [0, 1])
    assert f"not taken: {1 if kind == tarfile.LNKTYPE else 2} links" in found.understood


def test_shards_of_several_sizes_are_looked_at_before_a_run(tmp_path):
    large = io.BytesIO()
    Image.new("RGB", (20, 30)).save(large, "PNG")
    path = write(tmp_path / "a.tar", "0.png", ("1.png", "broken"), "2.png")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("3.png")
        member.size = len(large.getvalue())
        archive.addfile(member, io.BytesIO(large.getvalue()))
    found = open_pictures(f"shards:{path}", config=ReadConfig(cache=str(tmp_path / "cache")))
    assert shades(found.training) == [0, 2, 0]
    assert [name for name, _ in found.skipped] == ["1.png"]


@pytest.mark.parametrize("files", [("synthetic_train-0", "real_test-0"), ("train_full", "test_small"), ("tr", "te")])
def test_shards_of_other_words_are_parts_too(tmp_path, read, files):
    for n, name in enumerate(files):
        write(tmp_path / "set" / f"{name}.tar", f"{n}.png")
    assert {part: names(source) for part, source in read(tmp_path / "set" / "*.tar").splits.items()} == {
        "train": ["0.png"],
        "test": ["1.png"],
    }
