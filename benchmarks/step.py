"""The whole training step against a bare one: what views, loss and bookkeeping cost beside the network.

CIFAR-10 pictures, ResNet-18 with the small stem, batch 256, LARS. Whole: `Trainer`'s own step, from uint8 in memory to updated weights,
with log and progress. Bare: forward, backward and optimizer on two random views of the same shape, precision and memory format.
Rounds of both take turns. Command: python benchmarks/step.py --images PATH-TO-CIFAR-10-PARQUET
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from machine import describe, parser, report
from twoviews.base.files import locked
from twoviews.training.loop import Trainer
from twoviews.training.plan import prepare
from twoviews.training.progress import Progress
from twoviews.training.run import claim


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--images", default="../shared/data/cifar10")
    arguments.add_argument("--width", type=float, default=1.0)
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=2, help="steps of each kind a round")
    a = arguments.parse_args()
    options = {
        "recipe": "cifar10",
        "batch": a.batch,
        "width": a.width,
        "epochs": 2,
        "monitor_every": 10**6,
        "checkpoint_every": 10**9,
    }
    plan = prepare(a.images, None, options)
    with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / "run"):
        trainer = Trainer(plan, claim(Path(folder) / "run", plan.config, plan.origin), None, None)
        log = trainer.resume()
        batches = itertools.cycle(list(trainer.loader(trainer.batches(0, 0)[: a.rounds * a.steps])))
        size = plan.config.size
        x1, x2 = torch.rand(2, a.batch, 3, size, size, device=plan.device).unbind()
        bare = Trainer(
            prepare(a.images, None, options),
            trainer.run,
            lambda images, keys: (x1, x2),
            lambda z1, z2: (z1 - z2).square().mean(),
        ).step
        trainer.model.train()
        seconds: dict[str, list[float]] = {"whole": [], "bare": []}
        with Progress(10**6, 0) as progress:
            for number in range(a.rounds + 1):  # the first round warms up
                for kind in ("whole", "bare"):
                    began = time.perf_counter()
                    for _ in range(a.steps):
                        batch = next(batches)
                        loss, z1, z2 = (trainer.step if kind == "whole" else bare)(batch, trainer.done)
                        if kind == "whole":
                            trainer.done += 1
                            trainer.refuse_nonfinite(loss, batch)
                            progress.step(a.batch, 0.0)
                            if trainer.done % plan.config.log_every == 0:
                                trainer.log_step(log, 0, loss, z1, z2, progress)
                    loss.item()
                    if number:
                        seconds[kind].append((time.perf_counter() - began) / a.steps)
        log.close()
    ratios = [b / w for w, b in zip(seconds["whole"], seconds["bare"], strict=True)]
    figures = {
        "machine": describe(),
        "settings": {
            "batch": a.batch,
            "width": a.width,
            "rounds": a.rounds,
            "steps": a.steps,
            "precision": plan.precision,
            "device": str(plan.device),
        },
        "images_per_second": {kind: a.batch / median(values) for kind, values in seconds.items()},
        "whole_over_bare": {"median": median(ratios), "min": min(ratios), "max": max(ratios)},
    }
    print(figures["machine"])
    for kind, value in figures["images_per_second"].items():
        print(f"{kind:6} {value:8.1f} source images/s")
    print(f"whole / bare: {median(ratios):.3f} (rounds: {min(ratios):.3f} to {max(ratios):.3f})")
    report(figures, a.json)


if __name__ == "__main__":
    main()
