"""The parts of a set, the files of a folder, and the line that says what was understood of them."""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twoviews.base import console
from twoviews.base.errors import UserError
from twoviews.evaluate.labels import Questions, questions
from twoviews.sources.config import ReadConfig, Reading
from twoviews.sources.find import find
from twoviews.sources.folder import folder
from twoviews.sources.parts import part_of, split_by_part
from twoviews.sources.spec import images, open_pictures
from twoviews.sources.transfer import open_set


def png(number=0, size=(9, 8), format="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(file, format)
    return file.getvalue()


def put(root, *names, data=None):
    """Image files of these names; no two are the same, and two sizes, so that they stay files."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number, (9 + number % 2, 8)) if data is None else data)
    return root


def classed(*folders, classes="ab", each=2):
    return [f"{top}/{name}/{number}.png" for top in folders for name in classes for number in range(each)]


def counts(splits):
    return {part: len(source) for part, source in splits.items()}


def by_name(source):
    return {source.name(i): source.classes[label] for i, label in enumerate(source.labels.tolist())}


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (
            "train",
            "train Train TRAIN training Training trn training_set seg_train imagenet1k-train-0003 train2017 train-00000-of-00012 TrainData trainA "
            "TRAINset trainset traindata images_train X_train.npy train.csv train_256 trainval train_val imagesTr 01_train train.tar caf\udce9_train",
        ),
        (
            "val",
            "val VAL valid Validation validation_set dev devel devset val2017 seg_val imagenet-val-0001 valset ValidationData val_images",
        ),
        (
            "test",
            "test Testing TESTING tst test_set_2 images_test test-00001-of-2 testA test2017 testset holdout hold_out HeldOut imagesTs eval Evaluation",
        ),
        ("unlabelled", "unlabelled unlabeled Unlabeled unsup unsupervised no_label train_unlabeled unlabeled2017 unlabelled_images"),
        (
            None,
            "trainstation contest latest testarossa valley developer trains invalid validated attest detest restrained trainer devices evaluate "
            "train_test train_test_split valtest extra images all a 0001 . _",
        ),
    ],
)
def test_a_part_is_known_by_a_whole_word_of_its_name(part, names):
    assert {name: part_of(name) for name in names.split()} == dict.fromkeys(names.split(), part)
    assert part_of("Train Data") == part_of(" train ") == "train"


@pytest.mark.parametrize(
    ("names", "parts", "left"),
    [
        ("train test", {"train": "train", "test": "test"}, ""),
        ("test val train", {"train": "train", "val": "val", "test": "test"}, ""),
        ("Training Testing docs", {"train": "Training", "test": "Testing"}, "docs"),
        ("train test unlabeled", {"train": "train", "test": "test", "unlabelled": "unlabeled"}, ""),
        ("seg_train seg_test seg_pred", {"train": "seg_train", "test": "seg_test"}, "seg_pred"),
        ("train eval", {"train": "train", "test": "eval"}, ""),
        ("train eval test", {"train": "train", "val": "eval", "test": "test"}, ""),
        ("train val eval", {"train": "train", "val": "val", "test": "eval"}, ""),
        ("trainval test", {"train": "trainval", "test": "test"}, ""),
        ("train val trainval test", {"train": "train", "val": "val", "test": "test"}, "trainval"),
        ("train_images train_masks test_images test_masks", {"train": "train_images", "test": "test_images"}, "train_masks test_masks"),
        ("train train_mini val", {"train": "train", "val": "val"}, "train_mini"),
        ("trainA trainB testA testB", {"train": "trainA trainB", "test": "testA testB"}, ""),
        ("train-0 train-1 validation-0", {"train": "train-0 train-1", "val": "validation-0"}, ""),
        ("val test", {"val": "val", "test": "test"}, ""),
        ("cat dog unlabelled", {"train": "cat dog", "unlabelled": "unlabelled"}, ""),
        ("train foo", {"all": "train"}, "foo"),
        ("train", {"all": "train"}, ""),
        ("test", {"all": "test"}, ""),
        ("cat dog", {"all": "cat dog"}, ""),
        ("synthetic_train real_test", {"train": "synthetic_train", "test": "real_test"}, ""),
        ("train-jpg val-jpg test-tif", {"train": "train-jpg", "val": "val-jpg", "test": "test-tif"}, ""),
        ("train_full test_small", {"train": "train_full", "test": "test_small"}, ""),
        ("Xtrain Xtest", {"train": "Xtrain", "test": "Xtest"}, ""),
        ("mnisttrain mnisttest readme", {"train": "mnisttrain", "test": "mnisttest"}, "readme"),
        ("TR te", {"train": "TR", "test": "te"}, ""),
        ("tr te de", {"all": "tr te de"}, ""),
        ("contest captain", {"all": "contest captain"}, ""),
        ("test_tube beaker", {"all": "test_tube beaker"}, ""),
    ],
)
def test_names_are_sorted_by_part(names, parts, left):
    found = split_by_part(names.split())
    assert {part: " ".join(own) for part, own in found.parts.items()} == parts
    assert list(found.parts) == list(parts)
    assert found.left == left.split()


@pytest.mark.parametrize(
    ("names", "flat", "words"),
    [
        ("train bus car", "train bus car", ["training part", "--parts train=train", "classes", "--parts none"]),
        ("Test cat dog", "Test cat dog", ["test part", "--parts test=Test", "--parts none"]),
        ("valid invalid", "valid invalid", ["val part", "--parts val=valid", "--parts none"]),
        ("test foo", "", ["--parts test=test", "one set", "--parts none"]),
        ("bullet_train test_tube", "bullet_train test_tube", ["--parts train=bullet_train test=test_tube", "classes", "--parts none"]),
        ("train val test eval", "", ["--parts val=eval", "--parts test=eval"]),
    ],
)
def test_two_readings_are_refused_with_both(names, flat, words):
    with pytest.raises(UserError) as error:
        split_by_part(names.split(), flat=flat.split())
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("names", "asked", "parts", "left"),
    [
        ("a b c", "train=a test=b", {"train": "a", "test": "b"}, "c"),
        ("a b c", "train=a b test=c", {"train": "a b", "test": "c"}, ""),
        ("a-1 a-2 b-1", "train=a-* val=b-*", {"train": "a-1 a-2", "val": "b-1"}, ""),
        ("train test x", "train=x", {"train": "x", "test": "test"}, "train"),
        ("train val", "test=val", {"train": "train", "test": "val"}, ""),
        ("cat dog test", "test=test", {"train": "cat dog", "test": "test"}, ""),
        ("train val test eval", "val=eval", {"train": "train", "val": "eval", "test": "test"}, "val"),
        ("train unlabelled", "unlabelled=train unlabelled", {"unlabelled": "train unlabelled"}, ""),
        ("a b", "validation=b training=a", {"train": "a", "val": "b"}, ""),
        ("train bus", "none", {"all": "train bus"}, ""),
        ("train bus", "train=train", {"all": "train"}, "bus"),
    ],
)
def test_parts_that_are_asked_for(names, asked, parts, left):
    found = split_by_part(names.split(), asked.split())
    assert {part: " ".join(own) for part, own in found.parts.items()} == parts
    assert found.left == left.split()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("foo=a", "unknown part 'foo'"),
        ("train=aa", "no name 'aa'. Did you mean a?"),
        ("train", "PART=NAME"),
        ("train=", "PART=NAME"),
        ("train=a test=a", "both train and test"),
    ],
)
def test_wrong_parts_are_refused(asked, words):
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        split_by_part(["a", "b"], asked.split())


@pytest.mark.parametrize(
    ("names", "parts", "want", "classes"),
    [
        (classed("train", "test"), (), {"train": 4, "test": 4}, "ab"),
        (classed("Training", "Testing"), (), {"train": 4, "test": 4}, "ab"),
        (classed("train", "val", "test"), (), {"train": 4, "val": 4, "test": 4}, "ab"),
        (classed("synthetic_train", "real_test"), (), {"train": 4, "test": 4}, "ab"),
        ([*classed("train-jpg", "test-tif"), "docs/1.png"], (), {"train": 4, "test": 4}, "ab"),
        (classed("Xtrain", "Xtest"), (), {"train": 4, "test": 4}, "ab"),
        (classed("tr", "te"), (), {"train": 4, "test": 4}, "ab"),
        (["bullet_train/1.png", "test_tube/1.png", "dog/1.png"], (), {"all": 3}, ["bullet_train", "dog", "test_tube"]),
        ([*classed("train"), *classed("old")], (), {"all": 4}, "ab"),
        ([*classed("train", "test"), "unlabeled/x.png"], (), {"train": 4, "test": 4, "unlabelled": 1}, "ab"),
        ([*classed("train", "test"), "docs/x.png", "logo.png"], (), {"train": 4, "test": 4}, "ab"),
        (classed("data/train", "data/val"), (), {"train": 4, "val": 4}, "ab"),
        ([*classed("data/train", "data/val"), "docs/x.png"], (), {"train": 4, "val": 4}, "ab"),
        (classed("set/images/train", "set/images/test"), (), {"train": 4, "test": 4}, "ab"),
        (classed("seg_train/seg_train", "seg_test/seg_test"), (), {"train": 4, "test": 4}, "ab"),
        (classed("train/images", "test/images"), (), {"train": 4, "test": 4}, "ab"),
        (["train/1.png", "train/2.png", "test1/1.png"], (), {"train": 2, "test": 1}, ""),
        (["trainA/1.png", "trainB/2.png", "testA/1.png"], (), {"train": 2, "test": 1}, ""),
        ([*classed("train"), "docs/1.png"], (), {"all": 4}, "ab"),
        ([*classed("train"), "1.png"], (), {"all": 4}, "ab"),
        (["train/1.png", "2.png"], (), {"all": 2}, ""),
        (classed("train"), (), {"all": 4}, "ab"),
        (classed("test"), (), {"all": 4}, "ab"),
        (classed("PetImages"), (), {"all": 4}, "ab"),
        (["2020/05/01/1.png", "2020/05/02/1.png"], (), {"all": 2}, ""),
        (["train/1.png", "bus/2.png"], ("none",), {"all": 2}, ["bus", "train"]),
        (["w/train/1.png", "w/bus/2.png"], ("none",), {"all": 2}, ["bus", "train"]),
        (["cat/1.png", "dog/1.png", "test/cat/1.png", "test/dog/1.png"], ("test=test",), {"train": 2, "test": 2}, ["cat", "dog"]),
        (
            classed("cat/train", "cat/test", "dog/train", "dog/test"),
            ("train=*/train", "test=*/test"),
            {"train": 8, "test": 8},
            ["cat", "dog"],
        ),
        (classed("2019", "2020", "2021"), ("train=2019", "2020", "test=2021"), {"train": 8, "test": 4}, "ab"),
        (classed("photo/train", "photo/test", "sketch/train"), ("train=photo/train", "test=photo/test"), {"train": 4, "test": 4}, "ab"),
    ],
)
def test_folders_of_parts(tmp_path, names, parts, want, classes):
    found = folder(put(tmp_path, *names, data=b"x"), Reading(), parts)
    assert counts(found) == want
    first = next(iter(found.values()))
    assert first.classes == list(classes)
    for source in found.values():
        assert all(source.path(i).is_file() for i in range(len(source)))
        if classes and source.labels is not None:  # the class is in the path, where only one of them is
            for i in range(len(source)):
                inside = [piece for piece in source.path(i).relative_to(tmp_path).parts if piece in source.classes]
                assert source.classes[source.labels[i]] == inside[0]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train/1.png", "bus/2.png", "car/3.png"], r"folders train, bus, car.*--parts train=train; or they are classes.*--parts none"),
        (["cat/1.png", "dog/1.png", "test/cat/1.png"], r"--parts test=test; or they are classes.*--parts none"),
        (["bullet_train/1.png", "test_tube/2.png"], r"--parts train=bullet_train test=test_tube; or they are classes.*--parts none"),
        (["bicycle/x/1.png", "train/y/1.png", "bus/z/1.png"], r"--parts train=train; or they are classes.*--parts none"),
        (
            ["c/1.png", "d/1.png", "old/train/x.png", "old/test/y.png"],
            r"old in .* holds parts.*--parts train=old/train test=old/test.*--parts none",
        ),
        ([*classed("cat/train", "cat/test"), "dog/1.png"], r"--parts train=cat/train test=cat/test.*--parts none"),
        ([*classed("X/train", "Y/test")], r"--parts train=X/train test=Y/test.*--parts none"),
        (classed("cat/train", "cat/test", "dog/train", "dog/test"), r"cat, dog.*--parts train=\*/train test=\*/test; or sets of their own"),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_refused(tmp_path, names, words):
    with pytest.raises(UserError, match=words):
        folder(put(tmp_path, *names, data=b"x"), Reading())


def test_validation_is_neither_trained_nor_tested_on(tmp_path):
    put(tmp_path, *classed("train", each=4), *classed("val", each=3), *classed("test"))
    pictures = open_pictures(tmp_path)
    assert counts(pictures.splits) == {"train": 8, "val": 6, "test": 4}
    assert len(pictures.training) == len(pictures.labelled) == 8
    assert len(pictures.test) == 4
    assert len(pictures.validation) == 6
    assert len(images(tmp_path, "val")) == 6
    asked = questions(pictures)
    assert [len(ids) for ids in asked.split(0)] == [8, 4]
    assert asked.describe() == "the set's own test part (4 pictures)"
    other = open_pictures(tmp_path, config=ReadConfig(test_on="val"))
    assert len(other.test) == 6
    assert other.validation is None
    assert [len(ids) for ids in questions(other).split(0)] == [8, 6]
    assert questions(other).describe() == "the set's own val part (6 pictures)"


def test_choices_are_made_on_the_validation_part_where_all_labels_are_used(tmp_path):
    put(tmp_path, *classed("train", each=4), *classed("val", each=3), *classed("test"))
    asked = questions(open_pictures(tmp_path), choices=True)
    assert [len(ids) for ids in asked.split(0)] == [8, 4]
    assert asked.choosing(np.arange(8), 0).tolist() == list(range(12, 18))
    assert asked.labels[12:].tolist() == [0, 0, 0, 1, 1, 1]
    assert not len(asked.choosing(np.arange(4), 0))  # few labels are few
    found = open_set(str(tmp_path), ReadConfig())
    assert [len(part) for part in (found.train, found.validation, found.test)] == [8, 6, 4]


def test_without_a_test_part_some_of_the_training_part_is_held_out_and_that_is_told(tmp_path, capsys):
    put(tmp_path, *classed("train", each=5), *classed("val", each=3))
    with console.command():
        asked = questions(open_pictures(tmp_path), choices=True)
    train, test = asked.split(0)
    assert [len(train), len(test)] == [8, 2]
    assert max(*train, *test) == 9
    assert asked.choosing(train, 0).tolist() == list(range(10, 16))
    err = capsys.readouterr().err
    assert "has no part test: 20 % of each class are held out for it. Its val part of 6 images is not tested on; --test-on val does" in err
    with pytest.raises(UserError, match=r"--test-on val.*no such part; it has all"):
        open_pictures(put(tmp_path / "other", "1.png", "2.png"), config=ReadConfig(test_on="val"))


def test_held_out_parts_alone_leave_nothing_to_learn_from(tmp_path):
    pictures = open_pictures(put(tmp_path, *classed("val", "test")))
    assert counts(pictures.splits) == {"val": 4, "test": 4}
    for part in ("training", "labelled"):
        with pytest.raises(UserError, match=r"parts val, test and none to learn from: --parts train=NAME"):
            getattr(pictures, part)


def test_one_picture_a_class_leaves_nothing_to_test_on(tmp_path):
    asked = questions(open_pictures(put(tmp_path, *classed(".", classes="abc", each=1))))
    with pytest.raises(UserError, match="3 classes of 1 image each: nothing is left to test on"):
        asked.split(0)
    assert [len(ids) for ids in Questions(np.array([0, 0, 1]), 2, None).split(0)] == [2, 1]


def test_one_class_has_one_number_in_all_parts(tmp_path):
    put(
        tmp_path,
        *classed("train", classes="acd"),
        *classed("val", classes="cd"),
        *classed("test", classes="d"),
        *classed("unlabelled", classes="bd"),
    )
    for memory in (True, False):
        pictures = open_pictures(tmp_path, in_memory=memory)
        for part, source in pictures.splits.items():
            assert {name[0]: source.classes.index(label) for name, label in by_name(source).items()} == {
                name: ["a", "c", "d", "b"].index(name) for name in {"val": "cd", "test": "d", "unlabelled": "bd"}.get(part, "acd")
            }
        assert pictures.training.classes == ["a", "c", "d", "b"]
        assert pictures.labelled.classes == ["a", "c", "d"]


@pytest.mark.parametrize("side", [(9, 8), (150, 140)], ids=["in memory", "files"])
def test_a_class_of_broken_files_only_moves_no_label(tmp_path, side):
    for name in ("b/1.png", "b/2.png", "d/1.png", "test/x/1.png"):
        put(tmp_path, f"train/{name}" if "test" not in name else "test/d/1.png", data=png(len(name), side))
    for name in ("train/a/1.png", "train/c/1.png", "train/e/1.png", "train/b/3.png", "test/b/1.png"):
        put(tmp_path, name, data=b"broken")
    pictures = open_pictures(tmp_path)
    assert pictures.training.classes == ["b", "d"]
    assert by_name(pictures.training) == {"b/1.png": "b", "b/2.png": "b", "d/1.png": "d"}
    assert by_name(pictures.test) == {"d/1.png": "d"}
    assert pictures.test.labels.tolist() == [1]
    assert questions(pictures).labels.tolist() == [0, 0, 1, 1]


def test_what_systems_leave_behind_is_passed_by_and_counted(tmp_path):
    put(tmp_path, "a/1.png", "b/2.png")
    junk = ["__MACOSX/a/1.png", "a/.ipynb_checkpoints/1.png", "lost+found/1.png", "a/@eaDir/1.png", ".cache/x.png", "a/thumbnails/1.png"]
    put(tmp_path, *junk, "$RECYCLE.BIN/1.png", "a/.thumbnails/1.png", "a/._1.png", "a/.hidden.png", "b/Thumbs.db", ".DS_Store", data=b"x")
    found = find(tmp_path)
    assert found.names == ["a/1.png", "b/2.png"]
    assert not found.others
    assert found.junk == Counter(
        {
            "hidden folders": 3,
            "hidden files": 3,
            "__MACOSX": 1,
            "lost+found": 1,
            "@eaDir": 1,
            "thumbnails": 1,
            "$RECYCLE.BIN": 1,
            "Thumbs.db": 1,
        }
    )
    assert counts(folder(tmp_path, Reading())) == {"all": 2}


def test_links_to_folders_are_followed_but_no_folder_is_taken_twice(tmp_path):
    far = put(tmp_path / "far", "cat/1.png", "dog/1.png", "dog/deep/2.png", data=b"x")
    root = put(tmp_path / "root", "bird/1.png", data=b"x")
    for link, target in {
        "cat": far / "cat",
        "dog": far / "dog",
        "dog again": far / "dog",
        "bird again": "bird",
        "bird/loop": "..",
        "above": tmp_path,
        "gone": "nowhere",
        "itself": "itself",
    }.items():
        (root / link).symlink_to(target)
    (far / "dog" / "back").symlink_to(far / "cat")
    (root / "bird" / "2.png").symlink_to(far / "cat" / "1.png")
    assert find(root).names == ["bird/1.png", "bird/2.png", "cat/1.png", "dog/1.png", "dog/deep/2.png"]
    assert folder(root, Reading())["all"].classes == ["bird", "cat", "dog"]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
def test_files_without_an_ending_are_known_by_their_content(tmp_path, format):
    put(tmp_path, "abc", "abc.1234", "0.9f3e", "photo.jpg_large", "photo.jpg?w=3", data=png(1, format=format))
    put(tmp_path, "README", "x.5678", data=b"text")
    os.mkfifo(tmp_path / "pipe")
    found = find(tmp_path)
    assert found.names == ["0.9f3e", "abc", "abc.1234", "photo.jpg?w=3", "photo.jpg_large"]
    assert found.others == Counter({"without an ending": 3})


def test_files_that_are_not_taken_are_counted_by_ending(tmp_path):
    put(tmp_path, "1.png", "2.PNG")
    put(tmp_path, "1.xyz", "2.XYZ", "old.jpg~", "clip.mp4", "drawing.svg", "a.b", "notes.txt", "labels.CSV", "1.json", "1.xml", data=b"x")
    assert find(tmp_path).others == Counter({".xyz": 2, ".jpg~": 1, ".mp4": 1, ".svg": 1, ".b": 1})
    assert open_pictures(tmp_path).understood.startswith("2 images without labels; 6 files not taken: 2 .xyz, ")
    with pytest.raises(UserError, match=r"no pictures in .*; 1 file not taken: 1 \.xyz; passed by: 1 hidden files"):
        open_pictures(put(tmp_path / "none", "1.xyz", ".a.png", data=b"x"))


def test_one_line_says_what_was_understood(tmp_path, capsys):
    put(
        tmp_path,
        *classed("train", classes=["cat", "dog", "emu", "fox"], each=3),
        *classed("val", classes=["cat"]),
        *classed("test", classes=["dog"]),
    )
    put(tmp_path, "docs/1.png", "2.png")
    put(tmp_path, "train/cat/x.xyz", data=b"x")
    put(tmp_path, "train/cat/bad.png", data=b"")
    want = (
        "16 images, 4 classes (cat, dog, emu, …) in train 12 · val 2 · test 2; left out: 1 image in docs, 1 image beside the folders; "
        "2 files not taken: 1 .xyz, 1 unreadable ({})"
    )
    assert open_pictures(tmp_path).understood == want.format("train/cat/bad.png: empty file")
    assert capsys.readouterr().err == ""  # Python callers can ask
    with console.command():
        for _ in range(2):
            open_pictures(tmp_path, listed="skipped.csv")
    assert capsys.readouterr().err == f"{tmp_path}: {want.format('skipped.csv')}\n"
    with console.command():
        open_pictures(tmp_path / "docs")
        console.say("next")
        assert capsys.readouterr().err == f"{tmp_path / 'docs'}: 1 image without labels\nnext\n"


def test_details_are_told_where_they_are_asked_for(tmp_path, capsys):
    put(tmp_path / "set", *classed("data/train", "data/test"), ".hidden/1.png")
    (tmp_path / "set" / "data" / "loop").symlink_to(tmp_path / "set")
    for details in (False, True):
        with console.command(details):
            open_pictures(tmp_path / "set")
        err = capsys.readouterr().err
        assert ("1 hidden folders" in err) is ("the link data/loop is not followed" in err) is ("lie in data/" in err) is details


def test_names_of_any_bytes(tmp_path, capsys):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        put(root, *(f"{top}/{os.fsdecode(name)}/1.png" for top in ("train\udce9", "test\udce9") for name in (b"a\xff", b"b\n[red]")))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with console.command():
        pictures = open_pictures(root)
    assert counts(pictures.splits) == {"train": 2, "test": 2}
    assert pictures.training.classes == ["a\udcff", "b\n[red]"]
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["thumbs", "Thumbnails"])
def test_thumbnails_on_the_level_of_classes_are_told(tmp_path, name):
    put(tmp_path, *classed("cat", "dog"), f"{name}/1.png", f"{name}/2.png")
    put(tmp_path, "cat/1.png", f"cat/{name}/3.png")
    found = open_pictures(tmp_path)
    assert found.understood == f"9 images, 2 classes (cat, dog); left out: 2 images in {name}, as thumbnails (rename it to take it)"


@pytest.mark.parametrize(
    ("names", "want", "left"),
    [
        (["images/1.png", "masks/1.png"], {"all": ["images/1.png"]}, "1 image in a folder masks"),
        (["imgs/1.png", "depth/1.png", "gt/1.png"], {"all": ["imgs/1.png"]}, "1 image in a folder depth, 1 image in a folder gt"),
        (["JPEGImages/1.png", "SegmentationClass/1.png"], {"all": ["JPEGImages/1.png"]}, "1 image in a folder SegmentationClass"),
        (
            [f"{kind}/{own}/1.png" for kind in ("COVID", "Normal") for own in ("images", "masks")],
            {"all": ["COVID/images/1.png", "Normal/images/1.png"]},
            "2 images in folders masks",
        ),
        (
            [f"{own}/{part}/a/{n}.png" for n, part in enumerate(("training", "validation")) for own in ("images", "annotations")],
            {"train": ["a/0.png"], "val": ["a/1.png"]},
            "2 images in a folder annotations",
        ),
        (
            [f"{own}/{part}/{n}.png" for n, own in enumerate(("images", "labels")) for part in ("a", "b")],
            {"all": ["images/a/0.png", "images/b/0.png"]},
            "2 images in a folder labels",
        ),
        (["mask/1.png", "depth/2.png"], {"all": ["depth/2.png", "mask/1.png"]}, ""),
        (["with mask/1.png", "without mask/1.png"], {"all": ["with mask/1.png", "without mask/1.png"]}, ""),
    ],
)
def test_masks_beside_images_are_no_class(tmp_path, names, want, left):
    found = folder(put(tmp_path, *names, data=b"x"), Reading())
    assert {part: [source.name(i) for i in range(len(source))] for part, source in found.items()} == want
    assert ", ".join(next(iter(found.values())).beside) == left


def test_parts_none_takes_folders_of_masks_too(tmp_path):
    assert folder(put(tmp_path, "images/1.png", "masks/1.png", data=b"x"), Reading(), ("none",))["all"].classes == ["images", "masks"]


@pytest.mark.parametrize(
    ("top", "stray"),
    [
        ("", "cover.png"),
        ("train/", "train/cover.png"),
        ("PetImages/", "PetImages/cover.png"),
        ("PetImages/", "cover.png"),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_one_image_in_no_class_folder_is_named(tmp_path, top, stray, in_memory):
    put(tmp_path, *classed(f"{top}.", each=2), stray)
    pictures = open_pictures(tmp_path, in_memory=in_memory)
    assert pictures.understood == f"5 images without labels ({stray} lies in no class folder)"
    with pytest.raises(UserError, match=f"{stray} lies in no class folder, and all others do: move or delete it"):
        questions(pictures)


@pytest.mark.parametrize("asked", [("train=a/", "test=b/"), ("train=./a", "test=./b/"), ("train=a/,b/",)])
def test_parts_as_a_shell_completes_them(tmp_path, asked):
    put(tmp_path, *classed("a", "b", classes="xy"))
    found = open_pictures(tmp_path, config=ReadConfig(parts=tuple(asked[0].split(",")) if len(asked) == 1 else asked))
    assert counts(found.splits) == ({"train": 4, "test": 4} if len(asked) == 2 else {"all": 8})


@pytest.mark.parametrize("size", [(9, 8), (300, 8)], ids=["in memory", "files"])
def test_unreadable_files_are_named_with_their_part(tmp_path, size):
    put(tmp_path, *classed("train", "val", "test"), data=png(1, size))
    put(tmp_path, "train/a/bad.png", "test/a/bad.png", data=b"")
    assert [name for name, _ in open_pictures(tmp_path).skipped] == ["train/a/bad.png", "test/a/bad.png"]
    assert [name for name, _ in open_pictures(tmp_path / "train").skipped] == ["a/bad.png"]


def test_classes_of_the_test_part_alone_are_in_the_line(tmp_path):
    put(tmp_path, "train/Cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png")
    assert open_pictures(tmp_path).understood == "4 images, 2 classes (Cat, dog), 1 more in test alone (cat) in train 2 · test 2"


def test_frames_of_small_images_are_told(tmp_path):
    for n in range(3):
        one, two = (Image.fromarray(np.full((20, 20), shade + n, np.uint8)) for shade in (0, 100))
        one.save(tmp_path / f"{n}.gif", save_all=n > 0, append_images=[two] * (n > 0))
    found = open_pictures(tmp_path)
    assert found.remarks == ["2 files hold several frames or pages: the first is taken (1.gif, 2.gif)"]
    assert hasattr(found.training, "images"), "they live in memory"


METADATA = "file_name,label\n{0}1.png,a\n{0}2.png,b\n"


def test_a_part_without_its_list_is_taken_as_a_folder(tmp_path):
    put(tmp_path, "train/1.png", "train/2.png", "train/3.png", *classed("test"), "docs/1.png")
    (tmp_path / "train" / "metadata.csv").write_text(METADATA.format(""))
    found = open_pictures(tmp_path)
    assert found.understood == "6 images, 2 classes (a, b) in train 2 · test 4; left out: 2 images not in metadata.csv"
    assert by_name(found.test) == {f"test/{name}/{n}.png": name for name in "ab" for n in range(2)}


@pytest.mark.parametrize("names", [classed("test", classes="xy"), ["test/1.png", "test/2.png"]])
def test_a_part_without_a_list_and_without_its_classes_has_no_labels(tmp_path, names):
    put(tmp_path, "train/1.png", "train/2.png", *names)
    (tmp_path / "train" / "metadata.csv").write_text(METADATA.format(""))
    found = open_pictures(tmp_path)
    assert found.training.classes == ["a", "b"]
    assert set(found.test.labels.tolist()) == {-1}


@pytest.mark.parametrize("below", ["", "data/"])
def test_images_that_a_list_does_not_name_are_counted(tmp_path, below):
    put(tmp_path / below, "train/1.png", "train/2.png", "train/3.png", "4.png")
    (tmp_path / below / "metadata.csv").write_text(METADATA.format("./train/"))
    assert open_pictures(tmp_path).understood.endswith("2 images, 2 classes (a, b); left out: 2 images not in metadata.csv")
