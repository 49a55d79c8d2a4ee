"""Two views from pictures and keys: what they depend on, and that both ways of making them agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from hypothesis import given, settings
from hypothesis import strategies as st

from twoviews.base import draws as rng
from twoviews.base.errors import UserError
from twoviews.sources.source import Picture, Small
from twoviews.training.recipes import RECIPES
from twoviews.views.config import ViewConfig
from twoviews.views.crop import central_box
from twoviews.views.evaluation import evaluation_view
from twoviews.views.pipeline import Views

FIELDS = ViewConfig.__dataclass_fields__


def pictures(n=12, channels=3, size=32):
    return torch.randint(0, 256, (n, channels, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def of_recipe(name, **more):
    return Views(**{k: v for k, v in RECIPES[name].values.items() if k in FIELDS} | more)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipes_views(name):
    views = of_recipe(name)
    x1, x2 = views(pictures(channels=views.config.channels), rng.key(0, 0, np.arange(12)))
    for x in (x1, x2):
        assert x.shape == (12, views.config.channels, views.config.size, views.config.size)
        assert x.dtype == torch.float32
        assert 0 <= x.min() <= x.max() <= 1
    assert (x1 != x2).flatten(1).any(1).all()


@given(st.permutations(range(12)), st.integers(1, 12), st.sampled_from(list(RECIPES)))
@settings(max_examples=12)
def test_a_view_depends_on_its_picture_and_key_only(order, count, name):
    """Whatever else is in the batch, and wherever it stands: the numbers are the same, the pixels within rounding."""
    views = of_recipe(name, size=24)
    images, keys = pictures(channels=views.config.channels), rng.key(7, 3, np.arange(12))
    all1, all2 = views(images, keys)
    some = np.array(order[:count])
    x1, x2 = views(images[torch.from_numpy(some)], keys[some])
    assert (x1 - all1[some]).abs().max() < 1e-5
    assert (x2 - all2[some]).abs().max() < 1e-5


def test_epochs_seeds_and_views_differ():
    views, images = of_recipe("cifar10"), pictures(1).repeat(2, 1, 1, 1)
    x1, x2 = views(images, np.concatenate([rng.key(0, "views", 0, 5), rng.key(0, "views", 1, 5)]))
    assert (x1[0] != x1[1]).any()
    assert (x1[0] != x2[0]).any()


def test_everything_off_is_the_picture():
    views = Views(size=32, crop_min=1.0, flip=0.0, strength=0.0, blur=0.0)
    images = pictures()
    x1, x2 = views(images, rng.key(0, np.arange(12)))
    assert (x1 == images.float() / 255).all()
    assert (x2 == x1).all()


def test_always_flip():
    views, images = Views(size=32, crop_min=1.0, flip=1.0, strength=0.0, blur=0.0), pictures()
    assert (views(images, rng.key(0, np.arange(12)))[0] == images.flip(3).float() / 255).all()


@pytest.mark.parametrize("resize", ["antialias", "official"])
def test_worker_and_batch_agree(resize):
    """crop_pairs in a worker, then the rest in the batch: as all in the batch, up to the rounding to whole gray levels."""
    views = Views(size=24, resize=resize, strength=0.5)
    images, keys = pictures(), rng.key(3, np.arange(12))
    whole = views(images, keys)
    source = Small(images, None, [], "")
    cut = views.crop_pairs([Picture(source, n) for n in range(12)], keys)
    assert cut.shape == (12, 2, 3, 24, 24)
    assert cut.dtype == torch.uint8
    for ours, other in zip(views(cut, keys), whole, strict=True):
        difference = (ours - other).abs()
        assert difference.mean() < 0.012  # a gray level, spread by the colour factors
        assert difference.quantile(0.999) < 0.25  # hue of nearly gray pixels


def test_color_meanings_differ_only_where_they_should():
    keys, images = rng.key(0, np.arange(12)), pictures()
    one, two = (Views(size=32, color=c, strength=1.0, blur=0.0)(images, keys)[0] for c in ("official", "torchvision"))
    assert (one != two).any()
    plain = [Views(size=32, color=c, strength=0.0, blur=0.0)(images, keys)[0] for c in ("official", "torchvision")]
    assert (plain[0] == plain[1]).all()


def test_settings_out_of_range():
    for wrong in ({"flip": 1.5}, {"size": 1}, {"strength": -1}, {"crop_min": 0}, {"strength": 2.0}, {"channels": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Views(**wrong)
    with pytest.raises(TypeError):
        Views(siz=3)


@pytest.mark.parametrize(("height", "width", "size"), [(300, 200, 64), (40, 36, 32), (50, 50, 224), (128, 128, 112), (33, 77, 32)])
def test_evaluation_view_is_torchvisions_resize_to_the_bit(height, width, size):
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    box = (0, 0, height, width) if size <= 32 else central_box(height, width)
    want = TF.resized_crop(images.float() / 255, *box, [size, size], TF.InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
    assert torch.equal(evaluation_view(images, size), want)


def test_evaluation_view():
    images = pictures(2, size=32)
    assert (evaluation_view(images, 32) == images.float() / 255).all(), "up to 32 px: no crop, no resize"
    assert evaluation_view(images, 16).shape == (2, 3, 16, 16)
    big = pictures(2, size=80)
    assert evaluation_view(big, 64).shape == (2, 3, 64, 64)
    assert (evaluation_view(big, 70)[..., 10:-10, 10:-10] - big[..., 15:-15, 15:-15].float() / 255).abs().max() < 1e-5, "0.875 of 80 is 70"


def exactly(views: Views, images: torch.Tensor, keys) -> torch.Tensor:
    """What the batched definition makes of pictures in [0, 1]."""
    return torch.cat(views(images.float() / 255, keys))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    "settings",
    [
        {"size": 32},
        {"size": 32, "color": "torchvision", "crop": "torchvision"},
        {"size": 40, "resize": "official", "blur": 1.0},
        {"size": 21, "resize": "official-v1", "strength": 1.2},
        {"size": 64, "blur": 1.0, "strength": 0.3, "gray": 0.9},
        {"size": 32, "crop_min": 1.0, "strength": 0.0, "blur": 1.0},
        {"size": 9},
    ],
)
def test_the_kernel_is_the_definition(settings, channels):
    views = Views(channels=channels, **settings)
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (40, channels, 32, 37), generator=generator, dtype=torch.uint8)
    images[0], images[1] = 0, 255  # no chroma, no range
    images[2] = images[2, :1]
    keys = rng.key(9, np.arange(40))
    assert (torch.cat(views(images, keys)) - exactly(views, images, keys)).abs().max() < 3e-6
    cut = torch.randint(0, 256, (40, 2, channels, views.config.size, views.config.size), generator=generator, dtype=torch.uint8)
    assert (torch.cat(views(cut, keys)) - exactly(views, cut, keys)).abs().max() < 3e-6


def test_threads_and_layout_change_nothing():
    views, keys = Views(size=24, strength=0.5, blur=0.0), rng.key(1, np.arange(12))
    images = pictures()
    want = torch.cat(views(images, keys))
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert torch.equal(torch.cat(views(images.contiguous(memory_format=torch.channels_last), keys)), want)
    finally:
        torch.set_num_threads(before)


def test_large_pictures_are_decoded_no_larger_than_their_crops_need(tmp_path):
    """A smooth picture of 1,600 px, cut to 32: nearly the same views as from the whole, from far fewer pixels."""
    from PIL import Image

    from twoviews.sources.config import Reading
    from twoviews.sources.folder import folder

    y, x = np.mgrid[:1200, :1600]
    smooth = np.stack([np.sin(x / 90) * 100 + 128, np.cos(y / 70) * 100 + 128, np.sin((x + y) / 110) * 100 + 128], 2).astype(np.uint8)
    for name, orientation in (("a", 1), ("b", 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(smooth).save(tmp_path / f"{name}.jpg", quality=95, exif=exif)
    source = folder(tmp_path, Reading())["all"]
    assert [source.size(i) for i in range(2)] == [(1200, 1600), (1600, 1200)]
    assert [tuple(source.read(i).shape) for i in range(2)] == [(3, 1200, 1600), (3, 1600, 1200)]
    assert [tuple(source.read(i, 5.0).shape) for i in range(2)] == [(3, 300, 400), (3, 400, 300)]
    assert source.read(0, 1.9).shape == (3, 1200, 1600)
    views = Views(size=32, crop_min=0.3)
    sizes = []

    class Watched(Picture):
        def read(self, shrink=1.0):
            image = super().read(shrink)
            sizes.append(image.shape[1:].numel())
            return image

    keys = rng.key(0, np.arange(8))
    small = views.crop_pairs([Watched(source, i % 2) for i in range(8)], keys)
    whole = views.crop_pairs([Picture(Small(source.read(i % 2)[None], None, [], ""), 0) for i in range(8)], keys)
    assert max(sizes) <= 400 * 300 * 4
    assert (small.float() - whole.float()).abs().mean() < 4  # gray levels; the box is rounded to whole pixels of what was decoded
