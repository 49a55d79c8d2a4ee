"""Colour operations against torchvision's functions, against colorsys, and against definitions in float64 (no golden files needed)."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from hypothesis import given
from hypothesis import strategies as st

from twoviews.views import color
from twoviews.views.blur import blur
from twoviews.views.draw import OPERATIONS
from twoviews.views.jitter import jitter


def pictures(n=3, size=9, seed=0, dtype=torch.float32):
    x = torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    x[0, :, :2] = x[0, :1, :2]  # some gray pixels
    x[0, :, 0, 0], x[0, :, 0, 1] = 0.0, 1.0
    return x


FACTORS = [0.0, 0.2, 0.7, 1.0, 1.3, 1.8]


@pytest.mark.parametrize("factor", FACTORS)
def test_torchvisions_meaning(factor):
    x, f = pictures(), torch.full((3,), factor)
    theirs = {"brightness": TF.adjust_brightness, "contrast": TF.adjust_contrast, "saturation": TF.adjust_saturation}
    for name, function in theirs.items():
        want = torch.stack([function(picture, factor) for picture in x])
        assert (color.TORCHVISION[name](x, f).clamp(0, 1) - want).abs().max() < 2e-6, name


@pytest.mark.parametrize("shift", [-0.5, -0.2, -0.03, 0.0, 0.1, 0.2, 0.5])
def test_hue_is_torchvisions(shift):
    x = pictures()
    want = torch.stack([TF.adjust_hue(picture, shift) for picture in x])
    assert (color.hue(x, torch.full((3,), shift)) - want).abs().max() < 5e-6


def test_gray_is_torchvisions():
    x = pictures()
    assert (color.gray(x) - TF.rgb_to_grayscale(x)).abs().max() < 1e-6


@given(st.floats(-0.5, 0.5), st.floats(0, 2), st.integers(0, 100))
def test_hue_and_saturation_through_hsv(shift, factor, seed):
    """The standard library's conversion, pixel by pixel, float64."""
    x = pictures(1, 3, seed, torch.float64)
    turned, saturated = color.hue(x, torch.tensor([shift], dtype=x.dtype)), color.saturation(x, torch.tensor([factor], dtype=x.dtype))
    for row in range(3):
        for column in range(3):
            h, s, v = colorsys.rgb_to_hsv(*x[0, :, row, column].tolist())
            assert turned[0, :, row, column].tolist() == pytest.approx(colorsys.hsv_to_rgb((h + shift) % 1, s, v), abs=1e-9)
            assert saturated[0, :, row, column].tolist() == pytest.approx(colorsys.hsv_to_rgb(h, min(1, s * factor), v), abs=1e-9)


def test_official_contrast_is_about_each_channels_mean():
    x = pictures(2, dtype=torch.float64)
    got = color.contrast(x, torch.tensor([0.3, 1.7], dtype=x.dtype))
    for n, factor in enumerate((0.3, 1.7)):
        for c in range(3):
            mean = sum(x[n, c].flatten().tolist()) / x[n, c].numel()
            assert got[n, c].flatten().tolist() == pytest.approx(
                [mean + (v - mean) * factor for v in x[n, c].flatten().tolist()], abs=1e-12
            )


def test_blur_by_loops():
    x, sigmas, radius = pictures(2, 7, dtype=torch.float64), (0.4, 1.7), 2
    got = blur(x, torch.tensor(sigmas), kernel=5)
    for n, sigma in enumerate(sigmas):
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / np.float64(np.float32(sigma))) ** 2)
        taps /= taps.sum()
        for i in range(7):
            for j in range(7):
                total = sum(
                    taps[a + radius] * taps[b + radius] * x[n, 1, i + a, j + b].item()
                    for a in range(-radius, radius + 1)
                    for b in range(-radius, radius + 1)
                    if 0 <= i + a < 7 and 0 <= j + b < 7
                )
                assert got[n, 1, i, j].item() == pytest.approx(total, abs=1e-6)


def test_no_blur_below_20_pixels():
    x = pictures(2, 19)
    assert blur(x, torch.tensor([1.0, 2.0])) is x


@given(st.integers(0, 1000))
def test_jitter_applies_each_pictures_own_order(seed):
    generator = np.random.default_rng(seed)
    x = pictures(5, 6, seed)
    order = np.stack([generator.permutation(4) for _ in range(5)])
    factors = np.column_stack([generator.uniform(0.2, 1.8, (5, 3)), generator.uniform(-0.2, 0.2, 5)])
    on = generator.random(5) < 0.7
    got = jitter(x, on, order, factors, color.OFFICIAL)
    for n in range(5):
        want = x[n : n + 1]
        for number in order[n] if on[n] else ():
            want = color.OFFICIAL[OPERATIONS[number]](want, torch.tensor([factors[n, number]], dtype=torch.float32)).clamp(0, 1)
        assert (got[n] - want[0]).abs().max() < 1e-5
        assert (got[n] == x[n]).all() or on[n]


def test_gray_pictures_keep_only_what_makes_sense():
    assert set(color.meaning("official", 1)) == {"brightness", "contrast"}
    assert set(color.meaning("torchvision", 3)) == set(OPERATIONS)
