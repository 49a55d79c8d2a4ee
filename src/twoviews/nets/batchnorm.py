"""Batch normalisation as the official networks have it: the moving variance follows the biased batch variance (docs/fidelity.md).

PyTorch's layer follows the unbiased one; for a head's 2n rows and small n that is visible, and the golden numbers hold only with this.
`Across` makes every batch normalisation that runs in it one over all processes, whoever wrote the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from ..base.processes import Group, gathered, summed, world


class _Biased(nn.modules.batchnorm._BatchNorm):
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        unbiased = self.running_var.clone()  # (1 - m)·before + m·unbiased, after the next line
        out = F.batch_norm(input, self.running_mean, unbiased, self.weight, self.bias, True, self.momentum, self.eps)
        with torch.no_grad():  # make the last term m·biased = m·unbiased·(n - 1)/n
            n = input.numel() / input.shape[1] * Across.processes
            self.running_var.mul_((1 - self.momentum) / n).add_(unbiased, alpha=1 - 1 / n)
            self.num_batches_tracked.add_(1)
        return out


class BatchNorm2d(_Biased, nn.BatchNorm2d):
    """Over the positions of (N, C, H, W); momentum 0.1 (Keras writes 0.9), eps 1e-5."""


class BatchNorm1d(_Biased, nn.BatchNorm1d):
    """Over the rows of (N, C). `center=False` leaves out the shift, as the official head's last layer does."""

    def __init__(self, features: int, center: bool = True):
        super().__init__(features)
        if not center:
            self.register_parameter("bias", None)


def norms(net: nn.Module) -> list[nn.Module]:
    """Every batch norm in a network, whoever wrote it."""
    return [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def freeze_norms(net: nn.Module) -> None:
    """Put every batch norm into evaluation mode: it uses the statistics it has."""
    for module in norms(net):
        module.eval()


class Across(TorchFunctionMode):
    """In this block batch normalisation in training takes mean and variance over the batches of all processes of `group`, equal in size.

    On any device, also CPUs, which torch.nn.SyncBatchNorm does not know.
    """

    processes = 1

    def __init__(self, group: Group | None):
        super().__init__()
        self.group = group

    def __enter__(self) -> Across:
        Across.processes = world(self.group)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        Across.processes = 1
        super().__exit__(*error)

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm:
            return self.batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """torch.nn.functional.batch_norm over all processes."""
        if not training:
            return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        out, mean, variance = _Global.apply(input, weight, bias, eps, self.group)
        if running_mean is not None and running_var is not None:
            n = input.numel() / input.shape[1] * world(self.group)
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean), momentum)
                running_var.lerp_(variance.to(running_var) * (n / (n - 1)), momentum)
        return out


class _Global(torch.autograd.Function):
    """x̂·weight + bias with the mean and biased variance of all processes; returns these too. Weight and bias get this process's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, group: Group | None):
        dims = [0, *range(2, x.ndim)]
        precise = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        own = torch.stack(torch.var_mean(precise, dims, correction=0))
        variances, means = gathered(own, group).unbind(1)  # (world, C) each
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.group, ctx.dims, ctx.shifted = group, dims, bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        shape = (1, -1, *(1,) * (x.ndim - 2))
        unit = (x - mean.view(shape)) * inverse.view(shape)  # x̂
        own = torch.stack([dy.sum(ctx.dims, dtype=mean.dtype), (dy * unit).sum(ctx.dims, dtype=mean.dtype)])
        rows = x.numel() / x.shape[1] * world(ctx.group)
        shift, along = (summed(own.clone(), ctx.group) / rows).unbind(0)
        scale = inverse if weight is None else inverse * weight
        dx = (dy - shift.view(shape) - unit * along.view(shape)) * scale.view(shape)
        return dx.to(x.dtype), None if weight is None else own[1], own[0] if ctx.shifted else None, None, None
