"""One step of SimCLR, on one screen: two views, one forward of both, NT-Xent, one update. Nothing here waits for the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..base.device import autocast
from ..losses.nt_xent import nt_xent
from ..nets.head import Head
from ..optim.lars import LARS, split
from ..optim.schedule import Schedule
from ..sources.loader import Batch
from .config import TrainConfig

Loss = Callable[[Tensor, Tensor], Tensor]
PairMaker = Callable[..., tuple[Tensor, Tensor]]


class Step:
    """What training does with a batch. `loss` is a function of z1, z2; `views` of (images, keys)."""

    def __init__(
        self,
        config: TrainConfig,
        encoder: nn.Module,
        head: Head,
        views: PairMaker,
        schedule: Schedule,
        device: torch.device,
        precision: str,
        loss: Loss | None = None,
    ):
        self.encoder, self.head, self.views, self.schedule = encoder, head, views, schedule
        self.device, self.precision = device, precision
        self.loss: Loss = loss or (lambda z1, z2: nt_xent(z1, z2, config.temperature, normalize=config.normalize))
        self.optimizer = make_optimizer(config, encoder, head)

    def __call__(self, batch: Batch, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Step `number` (from 0) on a batch of n pictures. Returns the loss and the detached z1, z2, each (n, out)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule(number)
        images = batch.images.to(self.device, non_blocking=True)
        x1, x2 = self.views(images, batch.keys)  # (n, C, S, S) each
        x = torch.cat([x1, x2]).contiguous(memory_format=torch.channels_last)  # one forward: batch norm sees 2n
        with autocast(self.device, self.precision):
            z1, z2 = self.head(self.encoder(x)).chunk(2)
        loss = self.loss(z1, z2)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach(), z1.detach(), z2.detach()


def make_optimizer(config: TrainConfig, *modules: nn.Module) -> torch.optim.Optimizer:
    """LARS as official, or torch's SGD (Nesterov) or AdamW. Norms and biases get no weight decay, and under LARS no adaptation."""
    groups = split(*modules, weight_decay=config.weight_decay)
    if config.optimizer == "lars":
        return LARS(groups, lr=0.0, momentum=config.momentum)
    for group in groups:
        del group["adapt"]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, nesterov=config.momentum > 0, foreach=True)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)
