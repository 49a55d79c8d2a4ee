"""The metrics of the transfer sets: top-1, mean accuracy per class, 11-point mean average precision (VOC 2007)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def top1(logits: Tensor, y: Tensor) -> float | None:
    """Share of the (n, classes) rows whose largest entry is at y (n,). None without any row."""
    return (logits.argmax(1) == y).float().mean().item() if len(y) else None


def per_class(logits: Tensor, y: Tensor) -> float | None:
    """The mean over classes of each class's accuracy; classes without a picture do not count. None without any picture."""
    right = (logits.argmax(1) == y).double()
    count = torch.bincount(y, minlength=logits.shape[1]).double()
    hits = torch.zeros_like(count).scatter_add_(0, y, right)
    return (hits[count > 0] / count[count > 0]).mean().item() if len(y) else None


def average_precision_11(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float | None:
    """Mean of the largest precision at recall ≥ 0, 0.1 … 1 (Everingham et al. 2010). `truth`: 1, 0, or −1, which does not count. None without a hit."""
    keep = truth >= 0
    order = np.argsort(-scores[keep], kind="stable")
    hits = truth[keep][order] == 1
    if not hits.any():
        return None
    found = np.cumsum(hits)
    recall, precision = found / hits.sum(), found / np.arange(1, len(hits) + 1)
    return float(np.mean([precision[recall >= level - 1e-12].max(initial=0.0) for level in np.linspace(0, 1, 11)]))


def map11(logits: Tensor, targets: Tensor) -> float | None:
    """The mean of `average_precision_11` over classes that occur; None where none does. Shapes (n, classes) both."""
    scores, truth = logits.double().cpu().numpy(), targets.cpu().numpy()
    each = [average_precision_11(scores[:, c], truth[:, c]) for c in range(truth.shape[1])]
    found = [value for value in each if value is not None]
    return float(np.mean(found)) if found else None


METRICS = {"top1": top1, "per-class": per_class, "map11": map11}
