"""Views made of named operations in an order of your own, each always applied, instead of the paper's pipeline (Chen et al. 2020, Figures 4 and 5).

Every operation draws its own numbers, keyed by view and place, so the same operation may occur twice. Pictures are (m, C, S, S) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.device import to_device
from ..base.draws import Keys, extend, normal, uniform
from .blur import blur
from .color import meaning
from .config import ViewConfig
from .crop import crop_resize
from .draw import Draws, draw
from .jitter import apply_at, jitter, to_gray
from .warp import noise

NOISE = 0.1  # largest standard deviation of pixel noise where --noise says nothing
FILL = 0.5  # of a cut-out square


def _drawn(x: Tensor, keys: Keys, c: ViewConfig) -> Draws:
    """The numbers of the paper's pipeline for views of views."""
    sides = np.full(len(x), c.size, np.int64)
    return draw(keys, sides, sides, c)


def crop(x: Tensor, keys: Keys, c: ViewConfig) -> Tensor:
    """Crop, resize and flip."""
    d = _drawn(x, keys, c)
    return crop_resize(x, d.box, c.size, c.resize, d.flip if c.flip else None).clamp(0, 1)


def cutout(x: Tensor, keys: Keys, c: ViewConfig) -> Tensor:
    """A gray square of half the side, its centre anywhere in the picture (DeVries & Taylor 2017)."""
    side = x.shape[2]
    centre = to_device(uniform(extend(keys, "cutout"), 2) * side, x.device, x.dtype)  # (m, 2)
    near = (torch.arange(side, device=x.device) + 0.5 - centre[..., None]).abs() <= side / 4  # (m, 2, S)
    return x.masked_fill((near[:, 0, :, None] & near[:, 1, None, :])[:, None], FILL)


def color(x: Tensor, keys: Keys, c: ViewConfig) -> Tensor:
    """The paper's colour distortion: jitter and gray, with their probabilities."""
    d = _drawn(x, keys, c)
    x = jitter(x, d.jitter, d.order, d.factors, meaning(c.color, c.channels))
    return to_gray(x, d.gray) if c.channels == 3 else x


def sobel(x: Tensor) -> Tensor:
    """Length of each channel's Sobel gradient, edges repeated, 1 for a step from black to white. (m, C, S, S) → the same, in [0, 1]."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=x.device, dtype=x.dtype) / 4
    kernels = torch.stack([across, across.T])[:, None]
    m, channels, height, width = x.shape
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate").reshape(m * channels, 1, height + 2, width + 2)
    return F.conv2d(padded, kernels).square().sum(1).sqrt().clamp(max=1).view_as(x)


def quarter_turns(x: Tensor, turns: np.ndarray) -> Tensor:
    """Turn each picture by so many quarters, (m,) of 0 to 3."""
    for k in (1, 2, 3):
        x = apply_at(x, np.flatnonzero(turns == k), lambda part, k=k: torch.rot90(part, k, (2, 3)))
    return x


def _noise(x: Tensor, keys: Keys, c: ViewConfig) -> Tensor:
    sigma = (c.noise or NOISE) * uniform(extend(keys, "noise"), 1)[:, 0]
    pixels = normal(extend(keys, "pixels"), x[0].numel()).reshape(tuple(x.shape))
    return noise(x, to_device(sigma, x.device, x.dtype), to_device(pixels, x.device, x.dtype)).clamp(0, 1)


def _blur(x: Tensor, keys: Keys, c: ViewConfig) -> Tensor:
    sigma = 0.1 + 1.9 * uniform(extend(keys, "sigma"), 1)[:, 0]
    return blur(x, to_device(sigma, x.device, x.dtype)).clamp(0, 1)


def _rotate(x: Tensor, keys: Keys, c: ViewConfig) -> Tensor:
    return quarter_turns(x, 1 + np.floor(3 * uniform(extend(keys, "turn"), 1)[:, 0]).astype(np.int64))


Operation = Callable[[Tensor, Keys, ViewConfig], Tensor]
OPERATIONS: dict[str, Operation] = {
    "crop": crop,
    "cutout": cutout,
    "color": color,
    "sobel": lambda x, keys, c: sobel(x),
    "noise": _noise,
    "blur": _blur,
    "rotate": _rotate,
}


def sequence(x: Tensor, keys: Keys, config: ViewConfig) -> Tensor:
    """One view of each picture: resized whole, then the config's operations in their order. (m, C, H, W) in [0, 1], keys (m,) → (m, C, S, S)."""
    x = resized(x, config)
    for place, name in enumerate(config.operations.split("+")):
        x = OPERATIONS[name](x, extend(keys, "sequence", place), config)
    return x


def resized(x: Tensor, config: ViewConfig) -> Tensor:
    """The whole picture as a view. (m, C, H, W) → (m, C, S, S)."""
    if x.shape[2:] == (config.size, config.size):
        return x
    whole = np.tile(np.array([0, 0, x.shape[2], x.shape[3]], np.int64), (len(x), 1))
    return crop_resize(x, whole, config.size, config.resize).clamp(0, 1)
