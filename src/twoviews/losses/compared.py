"""The losses that the paper compares NT-Xent with (Chen et al. 2020, Table 2), and later ones of the same form.

Each is a pure function of the z of two views, exact at any size and on any number of processes. u·v is a similarity, τ the temperature, i a view, j
its partner, and k runs over the 2n − 2 others, the negatives.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.errors import UserError
from ..base.processes import Group, world
from .nt_xent import auto_tile
from .rows import RowLoss, mean_over_views, raised, unit


def nt_logistic(
    z1: Tensor,
    z2: Tensor,
    temperature: float = 0.5,
    *,
    normalize: bool = True,
    semi_hard: bool = False,
    margin: float = 1.0,
    tile: int | Literal["auto"] = "auto",
    group: Group | None = None,
) -> Tensor:
    """NT-Logistic (Table 2): −log σ(u·v⁺/τ) − mean over negatives of log σ(−u·v⁻/τ). Shapes (n, d), (n, d) → scalar ≥ 0.

    `semi_hard`: of the negatives only the most similar one that is less similar than the partner, by less than `margin`; without such a one the
    view has no negative term. Raises UserError for z1, z2 that are not two equal (n, d).
    """

    def of(s: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        positive, negatives = parts(s, own, partner)
        chosen = semi_hardest(s, positive, negatives, margin) if semi_hard else mean_weights(negatives, s)
        return -F.logsigmoid(positive / temperature) - (chosen * F.logsigmoid(-s / temperature)).sum(1)

    return _mean(z1, z2, of, normalize, tile, group)


def margin_triplet(
    z1: Tensor,
    z2: Tensor,
    margin: float = 0.8,
    *,
    normalize: bool = True,
    semi_hard: bool = False,
    tile: int | Literal["auto"] = "auto",
    group: Group | None = None,
) -> Tensor:
    """Margin triplet (Table 2; Schroff et al. 2015): mean over negatives of max(u·v⁻ − u·v⁺ + margin, 0). Shapes (n, d), (n, d) → scalar ≥ 0.

    `semi_hard` as for nt_logistic (Schroff et al. 2015, section 3.2). Raises UserError for z1, z2 that are not two equal (n, d).
    """

    def of(s: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        positive, negatives = parts(s, own, partner)
        chosen = semi_hardest(s, positive, negatives, margin) if semi_hard else mean_weights(negatives, s)
        return (chosen * (s - positive[:, None] + margin).clamp(min=0)).sum(1)

    return _mean(z1, z2, of, normalize, tile, group)


def decoupled(
    z1: Tensor,
    z2: Tensor,
    temperature: float = 0.1,
    *,
    normalize: bool = True,
    tile: int | Literal["auto"] = "auto",
    group: Group | None = None,
) -> Tensor:
    """Decoupled contrastive loss (DCL; Yeh et al. 2022, equation 6): NT-Xent without the partner in the denominator, −s_ij/τ + log Σ_k exp(s_ik/τ).

    Shapes (n, d), (n, d) with n ≥ 2 → scalar, which may be negative. Raises UserError for z1, z2 that are not two equal (n, d).
    """
    if len(z1) * world(group) < 2:
        raise UserError("the decoupled loss needs at least two pairs: the partner is no negative, and there is nothing else")

    def of(s: Tensor, own: Tensor, partner: Tensor) -> Tensor:
        positive, negatives = parts(s, own, partner)
        return (s / temperature).masked_fill(~negatives, -math.inf).logsumexp(1) - positive / temperature

    return _mean(z1, z2, of, normalize, tile, group)


def supervised_contrastive(z1: Tensor, z2: Tensor, labels: Tensor, temperature: float = 0.1, *, normalize: bool = True) -> Tensor:
    """SupCon (Khosla et al. 2020, equation 2, L_out): the mean of −log( exp(s_ip/τ) / Σ_{a≠i} exp(s_ia/τ) ) over all views p of i's class.

    Shapes (n, d), (n, d), labels (n,) → scalar. With a class of its own for each picture it is NT-Xent. Raises UserError for other shapes.
    """
    _check(z1, z2)
    if labels.shape != (len(z1),):
        raise UserError(f"labels are {tuple(labels.shape)}, and there are {len(z1)} pairs: one label a pair")
    return _over_positives(torch.cat([raised(z1), raised(z2)]), labels.repeat(2), temperature, normalize)


def multi_view(*z: Tensor, temperature: float = 0.1, normalize: bool = True) -> Tensor:
    """NT-Xent of any number of views of n pictures: the mean over all ordered pairs of views of one picture (Tian et al. 2020, full graph, with the
    denominator of SimCLR: all other views). With two views it is `nt_xent`.

    Two or more tensors (n, d) → scalar. Raises UserError for fewer, and for other shapes.
    """
    if len(z) < 2:
        raise UserError(f"a pair needs two views; {len(z)} came")
    for other in z[1:]:
        _check(z[0], other)
    pictures = torch.arange(len(z[0]), device=z[0].device).repeat(len(z))
    return _over_positives(torch.cat([raised(one) for one in z]), pictures, temperature, normalize)


def _over_positives(z: Tensor, y: Tensor, temperature: float, normalize: bool) -> Tensor:
    """The mean over views of the mean over the others with the same y of −log p. Shapes (m, d), (m,) → scalar."""
    z = unit(z) if normalize else z
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -math.inf)
    same = (y[:, None] == y) & ~itself
    log_p = logits - logits.logsumexp(1, keepdim=True)
    return (-log_p.masked_fill(~same, 0.0).sum(1) / same.sum(1)).mean()


def parts(s: Tensor, own: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """The partner's similarity (r,), and which columns are negatives (r, N)."""
    columns = torch.arange(s.shape[1], device=s.device)
    negatives = (columns != own[:, None]) & (columns != partner[:, None])
    return s.gather(1, partner[:, None])[:, 0], negatives


def mean_weights(negatives: Tensor, like: Tensor) -> Tensor:
    """Weights that make a sum over columns the mean over negatives."""
    return negatives.to(like.dtype) / negatives.sum(1, keepdim=True).clamp(min=1)


def semi_hardest(s: Tensor, positive: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Weight 1 on the most similar negative that is less similar than the partner, by less than `margin`; 0 everywhere where there is none."""
    with torch.no_grad():
        fits = negatives & (s < positive[:, None]) & (s > positive[:, None] - margin)
        best = s.masked_fill(~fits, -math.inf).argmax(1, keepdim=True)
        return torch.zeros_like(s).scatter(1, best, fits.gather(1, best).to(s.dtype))


def _mean(z1: Tensor, z2: Tensor, of: RowLoss, normalize: bool, tile: int | Literal["auto"], group: Group | None) -> Tensor:
    _check(z1, z2)
    rows = auto_tile(z1.device) if isinstance(tile, str) else tile
    with torch.autocast(z1.device.type, enabled=False):
        return mean_over_views(raised(z1), raised(z2), of, normalize, rows, group)


def _check(z1: Tensor, z2: Tensor) -> None:
    if z1.ndim != 2 or z1.shape != z2.shape or not len(z1):
        raise UserError(f"this loss needs the z of two views, both (n, d) with n ≥ 1; these are {tuple(z1.shape)} and {tuple(z2.shape)}")
