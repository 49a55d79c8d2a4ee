"""Gaussian blur with a sigma of its own for every picture: a separable map whose weights are a band (see crop.py).

Zero padding without renormalisation, so borders darken, as in the official code (docs/fidelity.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .crop import separable


def blur_weights(sigma: Tensor, size: int, radius: int) -> Tensor:
    """Band matrices of a Gaussian cut at `radius` pixels. Shape (m,) → (m, size, size)."""
    offset = torch.arange(size, device=sigma.device)
    offset = (offset[None, :] - offset[:, None]).abs()  # (size, size)
    taps = torch.arange(-radius, radius + 1, device=sigma.device)
    spread = -0.5 / sigma.square()[:, None]
    total = torch.exp(spread * taps.square()).sum(1)  # (m,)
    weight = torch.exp(spread[..., None] * offset.square()) / total[:, None, None]
    return torch.where(offset <= radius, weight, 0.0)


def blur(x: Tensor, sigma: Tensor, kernel: int | None = None) -> Tensor:
    """Blur each picture with its own sigma in pixels. Shapes (m, C, H, W), (m,) → (m, C, H, W).

    `kernel` is the official size argument, by default a tenth of the height; the radius is half of it, so below 20 px there is no blur.
    """
    radius = (x.shape[2] // 10 if kernel is None else kernel) // 2
    if radius == 0:
        return x
    sigma = sigma.to(x.dtype)
    return separable(x, blur_weights(sigma, x.shape[2], radius), blur_weights(sigma, x.shape[3], radius))
