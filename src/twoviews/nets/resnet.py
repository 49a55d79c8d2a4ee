"""The ResNets of SimCLR v1 and v2 (He et al. 2016; selective kernels: Li et al. 2019), equal to the official code (docs/fidelity.md).

They differ from torchvision's: a projection shortcut in every group, TensorFlow's pooling borders, zero-started last gammas, truncated
normal weights of variance 1/fan_in, biased moving variances. Modules are made in Keras' order (shortcut before main path), so the K-th
convolution here is `conv2d_K` there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Encoder
from .batchnorm import BatchNorm2d

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


class ConvBN(nn.Module):
    """Convolution without bias → batch norm → ReLU if `relu`. `zero` starts gamma at 0."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, relu: bool = True, zero: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding=(kernel - 1) // 2, bias=False)
        self.bn = BatchNorm2d(outside)
        self.relu = relu
        if zero:
            nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class PooledShortcut(nn.Module):
    """The shortcut of ResNet-D, used with selective kernels: 2×2 average, then 1×1. Borders as in the official code."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.stride = stride
        self.project = ConvBN(inside, outside, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:  # odd sides: the zeros count in the mean
            x = F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 2)
        else:  # each pixel and its right and lower neighbours, as far as there are any
            x = F.avg_pool2d(x, 2, 1, padding=1, count_include_pad=False)[:, :, 1:, 1:]
        return self.project(x)


class SelectiveKernel(nn.Module):
    """Two 3×3 streams mixed channel by channel by a softmax that sees the pooled sum."""

    def __init__(self, inside: int, filters: int, stride: int, ratio: float):
        super().__init__()
        middle = max(int(filters * ratio), 32)
        self.streams = ConvBN(inside, 2 * filters, 3, stride)
        self.squeeze = ConvBN(filters, middle, 1)
        self.mix = nn.Conv2d(middle, 2 * filters, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.streams(x).chunk(2, dim=1)
        pooled = (a + b).mean((2, 3), keepdim=True)
        share = self.mix(self.squeeze(pooled)).unflatten(1, (2, -1)).softmax(1)  # (N, 2, filters, 1, 1)
        return a * share[:, 0] + b * share[:, 1]


class SqueezeExcite(nn.Module):
    """Channels scaled by a gate that sees their means. Not used in published SimCLR models."""

    def __init__(self, width: int, middle: int):
        super().__init__()
        self.reduce = nn.Conv2d(width, middle, 1)
        self.expand = nn.Conv2d(middle, width, 1)
        for bias in (self.reduce.bias, self.expand.bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class Block(nn.Module):
    """A residual block: basic (two 3×3) or bottleneck (1×1, 3×3 with the stride, 1×1 to four times the width)."""

    def __init__(self, inside: int, filters: int, stride: int, bottleneck: bool, project: bool, sk: float, se: float):
        super().__init__()
        outside = 4 * filters if bottleneck else filters
        if project:
            self.shortcut = PooledShortcut(inside, outside, stride) if sk else ConvBN(inside, outside, 1, stride, relu=False)
        else:
            self.shortcut = nn.Identity()
        if bottleneck:
            middle = SelectiveKernel(filters, filters, stride, sk) if sk else ConvBN(filters, filters, 3, stride)
            self.main = nn.Sequential(ConvBN(inside, filters, 1), middle, ConvBN(filters, outside, 1, relu=False, zero=True))
        else:
            self.main = nn.Sequential(ConvBN(inside, filters, 3, stride), ConvBN(filters, outside, 3, relu=False, zero=True))
        self.gate = SqueezeExcite(outside, max(1, int(filters * se))) if se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        return F.relu(self.gate(self.main(x)) + shortcut, inplace=True)


class ResNet(Encoder):
    """ResNet-`depth` without its classifier: pictures (N, C, S, S) in [0, 1] → h (N, num_features), the mean over space.

    `width` multiplies every channel count (fractions make narrow networks). `sk` and `se` are the ratios of selective kernels and
    squeeze-and-excitation, 0 = off. `stem` is `imagenet` (7×7 stride 2 and pooling; three 3×3 with selective kernels), `small`
    (3×3 stride 1, for pictures up to about 64 px; paper B.9), or `torchvision`: that library's pooling borders, and no projection where
    the shape stays, so that its networks, timm's and transformers' compute the same from these weights.
    """

    def __init__(self, depth: int, width: float = 1, sk: float = 0.0, se: float = 0.0, stem: str = "imagenet", channels: int = 3):
        super().__init__()
        bottleneck, base = depth >= 50, max(1, round(64 * width))
        if stem == "small":
            self.stem = nn.Sequential(ConvBN(channels, base, 3))
        elif sk:
            self.stem = nn.Sequential(
                ConvBN(channels, base // 2, 3, 2),
                ConvBN(base // 2, base // 2, 3),
                ConvBN(base // 2, base, 3),
                SamePool(),
            )
        else:
            pool = nn.MaxPool2d(3, 2, 1) if stem == "torchvision" else SamePool()
            self.stem = nn.Sequential(ConvBN(channels, base, 7, 2), pool)
        self.groups = nn.ModuleList()
        inside = base
        for group, blocks in enumerate(BLOCKS[depth]):
            filters = base * 2**group
            layers = []
            for number in range(blocks):
                stride = 2 if group > 0 and number == 0 else 1
                outside = 4 * filters if bottleneck else filters
                project = number == 0 and (stem != "torchvision" or stride == 2 or inside != outside)
                layers.append(Block(inside, filters, stride, bottleneck, project, sk, se))
                inside = outside
            self.groups.append(nn.Sequential(*layers))
        self.num_features = inside
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                variance_scaling_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.contiguous() if self.contiguous else x)
        for group in self.groups:
            x = group(x)
        return x.mean((2, 3))


class SamePool(nn.Module):
    """3×3 maximum, stride 2, with TensorFlow's SAME borders: even sides are padded at their end only."""

    def forward(self, x: Tensor) -> Tensor:
        padding = [side % 2 for side in x.shape[2:]]
        return F.max_pool2d(x, 3, 2, padding, ceil_mode=True)


def variance_scaling_(weight: Tensor) -> None:
    """Keras' VarianceScaling: truncated normal of variance 1/fan_in."""
    deviation = (weight[0].numel() ** -0.5) / 0.87962566103423978  # the cut at two deviations takes variance away
    with torch.no_grad():
        nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
