"""Images with boxes: their turns by EXIF, the layouts that sets come in, and faults that are named."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from twoviews.base.console import command, say, tell
from twoviews.base.errors import UserError
from twoviews.evaluate.detect import example
from twoviews.sources.boxes import TEST, TRAIN, VALIDATION, open_boxes
from twoviews.sources.values import UPRIGHT

XML = "<annotation><filename>{name}</filename>{size}{objects}</annotation>"
SIZE = "<size><width>{0}</width><height>{1}</height><depth>3</depth></size>"
OBJECT = "<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
BOX = (60, 20, 90, 40)  # left, top, right, bottom from 0, of the object in a stored image of 100 x 80


def image(path, orientation=1, size=(100, 80), box=BOX):
    """A black image with a white object, and EXIF's orientation."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    exif = Image.Exif()
    exif[274] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, quality=95) if path.suffix == ".jpg" else Image.fromarray(pixels).save(path, exif=exif)


def xml(path, boxes=(("a", BOX),), size=(100, 80), name=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(OBJECT.format(b[0] + 1, b[1] + 1, b[2], b[3], name=label) for label, b in boxes)
    path.write_text(XML.format(name=f"{path.stem}.jpg" if name is None else name, size=SIZE.format(*size) if size else "", objects=objects))


def coco(path, names, boxes=None, size=(100, 80), categories=((1, "a"),), **more):
    """`boxes`: for each a (number of the image, category, [x, y, w, h]), and further keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left, top, right, bottom = BOX
    boxes = [(i, categories[0][0], [left, top, right - left, bottom - top]) for i in range(len(names))] if boxes is None else boxes
    images = [{"id": i + 5, "file_name": name} | ({"width": size[0], "height": size[1]} if size else {}) for i, name in enumerate(names)]
    items = [
        {"id": n, "image_id": i + 5, "category_id": c, "bbox": b} | (rest[0] if rest else {}) for n, (i, c, b, *rest) in enumerate(boxes)
    ]
    data = {"images": images, "categories": [{"id": i, "name": n} for i, n in categories], "annotations": items}
    path.write_text(json.dumps(data | more))


def yolo(path, boxes=((0, BOX),), size=(100, 80)):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for label, (left, top, right, bottom) in boxes:
        shares = ((left + right) / 2 / size[0], (top + bottom) / 2 / size[1], (right - left) / size[0], (bottom - top) / size[1])
        lines.append(f"{label} " + " ".join(map(str, shares)))
    path.write_text("\n".join(lines))


def lies_on_its_object(boxes, index=0):
    pixels, target = example(boxes, index, False)
    y, x = np.nonzero(pixels[0].numpy() > 0.5)
    found = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    return np.abs(np.array(target["boxes"][0].tolist()) - found).max() < 0.01


def turned_box(orientation, size=(100, 80), box=BOX):
    """The object's box in the upright image, by turning a mask."""
    mask = np.zeros((size[1], size[0]), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    mask = UPRIGHT.get(orientation, lambda a: a)(mask)
    y, x = np.nonzero(mask)
    return (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1), mask.shape[::-1]


@pytest.fixture(autouse=True)
def as_a_command(monkeypatch):
    """Python callers are not told what was understood, a command is, at its end: here at once."""
    monkeypatch.setattr("twoviews.sources.boxes.tell", say)


# --- turns -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_their_images(tmp_path, capsys, orientation, ending):
    """In every format, where the stated size is that of the stored image."""
    names = [f"{i}{ending}" for i in range(8)]
    for kind in ("voc", "coco"):
        for name in names:
            image(tmp_path / kind / name, orientation)
            if kind == "voc":
                xml(tmp_path / kind / f"{name.split('.')[0]}.xml", name=name)
    coco(tmp_path / "coco" / "train.json", names)
    for kind in ("voc", "coco"):
        train = open_boxes(tmp_path / kind)[TRAIN]
        assert lies_on_its_object(train)
        said = capsys.readouterr().err
        assert ("turned by EXIF" in said) == (orientation > 1)
        assert ("no stated size" in said) == (orientation in (2, 3, 4))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["stated upright", "unstated", "zero", "square", "yolo"])
def test_boxes_of_turned_images_are_those_of_the_stated_size(tmp_path, capsys, kind, orientation):
    size = (80, 80) if kind == "square" else (100, 80)
    box = (40, 20, 70, 40) if kind == "square" else BOX
    upright, shape = turned_box(orientation, size, box)
    for i in range(8):
        if kind == "yolo":
            image(tmp_path / "images" / f"{i}.jpg", orientation, size, box)
            yolo(tmp_path / "labels" / f"{i}.txt", [(0, upright)], shape)
            continue
        image(tmp_path / f"{i}.jpg", orientation, size, box)
        if kind == "stated upright" and orientation >= 5:
            xml(tmp_path / f"{i}.xml", [("a", upright)], shape)
        else:
            xml(tmp_path / f"{i}.xml", [("a", box)], {"unstated": None, "zero": (0, 0)}.get(kind, size))
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a]") if kind == "yolo" else None
    train = open_boxes(tmp_path)[TRAIN]
    assert lies_on_its_object(train)
    assert train.boxes[0][0].tolist() == pytest.approx(upright, abs=1e-3)
    said = capsys.readouterr().err
    guessed = orientation > 1 and kind != "yolo" and (kind != "stated upright" or orientation < 5)
    assert ("no stated size says" in said) == guessed
    assert ("those of the turned images, by their stated sizes" in said) == (kind == "stated upright" and orientation >= 5)
    assert ("turned by EXIF, and the boxes are those of the turned images, as YOLO's are" in said) == (kind == "yolo" and orientation > 1)


def test_a_stated_size_that_is_not_the_images_is_an_error(tmp_path):
    for i in range(8):
        image(tmp_path / f"{i}.jpg", 6)
        xml(tmp_path / f"{i}.xml", size=(200, 160) if i == 3 else (100, 80))
    with pytest.raises(UserError, match=r"3\.xml states 200 x 160 pixels, the image .*3\.jpg has 80 x 100"):
        open_boxes(tmp_path)
    coco(tmp_path / "coco" / "all.json", ["../3.jpg"], size=(50, 40))
    with pytest.raises(UserError, match=r"all\.json, \.\./3\.jpg states 50 x 40 pixels, the image .*3\.jpg has 80 x 100"):
        open_boxes(tmp_path / "coco" / "all.json")


# --- COCO --------------------------------------------------------------------------------------------------------------------------


def official(root):
    """The folder of 2017 as it is published, small."""
    for part, count in (("train", 6), ("val", 3), ("test", 2)):
        for i in range(count):
            image(root / f"{part}2017" / f"{part}{i}.jpg")
    notes = root / "annotations"
    train, val = [f"train{i}.jpg" for i in range(6)], [f"val{i}.jpg" for i in range(3)]
    categories = ((1, "person"), (90, "toothbrush"), (3, "car"))
    flat, crowd = (0, 3, [9.98, 18.56, 5.54, 0.0]), (0, 1, [1, 1, 90, 70], {"iscrowd": 1})
    coco(notes / "instances_train2017.json", train, [(i, 90, [60, 20, 30, 20]) for i in range(5)] + [flat, crowd], categories=categories)
    coco(notes / "instances_val2017.json", val, categories=categories)
    for part, names in (("train", train), ("val", val)):
        coco(notes / f"person_keypoints_{part}2017.json", names, categories=((1, "person"),))
        coco(notes / f"stuff_{part}2017.json", names, categories=((92, "banner"),))
        coco(notes / f"captions_{part}2017.json", names)
        data = json.loads((notes / f"captions_{part}2017.json").read_text())
        captions = [{"id": 1, "image_id": 5, "caption": "a"}]
        (notes / f"captions_{part}2017.json").write_text(json.dumps({"images": data["images"], "annotations": captions}))
        segments = [{"image_id": 5, "file_name": "0.png", "segments_info": [{"id": 3, "bbox": [1, 1, 2, 2]}]}]
        (notes / f"panoptic_{part}2017.json").write_text(json.dumps(data | {"annotations": segments}))
    (notes / "image_info_test2017.json").write_text(json.dumps({"images": [], "categories": []}))


def test_the_official_folder_of_coco_is_read_as_it_is(tmp_path, capsys):
    official(tmp_path)
    parts = open_boxes(tmp_path)
    assert {name: len(part) for name, part in parts.items()} == {TRAIN: 6, VALIDATION: 3, TEST: 3}
    assert list(parts[TRAIN].classes) == ["person", "car", "toothbrush"]
    assert [labels.tolist() for labels in parts[TRAIN].labels] == [[2]] * 5 + [[]]
    assert [labels.tolist() for labels in parts[VALIDATION].labels] == [[0]] * 3
    assert lies_on_its_object(parts[TRAIN])
    assert (parts[TRAIN].root.name, parts[VALIDATION].root.name) == ("train2017", "val2017")
    said = capsys.readouterr().err
    assert said.startswith(
        "boxes as in COCO: 9 images in train 6 · validation 3, 3 classes (person, car, toothbrush), 8 boxes; no test part: "
    )
    for words in (
        "captions_train2017.json, ",
        "1 crowd, 1 box of no area (first in ",
        "instances_train2017.json, train0.jpg)",
        "1 image without a box",
    ):
        assert words in said
    (tmp_path / "annotations" / "instances_train2017.json").rename(tmp_path / "instances.json")
    with pytest.raises(UserError, match=r"there is no training part|none is called"):
        open_boxes(tmp_path)


def test_of_coco_files_without_instances_those_that_hold_boxes_are_taken(tmp_path):
    official(tmp_path)
    for file in (tmp_path / "annotations").glob("instances_*"):
        file.unlink()
    with pytest.raises(UserError, match=r"two files of boxes for the train part: person_keypoints_train2017.json and stuff_train2017.json"):
        open_boxes(tmp_path)
    for file in (tmp_path / "annotations").glob("stuff_*"):
        file.unlink()
    assert len(open_boxes(tmp_path)[TRAIN]) == 6


@pytest.mark.parametrize(
    "file", ["{}/_annotations.coco.json", "{}/labels.json", "{}.json", "annotations/{}.json", "annotations/instances_{}.json"]
)
@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Training", "val2017", "Testing")])
def test_layouts_of_coco(tmp_path, file, names):
    """Roboflow's folders of parts, and files of parts with the images in folders of theirs; categories are joined by their names."""
    tables = [((0, "things"), (7, "b"), (2, "a")), ((1, "b"), (2, "a")), ((4, "a"), (3, "c"))]
    for part, (name, categories) in enumerate(zip(names, tables, strict=True)):
        stems = [f"{name}{i}.png" for i in range(3 + part)]
        for stem in stems:
            image(tmp_path / name / stem)
        boxes = [(i, categories[-1 if part < 2 else 0][0], [60, 20, 30, 20]) for i in range(len(stems))]
        coco(tmp_path / file.format(name), stems, boxes, categories=categories)
    parts = open_boxes(tmp_path)
    assert {name: len(part) for name, part in parts.items()} == {TRAIN: 3, VALIDATION: 4, TEST: 5}
    assert list(parts[TRAIN].classes)[:3] == ["things", "a", "b"]
    assert {parts[TRAIN].classes[label] for part in parts.values() for labels in part.labels for label in labels} == {"a"}
    assert all(lies_on_its_object(part) for part in parts.values())


def test_names_of_images_in_coco_may_have_folders_and_backslashes(tmp_path):
    for i in range(8):
        image(tmp_path / "images" / "deep" / f"{i}.jpg")
    coco(tmp_path / "all.json", [f"deep\\{i}.jpg" for i in range(8)])
    assert len(open_boxes(tmp_path)[TRAIN]) == 6
    coco(tmp_path / "images" / "deep" / "all.json", [f"C:\\Users\\me\\{i}.jpg" for i in range(8)])
    assert lies_on_its_object(open_boxes(tmp_path / "images" / "deep" / "all.json")[TRAIN])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 99}, "annotation 0 is of the image 99, which the file does not list"),
        ({"category_id": 9}, "annotation 0 has the category 9, which the file does not list"),
        ({"bbox": None}, "annotation 0 has no bbox of four numbers, but None"),
        ({"bbox": [1, 2, 3]}, r"annotation 0 has no bbox of four numbers, but \[1, 2, 3\]"),
        ({"bbox": ["1", 2, 3, 4]}, "annotation 0 has no bbox of four numbers"),
        ({"bbox": [float("nan"), 2, 3, 4]}, r"all\.json, 0\.jpg: a box lacks a coordinate"),
        ({"bbox": [60, 20, -30, 20]}, r"0\.jpg: the box \[60.0, 20.0, 30.0, 40.0\] has no area: it ends before it begins"),
        ({"bbox": [60, 20, 50, 20]}, "lies outside the picture of 100 x 80 pixels"),
        ({"bbox": [-3, 20, 50, 20]}, "lies outside the picture of 100 x 80 pixels"),
    ],
)
def test_faults_of_coco_annotations_are_named(tmp_path, change, words):
    for i in range(8):
        image(tmp_path / f"{i}.jpg")
    coco(tmp_path / "all.json", [f"{i}.jpg" for i in range(8)])
    data = json.loads((tmp_path / "all.json").read_text())
    data["annotations"][0] |= change
    (tmp_path / "all.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=words) as error:
        open_boxes(tmp_path / "all.json")
    assert str(error.value).count("all.json") == 1
    assert "UserError" not in str(error.value)


def test_images_that_coco_lists_and_that_are_not_there_are_named(tmp_path):
    for i in range(8):
        image(tmp_path / f"{i}.jpg")
    coco(tmp_path / "all.json", ["7.jpg", "gone.jpg", *(f"{i}.jpg" for i in range(6))])
    with pytest.raises(UserError, match=r"all\.json: 1 of its 8 pictures are not in .*, the first: gone\.jpg"):
        open_boxes(tmp_path)
    (tmp_path / "6.jpg").write_bytes(b"nothing")
    coco(tmp_path / "all.json", [f"{i}.jpg" for i in range(8)])
    with pytest.raises(UserError, match=r"all\.json, 6\.jpg: its image .*6\.jpg cannot be read"):
        open_boxes(tmp_path)
    (tmp_path / "all.json").write_text("{")
    with pytest.raises(UserError, match=r"all\.json is no COCO annotation"):
        open_boxes(tmp_path)


def test_boxes_that_pass_the_border_a_little_are_cut(tmp_path):
    for i in range(8):
        image(tmp_path / f"{i}.jpg")
    boxes = [(i, 1, [-1.5, 20, 50, 61]) for i in range(8)] + [(0, 1, [100, 3, 1, 1])]
    coco(tmp_path / "all.json", [f"{i}.jpg" for i in range(8)], boxes)
    parts = open_boxes(tmp_path)
    assert all(len(boxes) == 1 for part in parts.values() for boxes in part.boxes)
    assert parts[TRAIN].boxes[0].tolist() == [[0, 20, 48.5, 80]]


# --- VOC ---------------------------------------------------------------------------------------------------------------------------


def test_several_years_of_voc_are_joined(tmp_path):
    for year, count in (("VOC2007", 3), ("VOC2012", 4)):
        root = tmp_path / year
        for i in range(count):
            image(root / "JPEGImages" / f"{year}_{i}.jpg")
            xml(root / "Annotations" / f"{year}_{i}.xml")
        (root / "ImageSets" / "Main").mkdir(parents=True)
        (root / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(f"{year}_{i}" for i in range(count - 1)))
        (root / "ImageSets" / "Main" / "test.txt").write_text(f"{year}_{count - 1}")
    parts = open_boxes(tmp_path)
    assert {name: len(part) for name, part in parts.items()} == {TRAIN: 4, VALIDATION: 1, TEST: 2}
    assert sorted(parts[TEST].paths) == ["VOC2007/JPEGImages/VOC2007_2.jpg", "VOC2012/JPEGImages/VOC2012_3.jpg"]


@pytest.mark.parametrize("layout", ["JPEGImages", "images", "beside", "nested", "devkit"])
def test_layouts_of_voc(tmp_path, capsys, layout):
    """Annotations/ beside images, nested or not, and LabelImg's .xml beside each image."""
    root = tmp_path / "VOC2012" if layout == "devkit" else tmp_path
    notes, images = {
        "JPEGImages": ("Annotations", "JPEGImages"), "images": ("annotations", "images"), "beside": ("", ""),
        "nested": ("Annotations/deep/er", "JPEGImages/deep/er"), "devkit": ("Annotations", "JPEGImages"),
    }[layout]  # fmt: skip
    for i in range(10):
        image(root / images / f"2007_{i:03}.jpg")
        xml(root / notes / f"2007_{i:03}.xml", name=["", f"2007_{i:03}", f"C:\\me\\2007_{i:03}.jpg", f"2007_{i:03}.png"][i % 4])
    image(root / images / "more.jpg")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for name, ids in (("train", range(6)), ("val", range(6, 8)), ("trainval", range(8)), ("test", range(8, 10)), ("a_train", range(3))):
        ending = ".jpg" if name == "val" else ""
        flag = " -1" if name == "a_train" else ""
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(f"2007_{i:03}{ending}{flag}" for i in ids))
    parts = open_boxes(root)
    assert {name: len(part) for name, part in parts.items()} == {TRAIN: 6, VALIDATION: 2, TEST: 2}
    assert [p.rpartition("/")[2] for p in parts[TEST].paths] == ["2007_008.jpg", "2007_009.jpg"]
    assert lies_on_its_object(parts[TRAIN])
    assert (
        "boxes as in VOC: 10 images in train 6 · validation 2 · test 2, 1 class (a), 10 boxes; left out: 1 image" in capsys.readouterr().err
    )
    (root / "ImageSets" / "Main" / "train.txt").unlink()
    assert len(open_boxes(root)[TRAIN]) == 6  # trainval, without those of val


def test_labelimgs_files_in_folders_of_parts(tmp_path, capsys):
    for part, count in (("train", 4), ("Valid", 2), ("test_set", 3)):
        for i in range(count):
            image(tmp_path / part / f"{i}.png")
            xml(tmp_path / part / f"{i}.xml", name=f"{i}.png")
    (tmp_path / "train" / "other.xml").write_text("<settings/>")
    parts = open_boxes(tmp_path)
    assert {name: len(part) for name, part in parts.items()} == {TRAIN: 4, VALIDATION: 2, TEST: 3}
    assert [part.root.name for part in (parts[TRAIN], parts[VALIDATION], parts[TEST])] == ["train", "Valid", "test_set"]
    assert "left out: 1 .xml that are no annotations" in capsys.readouterr().err
    (tmp_path / "test_set" / "2.png").unlink()
    (tmp_path / "train" / "2.xml").unlink()  # its image is not taken for the one of test_set
    with pytest.raises(UserError, match=r"test_set.2\.xml: its picture 2\.png is not in"):
        open_boxes(tmp_path)


def test_boxes_of_voc_may_be_floats_and_those_of_no_area_are_left_out(tmp_path, capsys):
    for i in range(8):
        image(tmp_path / f"{i}.jpg")
        xml(tmp_path / f"{i}.xml", [("a", (59.5, 19.25, 90.125, 40))])
    (tmp_path / "3.xml").write_text(
        (tmp_path / "3.xml").read_text().replace("</annotation>", OBJECT.format(5, 5, 4, 9, name="a") + "</annotation>")
    )
    train = open_boxes(tmp_path)[TRAIN]
    assert train.boxes[0].tolist() == [[59.5, 19.25, 90.125, 40]]
    said = capsys.readouterr().err
    assert f"left out: 1 box of no area (first in {tmp_path}" in said.replace("\n", "")
    assert "3.xml)" in said


def test_lists_of_voc_that_name_what_is_not_there(tmp_path):
    for i in range(8):
        image(tmp_path / f"{i}.jpg")
        xml(tmp_path / f"{i}.xml")
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").write_text("1\n2\n")
    (tmp_path / "ImageSets" / "val.txt").write_text("3\n77\n")
    with pytest.raises(UserError, match=r"val\.txt names 1 pictures without an annotation, the first: 77"):
        open_boxes(tmp_path)
    (tmp_path / "ImageSets" / "val.txt").write_text("3\n")
    (tmp_path / "ImageSets" / "valid.txt").write_text("4\n")
    with pytest.raises(UserError, match=r"several lists of one part \(train, val, valid\): take one away"):
        open_boxes(tmp_path)
    (tmp_path / "ImageSets" / "valid.txt").unlink()
    shutil.copytree(tmp_path, tmp_path / "more" / "again", ignore=shutil.ignore_patterns("more", "ImageSets"))
    with pytest.raises(UserError, match=r"train\.txt names 1, and there are several of that name"):
        open_boxes(tmp_path)


@pytest.mark.parametrize("stale", ["{next}.png", "0.png", "0.jpg", "C:\\me\\{next}"])
@pytest.mark.parametrize("layout", [("", ""), ("Annotations", "JPEGImages"), ("a/xml", "a/images")])
def test_an_image_renamed_with_its_xml_keeps_its_boxes(tmp_path, capsys, layout, stale):
    """<filename> still has the old name, which another image may have by now."""
    notes, images = layout
    for i in range(12):
        box = (5 * i, 20, 5 * i + 10, 40)
        image(tmp_path / images / f"{i}.png", box=box)
        xml(tmp_path / notes / f"{i}.xml", [("a", box)], name=stale.format(next=(i + 1) % 12))
    parts = open_boxes(tmp_path)
    assert all(lies_on_its_object(part, i) for part in parts.values() for i in range(len(part)))
    assert sum(map(len, parts.values())) == len({path for part in parts.values() for path in part.paths}) == 12
    count = 12 if "next" in stale else 11
    assert f"{count} .xml named another image in <filename>, taken is that of their own name (first: " in capsys.readouterr().err


def test_an_xml_of_a_number_goes_by_its_filename(tmp_path):
    """Also where an image of that number lies in another folder."""
    for i in range(8):
        for folder in "ab":
            image(tmp_path / folder / f"{folder}{i}.png")
            xml(tmp_path / folder / f"{i}.xml", name=f"{folder}{i}.png")
        image(tmp_path / "other" / f"{i}.png")
    assert {path[:1] for path in open_boxes(tmp_path)[TRAIN].paths} == {"a", "b"}


def test_two_xml_of_one_image_are_named(tmp_path):
    for i in range(8):
        image(tmp_path / f"{i}.png")
        xml(tmp_path / f"{i}.xml")
    xml(tmp_path / "copy.xml", name="3.png")
    with pytest.raises(UserError, match=r"3\.xml and .*copy\.xml are both of the image .*3\.png"):
        open_boxes(tmp_path)


# --- YOLO --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["names: [a, b]", "names:\n  0: a\n  1: b", "names: {'0': a, '1': b}", "nc: 2"])
@pytest.mark.parametrize("layout", ["images/train", "train/images", "../train/images", "list", "lists"])
def test_layouts_of_yolo(tmp_path, capsys, layout, names):
    """A data.yaml with folders, lists of folders or lists of images; labels/ mirrors images/; no label file, or an empty one, is no object."""
    entries = {}
    for part, count in (("train", 5), ("val", 3), ("test", 2)):
        own = f"images/{part}" if layout in ("images/train", "list", "lists") else f"{part}/images"
        for i in range(count):
            image(tmp_path / own / f"{part}{i}.jpg")
            yolo(tmp_path / own.replace("images", "labels") / f"{part}{i}.txt", [(1, BOX)])
        entries[part] = f"../{own}" if layout.startswith("..") else own
        if layout == "list":
            (tmp_path / f"{part}.txt").write_text("\n".join(f"./{own}/{part}{i}.jpg" for i in range(count)))
            entries[part] = f"{part}.txt"
        elif layout == "lists":
            entries[part] = f"[{own}, {own}]"
    labels = tmp_path / ("labels/train" if layout in ("images/train", "list", "lists") else "train/labels")
    (labels / "train3.txt").write_text("\n")
    (labels / "train4.txt").unlink()
    path = "path: .\n" if layout == "list" else ""
    (tmp_path / "data.yaml").write_text(path + "\n".join(f"{part}: {entry}" for part, entry in entries.items()) + "\n" + names)
    for spec in (tmp_path, tmp_path / "data.yaml"):
        parts = open_boxes(spec)
        assert {name: len(part) for name, part in parts.items()} == {TRAIN: 5, VALIDATION: 3, TEST: 2}
        assert list(parts[TRAIN].classes) == (["0", "1"] if names.startswith("nc") else ["a", "b"])
        assert [labels.tolist() for labels in parts[TRAIN].labels] == [[1]] * 3 + [[]] * 2
        assert lies_on_its_object(parts[TRAIN])
    said = capsys.readouterr().err
    assert "boxes as in YOLO: 10 images in train 5 · validation 3 · test 2, 2 classes" in said
    assert "no label file for 1 image" in said


def test_polygons_of_yolo_become_their_boxes(tmp_path):
    for i in range(8):
        image(tmp_path / "images" / f"{i}.jpg")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{i}.txt").write_text("0 0.6 0.3 0.75 0.25 0.9 0.35 0.7 0.5\n")
    (tmp_path / "dataset.yml").write_text("train: images\nval:\nnames: [a]")
    assert lies_on_its_object(open_boxes(tmp_path)[TRAIN])


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("number", "each"), [(4, 2), (4, 3), (17, 3), (5, 2)])
def test_key_points_of_yolo_follow_their_boxes(tmp_path, capsys, number, each, stated):
    """The first four numbers are the box, as kpt_shape says, or as the points show that lie in it; a point that is not seen is 0, 0."""
    points = [(0.61, 0.26), (0.89, 0.49), (0.9, 0.25), (0, 0), (0.7, 0.3)] * 4
    line = "0 0.75 0.375 0.3 0.25 " + " ".join(f"{x} {y} 2" if each == 3 else f"{x} {y}" for x, y in points[:number])
    for i in range(8):
        image(tmp_path / "images" / f"{i}.jpg")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{i}.txt").write_text(line)
    shape = f"kpt_shape: [{number}, {each}]\n" if stated else ""
    (tmp_path / "data.yaml").write_text(f"train: images\nnames: [a]\n{shape}")
    assert lies_on_its_object(open_boxes(tmp_path)[TRAIN])
    assert (
        f"the first four numbers of each label are its box, and the rest key points: {number} of {each} numbers" in capsys.readouterr().err
    )
    (tmp_path / "labels" / "3.txt").write_text(line + " 0.5")
    if stated:
        with pytest.raises(
            UserError, match=rf"3\.txt, line 1: a class and {5 + number * each} numbers; .* as kpt_shape has {number} of {each}"
        ):
            open_boxes(tmp_path)


@pytest.mark.parametrize(
    "corners", ["0.6 0.25 0.9 0.25 0.9 0.5 0.6 0.5", "0.75 0.25 0.9 0.35 0.75 0.5 0.6 0.3", "0.6 0.5 0.9 0.5 0.9 0.25 0.6 0.25"]
)
def test_corners_of_polygons_are_no_key_points(tmp_path, capsys, corners):
    """Where each object has as many corners, too."""
    for i in range(8):
        image(tmp_path / "images" / f"{i}.jpg")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{i}.txt").write_text(f"0 {corners}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a]")
    assert lies_on_its_object(open_boxes(tmp_path)[TRAIN])
    (tmp_path / "labels" / "3.txt").write_text("0 0.5 0.5 0.8 0.5 0.8 0.7 0.5 0.7")
    open_boxes(tmp_path)
    assert "key points" not in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["17", "[17]", "[17, 4]", "[0, 3]", "[many, 3]", "[[1], 2]", "{a: b}", f"[{'9' * 5000}, 3]"])
def test_a_kpt_shape_that_is_none_is_named(tmp_path, shape):
    image(tmp_path / "images" / "1.jpg")
    (tmp_path / "data.yaml").write_text(f"train: images\nnames: [a]\nkpt_shape: {shape}")
    with pytest.raises(UserError, match=r"data\.yaml: kpt_shape is .* it must be the number of key points and 2 or 3"):
        open_boxes(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2 0.5 0.5 0.1 0.1", "line 2: the class 2 is none of 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "line 2: the class -1 is none of 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "line 2: the class 0.5 is none"),
        ("nan 0.5 0.5 0.1 0.1", "line 2: the class nan is none"),
        ("0 0.5 0.5 0.1", "line 2: a class and 3 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", "line 2: a class and 5 numbers"),
        ("a 0.5 0.5 0.1 0.1", "line 2: 'a 0.5 0.5 0.1 0.1' is no class and numbers"),
        ("0 nan 0.5 0.1 0.1", "a box lacks a coordinate"),
        ("0 0.5 0.5 -0.1 0.1", "has no area: it ends before it begins"),
        ("0 50 50 10 10", "lies outside the picture of 100 x 80"),
    ],
)
def test_faults_of_yolo_annotations_are_named(tmp_path, line, words):
    for i in range(8):
        image(tmp_path / "images" / f"{i}.jpg")
        yolo(tmp_path / "labels" / f"{i}.txt")
    (tmp_path / "labels" / "3.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a, b]")
    with pytest.raises(UserError, match=words) as error:
        open_boxes(tmp_path)
    assert "3.txt" in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: nowhere\nnames: [a]", r"data\.yaml: nowhere is not there"),
        ("train: images\nnc: many", "names must be a list of different classes"),
        ("train: images\nnames: [a, a]", "names must be a list of different classes"),
        ("train: images\nnames: {1: a, 2: b}", "the numbers of its names are 1, 2; they must be 0, 1, 2"),
        ("train: images\nnames: {0: a, 00: b}", "the numbers of its names are 0, 00; they must be 0, 1, 2"),
        (f"train: images\nnames: {{0: a, {'9' * 900}: b}}", "the numbers of its names are 0, 9+; they must be 0, 1, 2"),
        ("train: images\nnames: [[a], b]", "names must be a list of different classes"),
        ("train: images\nnames: {0: {a: b}}", "names must be a list of different classes"),
        ("train: images\nnames: a", "names must be a list of different classes"),
        (f"train: images\nnc: {'9' * 5000}", "names must be a list of different classes"),
        (f"train: {'a' * 5000}\nnames: [a]", r"data\.yaml: a+ is not there"),
        ("train: long.txt\nnames: [a]", r"long\.txt: its image a+ is not there"),
        ("train: {a: images}\nval: images\nnames: [a]", r"data\.yaml: .* is not there"),
        ("train: [[images]]\nnames: [a]", r"data\.yaml: \['images'\] is not there"),
        ("train: [images\x00]\nnames: [a]", r"data\.yaml cannot be read"),
        ("train: list.txt\nnames: [a]", r"list\.txt: its image gone\.jpg is not there"),
        ("train: [images\nnames: [a]", r"data\.yaml cannot be read"),
        ("train: images\nval: nowhere\nnames: [a]", r"data\.yaml: nowhere is not there"),
    ],
)
def test_faults_of_a_description_of_yolo_are_named(tmp_path, text, words):
    for i in range(8):
        image(tmp_path / "images" / f"{i}.jpg")
        yolo(tmp_path / "labels" / f"{i}.txt")
    (tmp_path / "list.txt").write_text("images/1.jpg\ngone.jpg\n")
    (tmp_path / "long.txt").write_text("a" * 5000)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        open_boxes(tmp_path)


def test_a_test_part_that_an_export_names_and_does_not_hold_is_left_out(tmp_path, capsys):
    for i in range(8):
        image(tmp_path / "images" / f"{i}.jpg")
        yolo(tmp_path / "labels" / f"{i}.txt")
    (tmp_path / "data.yaml").write_text("train: images\ntest: ../test/images\nnames: [a]")
    open_boxes(tmp_path)
    assert "left out: test, as ../test/images is not there" in capsys.readouterr().err


def test_names_that_are_no_utf8_are_found(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    for i in range(8):
        image(tmp_path / "images" / f"{name}{i}.jpg")
        yolo(tmp_path / "labels" / f"{name}{i}.txt")
    (tmp_path / "list.txt").write_bytes(b"\n".join(b"images/caf\xe9%d.jpg" % i for i in range(8)))
    (tmp_path / "data.yaml").write_text("train: list.txt\nnames: [a]")
    train = open_boxes(tmp_path)[TRAIN]
    assert lies_on_its_object(train)
    assert train.fingerprint


def test_label_files_without_an_image_are_told(tmp_path, capsys):
    for i in range(10):
        image(tmp_path / "images" / f"{i}.jpg")
        yolo(tmp_path / "labels" / f"{i}.txt")
    (tmp_path / "labels" / "classes.txt").write_text("a")
    (tmp_path / "list.txt").write_text("\n".join(f"images/{i}.jpg" for i in range(8)))
    (tmp_path / "data.yaml").write_text("train: list.txt\nnames: [a]")
    open_boxes(tmp_path)
    assert "without an image" not in capsys.readouterr().err
    (tmp_path / "images" / "9.jpg").unlink()
    open_boxes(tmp_path)
    assert f"1 label file without an image (first: {tmp_path / 'labels' / '9.txt'})" in capsys.readouterr().err


def test_an_image_that_breaks_off_is_named(tmp_path):
    for i in range(8):
        image(tmp_path / "images" / f"{i}.png")
        yolo(tmp_path / "labels" / f"{i}.txt")
        whole = (tmp_path / "images" / f"{i}.png").read_bytes()
        (tmp_path / "images" / f"{i}.png").write_bytes(whole[:120])
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a]")
    with pytest.raises(UserError, match=r"images.\d\.png"):
        open_boxes(tmp_path)[TRAIN].read(0)
    (tmp_path / "images" / "3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"3\.txt: its image .*3\.png cannot be read"):
        open_boxes(tmp_path)


@pytest.mark.parametrize(("encoding", "said"), [("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("cp1252", True)])
def test_a_description_may_be_in_the_encodings_that_editors_write(tmp_path, capsys, encoding, said):
    for i in range(8):
        image(tmp_path / "bär" / "images" / f"{i}.jpg")
        yolo(tmp_path / "bär" / "labels" / f"{i}.txt")
    (tmp_path / "data.yaml").write_bytes("train: bär/images\nval: null\ntest: ~\npath:\nnames: [Bär]\n".encode(encoding))
    train = open_boxes(tmp_path)[TRAIN]
    assert list(train.classes) == ["Bär"]
    assert lies_on_its_object(train)
    assert ("data.yaml is not UTF-8, and read as Windows-1252" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    "text",
    ["names: [a", "names: [a}", "names: !!python/object/apply:os.system [touch evil]\n  x: [", "just words", "x: 'a", "names: [a] b"],
)
def test_a_description_that_is_no_yaml_is_named(tmp_path, text):
    (tmp_path / "data.yaml").write_text(f"train: images\n{text}\nval: images\n")
    with pytest.raises(UserError, match=r"data\.yaml"):
        open_boxes(tmp_path)
    assert not (tmp_path / "evil").exists()


def test_names_stay_words_and_tags_make_nothing(tmp_path):
    """no, yes and on are truth values to YAML 1.1, and a tag may ask for an object of Python's."""
    for i in range(10):
        image(tmp_path / "images" / f"{i}.jpg")
        yolo(tmp_path / "labels" / f"{i}.txt")
    (tmp_path / "data.yaml").write_text(
        "download: |\n  import os\nx: !!python/object/apply:os.getcwd []\ntrain: images\nnames: [no, yes, on]\nnc: 3\n"
    )
    assert list(open_boxes(tmp_path)[TRAIN].classes) == ["no", "yes", "on"]


# --- all -----------------------------------------------------------------------------------------------------------------------------


def test_what_holds_no_boxes_is_said(tmp_path):
    image(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"holds no boxes: neither \.xml"):
        open_boxes(tmp_path)
    with pytest.raises(UserError, match="holds no boxes: they come from"):
        open_boxes(tmp_path / "a.jpg")
    (tmp_path / "package.json").write_text('{"name": "x"}')
    (tmp_path / "other.json").write_text("[1]")
    (tmp_path / "config.yaml").write_text("a: 1")
    with pytest.raises(UserError, match="holds no boxes"):
        open_boxes(tmp_path)


def parted(root, kind, lists):
    """A set of ten images whose parts are lists: `lists` {part: numbers}."""
    for i in range(10):
        image(root / "images" / f"{i}.jpg")
        yolo(root / "labels" / f"{i}.txt")
        if kind == "voc":
            xml(root / "images" / f"{i}.xml")
    (root / "ImageSets").mkdir()
    for part, ids in lists.items():
        (root / f"{part}.txt").write_text("\n".join(f"images/{i}.jpg" for i in ids))
        (root / "ImageSets" / f"{part}.txt").write_text("\n".join(map(str, ids)))
        if kind == "coco":
            coco(root / f"{part}.json", [f"{i}.jpg" for i in ids])
    if kind == "yolo":
        (root / "data.yaml").write_text("names: [a]\n" + "\n".join(f"{part}: {part}.txt" for part in lists))


@pytest.mark.parametrize("kind", ["yolo", "coco", "voc"])
@pytest.mark.parametrize(
    ("train", "val", "test", "sizes", "words"),
    [
        (range(10), range(10), None, (7, 1, 2), "all images of train are in validation too: parts drawn anew from all"),
        (range(4), range(10), range(4), (7, 1, 2), "all images of train are in test too: parts drawn anew from all"),
        (range(4), range(10), range(3), (6, 1, 3), "all images of train are in validation or test too: validation drawn anew from both"),
        (range(7), range(7), range(7, 10), (6, 1, 3), "all images of train are in validation or test too: validation drawn anew from both"),
        (range(5), range(5, 7), range(5, 10), (4, 1, 5), "left out of it, as test has them too"),
        (range(8), range(6, 10), None, (6, 4, 4), "2 of train left out of it, as validation has them too (first: "),
        (range(7), range(7, 10), range(5, 8), (5, 2, 3), "2 of train left out of it, as validation or test has them too (first: "),
        (range(7), range(7, 10), range(5, 8), (5, 2, 3), "1 of validation left out of it, as test has them too (first: "),
        (range(6), range(6, 10), range(6, 10), (6, 4, 4), "test has the same images as validation; no test part: tested on validation"),
        (range(5), range(5, 7), range(5, 10), (4, 1, 5), "2 of validation left out of it, as test has them too (first: "),
    ],
)  # fmt: skip
def test_each_image_is_in_one_part(tmp_path, capsys, kind, train, val, test, sizes, words):
    """Else what is tested on is trained on; and images are counted once."""
    parted(tmp_path, kind, {"train": train, "val": val} | ({"test": test} if test else {}))
    parts = open_boxes(tmp_path)
    assert tuple(len(parts[name]) for name in (TRAIN, VALIDATION, TEST)) == sizes
    places = [{part.root / path for path in part.paths} for part in (parts[TRAIN], parts[VALIDATION], parts[TEST])]
    assert not places[0] & (places[1] | places[2])
    assert places[1].isdisjoint(places[2]) or parts[TEST] is parts[VALIDATION]
    said = capsys.readouterr().err
    assert words in said
    assert f": {len(set.union(*places))} images in train " in said


def test_one_folder_for_two_parts_is_drawn_from_anew(tmp_path, capsys):
    """As in coco8.yaml and coco128.yaml; and an image is one, however its path is written."""
    for i in range(12):
        image(tmp_path / "images" / f"{i}.jpg")
        yolo(tmp_path / "labels" / f"{i}.txt")
    (tmp_path / "more").symlink_to(tmp_path / "images")
    (tmp_path / "data.yaml").write_text("train: images\nval: [more, ../x/images]\nnames: [a]".replace("x", tmp_path.name))
    parts = open_boxes(tmp_path)
    assert len({path for part in parts.values() for path in part.paths}) == 12
    said = capsys.readouterr().err
    assert "12 images in train 8 · validation 2 · test 2" in said
    assert "12 images given twice in one part, and taken once" in said


def test_a_picture_that_coco_lists_twice_is_named(tmp_path):
    image(tmp_path / "0.jpg")
    coco(tmp_path / "all.json", ["0.jpg", "0.jpg"])
    with pytest.raises(UserError, match=r"all\.json lists the picture 0\.jpg 2 times"):
        open_boxes(tmp_path)


def test_commands_are_told_of_boxes_and_python_callers_are_not(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("twoviews.sources.boxes.tell", tell)
    parted(tmp_path, "coco", {"train": range(6), "val": range(6, 10)})
    open_boxes(tmp_path)
    assert not capsys.readouterr().err
    with command():
        open_boxes(tmp_path)
        assert capsys.readouterr().err.startswith("boxes as in COCO: 10 images")


def test_real_boxes_of_voc(shared_data, capsys):
    parts = open_boxes(shared_data / "BCCD")
    assert {name: len(part) for name, part in parts.items()} == {TRAIN: 205, VALIDATION: 87, TEST: 72}
    assert capsys.readouterr().err.startswith(
        "boxes as in VOC: 364 images in train 205 · validation 87 · test 72, 3 classes (Platelets, RBC, WBC), 4,888 boxes"
    )
