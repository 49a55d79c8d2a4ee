"""Linear evaluation by SGD with augmentation (Chen et al. 2020, B.6; the official code's linear mode): frozen encoder, crop and flip only.

Zero-started logits, Nesterov momentum 0.9, rate 0.1 · batch/256, cosine to zero without warm-up, no weight decay. The encoder stays in
evaluation mode (the official v2 code's does not: docs/fidelity.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..base import device as devices
from ..base import draws as rng
from ..base.console import track
from ..optim.schedule import official
from ..sources.loader import Loader
from ..sources.source import ImageSource, Picture, Small
from ..views.pipeline import Views

RATE = 0.1


class OneView:
    """Crop and flip of each picture, one view: what linear evaluation and fine-tuning train on; or one view of a pipeline of your own."""

    def __init__(
        self, size: int, channels: int, resize: str, in_memory: bool, crop_min: float = 0.08, flip: float = 0.5, views: Views | None = None
    ):
        self.in_memory = in_memory
        self.views = views or Views(size=size, channels=channels, resize=resize, strength=0.0, blur=0.0, crop_min=crop_min, flip=flip)

    def __call__(self, pictures: Sequence[Picture], keys: rng.Keys) -> Tensor:
        """For the workers: n pictures → (n, C, S, S) uint8."""
        return self.views.cut(pictures, rng.extend(keys, 0))

    def batch(self, images: Tensor, keys: rng.Keys) -> Tensor:
        """From memory: (n, C, H, W) uint8 → (n, C, S, S) float32; of what `__call__` has cut, only the colours are still to be distorted."""
        if not self.in_memory:
            return self.views.finished(images, rng.extend(keys, 0))
        return self.views.single(images, rng.extend(keys, 0))


def sgd(
    net,
    size: int,
    resize: str,
    source: ImageSource,
    ids: NDArray[np.int64],
    y: Tensor,
    classes: int,
    epochs: int,
    batch: int,
    device: torch.device,
    precision: str,
    workers: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Weights (d, classes) and bias (classes,) after `epochs` passes over the pictures `ids` of `source`, whose labels are y (n,)."""
    view = OneView(size, source.read(int(ids[0])).shape[0], resize, isinstance(source, Small))
    loader, batch = Loader(source, view, workers), min(batch, len(ids))
    steps = len(ids) // batch
    schedule = official(RATE, "linear", 0, batch, steps * batch, epochs)
    weights: list[Tensor] = []
    optimizer, number = None, 0
    with contextlib.closing(loader):
        for epoch in track(range(epochs), "training the linear classifier"):
            order = rng.permutation(len(ids), seed, "linear order", epoch)[: steps * batch].reshape(steps, batch)
            for where, loaded in zip(order, loader([(ids[w], rng.key(seed, "linear", epoch, ids[w])) for w in order]), strict=True):
                with torch.inference_mode(), devices.autocast(device, precision):
                    h = net(view.batch(loaded.images.to(device), loaded.keys).contiguous(memory_format=torch.channels_last)).float()
                h = h.clone()  # out of inference mode
                if optimizer is None:
                    weights = [
                        torch.zeros(h.shape[1], classes, device=device, requires_grad=True),
                        torch.zeros(classes, device=device, requires_grad=True),
                    ]
                    optimizer = torch.optim.SGD(weights, lr=0.0, momentum=0.9, nesterov=True)
                optimizer.param_groups[0]["lr"] = schedule(number)
                optimizer.zero_grad()
                F.cross_entropy(torch.addmm(weights[1], h, weights[0]), y[torch.from_numpy(where).to(device)]).backward()
                optimizer.step()
                number += 1
    return weights[0].detach(), weights[1].detach()
