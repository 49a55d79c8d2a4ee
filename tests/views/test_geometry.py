"""Crop + flip + resize against naive loops and torchvision; crop boxes against their rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms.v2 import RandomResizedCrop

from twoviews.base import draws as rng
from twoviews.views.crop import central_box, crop_resize, keys_cubic
from twoviews.views.draw import official_boxes, torchvision_boxes
from twoviews.views.warp import stroke, warp


def cubic(x):
    x = abs(x)
    return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def naive_line(values, start, length, size, filter):
    """One row, cut and resized by the definition, in Python floats."""
    out = []
    for o in range(size):
        scale = length / size
        position = (o + 0.5) * scale - 0.5
        width = 1.0
        if filter == "official":
            position = math.floor(position) + round((position - math.floor(position)) * 1024) / 1024
        else:
            width = max(1.0, scale)
        weights = [cubic((j - position) / width) for j in range(length)]
        out.append(sum(w * values[start + j] for j, w in enumerate(weights)) / sum(weights))
    return out


@given(st.integers(1, 12), st.data(), st.integers(2, 9), st.sampled_from(["official", "antialias"]))
def test_resize_by_loops(length, data, size, filter):
    start = data.draw(st.integers(0, 12 - length))
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(length * 13 + size), dtype=torch.float64)
    got = crop_resize(x, np.array([[start, 0, length, 12]]), size, filter)
    columns = [naive_line(x[0, 0, row].tolist(), 0, 12, size, filter) for row in range(12)]
    for column in range(size):
        want = naive_line([columns[row][column] for row in range(12)], start, length, size, filter)
        assert got[0, 0, :, column].tolist() == pytest.approx(want, abs=2e-5)


def test_the_kernel():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert keys_cubic(x).tolist() == pytest.approx([cubic(v) for v in x.tolist()], abs=1e-12)


def test_batched_crops_are_torchvisions():
    """Antialiased bicubic, one box a picture, flips: as torchvision's resized_crop picture by picture."""
    generator = np.random.default_rng(0)
    x = torch.rand(20, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    box = official_boxes(rng.key(1, np.arange(20)), np.full(20, 40), np.full(20, 52), 0.08)
    flip = generator.random(20) < 0.5
    got = crop_resize(x, box, 24, "antialias", flip)
    for n in range(20):
        want = TF.resized_crop(x[n], *box[n].tolist(), [24, 24], TF.InterpolationMode.BICUBIC, antialias=True)
        assert (got[n] - (want.flip(2) if flip[n] else want)).abs().max() < 1e-4


@given(st.integers(4, 300), st.integers(4, 300), st.sampled_from([official_boxes, torchvision_boxes]), st.floats(0.08, 0.9))
def test_boxes_lie_in_the_picture(height, width, boxes, smallest):
    box = boxes(rng.key(5, np.arange(50)), np.full(50, height), np.full(50, width), smallest)
    assert (box[:, :2] >= 0).all()
    assert (box[:, 2:] >= 1).all()
    assert (box[:, 0] + box[:, 2] <= height).all()
    assert (box[:, 1] + box[:, 3] <= width).all()


def test_torchvisions_rule_is_torchvisions_distribution():
    torch.manual_seed(0)
    picture, theirs = torch.zeros(3, 60, 90), []
    crop = RandomResizedCrop(8, (0.08, 1.0))
    for _ in range(3000):
        made = crop.make_params([picture])
        theirs.append((made["height"], made["width"], made["top"], made["left"]))
    theirs = np.array(theirs)
    box = torchvision_boxes(rng.key(2, np.arange(3000)), np.full(3000, 60), np.full(3000, 90), 0.08)
    for ours, other in zip(box[:, [2, 3, 0, 1]].T, theirs.T, strict=True):
        assert stats.ks_2samp(ours, other).pvalue > 0.001


def test_each_box_depends_on_its_own_key_and_size():
    keys, heights, widths = rng.key(3, np.arange(30)), np.arange(30) + 10, 50 - np.arange(30)
    together = official_boxes(keys, heights, widths, 0.08)
    for n in range(30):
        assert (official_boxes(keys[n : n + 1], heights[n : n + 1], widths[n : n + 1], 0.08)[0] == together[n]).all()


@pytest.mark.parametrize(("size", "want"), [((32, 32), (2, 2, 28, 28)), ((40, 56), (3, 11, 35, 35)), ((57, 41), (11, 3, 36, 36))])
def test_central_box(size, want):
    assert central_box(*size) == want


def test_warp_without_movement_is_the_picture():
    x = torch.rand(2, 1, 8, 8)
    still = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3)
    assert (warp(x, still, torch.zeros(2, 2, 0, 0)) - x).abs().max() < 1e-5
    assert (warp(x, still, torch.zeros(2, 2, 4, 4)) - x).abs().max() < 1e-5
    shifted = torch.tensor([[1.0, 0, 2 / 8], [0, 1.0, 0]]).expand(2, 2, 3)
    assert (warp(x, shifted, torch.zeros(2, 2, 0, 0))[..., :-1] - x[..., 1:]).abs().max() < 1e-5
    assert stroke(x, torch.tensor([1.0, 2.0]))[1] == pytest.approx(x[1] ** 2)
