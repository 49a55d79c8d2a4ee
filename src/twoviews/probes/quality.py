"""What can be said of a representation without labels: alignment, uniformity, effective rank, and a verdict in plain words."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 1024  # of a similarity matrix at a time, so that memory stays small


def alignment(z1: Tensor, z2: Tensor) -> Tensor:
    """Mean squared distance of the two views on the sphere, 0 (equal) to 4 (Wang & Isola 2020, α = 2). Shapes (n, d), (n, d)."""
    return (F.normalize(z1.float(), dim=1) - F.normalize(z2.float(), dim=1)).square().sum(1).mean()


def uniformity(z: Tensor) -> Tensor:
    """log of the mean of exp(−2·distance²) over pairs on the sphere: 0 when all points are one, −4 when spread out (Wang & Isola 2020, t = 2).

    NaN where a point is zero, which has no direction, and for a single point.
    """
    z = F.normalize(z.float(), dim=1)
    n = len(z)
    if n < 2 or not z.any(1).all():
        return z.new_tensor(float("nan"))
    potential = torch.stack([torch.exp(-2 * (2 - 2 * (rows @ z.T)).clamp(min=0)).sum() for rows in z.split(ROWS)])
    return ((potential.sum() - n) / (n * (n - 1))).log()


def effective_rank(h: Tensor) -> float:
    """exp of the entropy of the singular values' shares, 1 to min(n, d): RankMe (Garrido et al. 2023). Shape (n, d).

    Features are centred first, since after a ReLU the mean alone would hide a collapse.
    """
    values = torch.linalg.svdvals((h - h.mean(0)).double())
    share = values / values.sum().clamp(min=1e-300)
    return torch.exp(-(share * (share + 1e-12).log()).sum()).item()


def verdict(loss: float, chance: float, uniformity: float | None, rank: float, features: int, images: int) -> str:
    """`collapsed`, `learns nothing yet` or `learning`, with the evidence in words.

    Collapsed: the effective rank is below 2 or all projections lie nearly at one point. Nothing learned: the loss is within 1 % of `chance`, what knowing nothing gives.
    """
    possible = min(features, images - 1)
    spread = math.nan if uniformity is None else uniformity
    if rank < min(2.0, 0.5 * possible) or not spread <= -0.05:
        known = f"{spread:.2f} (0 = all pictures at one point)" if math.isfinite(spread) else "– (projections of length 0)"
        return (
            f"collapsed: effective rank {rank:.1f} of {possible}, uniformity {known}. "
            "Lower the learning rate or the temperature, and look at the views (twoviews views)"
        )
    if 0 < 0.99 * chance < loss:
        return f"learns nothing yet: loss {loss:.2f}, knowing nothing gives {chance:.2f}"
    return f"learning: loss {loss:.2f} below {chance:.2f}, effective rank {rank:.0f} of {possible}"
