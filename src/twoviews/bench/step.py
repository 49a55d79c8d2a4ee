"""The training step: beside a bare one (forward, backward, optimizer), and from pictures in memory to weights beside lightly's loop.

Each side of the second comparison runs in processes of its own, since ours keeps freed memory (base.device.reuse_memory) and theirs does not.
"""

# What is compared with comes with the extra `bench`, which need not be there.
# pyright: reportMissingImports=false

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..base import draws as rng
from ..base import processes
from ..base.device import reuse_memory
from ..nets.encoder import encoder
from ..nets.head import head
from ..nets.trial import place
from ..optim.schedule import official
from ..sources.loader import Batch, Loader
from ..sources.source import Small
from ..training.config import TrainConfig, resolve
from ..training.recipes import recipe
from ..training.step import Step
from ..views.pipeline import Views
from .measure import Series, installed, machine, turns
from .views import photos

CPU = torch.device("cpu")
SIZES = (32, 64, 128, 256)
WIDTHS = (0.125, 0.25, 1.0)
AHEAD = 2 * (os.cpu_count() or 1)  # batches that a DataLoader with a worker a core prefetches


def settings(batch: int, width: float) -> TrainConfig:
    return resolve(recipe("cifar10").values, {"batch": batch, "width": width})


def make(config: TrainConfig) -> tuple[torch.nn.Module, Any]:
    torch.manual_seed(0)
    net = encoder(config.encoder, config.width, config.sk, config.stem, size=config.size)
    return net, head(config.head, net.num_features, config.head_features, config.head_norm)


def step_of(config: TrainConfig, views: Any = None, loss: Any = None, device: torch.device = CPU, precision: str = "fp32") -> Step:
    net, projection = make(config)
    net = place(net, device, learns=True).train()
    schedule = official(config.learning_rate, config.scaling, 1, config.batch, 50_000, 10)
    return Step(config, net, projection.to(device).train(), views or Views.of(config), schedule, device, precision, loss)


def against_bare(batch: int, width: float, seconds: float) -> dict[str, float]:
    """Seconds of the whole step and of the bare one: random views already there, a loss of one operation."""
    config = settings(batch, width)
    share = batch // processes.world()
    images = photos(share, 32, 32)
    ids = np.arange(share) + processes.rank() * share
    x = torch.rand(2 * share, 3, config.size, config.size)
    whole = step_of(config)
    bare = step_of(config, lambda images, keys: (x[:share], x[share:]), None if whole.group else lambda a, b: (a - b).square().mean())
    data = Batch(ids, rng.key("step", ids), images)
    return turns({"whole": lambda: whole(data, 0)[0].item(), "bare": lambda: bare(data, 0)[0].item()}, seconds)


class LightlyPictures(Dataset):
    """Small pictures (n, C, H, W) uint8 through lightly's transform, as its users write it; `settings` are the transform's."""

    def __init__(self, images: torch.Tensor, **settings: Any):
        from lightly.transforms import SimCLRTransform
        from torchvision.transforms.functional import to_pil_image

        self.pil = [to_pil_image(image) for image in images]
        self.transform = SimCLRTransform(gaussian_blur=0.0, **settings)

    def __len__(self) -> int:
        return len(self.pil)

    def __getitem__(self, index: int) -> Any:
        return tuple(self.transform(self.pil[index]))


def side(name: str, batch: int, width: float, batches: int) -> float:
    """Source pictures a second of one loop, from pictures in memory to updated weights.

    `name`: `twoviews`, `compiled` (the same with torch.compile), `memory given back` (the same without reuse_memory), or `lightly`. One batch
    warms up. AHEAD more than are counted are there to be made, so that lightly's workers are as busy at the end as in the middle of an epoch.
    """
    config = settings(batch, width)
    images = photos(batch * (1 + batches + AHEAD), 32, 32)
    if name != "lightly":
        if name != "memory given back":
            reuse_memory()
        step = step_of(dataclasses.replace(config, compile=name == "compiled"))
        ids = np.arange(len(images)).reshape(-1, batch)
        stream = Loader(Small(images, None, [], ""), lambda pictures, keys: images, 0)([(i, rng.key(0, i)) for i in ids])
        run = lambda number, data: step(data, number)[0].item()  # noqa: E731
    else:
        from lightly.loss import NTXentLoss

        net, projection = make(config)
        model = torch.nn.Sequential(net, projection).train()
        criterion, optimizer = NTXentLoss(temperature=config.temperature), torch.optim.SGD(model.parameters(), lr=0.06)
        pictures = LightlyPictures(images, input_size=config.size, cj_strength=config.strength)
        stream = DataLoader(pictures, batch, num_workers=os.cpu_count() or 1, drop_last=True)

        def run(number: int, data: Any) -> float:
            loss = criterion(model(data[0]), model(data[1]))  # one forward a view, as its examples do
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

    began = 0.0
    for number, data in enumerate(stream):
        run(number, data)
        if number == 0:
            began = time.perf_counter()
        if number == batches:
            break
    return batch * batches / (time.perf_counter() - began)


def loops(names: Sequence[str], batch: int, width: float, batches: int, rounds: int) -> dict[str, list[float]]:
    """Pictures a second of each loop, in turns, each time in a new process."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, rates in found.items():
            code = f"from twoviews.bench.step import side; print(side({name!r}, {batch}, {width}, {batches}))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            rates.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return found


def bench(sizes: tuple[int, ...] = SIZES, seconds: float = 12.0, widths: tuple[float, ...] = WIDTHS) -> dict[str, Any]:
    """Pictures a second of whole and bare steps by batch, at each width for the largest; and of both loops."""
    reuse_memory()
    rates: Series = {}
    narrow, largest = 0.25 if 0.25 in widths else min(widths), max(sizes)
    for batch in sizes:
        for name, value in against_bare(batch, narrow, seconds).items():
            rates.setdefault(f"{name}, width {narrow:g}", {})[batch] = batch / value
    for width in widths:
        if width != narrow:
            for name, value in against_bare(largest, width, 4 * seconds).items():
                rates.setdefault(f"{name}, width {width:g}", {})[largest] = largest / value
    compared: dict[str, Any] = {"batch": largest}
    if installed("lightly") and processes.world() == 1:
        for width in widths:
            names = ["twoviews", "lightly"]
            if width == narrow:
                names += ["memory given back", *(["compiled"] if shutil.which("g++") else [])]
            found = loops(names, largest, width, *((4, 2) if width >= 1 else (16, 3)))
            ratios = [a / b for a, b in zip(found["twoviews"], found["lightly"], strict=True)]
            compared[f"{width:g}"] = {**{name: median(values) for name, values in found.items()}, "ratio": median(ratios)}
    return {"machine": machine(), "processes": processes.world(), "images_per_second": rates, "loops": compared}
