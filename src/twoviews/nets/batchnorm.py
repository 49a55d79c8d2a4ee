"""Batch normalisation as the official networks have it: the moving variance follows the biased batch variance (docs/fidelity.md).

PyTorch's layer follows the unbiased one; for a head's 2n rows and small n that is visible, and the golden numbers hold only with this.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
            n = input.numel() / input.shape[1]
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
