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
from ..base.device import autocast
from ..nets.classifier import Classifier
from ..optim.lars import split
from ..optim.schedule import Schedule, peak
from ..probes.features import features
from ..sources.loader import Loader
from ..sources.source import ImageSource, Small
from ..training.fit import Fit
from ..training.run import Run
from ..views.config import ViewConfig
from .config import LearnConfig
from .sgd import OneView

C = TypeVar("C", bound=LearnConfig)
CLIP = 1.0  # largest norm of the gradient where the linear layer begins at the probe: on features of small scale its weights are large
FEW = 64  # pictures in a batch below which its statistics say little
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
) -> list[dict[str, Any]]:
    """Fit `net` in place to the pictures `ids`. Returns a line an epoch.

    At least `config.steps` updates are made. `frozen` keeps the batch norms' statistics. `rate` is the peak for a batch of 256, `warmup` a share of the steps.
    """
    batch = min(config.batch, len(ids))
    if batch > 1:
        batch -= batch % 2  # PyTorch's processor kernel for strided 1×1 convolutions of 8 channels writes past its end for odd batches
    share = batch // processes.world()
    per_epoch = len(ids) // batch
    epochs = max(epochs, -(-config.steps // per_epoch))
    view = OneView(size, source.read(int(ids[0])).shape[0], resize, isinstance(source, Small), config.crop_min, config.flip)
    loader = Loader(source, view, workers, device.type == "cuda", device)
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = split(net, weight_decay=weight_decay)
    for group in groups:
        del group["adapt"]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, nesterov=config.momentum > 0, foreach=True)
    steps = epochs * per_epoch
    positions = torch.arange(len(ids), device=device)

    def batches(epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = rng.permutation(len(ids), seed, "label order", epoch)
        own = slice(processes.rank() * share, (processes.rank() + 1) * share)
        rows = [order[n * batch : (n + 1) * batch][own] for n in range(start, per_epoch)]
        loaded = loader([(ids[row], rng.key(seed, "label views", epoch, ids[row])) for row in rows])
        for row, found in zip(rows, loaded, strict=True):
            yield view.batch(found.images.to(device), found.keys), positions[torch.from_numpy(row).to(device)]

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
            net,
            optimizer,
            Schedule(peak(rate, batch, "linear"), round(warmup * steps), steps),
            epochs,
            per_epoch,
            batches,
            loss,
            seed,
            clip,
            what,
            folder,
        ).run()
    finally:
        net.eval()
        loader.close()


def frozen(config: LearnConfig, count: int) -> bool:
    """Whether batch norms keep their statistics: as the option says, or where batches are too small to have statistics of their own."""
    return config.norm == "frozen" or (config.norm == "auto" and min(config.batch, count) < FEW)


def freeze_norms(net: nn.Module) -> None:
    """Put every batch norm into evaluation mode: it uses the statistics it has."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def views_of(config: C, run: Run | None) -> C:
    """The config with crop and flip filled in: as the encoder was trained, so that drawings stay unflipped; else the paper's."""
    trained = run.config if run else ViewConfig()
    crop = config.crop_min or trained.crop_min
    return dataclasses.replace(config, crop_min=crop, flip=config.flip if config.flip >= 0 else trained.flip)


def labels_criterion(y: Tensor) -> Criterion:
    """Cross-entropy to the labels y (n,) of the pictures that are learned."""
    return lambda x, logits, at: F.cross_entropy(logits, y[at])


def logits_of(
    net: Classifier, parts: list[ImageSource], size: int, resize: str, device: torch.device, precision: str, workers: int
) -> Tensor:
    """Logits (n, classes) of all pictures of some sources, one after the other, by the evaluation view."""
    net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return torch.cat([features(net, part, size, resize, device, precision, workers) for part in parts])
