"""A classifier on an encoder: f, then h itself or the first layers of the projection head (SimCLRv2, section 2), then one linear layer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base.errors import UserError
from .base import Encoder
from .encoder import from_spec, load_weights, read_header, save_encoder, save_module, spec_of
from .head import HEADS, Head, head
from .names import CLASSIFIER, HEAD, WEIGHTS


class Classifier(nn.Module):
    """Pictures (N, C, S, S) in [0, 1] → logits (N, classes). `layers` of `projection` stand between h and the linear layer, which starts at 0."""

    def __init__(self, encoder: Encoder, classes: int, projection: Head | None = None, layers: int = 0):
        super().__init__()
        self.encoder, self.projection, self.layers = encoder, projection if layers else None, layers
        features = encoder.num_features
        if projection is not None and layers == len(projection.dense):
            features = projection.out_features
        self.last = nn.Linear(features, classes)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def represent(self, x: Tensor) -> Tensor:
        """What the linear layer sees: h, or the middle of the head. (N, C, S, S) → (N, features)."""
        h = self.encoder(x)
        return h if self.projection is None else self.projection(h, self.layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.represent(x))

    def start_at(self, weight: Tensor, bias: Tensor) -> None:
        """Let the linear layer begin at these values, (classes, features) and (classes,)."""
        with torch.no_grad():
            self.last.weight.copy_(weight)
            self.last.bias.copy_(bias)


def load_head(path: Path, in_features: int) -> Head:
    """The projection head of a RUN, or of its head.safetensors. Raises UserError where there is none."""
    file = path / HEAD if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{path} has no {HEAD}: a projection head comes only with a RUN that was trained with one")
    header = read_header(file)
    if header.get("head") not in HEADS:
        raise UserError(f"{file} holds no projection head")
    net = head(header["head"], in_features, header["features"], header["norm"])
    load_weights(net, file, f"a head of {in_features} features")
    return net


def save_classifier(folder: Path, net: Classifier, classes: list[str], provenance: dict[str, Any]) -> None:
    """encoder.safetensors and classifier.safetensors into a folder: an ENCODER for every verb, and a teacher for `distill`."""
    save_encoder(folder / WEIGHTS, net.encoder, provenance)
    made = net.projection
    header = {
        "spec": dataclasses.asdict(net.encoder.spec),
        "classes": classes,
        "layers": net.layers,
        "head": None
        if made is None
        else {"head": HEADS[len(made.dense)], "features": made.out_features, "norm": not isinstance(made.norms[0], nn.Identity)},
        **provenance,
    }
    save_module(folder / CLASSIFIER, net, header)


def load_classifier(folder: Path) -> tuple[Classifier, list[str]]:
    """A classifier and the names of its classes, from a folder that `finetune` or `distill` left. Raises UserError where there is none."""
    file = folder / CLASSIFIER
    if not file.is_file():
        inside = sorted(str(path.parent) for path in folder.glob(f"**/{CLASSIFIER}")) if folder.is_dir() else []
        raise UserError(
            f"{folder} holds no {CLASSIFIER}: " + (f"give one of {', '.join(inside)}" if inside else "it is written by twoviews finetune")
        )
    header = read_header(file)
    encoder = from_spec(spec_of(header, file))
    h = header["head"]
    projection = head(h["head"], encoder.num_features, h["features"], h["norm"]) if h else None
    net = Classifier(encoder, len(header["classes"]), projection, header["layers"])
    load_weights(net, file, f"a classifier on {header['spec']['name']}")
    return net.eval(), header["classes"]
