"""A network learns from labels, or from a teacher: crop and flip, SGD with Nesterov momentum, cosine to zero (Chen et al. 2020, B.5 and B.8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base import draws as rng
from ..base import processes
from ..base.console import say
from ..base.device import autocast
from ..nets.batchnorm import freeze_norms
from ..nets.classifier import Classifier
from ..nets.trial import place
from ..optim.schedule import Schedule, peak
from ..probes.features import features
from ..sources.loader import Loader
from ..sources.source import ImageSource, Small
from ..training.fit import Fit
from ..training.step import sgd
from .config import LearnConfig
from .sgd import OneView

C = TypeVar("C", bound=LearnConfig)
# (views (n, C, S, S), logits (n, classes), positions (n,) in the list of pictures that are learned) → scalar
Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


def learn(
    net: nn.Module,
    source: ImageSource,
    ids: NDArray[np.int64],
    criterion: Criterion,
    *,
    size: int,
    resize: str,
    config: LearnConfig,
    epochs: int,
    rate: float,
    weight_decay: float,
    warmup: float,
    device: torch.device,
    precision: str,
    workers: int,
    frozen: bool,
    clip: float,
    seed: int,
    folder: Path | None,
    what: str,
    view: OneView | None = None,
) -> list[dict[str, Any]]:
    """Fit `net` in place to the pictures `ids`. Returns a line an epoch.

    At least `config.steps` updates are made. `frozen` keeps the batch norms' statistics. `rate` is the peak for a batch of 256, `warmup` a share of the steps.
    `view`: another one than crop and flip.
    """
    batch = min(config.batch, len(ids))
    if batch > 1:
        batch -= batch % 2  # PyTorch's processor kernel for strided 1×1 convolutions of 8 channels writes past its end for odd batches
    share = batch // processes.world()
    per_epoch = len(ids) // batch
    epochs = max(epochs, -(-config.steps // per_epoch))
    view = view or OneView(size, source.read(int(ids[0])).shape[0], resize, isinstance(source, Small), config.crop_min, config.flip)
    loader = Loader(source, view, workers, device.type == "cuda", device, "replace", ids)
    place(net, device, learns=True)
    steps = epochs * per_epoch
    position = np.zeros(len(source), np.int64)
    position[ids] = np.arange(len(ids))

    def batches(epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = rng.permutation(len(ids), seed, "label order", epoch)
        own = slice(processes.rank() * share, (processes.rank() + 1) * share)
        rows = [order[n * batch : (n + 1) * batch][own] for n in range(start, per_epoch)]
        for found in loader([(ids[row], rng.key(seed, "label views", epoch, ids[row])) for row in rows]):
            for one in found.lost:
                say(f"{one.reason}. {source.name(one.instead)} stands in for it")
            yield view.batch(found.images.to(device), found.keys), torch.from_numpy(position[found.ids]).to(device)

    def loss(found: tuple[Tensor, Tensor], number: int) -> Tensor:
        x = found[0].contiguous(memory_format=torch.channels_last)
        with autocast(device, precision):
            logits = net(x)
        return criterion(x, logits.float(), found[1])

    net.train()
    if frozen:
        freeze_norms(net)
    try:
        return Fit(
            model=net,
            optimizer=sgd(net, momentum=config.momentum, weight_decay=weight_decay),
            schedule=Schedule(peak(rate, batch, "linear"), round(warmup * steps), steps),
            epochs=epochs,
            per_epoch=per_epoch,
            batches=batches,
            loss=loss,
            seed=seed,
            clip=clip,
            what=what,
            folder=folder,
        ).run()
    finally:
        net.eval()
        loader.close()


def views_of(config: C, crop_min: float, flip: float) -> C:
    """The config with these for crop and flip where it says nothing: as the encoder was trained, so that drawings stay unflipped."""
    return dataclasses.replace(config, crop_min=config.crop_min or crop_min, flip=config.flip if config.flip >= 0 else flip)


def labels_criterion(y: Tensor) -> Criterion:
    """Cross-entropy to the labels y (n,) of the pictures that are learned."""
    return lambda x, logits, at: F.cross_entropy(logits, y[at])


def logits_of(
    net: Classifier, parts: list[ImageSource], size: int, resize: str, device: torch.device, precision: str, workers: int
) -> Tensor:
    """Logits (n, classes) of all pictures of some sources, one after the other, by the evaluation view."""
    net = place(net, device)
    return torch.cat([features(net, part, size, resize, device, precision, workers) for part in parts])
