"""Run by torchrun in several processes: whole training steps, batch normalisation included, are those of a single process."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

import twoviews as tv
from twoviews.base import draws as rng
from twoviews.base import processes
from twoviews.nets.encoder import adopt
from twoviews.nets.head import head
from twoviews.optim.schedule import Schedule
from twoviews.sources.loader import Batch
from twoviews.training.config import TrainConfig
from twoviews.training.loop import Trainer
from twoviews.training.plan import prepare
from twoviews.training.run import Run
from twoviews.training.step import Step


class Foreign(nn.Module):
    """PyTorch's own batch normalisation, whose moving variance is the unbiased one."""

    num_features = 6

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False)
        )

    def forward(self, x):
        return self.layers(x).mean((2, 3))


def encoders():
    yield "ours", lambda: tv.encoder("resnet18", width=0.125, stem="small", size=16)
    yield "PyTorch's", lambda: adopt(Foreign(), 3, 16, "antialias")
    yield "timm's", lambda: tv.encoder("timm:resnet10t", size=32)


def run(net: nn.Module, projection: nn.Module, config: TrainConfig, images: torch.Tensor, own: slice, together: bool, loss):
    """Three steps on the pictures `own`; returns losses and all tensors of the model."""
    views = tv.Views(size=16, strength=0.5, blur=0.0)
    step = Step(
        config,
        net.double().train(),
        projection.double().train(),
        lambda x, keys: tuple(v.double() for v in views(x, keys)),
        Schedule(0.05, 1, 10),
        torch.device("cpu"),
        "fp32",
        loss,
    )
    if not together:
        step.group = None
    losses = []
    for number in range(3):
        ids = np.arange(len(images))[own]
        batch = Batch(ids, rng.key(number, ids), images[own])
        losses.append(step(batch, number)[0])
    return torch.stack(losses), dict(step.model.state_dict())


def parts() -> None:
    """What this process reads of an epoch is its share of each batch; together they are what one process reads, with the same keys."""
    plan = prepare("digits", None, {"batch": 64, "epochs": 1})
    own = Trainer(plan, Run(Path("nowhere")), None, None).batches(0, 2)
    assert len(own) == 1257 // 64 - 2
    every = processes.gathered(torch.from_numpy(np.stack([ids for ids, _ in own])), processes.everyone())  # (world, batches, share)
    order = rng.permutation(1257, plan.config.seed, "order", 0)[2 * 64 : (1257 // 64) * 64].reshape(-1, 64)
    assert every.transpose(0, 1).flatten(1).tolist() == order.tolist()
    assert all((keys == rng.key(plan.config.seed, "views", 0, ids)).all() for ids, keys in own)


def main() -> None:
    assert processes.join()
    world, rank = processes.world(), processes.rank()
    parts()
    images = torch.randint(0, 256, (8 * world, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name, make in encoders():
        for optimizer, loss in (("lars", None), ("sgd", lambda z1, z2: (z1 @ z2.T).square().mean() - (z1 * z2).mean())):
            config = TrainConfig(batch=8 * world, optimizer=optimizer)
            torch.manual_seed(1)
            net = make()
            projection = head("mlp2", net.num_features, 8)
            other = copy.deepcopy((net, projection))
            got, ours = run(net, projection, config, images, slice(8 * rank, 8 * rank + 8), True, loss)
            want, theirs = run(*other, config, images, slice(None), False, loss)
            assert torch.allclose(got, want, rtol=1e-10), (name, got, want)
            for key in theirs:
                worst = (ours[key].double() - theirs[key].double()).abs().max().item()
                assert worst < 1e-9, (name, optimizer, key, worst)
            if rank == 0:
                print(f"{name} {optimizer} equal", flush=True)
    processes.leave()


if __name__ == "__main__":
    main()
