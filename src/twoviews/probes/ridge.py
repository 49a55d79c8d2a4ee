"""Ridge classification in closed form for all strengths of l2 at once: one eigendecomposition, then every strength is a division.

Targets are one-hot, centred; so are the features. With n < d the n × n Gram matrix is decomposed, else the d × d covariance.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

L2 = tuple(float(v) for v in torch.logspace(-6, 5, 45, dtype=torch.float64))  # the paper's 45 values (B.8)


def ridge(x: Tensor, y: Tensor, classes: int, l2: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (L, d, classes) and biases (L, classes) that minimise mean‖xw + b − onehot‖² + l2·‖w‖² for each of L strengths.

    Shapes (n, d) float, (n,) long, (L,).
    """
    x, target, l2 = x.double(), F.one_hot(y, classes).double(), l2.double().to(x.device)
    mean, share = x.mean(0), target.mean(0)
    x, target = x - mean, target - share
    n, d = x.shape
    if n >= d:
        values, vectors = torch.linalg.eigh(x.T @ x / n)
        inner = vectors.T @ (x.T @ target) / n  # (d, classes)
        w = vectors @ (inner / (values.clamp(min=0)[:, None] + l2[:, None, None]))  # (L, d, classes)
    else:
        values, vectors = torch.linalg.eigh(x @ x.T / n)
        inner = vectors.T @ target / n
        w = x.T @ (vectors @ (inner / (values.clamp(min=0)[:, None] + l2[:, None, None])))
    return w.float(), (share - mean @ w).float()


def ridge_accuracy(x: Tensor, y: Tensor, queries: Tensor, truth: Tensor, classes: int) -> float:
    """Best top-1 over the paper's 45 strengths on these queries, which must be a validation part: for monitors, not for results."""
    w, b = ridge(x, y, classes, torch.tensor(L2))
    predicted = (queries.float() @ w + b[:, None]).argmax(2)  # (L, q)
    return (predicted == truth).float().mean(1).max().item()
