"""NT-Xent, the loss of SimCLR (Chen et al. 2020, equation 1), with what the official code reports beside it.

For view i with partner j: −log( exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ) ), s = cosine similarity, mean over all 2n views.
`definition` is this with all 2n × 2n similarities at once, and every test's oracle; `nt_xent` computes the same in tiles.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.errors import UserError
from ..base.processes import Group, world
from .rows import mean_over_views, raised, unit
from .tiled import HOTTEST, Tiled, compiled

TILES = {"cpu": 768}  # rows: two such tiles stay in the caches, and larger ones were no faster on two cores
PLAIN = {"cpu": 64}  # pairs: up to here the definition is as fast


def similarities(z1: Tensor, z2: Tensor, temperature: float = 0.1, normalize: bool = True) -> Tensor:
    """Logits of all views against all views, −inf on the diagonal. Shapes (n, d), (n, d) → (2n, 2n), first views first."""
    z = torch.cat([z1, z2])
    z = unit(z) if normalize else z
    logits = z @ z.T / temperature
    return logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -math.inf)


def definition(z1: Tensor, z2: Tensor, temperature: float = 0.1, normalize: bool = True) -> Tensor:
    """NT-Xent as the equation has it. Shapes (n, d), (n, d) → scalar. Memory and time grow with n²."""
    logits = similarities(raised(z1), raised(z2), temperature, normalize)
    return F.cross_entropy(logits, partners(len(z1), logits.device))


def nt_xent(
    z1: Tensor,
    z2: Tensor,
    temperature: float = 0.1,
    *,
    normalize: bool = True,
    official: bool = False,
    tile: int | Literal["auto"] | None = "auto",
    group: Group | None = None,
) -> Tensor:
    """NT-Xent of n pairs: the mean over the 2n views. Shapes (n, d), (n, d) → scalar ≥ 0; log(2n − 1) when nothing is known.

    `temperature` > 0; the paper's 0.1 to 1. `normalize=False` takes z as it is. `official=True` returns the official code's value,
    twice this one. Reduced precision is raised to float32 first, also under autocast. Gradients are exact; second ones need `tile=None`.

    `tile`: rows of similarities at a time, up to n; memory is O(n · tile). "auto" chooses; None is the definition with all 2n × 2n at once.

    `group`: a torch.distributed group of processes that hold n pairs each. The value is then the loss of all their pairs, the same in each
    process, and the gradient is that value's by this process's z. So parameter gradients are to be summed over the processes; where they
    are averaged, as DistributedDataParallel does, multiply the loss by the number of processes.

    Raises UserError for a tile larger than n or below 1, and for z1, z2 that are not two equal (n, d).
    """
    if z1.ndim != 2 or z1.shape != z2.shape or not len(z1):
        raise UserError(f"NT-Xent needs the z of two views, both (n, d) with n ≥ 1; these are {tuple(z1.shape)} and {tuple(z2.shape)}")
    if isinstance(tile, str) and tile != "auto":
        raise UserError(f"tile is {tile!r}; it must be a number of rows, 'auto', or None for all at once")
    if isinstance(tile, int) and not 1 <= tile <= len(z1):
        raise UserError(f"tile is {tile}, and there are {len(z1)} pairs: from 1 to {len(z1)}, or leave it at 'auto'")
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = raised(z1), raised(z2)
        alone = world(group) == 1
        if tile == "auto":
            rows = None if alone and len(z1) <= PLAIN.get(z1.device.type, 0) else auto_tile(z1.device)
        else:
            rows = tile
        if rows is None and alone:
            loss = definition(z1, z2, temperature, normalize)
        elif not normalize or temperature < HOTTEST or rows is None:
            loss = by_rows(z1, z2, temperature, normalize, rows or 2 * len(z1), group)
        elif torch.compiler.is_compiling() and group is None:
            loss = compiled(z1, z2, temperature, rows)[0]
        else:
            loss = Tiled.apply(z1, z2, temperature, rows, group)
    return 2 * loss if official else loss


def by_rows(z1: Tensor, z2: Tensor, temperature: float, normalize: bool, tile: int, group: Group | None) -> Tensor:
    """The same for any size of z and any temperature: `tile` rows of this process against all views at a time, with their own maximum.

    Twice the work of the symmetric tiles, so it is taken only where their exponentials could overflow.
    """

    def of(s: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        logits = (s / temperature).scatter(1, own[:, None], -math.inf)
        return logits.logsumexp(1) - logits.gather(1, partner[:, None])[:, 0]

    return mean_over_views(z1, z2, of, normalize, tile, group)


def contrastive_metrics(z1: Tensor, z2: Tensor, temperature: float = 0.1, *, normalize: bool = True) -> tuple[Tensor, Tensor]:
    """Contrastive accuracy and entropy as the official code reports them: first views against the n second views only.

    Accuracy: share of first views whose largest similarity is their partner (chance 1/n). Entropy: of the softmax over the n, in nats.
    Memory is O(n).
    """
    n = len(z1)
    a, b = raised(z1), raised(z2)
    if normalize:
        a, b = unit(a), unit(b)
    right, entropy = a.new_zeros(()), a.new_zeros(())
    rows = auto_tile(a.device)
    for start in range(0, n, rows):
        logits = a[start : start + rows] @ b.T / temperature
        right += (logits.argmax(1) == torch.arange(start, start + len(logits), device=a.device)).sum()
        p = logits.softmax(1)
        entropy -= (p * (p + 1e-8).log()).sum()
    return right / n, entropy / n


def auto_tile(device: torch.device) -> int:
    """Rows of a tile on this kind of device."""
    return TILES.get(device.type, 4096)


def chance(n: int) -> float:
    """The loss of n pairs when nothing is known: log(2n − 1)."""
    return math.log(2 * n - 1)


def partners(n: int, device: torch.device) -> Tensor:
    """For each of the 2n views the row of its partner."""
    return torch.arange(2 * n, device=device).roll(n)
