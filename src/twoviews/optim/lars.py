"""LARS exactly as the official SimCLR code has it (lars_optimizer.py; You et al. 2017), on whole lists of tensors at once.

The learning rate is inside the momentum; the trust ratio sees the gradient with weight decay already added; adaptation also applies when
weight decay is 0. Other libraries' LARS differ in each of these points (docs/fidelity.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class LARS(torch.optim.Optimizer):
    """g ← g + wd·w; ratio = trust·‖w‖/‖g‖ where both norms are > 0, else 1; v ← m·v + lr·ratio·g; w ← w − v.

    Groups may set `weight_decay` and `adapt` (False: ratio 1) of their own; `split(model)` makes the usual two. `nesterov` steps by
    m·v + lr·ratio·g. `classic=False` is the form that puts ratio and rate after the momentum and takes the norm of the update.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        trust: float = 1e-3,
        nesterov: bool = False,
        classic: bool = True,
        adapt: bool = True,
    ):
        if lr < 0 or weight_decay < 0 or not 0 <= momentum < 1 or trust <= 0:
            raise ValueError("LARS needs lr ≥ 0, weight_decay ≥ 0, 0 ≤ momentum < 1, trust > 0")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "trust": trust,
                "nesterov": nesterov,
                "classic": classic,
                "adapt": adapt,
            },
        )

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step_group(weights, [p.grad for p in weights], group)
        return loss

    def _step_group(self, weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        for p in weights:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        velocity = [self.state[p]["momentum"] for p in weights]
        lr, momentum, trust = group["lr"], group["momentum"], group["trust"]
        update = torch._foreach_add(gradients, weights, alpha=group["weight_decay"]) if group["weight_decay"] else gradients

        def scaled(of: tuple[Tensor, ...] | list[Tensor]) -> list[Tensor]:
            """`of` times lr and the trust ratio that belongs to it."""
            if not group["adapt"]:
                return list(torch._foreach_mul(of, lr))
            w, g = torch.stack(torch._foreach_norm(weights)), torch.stack(torch._foreach_norm(of))
            ratio = torch.where((w > 0) & (g > 0), trust * w / g, 1.0)  # stays on the device
            return list(torch._foreach_mul(of, list((ratio * lr).unbind())))

        if group["classic"]:
            update = scaled(update)
            torch._foreach_mul_(velocity, momentum)
            torch._foreach_add_(velocity, update)
            step = torch._foreach_add(update, velocity, alpha=momentum) if group["nesterov"] else velocity
        else:
            torch._foreach_mul_(velocity, momentum)
            torch._foreach_add_(velocity, update)
            step = scaled(list(torch._foreach_add(update, velocity, alpha=momentum)) if group["nesterov"] else velocity)
        torch._foreach_sub_(weights, step)


def split(*modules: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of parameters: matrices and kernels with weight decay and adaptation; biases and norms (≤ 1 dimension) with neither."""
    params = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": weight_decay, "adapt": True},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0, "adapt": False},
    ]
