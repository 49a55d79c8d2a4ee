"""The colour operations of the paper in two tested meanings: the official code's and torchvision's. Batched, one factor a picture.

They differ in contrast (official: about each channel's own mean; torchvision: about the mean gray) and saturation (official: S of HSV,
limited to 1; torchvision: a blend with gray). Pictures are (m, 3, H, W) in [0, 1]; results are not clipped unless the meaning says so.
A new operation belongs here; its random numbers belong in draw.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

GRAY = (0.2989, 0.5870, 0.1140)


def _per_picture(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


def gray(x: Tensor) -> Tensor:
    """Weighted mean of the channels. Shape (m, 3, H, W) → (m, 1, H, W)."""
    return GRAY[0] * x[:, 0:1] + GRAY[1] * x[:, 1:2] + GRAY[2] * x[:, 2:3]


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """x · factor (the official v2, and torchvision before its clipping)."""
    return x * _per_picture(factor)


def brightness_v1(x: Tensor, delta: Tensor) -> Tensor:
    """x + delta (the official v1 code)."""
    return x + _per_picture(delta)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Spread about each channel's own mean (TensorFlow's adjust_contrast)."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + (x - mean) * _per_picture(factor)


def contrast_torchvision(x: Tensor, factor: Tensor) -> Tensor:
    """Spread about the mean of the gray picture (torchvision's adjust_contrast, before its clipping)."""
    base = gray(x) if x.shape[1] == 3 else x
    mean = base.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * _per_picture(factor)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Scale S of HSV and limit it to 1 (TensorFlow's adjust_saturation).

    With V and hue fixed each channel is V - (V - x)·S'/S, and S' = min(S·factor, 1) with S = (V - min)/V, so no hue is computed.
    """
    low, high = x.aminmax(dim=1, keepdim=True)
    limit = high / (high - low)  # inf or nan where gray: there x = V and the factor does not matter
    ratio = torch.minimum(_per_picture(factor), torch.nan_to_num(limit, nan=1.0))
    return high - (high - x) * ratio


def saturation_torchvision(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the gray picture (torchvision's adjust_saturation, before its clipping)."""
    base = gray(x)
    return base + (x - base) * _per_picture(factor)


def hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by a share of the circle, V and S fixed (the same in both meanings)."""
    r, g, b = x.unbind(1)
    low, high = x.aminmax(dim=1)
    chroma = high - low
    unit = torch.where(chroma > 0, chroma, 1.0)
    sixth = torch.where(high == r, (g - b) / unit, torch.where(high == g, (b - r) / unit + 2, (r - g) / unit + 4))
    sixth = sixth + 6 * shift[:, None, None]
    corner = torch.tensor([5.0, 3.0, 1.0], device=x.device, dtype=x.dtype)[:, None, None]
    k = torch.remainder(corner + sixth[:, None], 6.0)  # (m, 3, H, W)
    return high[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


OFFICIAL = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
TORCHVISION = {
    "brightness": brightness,
    "contrast": contrast_torchvision,
    "saturation": saturation_torchvision,
    "hue": hue,
}
COLORLESS = ("brightness", "contrast")  # what makes sense without three colour channels


def meaning(name: str, channels: int) -> dict:
    """The operations by name, in the meaning `official` or `torchvision`, that make sense for this number of channels."""
    table = OFFICIAL if name == "official" else TORCHVISION
    return table if channels == 3 else {k: table[k] for k in COLORLESS}
