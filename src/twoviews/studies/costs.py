"""What each study costs: at the paper's scale in hours of its machine, at ours in hours of this one."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..base import device as devices
from ..base.console import out, say
from ..nets.encoder import encoder
from ..sources.source import Small
from ..sources.spec import open_pictures
from ..training.config import TrainConfig
from ..training.estimate import measure, span
from ..training.plan import prepare
from ..training.recipes import recipe
from .catalog import STUDIES
from .config import PaperConfig
from .scale import Scale, scale_of
from .study import Study

# Chen et al. 2020, section 2.2: 100 epochs of ResNet-50 over ImageNet take about 1.5 hours on 128 TPU v3 cores.
PAPER_HOURS = 1.5 / 100
MEASURED = 64  # pairs at most in the step that is measured


@dataclasses.dataclass(frozen=True)
class Cost:
    """`trainings` in all, their `epochs` in all, and `work`: epochs, each counted by its network's operations over those of the scale's own."""

    trainings: int
    epochs: int
    work: float


def resolved(scale: Scale, values: dict[str, Any]) -> TrainConfig:
    """The settings of a training, but for what depends on the pictures."""
    values = {**recipe(scale.values["recipe"]).values, **scale.values, **values}
    return TrainConfig(**{k: v for k, v in values.items() if k != "head_features"})


@cache
def operations(name: str, width: float, sk: bool, stem: str, channels: int, size: int) -> float:
    """Multiplications and additions of one picture's way through an encoder."""
    with torch.device("meta"):
        net = encoder(name, width, sk, stem, channels, size).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, channels, size, size, device="meta"))
    return float(counter.get_total_flops())


def of(config: TrainConfig) -> float:
    return operations(config.encoder, config.width, config.sk, config.stem, config.channels, config.size)


def cost(study: Study, scale: Scale, seeds: int) -> Cost:
    """Equal trainings count once; alternatives are tried with the first seed only. A supervised training counts as half: it has one view."""
    first, rest = {}, {}
    for cell in study.cells(scale):
        for number, alternative in enumerate(cell.tuned):
            values = {**scale.values, **cell.values, **alternative}
            key = (tuple(sorted((k, repr(v)) for k, v in values.items())), cell.measure == "supervised")
            first[key] = values
            if number == 0:
                rest[key] = values
    all_ = [*first.items(), *list(rest.items()) * (seeds - 1)]
    base = of(resolved(scale, {}))
    epochs = [int(values["epochs"]) for _, values in all_]
    work = [
        count * of(resolved(scale, values)) / base * (0.5 if key[1] else 1.0) for count, (key, values) in zip(epochs, all_, strict=True)
    ]
    return Cost(len(all_), sum(epochs), sum(work))


def show(images: str | None, config: PaperConfig) -> None:
    """Print a table of the studies. With pictures, one step is measured, and the times of all studies on this machine follow from it."""
    from rich.table import Table

    device = devices.pick(config.device)
    paper = scale_of(dataclasses.replace(config, scale="paper", epochs=0, encoder="", width=0.0, size=0, batch=0), True, None)
    side, seconds, count = None, None, 0
    if images is not None:
        source = open_pictures(images, 3, config).training
        side, count = max(source.images.shape[2:]) if isinstance(source, Small) else None, len(source)
    scale = scale_of(config, device.type == "cuda", side, count)
    if images is not None:
        plan = prepare(images, None, {**scale.values, "seed": config.seed, "device": config.device})
        say(f"measuring a step of this scale on {devices.describe(device)}")
        seconds = measure(plan, min(MEASURED, plan.share))[1]
    table = Table(box=None, pad_edge=False)
    for head in ("", ""):
        table.add_column(head)
    for head in (
        "the paper's\ntrainings",
        "h on 128\nTPU v3",
        f"here, {config.seeds}\nseeds",
        *(["on this\nmachine"] if seconds is not None else []),
    ):
        table.add_column(head, justify="right", no_wrap=True)
    for study in STUDIES.values():
        theirs, ours = cost(study, paper, 1), cost(study, scale, config.seeds)
        cells = [study.name, study.about, f"{theirs.trainings}", f"{theirs.work * PAPER_HOURS:,.1f}", f"{ours.trainings}"]
        table.add_row(*cells, *([span(ours.work * count * seconds)] if seconds is not None else []))
    out().print(table)
    say(f"Here: scale {scale.name}, {scale.words}. Studies in one --out share equal trainings. Measuring of what was trained comes on top.")
    if seconds is None:
        say("With pictures (twoviews paper list IMAGES) it says how long each takes on this machine.")
