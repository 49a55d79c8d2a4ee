"""Encoders by name and from files: `encoder` makes one, `save_encoder` writes it with all that is needed to use it, `load_encoder` reads it.

A file is safetensors; its header holds the spec (architecture, picture size, channels, resize filter) as JSON, so it works without its RUN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..base.errors import RunError, UserError, WrongType
from ..base.files import to_json, write_whole
from ..base.names import reachable
from ..base.settings import of_type
from .arguments import check_feeding, check_numbers
from .base import Encoder, Spec
from .convnet import ConvNet
from .foreign import Foreign, first_line, for_channels, preprocessing_of, timm_encoder, torchvision_built, torchvision_encoder
from .names import UNTRAINED, check_encoder, encoder_file, of_library
from .resnet import ResNet
from .trial import SHOWN, at_size, broken, fits, near, refusal
from .trial import width as width_of

OWN = 224  # side of pictures where neither the user nor the network says another
SK_RATIO = 0.0625  # every published SK network (docs/fidelity.md)


def encoder(
    name: str,
    width: float = 1,
    sk: bool = False,
    stem: str = "imagenet",
    channels: int = 3,
    size: int | None = None,
    resize: str = "antialias",
    range: str = "auto",
    pretrained: bool = False,
    seed: int = 0,
) -> Encoder:
    """An encoder by name: `resnet18` … `resnet200`, `convnet`, `timm:NAME`, `torchvision:NAME`. Weights are random, keyed by `seed`.

    `width`, `sk`, `stem` shape our own networks; `pretrained` asks timm or torchvision for theirs. `size`, `resize` and `range` say how
    `.preprocess` feeds it; None: 224, or the network's own size where it takes no other. Raises UserError for unknown names (with the nearest),
    stems, widths, sizes that a network does not take (with some that it does), and weights that cannot be had.
    """
    for what, value, kind in (("name", name, str), ("width", width, float), ("sk", sk, bool), ("stem", stem, str), ("seed", seed, int)):
        of_type(what, value, kind)
    check_feeding(size, channels, resize, range)
    spec = Spec(name, width, sk, stem, OWN if size is None else size, channels, resize, range)
    return made(spec, pretrained, seed, any_size=size is None)


def made(spec: Spec, pretrained: bool = False, seed: int = 0, any_size: bool = False) -> Encoder:
    """A network of this spec. One of another library is tried at its size; where it takes none but its own, it is built for this size if its
    library can do that, or, with `any_size`, gets its own. So `built` and `size` of the result may differ from the spec's.
    """
    check_encoder(spec.name, spec.stem)
    if spec.size < 1:
        raise UserError(f"size is {spec.size}; it must be at least 1")
    if not of_library(spec.name):
        net = _ours(spec, seed)
        net.spec = spec
        return net
    net = _library(spec, pretrained, seed)
    built, first = net.spec.built, None
    sized = [(spec.size, spec.size)] if spec.name.startswith("timm:") and not built else []
    own = [(net.own_size, built)] if any_size and net.own_size else []
    for size, built_for in [(spec.size, built), *(own + sized if pretrained else sized + own)]:
        try:
            if built_for != net.spec.built:
                net = _library(dataclasses.replace(spec, built=built_for), pretrained, seed)
            net.num_features = width_of(net, size)
        except Exception as error:  # whatever a network raises at a size it does not take
            first = first or error
            continue
        net.spec = dataclasses.replace(net.spec, size=size)
        return net
    assert first is not None
    raise refusal(str(spec), spec.size, first, _sizes(spec, net.own_size, seed)) from first


def _ours(spec: Spec, seed: int) -> Encoder:
    if spec.width <= 0:
        raise UserError(f"width is {spec.width}; it must be above 0 (1 is the paper's ResNet, 2 twice as wide)")
    if spec.sk and spec.stem == "torchvision":
        raise UserError("torchvision's networks have no selective kernels: --stem imagenet or small, or leave --sk away")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.name == "convnet":
            return ConvNet(spec.width, spec.channels)
        return ResNet(int(spec.name[6:]), spec.width, SK_RATIO if spec.sk else 0.0, stem=spec.stem, channels=spec.channels)


def _library(spec: Spec, pretrained: bool, seed: int) -> Foreign:
    library, _, rest = spec.name.partition(":")
    if library == "torchvision" and pretrained and not spec.built:
        spec = dataclasses.replace(spec, built=torchvision_built(rest))
    make = timm_encoder if library == "timm" else torchvision_encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make(rest, spec.channels, pretrained, spec.built)
    net.spec = spec
    return net


def _sizes(spec: Spec, own: int, seed: int) -> list[int]:
    """Some sizes that a network takes, those near the one it does not take first."""
    found: list[int] = []
    plain = _library(spec, False, seed)
    for size in near(spec.size, own):
        works = fits(plain, size)
        if not works and spec.name.startswith("timm:"):
            with contextlib.suppress(UserError):
                works = fits(_library(dataclasses.replace(spec, built=size), False, seed), size)
        found += [size] if works else []
        if len(found) == SHOWN:
            break
    return found


def adopt(
    module: nn.Module,
    channels: int,
    size: int,
    resize: str,
    range: str = "auto",
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> Encoder:
    """Your own nn.Module as an encoder. It takes (N, C, S, S), which is in [0, 1] before `mean` and `std` are applied; the length of its output is
    measured. Raises UserError where it takes no such pictures or gives no vector."""
    of_channels = for_channels(mean, std, channels)
    wrapped = Foreign(module, *of_channels)
    wrapped.spec = Spec("custom", size=size, channels=channels, resize=resize, range=range, mean=of_channels[0], std=of_channels[1])
    try:
        wrapped.num_features = width_of(wrapped, size)
    except Exception as error:
        raise UserError(
            f"{type(module).__name__} is no encoder for pictures of {channels} channels and {size} pixels: {first_line(error)} An encoder maps "
            f"(N, {channels}, {size}, {size}) to (N, num_features)"
        ) from error
    return wrapped.train(module.training)


def wrap_encoder(
    module: nn.Module,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channels: int | None = None,
    resize: str = "antialias",
    range: str = "auto",
) -> Encoder:
    """Any nn.Module as an encoder, with its preprocessing: what `knn`, `embed`, `train` and the others take. The module itself is inside, not a copy.

    `size`, `mean`, `std`, `channels`: None: what timm's models say of themselves (`pretrained_cfg`); ImageNet's mean and deviation at 224 for
    torchvision's; for others pictures in [0, 1] of 224 pixels, in as many channels as the first convolution takes. The length of its output is
    measured: feature maps and tokens are averaged. Raises UserError where it takes no such pictures, TypeError for what is no module.
    """
    if not isinstance(module, nn.Module):
        raise WrongType(f"an encoder is an nn.Module, and this is of type {type(module).__name__}")
    if isinstance(module, Encoder):
        return at_size(module, size or 0)
    check_feeding(size, channels, resize, range)
    side, usual, own_mean, own_std = preprocessing_of(module)
    first = None
    for count in dict.fromkeys([usual, 3, 1]) if channels is None else [channels]:
        try:
            for what, values in {"mean": mean, "std": std}.items():
                if values is not None:
                    check_numbers(what, values, count)
            return adopt(module, count, size or side, resize, range, own_mean if mean is None else mean, own_std if std is None else std)
        except WrongType:
            raise
        except UserError as error:
            first = first or error
    assert first is not None
    raise UserError(f"{first}. Say what it takes: twoviews.wrap_encoder(module, size=…, channels=…, mean=…, std=…)") from first


def adopted(module: nn.Module, spec: Spec) -> Encoder:
    """A module of the user's own by the spec of the encoder that it was."""
    return adopt(module, spec.channels, spec.size, spec.resize, spec.range, spec.mean or (0.0,), spec.std or (1.0,))


def from_spec(spec: Spec, seed: int = 0) -> Encoder:
    """A new, untrained encoder of this spec."""
    if spec.name == "custom":
        raise UserError("this encoder is a module of your own: load it in Python with load_encoder(FILE, module=YOUR_MODULE)")
    return made(spec, seed=seed)


def save_encoder(path: Path, net: Encoder, provenance: dict[str, Any]) -> None:
    """Write weights, spec and provenance into one safetensors file, whole or not at all."""
    save_module(path, net, {"spec": dataclasses.asdict(net.spec), "num_features": net.num_features, **provenance})


def save_module(path: Path, module: nn.Module, header: dict[str, Any]) -> None:
    """A module's tensors and a header of JSON as one safetensors file. One header key only: the format does not keep the order of several,
    and equal weights are to be equal files."""
    write_whole(path, lambda part: save_file(tensors_of(module.state_dict()), part, {"twoviews": to_json(header)}))


def tensors_of(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a state dict as the format takes them: on the host, contiguous, and what parts of a network share once for each."""
    tensors: dict[str, torch.Tensor] = {}
    seen = set()
    for name, value in state.items():
        own = value.detach().cpu().contiguous()
        tensors[name] = own.clone() if own.untyped_storage().data_ptr() in seen else own
        seen.add(own.untyped_storage().data_ptr())
    return tensors


def load_encoder(source: str | Path, module: nn.Module | None = None) -> Encoder:
    """An encoder in evaluation mode, from a RUN folder, one of our .safetensors files, `timm:NAME` or `torchvision:NAME` (pretrained),
    or `untrained:NAME` (any encoder's name, with random weights).

    `module` gives the network itself when the file holds weights of your own module. The result maps (N, C, S, S) in [0, 1] to
    (N, num_features); `.preprocess(image)` makes its input. Raises UserError with what is wrong and where.
    """
    if not isinstance(source, str | os.PathLike):
        raise WrongType(
            f"an encoder is loaded from a path or a name, and this is {'None' if source is None else f'of type {type(source).__name__}'}"
        )
    name = str(source)
    if name.startswith(UNTRAINED):
        return encoder(name.removeprefix(UNTRAINED)).eval()
    if of_library(name):
        return encoder(name, pretrained=True).eval()
    path = encoder_file(name)
    header = read_header(path)
    spec = spec_of(header, path)
    net = from_spec(spec) if module is None else adopted(module, spec)
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
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in header["spec"].items()}
        return Spec(**values)
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
    fill(net, state)


def fill(module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """load_state_dict, with the versions of the module's parts, which files of tensors do not keep and some parts ask for."""
    state: Any = OrderedDict(tensors)
    state._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    module.load_state_dict(state)


def fingerprint(net: nn.Module) -> str:
    """sha256 over all parameters and buffers: equal before and after proves that an evaluation left the encoder alone."""
    import hashlib

    digest, bad = hashlib.sha256(), broken(net)
    if bad:
        raise RunError(f"the encoder's {bad} is not finite: these weights are of a training that broke")
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
