"""A small convolutional network for tiny pictures such as digits: five 3×3 layers and the mean over space."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from .base import Encoder
from .resnet import ConvBN

WIDTHS = (32, 64, 64, 128, 128)
POOLED = (0, 2)  # layers after which the side is halved


class ConvNet(Encoder):
    """Five 3×3 layers of WIDTHS · width channels, the side halved twice: (N, C, S, S) in [0, 1] → h (N, num_features)."""

    def __init__(self, width: float = 1, channels: int = 1):
        super().__init__()
        widths = [channels, *(max(1, round(w * width)) for w in WIDTHS)]
        self.layers = nn.ModuleList([ConvBN(a, b, 3) for a, b in itertools.pairwise(widths)])
        self.num_features = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in POOLED:
                x = F.max_pool2d(x, 2)
        return x.mean((2, 3))
