"""What every encoder of ours is: a module from pictures in [0, 1] to h, which knows its features and its preprocessing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..sources.config import Reading
from ..views.evaluation import evaluation_view


@dataclasses.dataclass(frozen=True)
class Spec:
    """How to build an encoder again and how to feed it; stored as JSON in the header of its weights."""

    name: str
    width: float = 1
    sk: bool = False
    stem: str = "imagenet"
    size: int = 224
    channels: int = 3
    resize: str = "antialias"
    range: str = "auto"

    @property
    def reading(self) -> Reading:
        """How picture files are decoded for this encoder."""
        return Reading(self.channels, self.range)

    def __str__(self) -> str:
        """The architecture in words."""
        wide = f" ×{self.width:g}" if self.width != 1 else ""
        return f"{self.name}{wide}" + (f"{' SK' if self.sk else ''} ({self.stem} stem)" if self.name.startswith("resnet") else "")


class Encoder(nn.Module):
    """An encoder f. `num_features` is the length of h; `spec` says how it was built and fed."""

    num_features: int
    spec: Spec

    def preprocess(self, image: Any) -> Tensor:
        """One picture → (C, S, S) float32 in [0, 1], by the evaluation protocol (central crop of 0.875 above 32 px, then resize).

        Takes a PIL image, an array (H, W) or (H, W, C), scaled by the range of the training where it is not uint8, or a uint8 tensor (C, H, W).
        """
        from ..sources.decode import from_array, from_pil

        if isinstance(image, np.ndarray):
            image = from_array(image, self.spec.reading)
        elif not isinstance(image, Tensor):
            image = from_pil(image, self.spec.reading)
        return evaluation_view(image[None], self.spec.size, self.spec.resize)[0]

    @torch.inference_mode()
    def embed(self, image: Any) -> Tensor:
        """h of one picture, (num_features,): `preprocess`, then the encoder as it stands (call `.eval()` first)."""
        device = next(self.parameters()).device
        return self(self.preprocess(image)[None].to(device))[0]
