"""Encoders of other libraries, fed with [0, 1] like ours: timm's and torchvision's models by name, and any nn.Module with `num_features`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..base.errors import UserError, unknown
from .base import Encoder


class Foreign(Encoder):
    """Another library's network behind our contract: [0, 1] in, its own mean and deviation inside, h out."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, num_features: int, mean: tuple[float, ...], std: tuple[float, ...], channels: int):
        super().__init__()
        self.network, self.num_features, self.channels = network, num_features, channels
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and len(self.mean) == 3:
            x = x.expand(-1, 3, -1, -1)
        return self.network((x - self.mean) / self.std)


def timm_encoder(name: str, channels: int, pretrained: bool) -> Foreign:
    """timm's `name` without its classifier. Raises UserError for unknown names and for weights that cannot be had."""
    import timm

    if name.split(".")[0] not in timm.list_models():
        raise unknown_among("timm model", name, timm.list_models())
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=channels)
    except Exception as error:  # whatever the hub's client raises when it cannot be reached
        raise _no_weights(f"timm:{name}", error) from error
    norm: Any = network.pretrained_cfg
    mean, std = norm.get("mean", (0.5,) * 3), norm.get("std", (0.5,) * 3)
    if channels != 3:
        mean, std = (sum(mean) / 3,) * channels, (sum(std) / 3,) * channels
    return Foreign(network, int(network.num_features), mean, std, channels)  # type: ignore[arg-type]


def torchvision_encoder(name: str, channels: int, pretrained: bool) -> Foreign:
    """torchvision's `name`, its last linear layer taken off; gray pictures are given to all three channels."""
    from torchvision import models

    if name not in models.list_models(models):
        raise unknown_among("torchvision model", name, models.list_models(models))
    if channels not in (1, 3):
        raise UserError(f"torchvision:{name} takes 3 channels, or 1 repeated; not {channels}. timm:… models take any number")
    network = models.get_model(name, weights=None)
    if pretrained:
        weights = models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
        try:
            state = torch.hub.load_state_dict_from_url(weights.url, progress=False, check_hash=True, weights_only=True)
        except Exception as error:
            raise _no_weights(f"torchvision:{name}", error) from error
        network.load_state_dict(state)
    last = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not last:
        raise UserError(f"torchvision:{name} has no linear classifier to take off; choose a classification network such as resnet50")
    parent, _, child = last[-1].rpartition(".")
    classifier = network.get_submodule(last[-1])
    setattr(network.get_submodule(parent), child, nn.Identity())
    return Foreign(network, classifier.in_features, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), channels)  # type: ignore[arg-type]


def unknown_among(what: str, name: str, valid: list[str]) -> UserError:
    """As `unknown`, for lists too long to print whole: the few that share a part with the name."""
    near = [v for v in valid if name.lower()[:5] in v][:8] or valid[:8]
    message = str(unknown(what, name, valid)).split(" Valid:")[0]
    return UserError(f"{message} Some that exist: {', '.join(near)}")


def _no_weights(name: str, error: Exception) -> UserError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"the weights of {name} could not be loaded: {first} Check the connection, or begin from a file with --init FILE.safetensors"
    )
