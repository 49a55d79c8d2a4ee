"""CIFAR-10 learning curve: twoviews beside lightly's SimCLRTransform + NTXentLoss in an equal loop, for the same number of pictures.

Equal: network, start, optimizer, schedule, order of pictures, evaluation. Different: who makes the views and the loss. lightly's views
come from its own transform in a DataLoader with as many workers as there are cores. Epochs of both take turns, so a change in the
machine's speed meets both. Nothing is chosen here, so the test pictures may be looked at after each epoch.
Command: python benchmarks/cifar_curve.py --images PATH-TO-CIFAR-10-PARQUET --json docs/figures/cifar_curve.json
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from machine import describe, parser, report
from twoviews.base import draws as rng
from twoviews.base.device import reuse_memory
from twoviews.bench.step import LightlyPictures
from twoviews.evaluate.intervals import wilson
from twoviews.evaluate.linear import lbfgs
from twoviews.probes.features import features
from twoviews.probes.knn import knn_votes
from twoviews.sources.loader import Batch, Loader
from twoviews.sources.source import Small, part
from twoviews.sources.spec import open_pictures
from twoviews.training.plan import Plan, prepare
from twoviews.training.step import Step
from twoviews.views.pipeline import Views


class Side:
    """One of the two: its plan (network and start are the same), its step, and its time."""

    def __init__(self, name: str, plan: Plan, step: Step):
        self.name, self.plan, self.step, self.seconds, self.done, self.curve = name, plan, step, 0.0, 0, []

    def run_epoch(self, epoch: int) -> float:
        """Train on all pictures once; returns the mean loss."""
        c, source = self.plan.config, self.plan.source
        assert isinstance(source, Small)
        order = rng.permutation(len(source), c.seed, "order", epoch)[: self.plan.steps_per_epoch * c.batch]
        began, losses = time.perf_counter(), []
        for batch in self.batches(source, order, epoch):
            losses.append(self.step(batch, self.done)[0])
            self.done += 1
        loss = torch.stack(losses).mean().item()
        self.seconds += time.perf_counter() - began
        return loss

    def batches(self, source: Small, order: np.ndarray, epoch: int):
        c = self.plan.config
        if self.name == "twoviews":
            parts = order.reshape(-1, c.batch)
            yield from Loader(source, lambda image, key: image, 0)([(ids, rng.key(c.seed, "views", epoch, ids)) for ids in parts])
            return
        pictures = LightlyPictures(source.images[torch.from_numpy(order)], input_size=c.size, cj_strength=c.strength, normalize=None)
        loader = DataLoader(pictures, batch_size=c.batch, num_workers=os.cpu_count() or 1)
        for ids, (x1, x2) in zip(order.reshape(-1, c.batch), loader, strict=True):
            yield Batch(ids, ids.astype(np.uint64), torch.stack([x1, x2], 1))


def sides(images: str, count: int, options: dict[str, Any]) -> list[Side]:
    """Both sides, from the same start."""
    from lightly.loss import NTXentLoss

    out = []
    for name in ("twoviews", "lightly"):
        torch.manual_seed(options["seed"])
        plan = prepare(images, None, options)
        plan.source = part(plan.source, rng.subset(len(plan.source), count, "curve"))
        steps = plan.steps_per_epoch
        plan.schedule = type(plan.schedule)(plan.schedule.peak, round(plan.config.warmup_epochs * steps), steps * plan.config.epochs)
        c = plan.config
        ours = name == "twoviews"
        views = Views.of(c) if ours else (lambda pairs, keys: (pairs[:, 0], pairs[:, 1]))
        loss = None if ours else NTXentLoss(temperature=c.temperature)
        plan.encoder.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        plan.head.train()
        out.append(Side(name, plan, Step(c, plan.encoder, plan.head, views, plan.schedule, plan.device, plan.precision, loss)))
    return out


opened = functools.cache(open_pictures)


def measure(side: Side, images: str, labelled: int, tested: int) -> dict[str, float]:
    """kNN and linear accuracy on test pictures, from `labelled` training labels."""
    pictures = opened(images)
    train, test = pictures.splits["train"], pictures.splits["test"]
    train, test = (
        part(train, rng.subset(len(train), labelled, "labels")),
        part(test, rng.subset(len(test), tested, "test")),
    )
    h, queries = (features(side.plan.encoder, s, side.plan.config.size, device=side.plan.device) for s in (train, test))
    y, truth = torch.from_numpy(train.labels), torch.from_numpy(test.labels)  # type: ignore[arg-type]
    knn = (knn_votes(h, y, queries, 10).argmax(1) == truth).float().mean().item()
    linear = (lbfgs(h, y, queries, 10, 0)[0].argmax(1) == truth).float().mean().item()
    return {"knn": knn, "linear": linear}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--images", default="../shared/data/cifar10")
    arguments.add_argument("--count", type=int, default=20_000, help="training pictures")
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--width", type=float, default=0.25)
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--labelled", type=int, default=10_000)
    arguments.add_argument("--tested", type=int, default=5_000)
    a = arguments.parse_args()
    options = {
        "recipe": "cifar10",
        "batch": a.batch,
        "width": a.width,
        "epochs": a.epochs,
        "warmup_epochs": 1.0,
        "seed": a.seed,
    }
    reuse_memory()  # of both: they share this process
    both = sides(a.images, a.count, options)
    print(describe(), flush=True)
    start = measure(both[0], a.images, a.labelled, a.tested)
    print(f"untrained: kNN {100 * start['knn']:.1f} %, linear {100 * start['linear']:.1f} %", flush=True)
    for epoch in range(a.epochs):
        for side in both:
            loss = side.run_epoch(epoch)
            figures = measure(side, a.images, a.labelled, a.tested)
            side.curve.append(
                {
                    "epoch": epoch + 1,
                    "pictures": (epoch + 1) * a.count,
                    "seconds": side.seconds,
                    "loss": loss,
                    **figures,
                }
            )
            print(
                f"epoch {epoch + 1:2} {side.name:9} {side.seconds:7.1f} s  loss {loss:.4f}  kNN {100 * figures['knn']:.1f}  linear {100 * figures['linear']:.1f}",
                flush=True,
            )
            progress = {s.name: s.curve for s in both}
            ratio = both[1].seconds / both[0].seconds if both[1].curve else None
            report(
                {
                    "machine": describe(),
                    "settings": vars(a) | {"json": None},
                    "untrained": start,
                    "curves": progress,
                    "lightly_over_twoviews_seconds": ratio,
                },
                a.json,
            )
    for side in both:
        last = side.curve[-1]
        spans = {name: wilson(last[name], a.tested) for name in ("knn", "linear")}
        print(
            side.name,
            {name: f"{100 * last[name]:.1f} ({100 * low:.1f} to {100 * high:.1f})" for name, (low, high) in spans.items()},
            f"{last['pictures'] / last['seconds']:.0f} images/s",
        )
    print(f"time of lightly's loop / ours: {both[1].seconds / both[0].seconds:.2f}")


if __name__ == "__main__":
    main()
