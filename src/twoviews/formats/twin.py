"""The same weights under the names of other libraries' ResNets: torchvision's (timm has the same), transformers'."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from ..base.errors import RunError, UserError
from ..nets.base import Encoder
from ..nets.foreign import Foreign
from ..nets.resnet import BLOCKS, ResNet

SHARED = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")  # whose names and computation timm and torchvision share
TOLERANCE = 1e-5  # of h, relative to its largest value


def torchvision_names(net: ResNet) -> dict[str, Tensor]:
    """Our ResNet's tensors under torchvision's names, without the classifier."""
    out = {}
    for name, tensor in net.state_dict().items():
        short = re.sub(r"^stem\.0\.(conv|bn)\.", r"\g<1>1.", name)
        short = re.sub(r"^groups\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}.", short)
        short = re.sub(r"\.main\.(\d+)\.(conv|bn)\.", lambda m: f".{m[2]}{int(m[1]) + 1}.", short)
        short = short.replace(".shortcut.conv.", ".downsample.0.").replace(".shortcut.bn.", ".downsample.1.")
        out[short] = tensor.contiguous()
    return out


def transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names → those of transformers' ResNetModel."""
    out = {}
    for name, tensor in state.items():
        short = name.replace("conv1.", "embedder.embedder.convolution.") if name.startswith("conv1.") else name
        short = short.replace("bn1.", "embedder.embedder.normalization.") if short.startswith("bn1.") else short
        short = re.sub(r"^layer(\d)\.(\d+)\.", lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.", short)
        short = re.sub(r"\.conv(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.convolution.", short)
        short = re.sub(r"\.bn(\d)\.", lambda m: f".layer.{int(m[1]) - 1}.normalization.", short)
        short = short.replace(".downsample.0.", ".shortcut.convolution.").replace(".downsample.1.", ".shortcut.normalization.")
        out[short] = tensor
    return out


def library_state(net: Encoder, library: str, approximate: bool) -> tuple[str, dict[str, Tensor]]:
    """Model name and state dict for timm or torchvision. Raises UserError where that library has no such network, with what else to do."""
    spec = net.spec
    if isinstance(net, Foreign) and ":" in spec.name:
        own, _, name = spec.name.partition(":")
        if own != library and name not in SHARED:
            raise UserError(f"{library} has no network equal to {spec.name}: --to {own}, onnx, torch or huggingface")
        return name, {key: value.contiguous() for key, value in net.network.state_dict().items()}
    refuse(net, library, approximate)
    if spec.width != 1:
        raise UserError(f"{library} has no {spec}: its networks have width 1. --to huggingface, onnx or torch")
    if spec.name not in SHARED:
        raise UserError(f"{library} has no {spec.name}; it has {', '.join(SHARED)}. --to huggingface, onnx or torch")
    if library == "torchvision" and spec.channels != 3:
        raise UserError(f"torchvision's networks take 3 channels, this encoder {spec.channels}: --to timm, huggingface, onnx or torch")
    assert isinstance(net, ResNet)
    return spec.name, torchvision_names(net)


def refuse(net: Encoder, library: str, approximate: bool) -> None:
    """Raises UserError for a network that computes something else than the library's with the same weights."""
    spec, rest = net.spec, "--to onnx, torch or huggingface is exact for every encoder"
    if not isinstance(net, ResNet) or spec.sk or spec.stem == "small":
        raise UserError(f"{library} has no network equal to {spec}: {rest}")
    if spec.stem == "imagenet" and int(spec.name[6:]) < 50:
        raise UserError(
            f"{library}'s {spec.name} has no projection in its first shortcut, the official SimCLR's has: {rest}, and so is training with --stem torchvision"
        )
    if spec.stem == "imagenet" and not approximate:
        raise UserError(
            f"{library}'s {spec.name} pads its pooling at other borders than the official SimCLR, so h would be slightly another. {rest}; --approximate "
            "writes it all the same and says by how much; training with --stem torchvision has their borders from the start"
        )


def transformers_config(net: ResNet) -> dict[str, Any]:
    """Arguments of transformers' ResNetConfig."""
    depth, base = int(net.spec.name[6:]), net.groups[0][0].main[0].conv.out_channels  # type: ignore[index]
    bottleneck = depth >= 50
    return {
        "num_channels": net.spec.channels,
        "embedding_size": base,
        "hidden_sizes": [base * 2**group * (4 if bottleneck else 1) for group in range(4)],
        "depths": list(BLOCKS[depth]),
        "layer_type": "bottleneck" if bottleneck else "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }


def probe(net: Encoder, count: int = 2) -> Tensor:
    """Noise in [0, 1] with structure at several scales, to compare networks by: (count, C, S, S)."""
    generator = torch.Generator().manual_seed(0)
    size, channels = net.spec.size, net.spec.channels
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    fine = torch.rand(count, channels, size, size, generator=generator)
    return (0.7 * nn.functional.interpolate(coarse, (size, size), mode="bilinear") + 0.3 * fine).clamp(0, 1)


def difference(wanted: Tensor, got: Tensor) -> float:
    """Largest difference of two h, relative to the largest value."""
    return float((wanted - got).abs().max() / wanted.abs().max().clamp(min=1e-12))


def agree(wanted: Tensor, got: Tensor, tolerance: float, what: str) -> float:
    """The difference. Raises RunError when it is more than the tolerance: then nothing is written."""
    found = difference(wanted, got)
    if not found <= tolerance:
        raise RunError(f"{what} computes h that differs by {found:.2g} of its largest value, more than {tolerance:g}: nothing was written")
    return found
