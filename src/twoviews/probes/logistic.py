"""Multinomial logistic regression by L-BFGS on frozen features (Chen et al. 2020, B.8; torch.optim.LBFGS)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 50


class Logistic:
    """Fits of one training set: mean cross-entropy + l2/2·‖w‖² (the bias is free), each starting from the last.

    Shapes: x (n, d), y (n,) long. Or y (n, classes) of 1, 0 and −1 (does not count): one binary regression a class, their losses added. Small
    problems are solved in float64.
    """

    def __init__(self, x: Tensor, y: Tensor, classes: int):
        dtype = torch.float64 if x.numel() < 5_000_000 and x.device.type != "mps" else torch.float32
        self.x, self.y = x.to(dtype), y
        self.parameters = torch.zeros(x.shape[1] + 1, classes, dtype=dtype, device=x.device)
        self.binary = y.ndim == 2
        self.target = y.clamp(min=0).to(dtype) if self.binary else F.one_hot(y, classes).to(dtype)
        self.counts = (y >= 0).to(dtype) if self.binary else torch.ones((), dtype=dtype, device=x.device)

    def fit(self, l2: float, iterations: int = 200) -> tuple[Tensor, Tensor]:
        """Weights (d, classes) and bias (classes,) for this strength, float32."""
        p = self.parameters
        p.grad = gradient = torch.empty_like(p)
        optimizer = torch.optim.LBFGS(
            [p],
            max_iter=iterations,
            history_size=20,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-6,
            tolerance_change=1e-10,
        )
        n = len(self.y)

        def closure() -> Tensor:
            logits = torch.addmm(p[-1], self.x, p[:-1])
            if self.binary:
                error = self.counts * (logits.sigmoid() - self.target) / n
                loss = (self.counts * F.binary_cross_entropy_with_logits(logits, self.target, reduction="none")).sum() / n
            else:
                log_p = logits.log_softmax(1)
                error = (log_p.exp() - self.target) / n
                loss = -(log_p * self.target).sum() / n
            torch.mm(self.x.T, error, out=gradient[:-1])
            gradient[:-1].add_(p[:-1], alpha=l2)
            gradient[-1] = error.sum(0)
            return loss + 0.5 * l2 * p[:-1].square().sum()

        with torch.no_grad():
            optimizer.step(closure)
        return p[:-1].float().clone(), p[-1].float().clone()

    def path(self, strengths: list[float]) -> Iterator[tuple[float, Tensor, Tensor]]:
        """(l2, weights, bias) from the strongest to the weakest, so that each start is close and STEPS iterations are enough."""
        for l2 in sorted(strengths, reverse=True):
            yield l2, *self.fit(l2, STEPS)
