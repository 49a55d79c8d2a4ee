"""Numbers + pixels = two views. Everything is batched on the pictures' device, every picture with its own draws.

`Views` is what training calls. `geometry` (crop, flip, resize, moves) and `appearance` (jitter, gray, blur, noise) are its two halves:
pictures of many sizes go through `crop_pair` in the workers, so that equal uint8 squares cross to the device.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from ..base import draws as rng
from ..base.device import to_device
from ..base.draws import Keys
from .blur import blur
from .color import gray, meaning
from .config import ViewConfig
from .crop import crop_resize
from .draw import OPERATIONS, Draws, draw, view_keys
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

        Pictures that `crop_pair` has cut already come as (n, 2, C, S, S) uint8.
        """
        both = view_keys(keys)
        if images.ndim == 5:
            x = images.transpose(0, 1).flatten(0, 1)  # (2n, C, S, S)
            drawn = draw(both, *_sizes(x), self.config)
            x = as_float(x)
        else:
            heights, widths = _sizes(images)
            drawn = draw(both, np.tile(heights, 2), np.tile(widths, 2), self.config)
            x = self.geometry(as_float(images).repeat(2, 1, 1, 1), drawn)
        x1, x2 = self.appearance(x, drawn, both).chunk(2)
        return x1, x2

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
            where = np.flatnonzero(d.gray)
            x = apply_at(x, where, lambda part: gray(part).expand_as(part))
        x = x.clamp(0, 1)
        if c.stroke:
            x = stroke(x, to_device(d.stroke, x.device, x.dtype))
        where = np.flatnonzero(d.sigma)
        x = apply_at(x, where, lambda part: blur(part, to_device(d.sigma[where], x.device, x.dtype)))
        if c.noise:
            normal = rng.normal(rng.extend(keys, "pixels"), x[0].numel()).reshape(tuple(x.shape))
            x = noise(x, to_device(d.noise, x.device, x.dtype), to_device(normal, x.device, x.dtype))
        return x.clamp(0, 1)

    def crop_pair(self, image: Tensor, key: Keys) -> Tensor:
        """Both crops of one picture of any size, for the workers. Shapes: (C, H, W) uint8, key (1,) → (2, C, S, S) uint8.

        With `antialias` torchvision's uint8 resize is used, which rounds to whole gray levels; otherwise our own weights.
        """
        c = self.config
        heights, widths = _sizes(image[None])
        d = draw(view_keys(key), np.repeat(heights, 2), np.repeat(widths, 2), c)
        if c.resize != "antialias" or c.rotate or c.zoom or c.shear or c.shift or c.warp:
            return as_uint8(self.geometry(as_float(image)[None].repeat(2, 1, 1, 1), d))
        views = []
        for (top, left, height, width), flipped in zip(d.box.tolist(), d.flip.tolist(), strict=True):
            view = TF.resized_crop(image, top, left, height, width, [c.size, c.size], TF.InterpolationMode.BICUBIC, antialias=True)
            views.append(view.flip(2) if flipped else view)
        return torch.stack(views)


def jitter(x: Tensor, on: np.ndarray, order: np.ndarray, factors: np.ndarray, operations: dict) -> Tensor:
    """Apply the four operations in each picture's own order, clipping to [0, 1] after each, to pictures where `on` (m,) is true.

    The host knows the orders, so each operation runs on just its pictures, without a mask and without waiting for the device.
    """
    values = to_device(factors, x.device, x.dtype)

    def operate(x: Tensor, name: str, number: int, where: np.ndarray) -> Tensor:
        factor = values[to_device(where, x.device), number]
        return apply_at(x, where, lambda part: operations[name](part, factor).clamp_(0, 1))

    for place in range(order.shape[1]):
        for number, name in enumerate(OPERATIONS):
            if name in operations:
                x = operate(x, name, number, np.flatnonzero(on & (order[:, place] == number)))
    return x


def apply_at(x: Tensor, where: np.ndarray, function) -> Tensor:
    """`function` on the pictures numbered `where`; the others stay."""
    if not len(where):
        return x
    index = to_device(where, x.device)
    return x.index_copy(0, index, function(x.index_select(0, index)))


def as_float(x: Tensor) -> Tensor:
    """uint8 0 … 255 → float32 0 … 1; floats pass."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


def as_uint8(x: Tensor) -> Tensor:
    """float 0 … 1 → uint8, rounded."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _sizes(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return np.full(len(x), x.shape[-2], np.int64), np.full(len(x), x.shape[-1], np.int64)
