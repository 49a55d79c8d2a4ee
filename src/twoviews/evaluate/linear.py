"""Logistic regression by L-BFGS on frozen h, the paper's transfer protocol (Chen et al. 2020, B.8).

With all labels the strength of l2 is chosen from the paper's 45 values on the validation part, or on a fifth of the training labels where there is
none; then all training labels are fitted. With few labels that fifth would be noise: below `TUNE` labels a class one strength, written below, is used.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import draws as rng
from ..probes.logistic import Logistic
from ..probes.ridge import L2

Known = tuple[Tensor, Tensor]  # features (n, d) and labels (n,)
TUNE = 10  # labels of the rarest class from which on the strength is chosen
FIXED = 1e-2  # the strength below that
VALIDATION = 0.2
PATIENCE = 6  # the path from strong to weak ends after so many strengths in a row that are no better


def prepared(h: Tensor, train: Tensor) -> Tensor:
    """h centred by the training pictures' mean and scaled to length √d, so that one strength of l2 means the same for every encoder."""
    return F.normalize(h - train.mean(0), dim=1) * h.shape[1] ** 0.5


def lbfgs(h: Tensor, y: Tensor, queries: Tensor, classes: int, seed: int, held: Known | None = None) -> tuple[Tensor, float]:
    """Logits of the queries, and the l2 used, chosen on `held` where that is given. Shapes (n, d), (n,), (q, d) → (q, classes)."""
    x, asked = prepared(h, h), prepared(queries, h)
    l2 = strength(x, y, classes, seed) if held is None else best_l2((x, y), (prepared(held[0], h), held[1]), classes)
    w, b = Logistic(x, y, classes).fit(l2)
    return asked @ w + b, l2


def strength(x: Tensor, y: Tensor, classes: int, seed: int) -> float:
    """The l2 for these labels: chosen where there are enough of them, else the fixed one."""
    rarest = int(torch.bincount(y, minlength=classes).min())
    return FIXED if rarest < TUNE else choose_l2(x, y, classes, seed)


def layer(h: Tensor, y: Tensor, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same as weights (classes, d) and bias (classes,) of a linear layer on h as it is: h is centred and scaled as a whole, not each row."""
    mean = h.mean(0)
    scale = (h - mean).square().mean().sqrt().clamp(min=1e-12)
    x = (h - mean) / scale
    w, b = Logistic(x, y, classes).fit(strength(x, y, classes, seed))
    return (w / scale).T, b - mean @ w / scale


def choose_l2(x: Tensor, y: Tensor, classes: int, seed: int) -> float:
    """The strength that is best on a class-balanced fifth of these labels, fitted to the others (never on test)."""
    held = []
    labels = y.cpu().numpy()
    for number in range(classes):
        members = np.flatnonzero(labels == number)
        members = members[rng.permutation(len(members), "validation", seed, number)]
        held.append(members[: max(1, round(VALIDATION * len(members)))])
    mask = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    mask[torch.from_numpy(np.concatenate(held)).to(y.device)] = True
    return best_l2((x[~mask], y[~mask]), (x[mask], y[mask]), classes)


def best_l2(fitted: Known, held: Known, classes: int) -> float:
    """The strength, of the paper's 45, that fits one set of features and labels so that the cross-entropy is least on the other.

    Taken is the strongest that is no worse than the best by more than a standard error of their difference: where the other cannot tell
    strengths apart, the simpler model. Cross-entropy rather than accuracy, because with few pictures many strengths tie in accuracy.
    """
    tried: list[tuple[float, Tensor]] = []
    best = 0
    for l2, w, b in Logistic(*fitted, classes).path(list(L2)):
        tried.append((l2, F.cross_entropy(held[0] @ w + b, held[1], reduction="none")))
        if tried[-1][1].mean() < tried[best][1].mean():
            best = len(tried) - 1
        if len(tried) - 1 - best == PATIENCE:
            break
    for l2, losses in tried[:best]:
        difference = losses - tried[best][1]
        if difference.mean() <= difference.std() / len(difference) ** 0.5:
            return l2
    return tried[best][0]
