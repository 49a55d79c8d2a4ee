"""Encoders by name and from files: `encoder` makes one, `save_encoder` writes it with all that is needed to use it, `load_encoder` reads it.

A file is safetensors; its header holds the spec (architecture, picture size, channels, resize filter) as JSON, so it works without its RUN.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..base.errors import RunError, UserError
from ..base.files import to_json, write_whole
from ..base.names import reachable
from .base import Encoder, Spec
from .convnet import ConvNet
from .foreign import Foreign, timm_encoder, torchvision_encoder
from .names import LIBRARIES, UNTRAINED, check_encoder, encoder_file
from .resnet import ResNet

SK_RATIO = 0.0625  # every published SK network (docs/fidelity.md)


def encoder(
    name: str,
    width: float = 1,
    sk: bool = False,
    stem: str = "imagenet",
    channels: int = 3,
    size: int = 224,
    resize: str = "antialias",
    range: str = "auto",
    pretrained: bool = False,
    seed: int = 0,
) -> Encoder:
    """An encoder by name: `resnet18` … `resnet200`, `convnet`, `timm:NAME`, `torchvision:NAME`. Weights are random, keyed by `seed`.

    `width`, `sk`, `stem` shape our own networks; `pretrained` asks timm or torchvision for theirs. `size`, `resize` and `range` say how
    `.preprocess` feeds it. Raises UserError for unknown names (with the nearest), stems, widths, and weights that cannot be had.
    """
    check_encoder(name, stem)
    spec = Spec(name, width, sk, stem, size, channels, resize, range)
    library, _, rest = name.partition(":")
    if library in LIBRARIES and rest:
        make = timm_encoder if library == "timm" else torchvision_encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net: Encoder = make(rest, channels, pretrained)
    elif width <= 0:
        raise UserError(f"width is {width}; it must be above 0 (1 is the paper's ResNet, 2 twice as wide)")
    elif sk and stem == "torchvision":
        raise UserError("torchvision's networks have no selective kernels: --stem imagenet or small, or leave --sk away")
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = (
                ConvNet(width, channels)
                if name == "convnet"
                else ResNet(int(name[6:]), width, SK_RATIO if sk else 0.0, stem=stem, channels=channels)
            )
    net.spec = spec
    return net


def adopt(module: nn.Module, channels: int, size: int, resize: str, range: str = "auto") -> Encoder:
    """Your own nn.Module as an encoder. It takes (N, C, S, S) in [0, 1] and has `num_features`. Raises UserError without it."""
    features = getattr(module, "num_features", None)
    if not isinstance(features, int):
        raise UserError(f"{type(module).__name__} has no integer attribute num_features: give it the length of its output")
    wrapped = Foreign(module, features, (0.0,) * channels, (1.0,) * channels, channels)
    wrapped.spec = Spec("custom", size=size, channels=channels, resize=resize, range=range)
    return wrapped


def from_spec(spec: Spec, seed: int = 0) -> Encoder:
    """A new, untrained encoder of this spec."""
    if spec.name == "custom":
        raise UserError("this encoder is a module of your own: load it in Python with load_encoder(FILE, module=YOUR_MODULE)")
    fields = dataclasses.asdict(spec)
    return encoder(fields.pop("name"), seed=seed, **fields)


def save_encoder(path: Path, net: Encoder, provenance: dict[str, Any]) -> None:
    """Write weights, spec and provenance into one safetensors file, whole or not at all."""
    save_module(path, net, {"spec": dataclasses.asdict(net.spec), "num_features": net.num_features, **provenance})


def save_module(path: Path, module: nn.Module, header: dict[str, Any]) -> None:
    """A module's tensors and a header of JSON as one safetensors file. One header key only: the format does not keep the order of several,
    and equal weights are to be equal files."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    write_whole(path, lambda part: save_file(tensors, part, {"twoviews": to_json(header)}))


def load_encoder(source: str | Path, module: nn.Module | None = None) -> Encoder:
    """An encoder in evaluation mode, from a RUN folder, one of our .safetensors files, `timm:NAME` or `torchvision:NAME` (pretrained),
    or `untrained:NAME` (any encoder's name, with random weights).

    `module` gives the network itself when the file holds weights of your own module. The result maps (N, C, S, S) in [0, 1] to
    (N, num_features); `.preprocess(image)` makes its input. Raises UserError with what is wrong and where.
    """
    name = str(source)
    if name.startswith(UNTRAINED):
        return encoder(name.removeprefix(UNTRAINED)).eval()
    if name.split(":")[0] in LIBRARIES and ":" in name:
        from_library = encoder(name, pretrained=True)
        return from_library.eval()
    path = encoder_file(name)
    header = read_header(path)
    spec = spec_of(header, path)
    net = from_spec(spec) if module is None else adopt(module, spec.channels, spec.size, spec.resize, spec.range)
    load_weights(net, path, str(spec))
    return net.eval()


def read_header(path: Path) -> dict[str, Any]:
    """The JSON that `save_encoder` put into the file's header. Raises UserError when the file is another kind."""
    try:
        with safe_open(reachable(path), "pt") as file:
            return json.loads((file.metadata() or {})["twoviews"])
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a safetensors file: {error}") from error
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} holds weights, but not an encoder of twoviews (no architecture in its header)") from error


def spec_of(header: dict[str, Any], path: Path) -> Spec:
    """The spec in a file's header. Raises UserError for one that is none."""
    try:
        return Spec(**header["spec"])
    except (TypeError, KeyError) as error:
        raise UserError(f"{path} describes an encoder that this version of twoviews does not know: {error}") from error


def load_weights(net: nn.Module, path: Path, what: str) -> None:
    """Fill a module, `what` in words, from a file, strictly. Raises UserError naming what does not fit."""
    with safe_open(reachable(path), "pt") as file:
        state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
    own = net.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    other = [f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}" for k in own if k in state and own[k].shape != state[k].shape]
    if missing or extra or other:
        parts = [
            f"missing {missing[0]}" if missing else "",
            f"unexpected {extra[0]}" if extra else "",
            other[0] if other else "",
        ]
        raise UserError(
            f"{path} is the checkpoint of something else than {what}: "
            f"{'; '.join(p for p in parts if p)} (and {max(0, len(missing) + len(extra) + len(other) - 1)} more)"
        )
    net.load_state_dict(state)


def fingerprint(net: nn.Module) -> str:
    """sha256 over all parameters and buffers: equal before and after proves that an evaluation left the encoder alone."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise RunError(f"the encoder's {name} is not finite: these weights are of a training that broke")
        digest.update(name.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
