"""One step of SimCLR, on one screen: two views, one forward of both, NT-Xent, one update. Nothing here waits for the device.

The gradient goes in two legs, from the loss to z and from z to the weights. So the batch may be forwarded in chunks (gradient cache, Gao et
al. 2021): first all z without gradient, then the exact loss of the whole batch and its dz, then each chunk once more, with its dz. And it may
be spread over processes, each with its share of the pictures: loss, batch normalisation and gradients are those of the whole batch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base import draws as rng
from ..base import processes
from ..base.device import autocast
from ..base.errors import UserError
from ..losses.compared import multi_view
from ..losses.named import named_loss
from ..nets.batchnorm import Across
from ..nets.head import Head
from ..nets.trial import unmoved
from ..optim.lars import LARS, split
from ..optim.schedule import Schedule
from ..sources.loader import Batch
from .config import TrainConfig


class NotFinite(Exception):
    """A step whose loss or gradient is not finite, before anything was changed by it."""

    def __init__(self, loss: float, norm: float, largest: list[tuple[str, float]]):
        super().__init__(f"loss {loss}, gradient norm {norm}")
        self.loss, self.norm, self.largest = loss, norm, largest


Loss = Callable[..., Tensor]
PairMaker = Callable[..., tuple[Tensor, ...]]


class Step:
    """What training does with a batch. `loss` is a function of z1, z2; `views` of (images, keys). Views of your own may be more than two: the loss then
    gets as many z, and without one of your own it is `multi_view`."""

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
        self.config, self.views, self.schedule, self.device, self.precision = config, views, schedule, device, precision
        self.model, self.loss, self.group = nn.Sequential(encoder, head), loss, processes.everyone()
        self.network = torch.compile(self.model) if config.compile else self.model
        self.optimizer = make_optimizer(config, encoder, head)
        # where looking waits for no device, or the user wants to go on without the step, each is looked at; else the next that is logged or saved
        self.watch = device.type == "cpu" or config.skip_nonfinite > 0
        self.norm = self.bad = torch.zeros((), device=device)

    def __call__(self, batch: Batch, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Step `number` (from 0) on this process's pictures. Returns the loss of all and this process's first two z, each (n, out).

        Raises NotFinite, and leaves weights, statistics and optimizer as they were, where each step is watched.
        """
        before = [buffer.clone() for buffer in self.model.buffers()] if self.config.skip_nonfinite else []
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule(number)
        images, n = batch.images.to(self.device, non_blocking=True), len(batch.ids)
        chunk = self.config.chunk or n
        parts, views = [slice(start, start + chunk) for start in range(0, n, chunk)], 2

        def project(part: slice) -> Tensor:
            """z of all views of a chunk, (2 · chunk, out). What layers may draw at random is a function of step and chunk."""
            nonlocal views
            torch.manual_seed(int(rng.key(self.config.seed, "layers", number, part.start, processes.rank(self.group))[0] >> 1))
            made = self.views(images[part], batch.keys[part])  # (chunk, C, S, S) each
            views = len(made)
            x = torch.cat(made).contiguous(memory_format=torch.channels_last)  # one forward: batch norm sees all views
            with autocast(self.device, self.precision), Across(self.group) if self.group else contextlib.nullcontext():
                return self.network(x)

        if len(parts) == 1:
            z = [project(parts[0])]
        else:
            with torch.no_grad(), unmoved(self.model):
                z = [project(part) for part in parts]
        each = [torch.cat(shares).detach() for shares in zip(*(part.chunk(views) for part in z), strict=True)]
        loss, slopes = self.slopes(*each)
        self.optimizer.zero_grad(set_to_none=True)
        for part, made in zip(parts, z, strict=True):
            again = made if made.requires_grad else project(part)
            again.backward(torch.cat([dz[part] for dz in slopes]).to(again.dtype))
        processes.sum_gradients(self.model.parameters(), self.group)
        self.norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        bad = ~(loss.isfinite() & self.norm.isfinite())
        if self.watch and bad:
            for buffer, value in zip(self.model.buffers(), before, strict=False):
                buffer.copy_(value)
            raise NotFinite(loss.item(), self.norm.item(), self.largest())
        self.bad = self.bad + bad
        self.optimizer.step()
        return loss, each[0], each[1]

    def largest(self, count: int = 3) -> list[tuple[str, float]]:
        """The parameters with the largest gradients, and their norms; what is not finite counts as largest."""
        parts = (("encoder", self.model[0]), ("head", self.model[1]))
        norms = [
            (f"{part}.{n}", p.grad.norm().item()) for part, module in parts for n, p in module.named_parameters() if p.grad is not None
        ]
        return sorted(norms, key=lambda found: found[1] if math.isfinite(found[1]) else math.inf, reverse=True)[:count]

    def suspects(self, batch: Batch) -> list[int]:
        """The rows of a batch whose views are not finite."""
        views = self.views(batch.images.to(self.device), batch.keys)
        fine = torch.stack([x.flatten(1).isfinite().all(1) for x in views]).all(0)
        return (~fine).nonzero()[:, 0].tolist()

    def slopes(self, *z: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """The loss of all processes' pictures, and its gradient by this process's z of each view, (n, out) each."""
        c, n, at = self.config, len(z[0]), processes.rank(self.group)
        if self.loss is None and len(z) == 2:
            own = [one.requires_grad_() for one in z]
            loss = named_loss(c, own[0], own[1], self.group)
            return loss.detach(), torch.autograd.grad(loss, own)
        if self.loss is None and c.loss != "nt-xent":
            raise UserError(
                f"loss {c.loss} takes two views, and these views make {len(z)}: loss nt-xent takes any number, or pass a loss of your own"
            )
        every = [processes.gathered(one, self.group).flatten(0, 1).requires_grad_() for one in z]  # such a loss sees all pictures
        loss = self.loss(*every) if self.loss else multi_view(*every, temperature=c.temperature, normalize=c.normalize)
        return loss.detach(), [dz[at * n : (at + 1) * n] for dz in torch.autograd.grad(loss, every)]


def make_optimizer(config: TrainConfig, *modules: nn.Module) -> torch.optim.Optimizer:
    """LARS as official, or torch's SGD (Nesterov) or AdamW. Norms and biases get no weight decay, and under LARS no adaptation."""
    if config.optimizer == "lars":
        return LARS(split(*modules, weight_decay=config.weight_decay), lr=0.0, momentum=config.momentum)
    if config.optimizer == "sgd":
        return sgd(*modules, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(_plain(modules, config.weight_decay), lr=0.0, fused=True)


def sgd(*modules: nn.Module, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """torch's SGD with Nesterov momentum; norms and biases get no weight decay. The rate is set at each step."""
    return torch.optim.SGD(_plain(modules, weight_decay), lr=0.0, momentum=momentum, nesterov=momentum > 0, foreach=True)


def _plain(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """LARS's two groups without what only LARS knows."""
    return [{k: v for k, v in group.items() if k != "adapt"} for group in split(*modules, weight_decay=weight_decay)]
