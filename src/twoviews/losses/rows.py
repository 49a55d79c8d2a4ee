"""Contrastive losses row by row: some views of this process against all views of all processes, `tile` rows at a time.

Any loss that is a mean over views of a function of that view's similarities comes out exact in memory O(N · tile), on any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..base.processes import Gathered, Group, Summed, rank

EPSILON = 1e-12  # of the squared norm, as official

# (similarities (r, N), numbers of the rows (r,), numbers of their partners (r,)) → one loss a row (r,)
RowLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def mean_over_views(z1: Tensor, z2: Tensor, row_loss: RowLoss, normalize: bool, tile: int, group: Group | None) -> Tensor:
    """The mean of `row_loss` over the N = 2n views of all processes. Shapes (n, d), (n, d) → scalar.

    Similarities are cosines, or with `normalize=False` products; all first views come before all second ones. Each process has its own rows, twice
    the work of what uses the symmetry.
    """
    z = torch.stack([z1, z2])
    z = unit(z) if normalize else z
    every = Gathered.apply(z, group).transpose(0, 1).flatten(0, 2)  # (N, d)
    n, half, at = len(z1), len(every) // 2, rank(group)
    numbers = torch.arange(n, device=z.device) + at * n
    total = z.new_zeros(())

    def block(rows: Tensor, every: Tensor, numbers: Tensor) -> Tensor:
        return row_loss(rows @ every.T, numbers, (numbers + half) % (2 * half)).sum()

    for own, which in ((z[0], numbers), (z[1], numbers + half)):
        for rows, ids in zip(own.split(tile), which.split(tile), strict=True):
            total = total + checkpoint(block, rows, every, ids, use_reentrant=False)
    return Summed.apply(total, group) / (2 * half)


def unit(z: Tensor) -> Tensor:
    """z / ‖z‖ along the last dimension, with the official epsilon."""
    return z * z.square().sum(-1, keepdim=True).clamp(min=EPSILON).rsqrt()


def raised(z: Tensor) -> Tensor:
    """float16 and bfloat16 → float32; others as they are."""
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
