"""A small convolutional network for tiny pictures such as digits: five 3×3 layers and the mean over space."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .base import Encoder
from .resnet import ConvBN


class ConvNet(Encoder):
    """Five layers of 64·width channels, halved in size twice: (N, C, S, S) in [0, 1] → h (N, num_features)."""

    def __init__(self, width: float = 1, channels: int = 1):
        super().__init__()
        w = max(1, round(64 * width))
        self.layers = nn.ModuleList(
            [
                ConvBN(channels, w, 3),
                ConvBN(w, w, 3),
                ConvBN(w, 2 * w, 3),
                ConvBN(2 * w, 2 * w, 3),
                ConvBN(2 * w, 4 * w, 3),
            ]
        )
        self.num_features = 4 * w
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in (1, 3):
                x = F.max_pool2d(x, 2)
        return x.mean((2, 3))
