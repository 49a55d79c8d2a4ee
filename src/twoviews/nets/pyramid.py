"""Feature maps of any convolutional encoder, level by level, and a feature pyramid on them (Lin et al. 2017) for torchvision's detectors."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from ..base.errors import UserError
from .base import Encoder
from .batchnorm import freeze_norms, norms

PROBE = 128  # side of the picture with which levels are found
STRIDES = (4, 8, 16, 32)


@dataclasses.dataclass(frozen=True)
class Level:
    """A module whose output is the last map of its stride."""

    name: str
    channels: int
    stride: int
    order: int  # of execution among all modules


def levels(net: Encoder) -> tuple[list[Level], dict[str, int]]:
    """The last feature map of each stride of 4 or more, and when each module with weights ran first. Raises UserError without two levels."""
    found: dict[int, Level] = {}
    ran: dict[str, int] = {}
    count = 0

    def note(name: str):
        def hook(module: nn.Module, inputs: Any, out: Any) -> None:
            nonlocal count
            count += 1
            if any(True for _ in module.parameters(recurse=False)):
                ran.setdefault(name, count)
            if (
                isinstance(out, Tensor)
                and out.ndim == 4
                and out.shape[2] > 1
                and PROBE % out.shape[2] == 0
                and out.shape[2] == out.shape[3]
            ):
                stride = PROBE // out.shape[2]
                if stride in STRIDES and name:
                    found[stride] = Level(name, out.shape[1], stride, count)

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in net.named_modules()]
    training = net.training
    try:
        with torch.no_grad():
            device = next(net.parameters()).device
            net.eval()(torch.zeros(1, net.spec.channels, PROBE, PROBE, device=device))
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"{net.spec.name} does not take pictures of other sizes than its own: it can carry no detector") from error
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    out = [found[stride] for stride in sorted(found)]
    if len(out) < 2:
        raise UserError(
            f"{net.spec} is too small for a feature pyramid: it has {len(out)} of the maps at strides {', '.join(map(str, STRIDES))}, and at least two "
            "are needed. Take a ResNet (resnet18 …), or timm:NAME"
        )
    return out, ran


class Pyramid(nn.Module):
    """An encoder's maps through a feature pyramid: (N, C, H, W) in [0, 1] → maps by name, each of `out_channels`.

    `layers` last stages learn, −1: all. `frozen` keeps its batch norms as they are.
    """

    def __init__(self, net: Encoder, out_channels: int = 256, layers: int = -1, frozen: bool = True):
        super().__init__()
        self.levels, ran = levels(net)
        self.encoder, self.frozen, self.out_channels = net, frozen, out_channels
        self.fpn = FeaturePyramidNetwork([level.channels for level in self.levels], out_channels, LastLevelMaxPool())
        self.maps: dict[str, Tensor] = {}
        for level in self.levels:
            net.get_submodule(level.name).register_forward_hook(self._keep(level.name))
        ends = [level.order for level in self.levels]
        still = set(norms(net)) if frozen else set()
        for name, module in net.named_modules():
            stage = sum(ran.get(name, 0) > end for end in ends)  # 0 up to the first level's end
            if module in still or (layers >= 0 and stage < len(ends) - layers):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)
        self.strides = [level.stride for level in self.levels] + [2 * self.levels[-1].stride]

    def _keep(self, name: str):
        def hook(module: nn.Module, inputs: Any, out: Tensor) -> None:
            self.maps[name] = out

        return hook

    def train(self, mode: bool = True) -> Pyramid:
        super().train(mode)
        if self.frozen:
            freeze_norms(self.encoder)
        return self

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        self.encoder(x)
        maps = OrderedDict((str(i), self.maps.pop(level.name)) for i, level in enumerate(self.levels))
        return self.fpn(maps)
