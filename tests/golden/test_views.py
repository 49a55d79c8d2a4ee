"""Views against the official code: colour, blur, crop + resize, evaluation crop, and the distributions of the draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from twoviews.base import draws as rng
from twoviews.views import color
from twoviews.views.blur import blur
from twoviews.views.config import ViewConfig
from twoviews.views.crop import central_box, crop_resize
from twoviews.views.draw import OPERATIONS, draw, official_boxes
from twoviews.views.evaluation import evaluation_view
from twoviews.views.jitter import jitter

ONE = {**color.OFFICIAL, "brightness_v2": color.brightness, "brightness_v1": color.brightness_v1}


def tensor(image):
    x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def far(ours, official):
    return np.abs(ours[0].permute(1, 2, 0).numpy() - official).max()


def tolerance(name):
    return 5e-6 if "hue" in name or "saturation" in name else 2e-6


def test_color_operations(golden):
    arrays, seen = golden("color"), set()
    for name, want in arrays.items():
        parts = name.split("|")
        if len(parts) < 2:
            continue
        x = tensor(arrays[parts[0]])
        seen.add(parts[1])
        if parts[1] == "gray":
            ours = color.gray(x).expand_as(x)
        elif parts[1] == "blur":
            ours = blur(x, torch.tensor([float(parts[3][6:])]), int(parts[2][2:]))
        elif parts[1] == "chain":
            ours = x
            for step in parts[2].split(","):
                operation, factor = step.split("=")
                ours = (
                    color.gray(ours).expand_as(ours) if operation == "gray" else ONE[operation](ours, torch.tensor([float(factor)]))
                ).clamp(0, 1)
        else:
            ours = ONE[parts[1]](x, torch.tensor([float(parts[2])]))
        assert far(ours, want) <= (tolerance("hue") if parts[1] == "chain" else tolerance(parts[1])), name
    assert seen == {"brightness_v1", "brightness_v2", "contrast", "saturation", "hue", "gray", "chain", "blur"}


def test_jitter_chains(golden):
    """Whole jitters in one batch, every picture with its own order: all 24 orders occur."""
    arrays, sources = golden("jitter_chains"), golden("color")
    cases = arrays["cases"]
    for number, case in enumerate(cases):
        x = tensor(sources["smooth24" if case[0] else "noise24"])
        order, factors, version, jittered, grayed = (
            case[1:5].astype(int)[None],
            case[5:9][None],
            case[9],
            case[10],
            case[11],
        )
        operations = {**color.OFFICIAL, "brightness": color.brightness_v1 if version == 1 else color.brightness}
        if jittered:
            x = jitter(x, np.ones(1, bool), order, factors, operations)
        if grayed:
            x = color.gray(x).expand_as(x)
        assert far(x, arrays[f"{number:02d}_output"]) <= 5e-6, number
    v2 = np.flatnonzero((cases[:, 9] == 2) & (cases[:, 11] == 0))
    batch = torch.cat([tensor(sources["smooth24" if cases[n, 0] else "noise24"]) for n in v2])
    ours = jitter(batch, cases[v2, 10] > 0, cases[v2, 1:5].astype(int), cases[v2, 5:9], color.OFFICIAL)
    for x, n in zip(ours, v2, strict=True):
        assert far(x[None], arrays[f"{n:02d}_output"]) <= 5e-6, n


def test_crop_and_resize(golden):
    arrays = golden("crop")
    x = tensor(arrays["image"])
    for number, box in enumerate(arrays["boxes_yxhw"]):
        for size in (16, 32):
            ours = crop_resize(x, box[None].astype(np.int64), size, "official")
            assert far(ours, arrays[f"resize{size}_{number}"]) <= 1e-5
    ours = evaluation_view(x, 32, "official")  # sides of 32 px take the whole picture: cut as the official code was asked to
    top, left, h, w = central_box(*x.shape[2:])
    ours = crop_resize(x, np.array([[top, left, h, w]]), 32, "official").clamp(0, 1)
    assert far(ours, arrays["eval_center_32"]) <= 1e-5


def test_antialiased_resize(golden):
    arrays, boxes = golden("resize_other"), golden("crop")
    for number, box in enumerate(boxes["boxes_yxhw"]):
        ours = crop_resize(tensor(boxes["image"]), box[None].astype(np.int64), 32, "antialias")
        assert far(ours, arrays[f"antialias_resize32_{number}"]) <= 1e-5


def test_resize_of_the_first_version(golden):
    arrays, boxes = golden("resize_other"), golden("crop")
    for number, box in enumerate(boxes["boxes_yxhw"]):
        ours = crop_resize(tensor(boxes["image"]), box[None].astype(np.int64), 32, "official-v1")
        assert far(ours, arrays[f"tf1_resize32_{number}"]) <= 1e-6


def test_resize_table(golden):
    arrays = golden("resize_table")
    x = tensor(arrays["image"])
    for size in (48, 30):
        box = np.array([[0, 0, *x.shape[2:]]])
        assert far(crop_resize(x, box, size, "official"), arrays[f"resize{size}"]) <= 1e-6


def test_preprocess(golden):
    arrays = golden("preprocess")
    for h, w, ch, cw, top, left in arrays["height_width_cropheight_cropwidth_top_left"].astype(int):
        if ch == cw:
            assert central_box(h, w) == (top, left, ch, cw)
    checked = 0
    for name, want in arrays.items():
        if name.startswith("eval_") and "_to_" in name:
            size, target = name[5:].split("_to_")
            x = tensor(arrays[f"image_{size}"])
            ours = crop_resize(x, np.array([central_box(*x.shape[2:])]), int(target), "official").clamp(0, 1)
            assert far(ours, want) <= 1e-6, name
            if int(target) > 32:
                assert far(evaluation_view(x, int(target), "official"), want) <= 1e-6
            checked += 1
    assert checked >= 4
    x = tensor(arrays["image_48x40"])
    for number, (*box, flip) in enumerate(arrays["view_boxes_yxhw_flip"].astype(np.int64)):
        ours = crop_resize(x, np.array([box]), 28, "official", np.array([bool(flip)])).clamp(0, 1)
        assert far(ours, arrays[f"view_{number}"]) <= 1e-6


def ks(sample, quantiles, levels):
    """Largest distance of a sample's distribution function from one given by quantiles.

    Values of whole pixels repeat: rounded, so that the last bit of a logarithm, which differs between processors, decides no tie.
    """
    sample, quantiles = np.sort(np.round(sample, 12)), np.round(quantiles, 12)
    low = np.searchsorted(sample, quantiles, "left") / len(sample)
    high = np.searchsorted(sample, quantiles, "right") / len(sample)
    return max((low - levels).max(), (levels - high).max())


@pytest.mark.parametrize("size", ["32x32", "64x64", "224x224", "300x500", "500x333", "40x400", "9x200", "20x20"])
def test_crop_boxes(golden, size):
    arrays, count = golden("crop_boxes"), 100_000
    h, w = (int(side) for side in size.split("x"))
    box = official_boxes(rng.key(7, "boxes", np.arange(count)), np.full(count, h), np.full(count, w), 0.08)
    columns = {"offset_y": box[:, 0], "offset_x": box[:, 1], "height": box[:, 2], "width": box[:, 3]}
    for name, values in columns.items():
        want = np.cumsum(arrays[f"{size}|{name}_counts"]) / arrays[f"{size}|{name}_counts"].sum()
        ours = np.cumsum(np.bincount(values, minlength=len(want))) / count
        assert np.abs(ours - want).max() < 0.008, name
    area, aspect = box[:, 2] * box[:, 3] / (h * w), np.log(box[:, 3] / box[:, 2])
    assert ks(area, arrays[f"{size}|area_quantiles"], arrays["quantiles"]) < 0.012
    assert ks(aspect, arrays[f"{size}|log_aspect_quantiles"], arrays["quantiles"]) < 0.012
    whole = ((box[:, 2] == h) & (box[:, 3] == w)).mean()
    assert whole == pytest.approx(float(arrays[f"{size}|full_image_share"]), abs=0.002)
    fallback = (box[:, 2] == h) & (box[:, 3] == w)
    assert not ((box[:, 0] + box[:, 2] == h) & (box[:, 2] < h) & ~fallback).any(), "the last place is never drawn"


def test_crop_quantiles(golden):
    """The first, smaller set: quantiles of area and aspect within 0.02, of height and width within a pixel or 0.5 % of the side."""
    arrays, count = golden("crop"), 200_000
    sizes = {name.split("|")[0] for name in arrays if "|" in name}
    assert len(sizes) == 5
    for size in sizes:
        h, w = (int(side) for side in size.split("x"))
        box = official_boxes(rng.key(11, np.arange(count)), np.full(count, h), np.full(count, w), 0.08)
        values = {
            "area": box[:, 2] * box[:, 3] / (h * w),
            "log_aspect": np.log(box[:, 3] / box[:, 2]),
            "height": box[:, 2],
            "width": box[:, 3],
        }
        for name, sample in values.items():
            limit = 0.02 if name in ("area", "log_aspect") else max(1, 0.005 * max(h, w))
            assert np.abs(np.quantile(sample, arrays["quantiles"]) - arrays[f"{size}|{name}"])[1:-1].max() <= limit, (
                size,
                name,
            )
        assert ((box[:, 2] == h) & (box[:, 3] == w)).mean() == pytest.approx(float(arrays[f"{size}|full_share"]), abs=0.003)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_draws(golden, strength):
    arrays, count = golden("draws"), 100_000
    d = draw(rng.key(3, np.arange(count)), np.full(count, 32), np.full(count, 32), ViewConfig(size=32, strength=strength))
    names = {"brightness_v2": 0, "contrast": 1, "saturation": 2, "hue": 3}
    for name, column in names.items():
        assert ks(d.factors[:, column], arrays[f"strength={strength}|{name}"], arrays["quantiles"]) < 0.015, name
    assert ks(d.sigma[d.sigma > 0], arrays["blur|sigma"], arrays["quantiles"]) < 0.015
    gray, untouched, only_gray, flip = arrays["rates|gray_untouched_onlygray_flip"]
    assert d.gray.mean() == pytest.approx(gray, abs=0.012)
    assert (~d.jitter & ~d.gray).mean() == pytest.approx(untouched, abs=0.012)
    assert (~d.jitter & d.gray).mean() == pytest.approx(only_gray, abs=0.012)
    assert d.flip.mean() == pytest.approx(flip, abs=0.012)
    both, one, none = arrays["blur|pair_both_one_none"]
    first, second = (d.sigma > 0).reshape(-1, 2).T
    assert [(first & second).mean(), (first ^ second).mean(), (~first & ~second).mean()] == pytest.approx([both, one, none], abs=0.012)
    orders = np.unique(d.order, axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert orders / count == pytest.approx(arrays["order|counts_of_24"] / arrays["order|counts_of_24"].sum(), abs=0.012)
    assert len(OPERATIONS) == 4
