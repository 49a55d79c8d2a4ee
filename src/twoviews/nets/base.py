"""What every encoder of ours is: a module from pictures in [0, 1] to h, which knows its features and its preprocessing."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.errors import RunError
from ..sources.config import Reading
from ..sources.inputs import picture, several
from ..views.evaluation import evaluation_view

CHUNK = 64  # pictures that `embed` sends through at once


@dataclasses.dataclass(frozen=True)
class Spec:
    """How to build an encoder again and how to feed it; stored as JSON in the header of its weights.

    `built` is the side that a network of a fixed size was made for, 0 where nothing was said to its library. `mean` and `std` are those of
    a module of the user's own; libraries' networks know theirs.
    """

    name: str
    width: float = 1
    sk: bool = False
    stem: str = "imagenet"
    size: int = 224
    channels: int = 3
    resize: str = "antialias"
    range: str = "auto"
    built: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def reading(self) -> Reading:
        """How picture files are decoded for this encoder."""
        return Reading(self.channels, self.range)

    def __str__(self) -> str:
        """The architecture in words."""
        wide = f" ×{self.width:g}" if self.width != 1 else ""
        return f"{self.name}{wide}" + (f"{' SK' if self.sk else ''} ({self.stem} stem)" if self.name.startswith("resnet") else "")


class Encoder(nn.Module):
    """An encoder f. `num_features` is the length of h; `spec` says how it was built and fed. `contiguous`: it is not to compute in channels_last."""

    num_features: int
    spec: Spec
    contiguous = False

    def preprocess(self, image: Any) -> Tensor:
        """One picture → (C, S, S) float32 in [0, 1], by the evaluation protocol (central crop of 0.875 above 32 px, then resize).

        Takes the path of a file, a PIL image, an array (H, W) or (H, W, C), scaled by the range of the training where it is not uint8, or a
        tensor (H, W) or (C, H, W), whose floats lie in [0, 1]. Raises TypeError for what is no picture, UserError (a ValueError) for wrong values.
        """
        return evaluation_view(picture(image, self.spec.reading)[None], self.spec.size, self.spec.resize)[0]

    @torch.no_grad()
    def embed(self, image: Any) -> Tensor:
        """h of one picture, (num_features,), or of several, (N, num_features): `preprocess`, then the encoder in evaluation mode.

        One picture is what `preprocess` takes. Several are an array (N, H, W, C), a tensor (N, C, H, W), or a list of pictures of any sizes
        and kinds. Raises TypeError for what is no picture, UserError (a ValueError) for wrong values,
        RunError where h is not finite.
        """
        many = several(image)
        if many is None:
            return self._h([image])[0]
        parts = [self._h(many[start : start + CHUNK]) for start in range(0, len(many), CHUNK)]
        return torch.cat(parts) if parts else torch.zeros(0, self.num_features)

    def _h(self, images: Sequence[Any]) -> Tensor:
        tensors = itertools.chain(self.parameters(), self.buffers())
        device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        modes = [(module, module.training) for module in self.modules()]
        try:
            h = self.eval()(torch.stack([self.preprocess(image) for image in images]).to(device)).float()
        finally:
            for module, mode in modes:
                module.training = mode
        if not h.isfinite().all():
            whose = type(self.network).__name__ if self.spec.name == "custom" else self.spec
            raise RunError(f"{whose} gives features that are not finite: its weights, or its mean and std, are broken")
        return h
