"""`from-tf`: the official SimCLR v1 and v2 checkpoints as RUNs. Every tensor is placed by name and number, every shape is checked, nothing is left over.

The K-th convolution there is the K-th here (nets/resnet.py makes its modules in Keras' order), and so are batch norms and dense layers of the heads.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..base.console import say
from ..base.errors import UserError
from ..base.files import locked, write_json
from ..nets.base import Encoder
from ..nets.classifier import Classifier, save_classifier
from ..nets.encoder import encoder, fingerprint, save_encoder, save_module
from ..nets.head import HEADS, Head
from ..nets.names import HEAD, WEIGHTS
from ..nets.resnet import BLOCKS
from ..training.check import refuse_foreign
from ..training.config import TrainConfig
from ..training.run import Run, versions
from .bundle import Bundle, find_prefix

LEAVES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "kernel": "weight",
    "bias": "bias",
}
KINDS = {"conv2d": nn.Conv2d, "batch_normalization": nn.modules.batchnorm._BatchNorm, "dense": nn.Linear}
LEFT = re.compile(
    r"(^|/)(global_step|learning_rate|iter|decay|momentum|Momentum|save_counter)(:0)?$|/Momentum(:0)?$|/\.OPTIMIZER_SLOT/|^save_counter|^_CHECKPOINTABLE"
)
NUMBERED = re.compile(r"(?:sync_)?(conv2d|batch_normalization|dense)(?:_(\d+))?$")
LARGEST = 4


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable of the checkpoint: `key` in its files, `part` of the model, `kind` and `number` of its layer, `leaf`."""

    key: str
    name: str
    part: str
    kind: str
    number: tuple[int, int]
    leaf: str


def from_tf(path: str | Path, out: str | Path, *, resize: str = "official-v1", size: int = 224) -> Run:
    """Convert an official checkpoint (TF1 or TF2 prefix, or SavedModel) into the RUN `out`: encoder, projection head and linear head, as it has them.

    `resize` is the filter of the pictures: the published weights were trained and measured with the first version's. Raises UserError for a file that is no such
    checkpoint, a network that is none of the official ones, and variables that fit nowhere.
    """
    out = Path(out)
    refuse_foreign(out)
    if (out / "config.json").exists():
        raise UserError(f"--out {out} is a RUN already; choose a new folder")
    bundle = Bundle(find_prefix(path))
    parts, left = variables(bundle)
    net = network(bundle, parts["encoder"], size, resize)
    placed = fill(net, parts["encoder"], bundle)
    projection = head_of(bundle, parts["head"], net.num_features)
    if projection is not None:
        placed += fill(projection, parts["head"], bundle)
    classifier, classes = linear_of(bundle, parts["linear"], net)
    if classifier is not None:
        placed += fill(classifier.last, parts["linear"], bundle)
    spec = net.spec
    provenance = {"converted_from": str(bundle.prefix)}
    with locked(out):
        save_encoder(out / WEIGHTS, net, provenance)
        name, features = "none", net.num_features
        if projection is not None:
            name, features = HEADS[len(projection.dense)], projection.out_features
            save_module(out / HEAD, projection, {"head": name, "features": features, "norm": True, **provenance})
        if classifier is not None:
            save_classifier(out / "linear", classifier, classes, provenance)
        write_json(
            out / "conversion.json", {"from": str(bundle.prefix), "spec": dataclasses.asdict(spec), "placed": placed, "left_out": left}
        )
        config = TrainConfig(
            recipe="paper", encoder=spec.name, width=spec.width, sk=spec.sk, stem=spec.stem, size=size, resize=resize,  # type: ignore[arg-type]
            head=name, head_features=features,  # type: ignore[arg-type]
        )  # fmt: skip
        source = {"spec": f"converted from {bundle.prefix}", "count": 0, "fingerprint": fingerprint(net)[:16], "skipped": 0}
        write_json(
            out / "config.json", {"config": dataclasses.asdict(config), "source": source, "versions": versions(), "command": sys.argv}
        )
    heads = [f"projection head {name}" if projection is not None else "no projection head"]
    heads.append(f"linear head of {len(classes)} classes in {out / 'linear'}" if classifier is not None else "no linear head")
    say(f"{spec}: {len(placed)} variables placed, {len(left)} left out (optimizer and counters); {', '.join(heads)}")
    return Run(out)


def variables(bundle: Bundle) -> tuple[dict[str, list[Variable]], list[str]]:
    """The variables of encoder, projection head and linear head, and the names that are left out. Raises UserError for what fits nowhere."""
    parts: dict[str, list[Variable]] = {"encoder": [], "head": [], "linear": []}
    left, strange = [], []
    for key, full in bundle.full_names().items():
        name = full.split(":")[0]
        if LEFT.search(name) or LEFT.search(key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")):
            left.append(name)
            continue
        pieces = name.split("/")
        match = NUMBERED.fullmatch(pieces[-2]) if len(pieces) > 1 else None
        part = "head" if "head_contrastive" in name or "projection_head" in name else "linear" if "head_supervised" in name else "encoder"
        if match is None or pieces[-1] not in LEAVES:
            strange.append(name)
            continue
        layer = re.search(r"/nl_(\d+)/", name)
        parts[part].append(Variable(key, name, part, match[1], (int(layer[1]) if layer else 0, int(match[2] or 0)), pieces[-1]))
    if strange or not parts["encoder"]:
        what = f"variables that no SimCLR network has, such as {strange[0]!r}" if strange else "no encoder"
        raise UserError(f"{bundle.prefix} holds {what}: it is no official SimCLR checkpoint")
    return parts, left


def layers(found: list[Variable], kind: str) -> list[tuple[int, int]]:
    """The numbers of the layers of a kind, in order."""
    return sorted({one.number for one in found if one.kind == kind})


def network(bundle: Bundle, found: list[Variable], size: int, resize: str) -> Encoder:
    """The official ResNet whose convolutions have these shapes. Raises UserError where none has."""
    order = layers(found, "conv2d")
    kernels = {one.number: bundle.entries[one.key].shape for one in found if one.kind == "conv2d"}
    shapes = [(o, i, h, w) for h, w, i, o in (kernels[number] for number in order)]
    found_as = architecture(shapes)
    if found_as is None:
        raise UserError(
            f"{bundle.prefix}: {len(shapes)} convolutions, the first {shapes[0]}, the last {shapes[-1]}, are those of no official SimCLR ResNet"
        )
    return encoder(*found_as, channels=shapes[0][1], size=size, resize=resize)


def architecture(shapes: list[tuple[int, ...]]) -> tuple[str, float, bool, str] | None:
    """Name, width, selective kernels and stem of the official ResNet with these convolutions (out, in, height, width), in Keras' order."""
    for depth, sk, stem in itertools.product(BLOCKS, (False, True), ("imagenet", "small")):
        width = shapes[0][0] / (32 if sk and stem == "imagenet" else 64)
        if not width.is_integer() or not 1 <= width <= LARGEST:
            continue
        with torch.device("meta"):
            candidate = encoder(f"resnet{depth}", width, sk, stem, channels=shapes[0][1])
        if [tuple(module.weight.shape) for module in candidate.modules() if isinstance(module, nn.Conv2d)] == shapes:
            return f"resnet{depth}", width, sk, stem
    return None


def head_of(bundle: Bundle, found: list[Variable], features: int) -> Head | None:
    """The projection head of these shapes; None where there is none."""
    order = layers(found, "dense")
    if not order:
        return None
    last = next(bundle.entries[one.key].shape for one in found if one.kind == "dense" and one.number == order[-1] and one.leaf == "kernel")
    if len(order) >= len(HEADS):
        raise UserError(f"{bundle.prefix}: a projection head of {len(order)} layers; official ones have up to {len(HEADS) - 1}")
    return Head(len(order), features, last[-1])


def linear_of(bundle: Bundle, found: list[Variable], net: Encoder) -> tuple[Classifier | None, list[str]]:
    """The linear head as a classifier on h; None where there is none. Classes have no names there: their numbers."""
    kernel = next((bundle.entries[one.key].shape for one in found if one.leaf == "kernel"), None)
    if kernel is None:
        return None, []
    return Classifier(net, kernel[1]), [str(number) for number in range(kernel[1])]


def fill(module: nn.Module, found: list[Variable], bundle: Bundle) -> list[dict[str, Any]]:
    """Put each variable into its tensor. Returns what went where. Raises UserError where a shape differs, or a tensor gets nothing or two."""
    names = {id(tensor): name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if "num_batches" not in name}
    ours = {kind: [m for m in module.modules() if isinstance(m, cls)] for kind, cls in KINDS.items()}
    placed = []
    for kind in KINDS:
        for one in sorted((v for v in found if v.kind == kind), key=lambda v: v.number):
            at = layers(found, kind).index(one.number)
            target = getattr(ours[kind][at], LEAVES[one.leaf], None) if at < len(ours[kind]) else None
            value = ours_of(bundle.read(one.key))
            if target is None or id(target) not in names or tuple(target.shape) != tuple(value.shape):
                shape = "nothing" if target is None else f"{tuple(target.shape)}"
                raise UserError(f"{bundle.prefix}: {one.name} is {tuple(value.shape)}, and there is {shape} to take it")
            with torch.no_grad():
                target.copy_(value)
            placed.append({"from": one.name, "to": f"{one.part}.{names.pop(id(target))}", "shape": list(value.shape)})
    if names:
        raise UserError(
            f"{bundle.prefix} lacks {next(iter(names.values()))!r} of the {found[0].part if found else 'network'}, and {len(names) - 1} more"
        )
    return placed


def ours_of(value: np.ndarray) -> Tensor:
    """Official layout (HWIO, in-out) → ours (OIHW, out-in)."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim, tuple(range(value.ndim)))
    return torch.from_numpy(np.array(value.transpose(axes), order="C"))
