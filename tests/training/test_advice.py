"""Advice from the pictures: made pictures for each rule, real ones where they are there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from twoviews.sources.spec import open_pictures
from twoviews.training.advice import advise, advised, bareness, sidedness, take
from twoviews.training.config import TrainConfig
from twoviews.training.plan import settings

from ..conftest import twoviews


def folder(path, make, count=80, size=(96, 80)):
    generator = np.random.default_rng(0)
    path.mkdir(parents=True)
    for n in range(count):
        make(generator, n).resize(size, Image.Resampling.BICUBIC).save(path / f"{n:03}.png")
    return path


def texture(generator, n):
    return Image.fromarray(generator.integers(0, 256, (12, 15, 3), dtype=np.uint8))


def gray(generator, n):
    return Image.fromarray(generator.integers(0, 256, (12, 15), dtype=np.uint8)).convert("RGB")


def written(generator, n):
    page = Image.new("RGB", (96, 80), "white")
    word = "".join(generator.choice(list("EFGRPBKLCJ279"), 7))
    ImageDraw.Draw(page).text((2, 20 + int(generator.integers(0, 20))), word, "black", ImageFont.load_default(22))
    return page


def tiny(generator, n):
    page = Image.new("RGB", (192, 160), (90, 110, 130))
    x, y = generator.integers(10, 150), generator.integers(10, 130)
    ImageDraw.Draw(page).ellipse((x, y, x + 12, y + 12), tuple(generator.integers(0, 256, 3).tolist()), "black")
    return page


def film(generator, n):
    scene = np.random.default_rng(n // 8).integers(0, 256, (12, 15, 3))
    return Image.fromarray((scene + generator.integers(0, 2, scene.shape)).clip(0, 255).astype(np.uint8))


def dull(generator, n):
    return Image.fromarray(generator.integers(100, 116, (12, 15, 3), dtype=np.uint8))


PLAIN = {"size": 64, "blur": 0.0, "init": "timm:resnet18"}  # nothing to say of size, blur, number of pictures


def options(path, **given):
    source = open_pictures(path).training
    found = advise(source, TrainConfig(**{**PLAIN, **given}))
    return {name: value for one in found for name, value in one.options.items()}, " ".join(one.text + one.evidence for one in found)


def test_nothing_to_say_of_pictures_that_fit(tmp_path):
    assert options(folder(tmp_path / "p", texture)) == ({}, "")


@pytest.mark.parametrize(
    ("make", "given", "wanted", "words"),
    [
        (gray, {}, {"channels": 1}, "The pictures are gray"),
        (written, {}, {"flip": 0.0}, "Left and right"),
        (film, {}, {}, "nearly the same"),
        (dull, {}, {"range": "data"}, "small part of their range"),
        (texture, {"size": 224}, {"size": 80}, "Views are larger"),
        (texture, {"blur": 0.5}, {"blur": 0.0}, "Blur"),
        (texture, {"init": ""}, {}, "little to learn from"),
    ],
)
def test_each_rule(tmp_path, make, given, wanted, words):
    found, text = options(folder(tmp_path / "p", make), **given)
    assert {name: found.get(name) for name in wanted} == wanted
    assert words in text


def test_gray_pictures_of_one_channel_are_left_in_peace(tmp_path):
    source = open_pictures(folder(tmp_path / "p", gray), 1).training
    assert advise(source, TrainConfig(**PLAIN, channels=1)) == []


def test_tiny_things_want_larger_crops(tmp_path):
    path = folder(tmp_path / "p", tiny, size=(192, 160))
    found, text = options(path)
    assert found["crop_min"] > 0.08
    assert "small" in text
    source, config = open_pictures(path).training, TrainConfig(**PLAIN)
    sample = take(source, 0)
    better = advised(config, advise(source, config))
    assert bareness(sample, better) < bareness(sample, config)
    assert options(path, crop_min=1.0)[0].get("crop_min") is None


def test_classes_that_colour_tells(tmp_path):
    """Only where the full distortion is planned."""
    for number, name in enumerate(("red", "green", "blue")):
        folder(
            tmp_path / "p" / name,
            lambda g, n, c=number: Image.fromarray((g.integers(0, 80, (12, 15, 3)) + 120 * np.eye(3)[c]).astype(np.uint8)),
            40,
        )
    found, text = options(tmp_path / "p")
    assert found["strength"] == 0.5
    assert "Colour tells" in text
    assert "strength" not in options(tmp_path / "p", strength=0.5)[0]


def test_mirror_images_of_noise_cannot_be_told(tmp_path):
    _, low, high = sidedness(take(open_pictures(folder(tmp_path / "p", texture, 200)).training, 0).small)
    assert low < 0.5 < high


def test_real_pictures(shared_data):
    """Digits and X-rays with letters have a left and a right; flowers, satellite pictures and CIFAR-10 do not. Steel and X-rays are gray."""
    for spec, flip, channels in (
        ("digits", 0.0, 1),
        (shared_data / "mednist", 0.0, 1),
        (shared_data / "flowers128", None, None),
        (shared_data / "satellite", None, None),
        (shared_data / "cifar10", None, None),
        (shared_data / "steel_defects", None, 1),
    ):
        _, source, config, _ = settings(spec, {"recipe": "photos"})
        found = {name: value for one in advise(source, config) for name, value in one.options.items()}
        assert (found.get("flip"), found.get("channels")) == (flip, channels), spec


def test_plan_prints_and_previews(tmp_path):
    path = folder(tmp_path / "p", written)

    def run(*arguments):
        return twoviews("plan", *arguments)

    done = run(path, "--no-measure", "--preview", tmp_path / "plan.png", "--json", tmp_path / "plan.json")
    assert done.returncode == 0, done.stderr
    assert "Consider --flip 0" in done.stdout
    assert "because: recipe photos" in done.stdout
    value = json.loads((tmp_path / "plan.json").read_text())
    assert {"flip": 0.0} in [one["options"] for one in value["advice"]]
    with Image.open(tmp_path / "plan.png") as sheet:
        assert sheet.width > 1000
    done = run(path, "--no-measure", "--preview", tmp_path / "plan.pdf")
    assert done.returncode == 2
    assert ".png" in done.stderr


def test_pictures_of_one_shade_are_planned_for(tmp_path):
    """Nothing can be learned from them, but no matrix may be singular."""
    for number in range(6):
        place = tmp_path / "const" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(place / f"{number}.png")
    _, source, config, _ = settings(tmp_path / "const", {})
    assert advise(source, config)
    assert sidedness(torch.zeros(6, 3, 32, 32))[0] == 0
