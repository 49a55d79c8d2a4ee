"""Encoders of other libraries, fed with [0, 1] like ours: timm's and torchvision's models by name, and any nn.Module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..base.errors import UserError, unknown
from .base import Encoder

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FIELDS = ("logits", "pooler_output", "image_embeds", "last_hidden_state")  # where networks of several outputs keep what is h


class Foreign(Encoder):
    """Another library's network behind our contract: [0, 1] in, its own mean and deviation inside, h (N, num_features) out.

    `num_features` is measured by who makes it (`trial.width`). `own_size`
    is the side it was made for, 0 where that is not known; `tried` are the devices, sizes and ways for which its memory format was decided.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], own_size: int = 0):
        super().__init__()
        self.network, self.num_features, self.own_size, self.tried = network, 0, own_size, set[tuple[str, int, bool]]()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and len(self.mean) == 3:
            x = x.expand(-1, 3, -1, -1)
        x = (x - self.mean) / self.std
        dtype = next((p.dtype for p in self.network.parameters() if p.is_floating_point()), torch.float32)
        if dtype != torch.float32:  # a network of another precision computes in its own
            return vector(self.network((x.contiguous() if self.contiguous else x).to(dtype)), x.shape[0]).to(x.dtype)
        return vector(self.network(x.contiguous() if self.contiguous else x), x.shape[0])  # len would bind an exported graph to this batch


def vector(out: Any, n: int) -> Tensor:
    """The output of a network as (n, d): maps and tokens are averaged; of several outputs the one that is called as usual is taken.

    Raises UserError for what is no vector a picture.
    """
    if not isinstance(out, Tensor):
        inside = out if isinstance(out, dict) else {name: getattr(out, name, None) for name in FIELDS}
        found = next((inside[name] for name in FIELDS if isinstance(inside.get(name), Tensor)), None)
        if found is None and isinstance(out, list | tuple) and len(out) == 1:
            found = out[0]
        if not isinstance(found, Tensor):
            raise UserError(
                f"the network gives {_described(out)}, and an encoder gives one vector a picture: wrap it so that it returns a tensor (N, d)"
            )
        out = found
    if out.ndim == 4:
        out = out.mean((2, 3))
    elif out.ndim == 3:
        out = out.mean(1)
    if out.ndim != 2 or out.shape[0] != n:
        raise UserError(
            f"the network gives the shape {tuple(out.shape)} for {n} pictures, and an encoder gives one vector a picture: (N, d)"
        )
    if not out.is_floating_point():
        raise UserError(f"the network gives {str(out.dtype).removeprefix('torch.')}, which carries no gradient: an encoder gives floats")
    return out


def _described(out: Any) -> str:
    if isinstance(out, dict):
        return f"a dict of {', '.join(map(str, out))}"
    if isinstance(out, list | tuple):
        return f"{len(out)} outputs"
    return f"an object of type {type(out).__name__}"


def timm_encoder(name: str, channels: int, pretrained: bool, built: int = 0) -> Foreign:
    """timm's `name` without its classifier; `built`, if not 0, is the `img_size` that it is made with.

    Raises UserError for unknown names and for weights that cannot be had, TypeError where `built` is given and the network takes no size.
    """
    import timm

    if name.split(".")[0] not in timm.list_models():
        raise unknown_among("timm model", name, timm.list_models())
    sized: dict[str, Any] = {"img_size": built} if built else {}
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=channels, **sized)
    except Exception as error:
        if built or not pretrained:  # the network's own: a size it does not take, channels it does not have
            raise _no_network(f"timm:{name}", channels, error) from error
        raise _no_weights(f"timm:{name}", error) from error  # whatever the hub's client raises when it cannot be reached
    norm: Any = network.pretrained_cfg
    mean, std = for_channels(norm.get("mean", (0.5,) * 3), norm.get("std", (0.5,) * 3), channels)
    return Foreign(network, mean, std, norm.get("input_size", (3, 0, 0))[-1])


def torchvision_encoder(name: str, channels: int, pretrained: bool, built: int = 0) -> Foreign:
    """torchvision's `name`, its last linear layer taken off; gray pictures are given to all three channels. `built` as for timm's."""
    from torchvision import models

    if name not in models.list_models(models):
        raise unknown_among("torchvision model", name, models.list_models(models))
    if channels not in (1, 3):
        raise UserError(f"torchvision:{name} takes 3 channels, or 1 repeated; not {channels}. timm:… models take any number")
    network: Any = models.get_model(name, weights=None, **({"image_size": built} if built else {}))
    if pretrained:
        weights = models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
        try:
            state = torch.hub.load_state_dict_from_url(weights.url, progress=False, check_hash=True, weights_only=True)
        except Exception as error:
            raise _no_weights(f"torchvision:{name}", error) from error
        network.load_state_dict(state)
    if getattr(network, "aux_logits", False):  # classifiers on the way, for training with labels
        network.aux_logits = False
        for side in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, side):
                setattr(network, side, None)
    if hasattr(network, "transform_input"):
        network.transform_input = True  # its published weights expect other means and deviations than all others
    last = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not last:
        raise UserError(f"torchvision:{name} has no linear classifier to take off; choose a classification network such as resnet50")
    parent, _, child = last[-1].rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return Foreign(network, *IMAGENET, getattr(network, "image_size", 224))


def torchvision_built(name: str) -> int:
    """The `image_size` that the published weights of a network need, 0 where it has no such option."""
    from torchvision import models

    if not name.startswith("vit_"):
        return 0
    return models.get_model_weights(name).DEFAULT.meta["min_size"][0]  # type: ignore[attr-defined]


def preprocessing_of(module: nn.Module) -> tuple[int, int, tuple[float, ...], tuple[float, ...]]:
    """Side, channels, mean and deviation that a network says it was made for: timm's models do, torchvision's are ImageNet's; else [0, 1] at 224."""
    norm = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if isinstance(norm, dict) and "input_size" in norm:
        channels, _, side = norm["input_size"]
        return side, channels, tuple(norm.get("mean", (0.0,) * 3)), tuple(norm.get("std", (1.0,) * 3))
    if type(module).__module__.startswith("torchvision.models."):
        return getattr(module, "image_size", 224), 3, *IMAGENET
    first = next((m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)), 3)
    return 224, first, (0.0,), (1.0,)


def for_channels(mean: Any, std: Any, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation for this many channels: the average of those there are, where they are another number."""
    mean, std = tuple(map(float, mean)), tuple(map(float, std))
    if len(mean) != channels:
        mean, std = (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
    return mean, std


def unknown_among(what: str, name: str, valid: list[str]) -> UserError:
    """As `unknown`, for lists too long to print whole: the few that share a part with the name."""
    near = [v for v in valid if name.lower()[:5] in v][:8] or valid[:8]
    message = str(unknown(what, name, valid)).split(" Valid:")[0]
    return UserError(f"{message} Some that exist: {', '.join(near)}")


def first_line(error: BaseException) -> str:
    """What another library says of an error, in one line that ends."""
    line = (str(error).splitlines() or [type(error).__name__])[0].strip() or type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _no_network(name: str, channels: int, error: Exception) -> UserError:
    return UserError(f"{name} cannot be made for pictures of {channels} channels: {first_line(error)}")


def _no_weights(name: str, error: Exception) -> UserError:
    return UserError(
        f"the weights of {name} could not be loaded: {first_line(error)} Check the connection, or begin from a file with --init FILE.safetensors"
    )
