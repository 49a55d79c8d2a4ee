"""Projection heads g: h (N, in) → z (N, out). The official heads, and the paper's text version (`norm=False`; docs/fidelity.md)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..base.errors import unknown
from .batchnorm import BatchNorm1d

HEADS = ("none", "linear", "mlp2", "mlp3")


class Head(nn.Module):
    """`layers` dense layers without bias; hidden ones keep the width and end in batch norm and ReLU, the last in batch norm without shift.

    With `norm=False` (paper, section 2.1: z = W2·ReLU(W1·h)) there is no batch norm. 0 layers: z = h.
    """

    def __init__(self, layers: int, in_features: int, out_features: int, norm: bool = True):
        super().__init__()
        self.out_features = out_features if layers else in_features
        self.dense, self.norms = nn.ModuleList(), nn.ModuleList()
        for number in range(layers):
            last = number == layers - 1
            dense = nn.Linear(in_features, out_features if last else in_features, bias=False)
            nn.init.normal_(dense.weight, std=0.01 if norm else in_features**-0.5)  # without norm 0.01 would make z vanish
            self.dense.append(dense)
            self.norms.append(BatchNorm1d(dense.out_features, center=not last) if norm else nn.Identity())

    def forward(self, h: Tensor, layers: int | None = None) -> Tensor:
        """All layers, or only the first `layers` (SimCLRv2 fine-tunes from the middle of the head)."""
        x = h
        for number, (dense, norm) in enumerate(zip(self.dense, self.norms, strict=True)):
            if number == layers:
                break
            x = norm(dense(x))
            if number < len(self.dense) - 1:
                x = F.relu(x)
        return x


def head(name: str, in_features: int, out_features: int = 128, norm: bool = True) -> Head:
    """A projection head by name: `none`, `linear`, `mlp2` (SimCLR), `mlp3` (SimCLRv2). Raises UserError for other names."""
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    return Head(HEADS.index(name), in_features, out_features, norm)
