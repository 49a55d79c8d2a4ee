"""Numbers + pixels = two views. Everything is batched on the pictures' device, every picture with its own draws.

`Views` is what training calls. `geometry` (crop, flip, resize, moves) and `appearance` (jitter, gray, blur, noise) are its two halves; on
processors kernel.py makes the same of uint8 pictures, many times faster. Pictures of many sizes go through `crop_pairs` in the workers, so
that equal uint8 squares cross to the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import draws as rng
from ..base.device import to_device
from ..base.draws import Keys
from ..sources.source import Picture
from .blur import blur
from .color import meaning
from .config import ViewConfig
from .crop import crop_resize
from .draw import Draws, draw, view_keys
from .jitter import apply_at, jitter, to_gray
from .sequence import resized, sequence
from .warp import noise, stroke, warp


class Views:
    """Two views of every picture (Chen et al. 2020, appendix A).

    Settings are the fields of ViewConfig by name. Raises UserError for values out of range, TypeError for unknown names.
    """

    def __init__(self, config: ViewConfig | None = None, /, **settings: Any):
        self.config = dataclasses.replace(config, **settings) if config else ViewConfig(**settings)

    @classmethod
    def of(cls, config: ViewConfig) -> Views:
        """The views of a config that extends ViewConfig, such as TrainConfig."""
        return cls(**{name: getattr(config, name) for name in ViewConfig.__dataclass_fields__})

    def __call__(self, images: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
        """Shapes: images (n, C, H, W) uint8 or float in [0, 1], keys (n,) → two tensors (n, C, S, S) float32 in [0, 1].

        Pictures that `crop_pairs` has cut already come as (n, 2, C, S, S) uint8; with `operations` of your own, as (n, C, S, S).
        """
        if self.config.operations:
            x = as_float(images)
            second = resized(x, self.config) if self.config.plain_second else sequence(x, rng.extend(keys, 1), self.config)
            return sequence(x, rng.extend(keys, 0), self.config), second
        both, cut = view_keys(keys), images.ndim == 5
        x = images.transpose(0, 1).flatten(0, 1) if cut else images  # (2n, C, S, S) or (n, C, H, W)
        heights, widths = (np.resize(sizes, len(both)) for sizes in _sizes(x))
        drawn = draw(both, heights, widths, self.config)
        if x.device.type == "cpu" and x.dtype == torch.uint8:
            from . import kernel  # not before it is needed: Numba takes a second to load

            if kernel.covers(self.config):
                return kernel.render(x, drawn, self.config, cut).chunk(2)  # type: ignore[return-value]
        x = as_float(x) if cut else self.geometry(as_float(x).repeat(2, 1, 1, 1), drawn)
        x1, x2 = self.appearance(x, drawn, both).chunk(2)
        return x1, x2

    def single(self, images: Tensor, keys: Keys) -> Tensor:
        """One view of every picture, (n, C, H, W) uint8 → (n, C, S, S) float32: what learning from labels uses."""
        if self.config.operations:
            return sequence(as_float(images), keys, self.config)
        heights, widths = _sizes(images)
        drawn = draw(keys, heights, widths, self.config)
        if images.device.type == "cpu":
            from . import kernel

            if kernel.covers(self.config):
                return kernel.render(images, drawn, self.config, False)
        return self.appearance(self.geometry(as_float(images), drawn), drawn, keys)

    def finished(self, images: Tensor, keys: Keys) -> Tensor:
        """What `cut` has cut by the same keys, as views: (n, C, S, S) uint8 → float32."""
        return self.appearance(as_float(images), draw(keys, *_sizes(images), self.config), keys)

    def geometry(self, x: Tensor, d: Draws) -> Tensor:
        """Crop, flip, resize, then the moves for drawings. (m, C, H, W) → (m, C, S, S)."""
        c = self.config
        if c.crop_min < 1 or x.shape[2:] != (c.size, c.size):
            x = crop_resize(x, d.box, c.size, c.resize, d.flip if c.flip else None)
        elif c.flip:
            x = torch.where(to_device(d.flip, x.device)[:, None, None, None], x.flip(3), x)
        if c.rotate or c.zoom or c.shear or c.shift or c.warp:
            x = warp(x, to_device(d.affine, x.device, x.dtype), to_device(d.warp, x.device, x.dtype))
        return x

    def appearance(self, x: Tensor, d: Draws, keys: Keys) -> Tensor:
        """Colour jitter in each picture's own order, gray, clip, blur, noise. (m, C, S, S) → the same, in [0, 1]."""
        c = self.config
        x = jitter(x, d.jitter, d.order, d.factors, meaning(c.color, c.channels))
        if c.channels == 3:
            x = to_gray(x, d.gray)
        x = x.clamp(0, 1)
        if c.stroke:
            x = stroke(x, to_device(d.stroke, x.device, x.dtype))
        where = np.flatnonzero(d.sigma)
        x = apply_at(x, where, lambda part: blur(part, to_device(d.sigma[where], x.device, x.dtype)))
        if c.noise:
            normal = rng.normal(rng.extend(keys, "pixels"), x[0].numel()).reshape(tuple(x.shape))
            x = noise(x, to_device(d.noise, x.device, x.dtype), to_device(normal, x.device, x.dtype))
        return x.clamp(0, 1)

    def crop_pairs(self, pictures: Sequence[Picture], keys: Keys) -> Tensor:
        """Both crops of n pictures of any size, for the workers, from one decoding each. Keys (n,) → (n, 2, C, S, S) uint8.

        With `operations` of your own both views begin from one crop, (n, C, S, S), as in the paper's Figure 5.
        """
        if self.config.operations:
            return self.cut(pictures, rng.extend(keys, "base"))
        n = len(pictures)
        both = self.cut([*pictures, *pictures], view_keys(keys))
        return both.view(2, n, *both.shape[1:]).transpose(0, 1)

    def cut(self, pictures: Sequence[Picture], keys: Keys) -> Tensor:
        """One crop of each picture, resized and flipped; a picture that occurs twice is decoded once. Keys (m,) → (m, C, S, S) uint8.

        With `antialias` PyTorch's uint8 resize is used, which rounds to whole gray levels, and a JPEG is decoded no larger than its
        crops need; otherwise our own weights on the whole picture.
        """
        c, (heights, widths) = self.config, np.array([picture.size for picture in pictures]).T
        d = draw(keys, heights, widths, c)
        plain = c.resize == "antialias" and not (c.rotate or c.zoom or c.shear or c.shift or c.warp)
        rows: dict[int, list[int]] = {}
        for row, picture in enumerate(pictures):
            rows.setdefault(id(picture), []).append(row)
        out = torch.empty(len(pictures), c.channels, c.size, c.size, dtype=torch.uint8)
        for own in rows.values():
            image = pictures[own[0]].read(d.box[own, 2:].min() / c.size if plain else 1.0)
            if not plain:
                some = Draws(**{field.name: getattr(d, field.name)[own] for field in dataclasses.fields(d)})
                out[own] = as_uint8(self.geometry(as_float(image)[None].repeat(len(own), 1, 1, 1), some))
                continue
            for row in own:
                top, left, height, width = scaled_box(d.box[row], (heights[row], widths[row]), image)
                part = image[None, :, top : top + height, left : left + width]
                view = F.interpolate(part, (c.size, c.size), mode="bicubic", antialias=True)[0]
                out[row] = view.flip(2) if d.flip[row] else view
        return out


def scaled_box(box: np.ndarray, size: tuple[int, int], image: Tensor) -> tuple[int, int, int, int]:
    """A box (top, left, height, width) of a picture of this size, in pixels of the picture as it was decoded, (C, H, W)."""
    low = [min(round(begin * new / old), new - 1) for begin, old, new in zip(box[:2], size, image.shape[1:], strict=True)]
    high = [round((begin + length) * new / old) for begin, length, old, new in zip(box[:2], box[2:], size, image.shape[1:], strict=True)]
    return low[0], low[1], max(1, high[0] - low[0]), max(1, high[1] - low[1])


def as_float(x: Tensor) -> Tensor:
    """uint8 0 … 255 → float32 0 … 1; floats pass."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


def as_uint8(x: Tensor) -> Tensor:
    """float 0 … 1 → uint8, rounded."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _sizes(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return np.full(len(x), x.shape[-2], np.int64), np.full(len(x), x.shape[-1], np.int64)
