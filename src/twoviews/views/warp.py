"""Affine moves, smooth warping, stroke and noise: views for digits and other drawings, where crops and colours make no sense."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(x: Tensor, affine: Tensor, knots: Tensor) -> Tensor:
    """Sample each picture at moved places; outside is zero. Shapes (m, C, S, S), (m, 2, 3), (m, 2, G, G) → (m, C, S, S).

    `affine` maps output to input coordinates in [-1, 1]; `knots` are displacements (share of the side) on a coarse grid, made smooth by
    bicubic interpolation. G = 0: none.
    """
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)  # (m, S, S, 2)
    if knots.shape[-1]:
        grid = grid + 2 * F.interpolate(knots, size=x.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def stroke(x: Tensor, exponent: Tensor) -> Tensor:
    """Brightness to a power: below 1 thickens bright strokes, above 1 thins them. Shapes (m, C, H, W), (m,)."""
    return x.clamp(0, 1).pow(exponent[:, None, None, None])


def noise(x: Tensor, sigma: Tensor, normal: Tensor) -> Tensor:
    """x + sigma · normal, one sigma a picture. Shapes (m, C, H, W), (m,), as x."""
    return torch.addcmul(x, sigma[:, None, None, None], normal)
