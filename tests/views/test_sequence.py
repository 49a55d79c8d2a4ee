"""Operations in an order of your own, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import twoviews as tv
from twoviews.base import draws as rng
from twoviews.base.errors import UserError
from twoviews.sources.source import Picture
from twoviews.sources.spec import open_pictures
from twoviews.training.config import TrainConfig
from twoviews.views.config import OPERATIONS
from twoviews.views.sequence import OPERATIONS as FUNCTIONS
from twoviews.views.sequence import quarter_turns, sobel

KEYS = rng.key(3, np.arange(9))


def pictures(n=9, side=24):
    return torch.randint(0, 256, (n, 3, side, side), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


def test_names_are_the_functions():
    assert set(FUNCTIONS) == set(OPERATIONS)


def test_sobel_is_scipys():
    x = pictures().double() / 255
    planes = [np.hypot(*(ndimage.sobel(plane, axis, mode="nearest") / 4 for axis in (0, 1))) for plane in x.flatten(0, 1).numpy()]
    want = np.minimum(np.stack(planes), 1).reshape(x.shape)
    assert np.abs(sobel(x).numpy() - want).max() < 1e-10
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1
    assert sobel(step).max() == 1  # from black to white


def test_quarter_turns_are_numpys():
    x, turns = pictures(), np.array([0, 1, 2, 3, 0, 1, 2, 3, 1])
    want = np.stack([np.rot90(picture, k, (1, 2)) for picture, k in zip(x.numpy(), turns, strict=True)])
    assert (quarter_turns(x, turns).numpy() == want).all()


def test_rotate_never_leaves_a_picture_upright():
    x, keys = pictures(1).repeat(300, 1, 1, 1), rng.key(1, np.arange(300))
    view, plain = tv.Views(size=24, operations="rotate", plain_second=True)(x, keys)
    turns = [next(k for k in range(4) if torch.equal(torch.rot90(plain[0], k, (1, 2)), one)) for one in view]
    assert set(turns) == {1, 2, 3}
    assert min(turns.count(k) for k in (1, 2, 3)) > 70


def test_cutout_is_a_gray_square_of_half_the_side():
    x = torch.zeros(200, 3, 24, 24, dtype=torch.uint8)
    view, _ = tv.Views(size=24, operations="cutout", plain_second=True)(x, rng.key(2, np.arange(200)))
    assert set(view.unique().tolist()) == {0.0, 0.5}
    holes = (view[:, 0] == 0.5).flatten(1).sum(1)
    assert holes.max() == 12 * 12
    assert holes.min() >= 6 * 6  # its centre lies in the picture
    rows, columns = (view[:, 0] == 0.5).any(2).sum(1), (view[:, 0] == 0.5).any(1).sum(1)
    assert (holes == rows * columns).all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_changes_the_first_view_only(name):
    first, second = tv.Views(size=24, operations=name, plain_second=True, jitter=1.0)(pictures(), KEYS)
    assert torch.equal(second, pictures().float() / 255)
    assert (first != second).flatten(1).any(1).all()
    assert 0 <= first.min() <= first.max() <= 1
    one, two = tv.Views(size=24, operations=name, jitter=1.0)(pictures(), KEYS)
    assert torch.equal(one, first)
    if name != "sobel":  # which draws nothing
        assert (two != one).flatten(1).any(1).float().mean() > 0.5


@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3), st.permutations(range(9)), st.integers(1, 9))
@settings(max_examples=20)
def test_a_view_depends_on_its_picture_and_key_only(names, order, count):
    views, some = tv.Views(size=20, operations="+".join(names)), np.array(order[:count])
    whole = views(pictures(), KEYS)
    part = views(pictures()[torch.from_numpy(some)], KEYS[some])
    assert all((a[some] - b).abs().max() < 1e-5 for a, b in zip(whole, part, strict=True))


def test_the_order_counts_and_an_operation_may_occur_twice():
    def first(operations):
        return tv.Views(size=24, strength=1.0, jitter=1.0, operations=operations, plain_second=True)(pictures(), KEYS)[0]

    assert (first("sobel+color") - first("color+sobel")).abs().max() > 0.1
    assert not torch.equal(first("crop+crop"), first("crop"))
    assert not torch.equal(first("noise+noise"), first("noise"))


def test_one_view_for_learning_from_labels():
    single = tv.Views(size=24, operations="crop+color").single(pictures(), KEYS)
    assert single.shape == (9, 3, 24, 24)
    assert (single != tv.Views(size=24, operations="crop+color").single(pictures(), KEYS + np.uint64(1))).any()


def test_picture_files_share_one_random_crop(tmp_path):
    from PIL import Image

    for k in range(4):
        noise = np.random.default_rng(k).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{k}.png")
    source = open_pictures(tmp_path, 3, TrainConfig()).training
    views, keys = tv.Views(size=16, operations="sobel", plain_second=True), rng.key(0, np.arange(4))
    cut = views.crop_pairs([Picture(source, i) for i in range(4)], keys)
    first, second = views(cut, keys)
    assert torch.equal(second, cut.float() / 255)
    assert torch.equal(first, sobel(second))
    again = views.crop_pairs([Picture(source, i) for i in range(4)], rng.key(1, np.arange(4)))
    assert (again != cut).flatten(1).any(1).all()  # random: another epoch, another crop


def test_wrong_names():
    with pytest.raises(UserError, match="Did you mean sobel"):
        tv.Views(operations="crop+sobbel")
    with pytest.raises(UserError, match="needs operations"):
        tv.Views(plain_second=True)


def test_the_sheet_names_them(tmp_path):
    from twoviews.training.sheet import examples

    source = open_pictures("digits", 3, TrainConfig()).training
    found = examples(source, TrainConfig(size=8, operations="crop+noise", plain_second=True), 2)
    assert found[0].texts == [["crop", "noise"], ["the picture itself"]]
