"""Losses by name, as training takes them."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ..base.processes import Group
from . import nt_xent as paper
from .compared import decoupled, margin_triplet, nt_logistic
from .nt_xent import nt_xent


def named_loss(config: Any, z1: Tensor, z2: Tensor, group: Group | None) -> Tensor:
    """The loss that a TrainConfig names, of all processes' pairs. Shapes (n, d), (n, d) → scalar."""
    shared = {"normalize": config.normalize, "group": group}
    if config.loss == "nt-logistic":
        return nt_logistic(z1, z2, config.temperature, semi_hard=config.semi_hard, margin=config.margin, **shared)
    if config.loss == "margin":
        return margin_triplet(z1, z2, config.margin, semi_hard=config.semi_hard, **shared)
    if config.loss == "decoupled":
        return decoupled(z1, z2, config.temperature, **shared)
    return nt_xent(z1, z2, config.temperature, **shared)


def chance(config: Any, n: int) -> float:
    """The loss of n pairs when nothing is known, that is, when all similarities are equal (for NT-Logistic, also 0).

    0 with semi-hard negatives: which there are depends on what is known, so there is no such value.
    """
    if config.loss in ("nt-logistic", "margin"):
        return 0.0 if config.semi_hard else 2 * math.log(2) if config.loss == "nt-logistic" else config.margin
    return math.log(2 * n - 2) if config.loss == "decoupled" else paper.chance(n)
