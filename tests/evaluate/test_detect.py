"""Detection: annotations in two formats and their faults, pyramids on any network, a detector that learns squares, continuing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import twoviews as tv
from twoviews.evaluate.config import DetectConfig
from twoviews.evaluate.detect import detector, evaluate, example, flipped
from twoviews.nets.encoder import encoder, fingerprint, save_encoder
from twoviews.nets.pyramid import Pyramid, levels
from twoviews.sources.boxes import TEST, TRAIN, VALIDATION, open_boxes

XML = "<annotation><filename>{name}</filename><size><width>{w}</width><height>{h}</height><depth>3</depth></size>{objects}</annotation>"
OBJECT = "<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"


def squares(root, count=12, side=64):
    """Pictures with one red or blue square each, as a VOC folder; returns the boxes by file stem."""
    (root / "Annotations").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    out = {}
    for n in range(count):
        g = np.random.default_rng(n)
        pixels = g.integers(90, 130, (side, side + 16, 3), dtype=np.uint8)
        size, x, y = int(g.integers(18, 30)), int(g.integers(0, side - 16)), int(g.integers(0, side - 30))
        pixels[y : y + size, x : x + size] = (230, 20, 20) if n % 2 else (20, 20, 230)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{n:03}.jpg", quality=95)
        box = (x + 1, y + 1, x + size, y + size)
        out[f"{n:03}"] = ("red" if n % 2 else "blue", box)
        write(root, f"{n:03}", [(out[f"{n:03}"][0], box)], side + 16, side)
    return out


def write(root, stem, objects, w=80, h=64, name=None):
    text = "".join(OBJECT.format(*box, name=label) for label, box in objects)
    (root / "Annotations" / f"{stem}.xml").write_text(XML.format(name=name or f"{stem}.jpg", w=w, h=h, objects=text))


def as_coco(root, truth, path, stems):
    names = {"blue": 3, "red": 7}
    data = {
        "images": [{"id": i, "file_name": f"JPEGImages/{s}.jpg", "width": 80, "height": 64} for i, s in enumerate(stems)],
        "categories": [{"id": v, "name": k} for k, v in names.items()],
        "annotations": [
            {"id": i, "image_id": i, "category_id": names[truth[s][0]], "bbox": [b[0] - 1, b[1] - 1, b[2] - b[0] + 1, b[3] - b[1] + 1]}
            for i, s in enumerate(stems)
            for b in [truth[s][1]]
        ],
    }
    path.write_text(json.dumps(data))


def test_voc_and_coco_say_the_same(tmp_path):
    truth = squares(tmp_path)
    voc = open_boxes(tmp_path)
    stems = sorted(truth)
    as_coco(tmp_path, truth, tmp_path / "all.json", stems)
    coco = open_boxes(tmp_path / "all.json")
    assert {k: len(v) for k, v in voc.items()} == {k: len(v) for k, v in coco.items()} == {TRAIN: 8, VALIDATION: 2, TEST: 2}
    for part in voc:
        assert list(voc[part].classes) == list(coco[part].classes) == ["blue", "red"]
        for i in range(len(voc[part])):
            assert voc[part].boxes[i].tolist() == coco[part].boxes[i].tolist()
            assert voc[part].labels[i].tolist() == coco[part].labels[i].tolist()
            assert torch.equal(voc[part].read(i), coco[part].read(i))
    (tmp_path / "coco").mkdir()
    for name, own in (("train", stems[:8]), ("val", stems[8:10]), ("test", stems[10:])):
        as_coco(tmp_path, truth, tmp_path / "coco" / f"instances_{name}.json", own)
    parts = open_boxes(tmp_path / "coco")
    assert [p.split("/")[-1] for p in parts[TEST].paths] == ["010.jpg", "011.jpg"]
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    for name, own in (("train", stems[:6]), ("val", stems[6:9]), ("test", stems[9:])):
        (tmp_path / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(own))
    assert [len(open_boxes(tmp_path)[k]) for k in (TRAIN, VALIDATION, TEST)] == [6, 3, 3]


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ([("a", (10, 10, 200, 30))], "lies outside the picture of 80 x 64"),
        ([("a", (-20, 10, 20, 30))], "lies outside the picture"),
        ([("a", (30, 10, 20, 30))], "has no area"),
        ([("a", ("", 10, 20, 30))], "is no VOC annotation"),
        ([("", (1, 10, 20, 30))], "no name"),
    ],
)
def test_wrong_boxes_are_named_with_their_file(tmp_path, objects, words):
    squares(tmp_path, 3)
    write(tmp_path, "001", objects)
    with pytest.raises(tv.UserError, match=words) as error:
        open_boxes(tmp_path)
    assert "001.xml" in str(error.value)


def test_other_wrong_annotations(tmp_path):
    truth = squares(tmp_path / "voc", 4)
    root = tmp_path / "voc"
    for stem in truth:
        write(root, stem, [])
    with pytest.raises(tv.UserError, match="has an object"):
        open_boxes(root)
    (root / "Annotations" / "000.xml").write_text("<annotation>")
    with pytest.raises(tv.UserError, match=r"000\.xml is no VOC annotation"):
        open_boxes(root)
    write(root, "000", [("a", (1, 1, 9, 9))], name="gone.jpg")
    (root / "JPEGImages" / "000.jpg").unlink()
    with pytest.raises(tv.UserError, match=r"its picture gone\.jpg is not in"):
        open_boxes(root)
    for text, words in (("[]", "is no COCO"), ('{"images": [], "annotations": [], "categories": []}', "lists no pictures")):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(tv.UserError, match=words):
            open_boxes(tmp_path / "x.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(tv.UserError, match="holds no boxes"):
        open_boxes(tmp_path / "empty")
    with pytest.raises(tv.UserError, match="does not exist"):
        open_boxes(tmp_path / "nowhere")


def test_pictures_without_a_box_are_kept(tmp_path):
    truth = squares(tmp_path, 6)
    write(tmp_path, "000", [])
    assert sum(map(len, open_boxes(tmp_path).values())) == len(truth)


def test_flips_turn_boxes_with_the_picture(tmp_path):
    squares(tmp_path, 6)
    train = open_boxes(tmp_path)[TRAIN]
    plain, flipped_ = example(train, 0, False), example(train, 0, True)
    assert torch.equal(plain[0].flip(2), flipped_[0])
    (left, top, right, bottom), (l2, t2, r2, b2) = plain[1]["boxes"][0].tolist(), flipped_[1]["boxes"][0].tolist()
    assert (l2, t2, r2, b2) == (80 - right, top, 80 - left, bottom)
    assert len({flipped(0, epoch, 0) for epoch in range(20)}) == 2


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", [32, 64, 128, 256]),
        ("untrained:timm:resnet10t", [64, 128, 256, 512]),
        ("untrained:torchvision:mobilenet_v3_small", None),
    ],
)
def test_maps_of_any_network(name, channels):
    net = encoder("resnet18", width=0.5) if name == "resnet18" else tv.load_encoder(name)
    found, _ = levels(net)
    assert [level.stride for level in found] == [4, 8, 16, 32]
    assert channels is None or [level.channels for level in found] == channels
    maps = Pyramid(net, 16)(torch.rand(2, 3, 96, 64))
    assert [tuple(m.shape[1:]) for m in maps.values()] == [(16, 24, 16), (16, 12, 8), (16, 6, 4), (16, 3, 2), (16, 2, 1)]


def test_networks_that_can_carry_no_detector():
    with pytest.raises(tv.UserError, match="too small for a feature pyramid"):
        detector(encoder("convnet", size=32, channels=3), 2, DetectConfig())
    with pytest.raises(tv.UserError, match=r"no detector|too small"):
        detector(tv.load_encoder("untrained:timm:vit_tiny_patch16_224"), 2, DetectConfig())


def test_stages_and_norms_that_stay():
    net = encoder("resnet18", width=0.25)
    pyramid = Pyramid(net, 16, layers=2)
    assert not any(p.requires_grad for m in (net.stem, net.groups[0], net.groups[1]) for p in m.parameters())
    convolutions = [m for g in (net.groups[2], net.groups[3]) for m in g.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.weight.requires_grad for m in convolutions)
    norms = [m for m in pyramid.train().encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training or m.weight.requires_grad for m in norms)
    assert pyramid.fpn.training
    moving = Pyramid(encoder("resnet18", width=0.25), 16, frozen=False).train()
    assert all(m.training for m in moving.encoder.modules() if isinstance(m, nn.BatchNorm2d))


def test_it_learns_and_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("faster_coco_eval")
    squares(tmp_path / "voc", 24)
    save_encoder(tmp_path / "net.safetensors", encoder("resnet18", width=0.25), {})
    options = {
        "epochs": 4,
        "batch": 4,
        "side": 64,
        "channels": 16,
        "regions": 16,
        "learning_rate": 0.1,
        "device": "cpu",
        "evaluate_every": 3,
    }
    result = tv.detect(tmp_path / "net.safetensors", tmp_path / "voc", tmp_path / "out", **options)
    assert [row["subject"] for row in result.rows] == ["twoviews", "untrained"]
    row = result.rows[0]
    assert [("validation" in line) for line in row["history"]] == [False, False, True, True]
    assert row["history"][-1]["loss"] < 0.8 * row["history"][0]["loss"]
    sheet = Image.open(tmp_path / "out" / "twoviews" / "predictions.png")
    assert sheet.size[0] > 500
    assert (tmp_path / "out" / "twoviews" / "detector.safetensors").is_file()
    monkeypatch.setattr("twoviews.training.fit.CHECKPOINT_SECONDS", -1)
    count = {"n": 0}

    def dying(*arguments):
        count["n"] += 1
        if count["n"] == 30:
            raise KeyboardInterrupt
        return example(*arguments)

    monkeypatch.setattr("twoviews.evaluate.detect.example", dying)
    with pytest.raises(KeyboardInterrupt):
        tv.detect(tmp_path / "net.safetensors", tmp_path / "voc", tmp_path / "other", **{**options, "beside": ("none",)})
    assert list((tmp_path / "other").rglob("step-*"))
    monkeypatch.undo()
    again = tv.detect(tmp_path / "net.safetensors", tmp_path / "voc", tmp_path / "other", **{**options, "beside": ("none",)})
    same = [(tmp_path / name / "twoviews" / "detector.safetensors").read_bytes() for name in ("out", "other")]
    assert same[0] == same[1]
    assert again.rows[0]["map"] == row["map"]
    assert fingerprint(tv.load_encoder(tmp_path / "net.safetensors"))


def test_perfect_predictions_have_a_map_of_one(tmp_path):
    pytest.importorskip("faster_coco_eval")
    squares(tmp_path, 8)
    part = open_boxes(tmp_path)[TRAIN]

    class Knows(nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.shift, self.at = shift, 0

        def forward(self, images):
            target = example(part, self.at, False)[1]
            self.at += 1
            return [{"boxes": target["boxes"] + self.shift, "labels": target["labels"], "scores": torch.ones(len(target["labels"]))}]

    perfect, predictions = evaluate(Knows(0.0), part, torch.device("cpu"))
    assert perfect["map"] == perfect["map_50"] == pytest.approx(1.0)
    assert set(perfect["map_per_class"]) == {"blue", "red"}
    assert len(predictions) == len(part)
    shifted, _ = evaluate(Knows(1.5), part, torch.device("cpu"))
    assert shifted["map"] < 0.8 < shifted["map_50"]


def test_the_real_boxes(shared_data):
    parts = open_boxes(shared_data / "BCCD")
    assert {k: len(v) for k, v in parts.items()} == {TRAIN: 205, VALIDATION: 87, TEST: 72}
    assert list(parts[TRAIN].classes) == ["Platelets", "RBC", "WBC"]
