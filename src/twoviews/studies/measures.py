"""What is measured of a training: functions of (pictures, RUN folder, options of train, how it is measured) → figures.

Each trains, or goes on, first. Figures are those of one training; a study takes their mean over its seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..evaluate.finetune import finetune
from ..evaluate.protocol import linear
from ..evaluate.transfer import transfer
from ..sources.config import READ
from ..training.loop import train
from ..training.plan import prepare
from ..training.run import Run
from .supervised import supervised
from .transformations import transformations

Figures = dict[str, Any]
CONTRASTIVE = {"entropy": "contrast_entropy", "contrast_acc": "contrast_acc"}  # figures of Table 5, by their names in the log


def by_linear(images: str, folder: Path, options: dict[str, Any], how: dict[str, Any]) -> Figures:
    """Linear top-1 and top-5 of frozen h, with the probe on training pictures and the last epoch's contrastive figures."""
    run = train(images, folder, **options)
    row = linear(run.path, images, labels=(how["labels"],), baselines=("none",), seeds=1, **reading(options)).rows[0]
    out = {"top1": row["top1"]["mean"], "tested": row["tested"], "labels_used": row["labels_used"], **trained(run)}
    return {**out, "top5": row["top5"]["mean"]} if "top5" in row else out


def trained(run: Run) -> Figures:
    """What the log says of a finished RUN: probe, entropy and contrastive accuracy of the last epoch, parameters of the encoder in millions."""
    last = run.log("epoch")[-1]
    steps = [line for line in run.log("step") if line["epoch"] == last["epoch"] - 1]
    out = {name: sum(line[key] for line in steps) / len(steps) for name, key in CONTRASTIVE.items()}
    return {**out, **{k: last[k] for k in ("probe", "knn", "rank") if k in last}, "parameters": parameters(run), "loss": last["loss"]}


def parameters(run: Run) -> float:
    return sum(p.numel() for p in run.encoder().parameters()) / 1e6


def reading(options: dict[str, Any]) -> dict[str, Any]:
    """The options that evaluations have too."""
    return {k: v for k, v in options.items() if k in (*READ, "device", "workers")}


def by_untrained(images: str, folder: Path, options: dict[str, Any], how: dict[str, Any]) -> Figures:
    """Linear top-1 of the network before training, and of raw pixels where `how` asks for them."""
    net = prepare(images, None, options).encoder
    beside = ("pixels",) if how["pixels"] else ("none",)
    rows = linear(net, images, labels=(how["labels"],), baselines=beside, seeds=1, **reading(options)).rows
    out = {"top1": rows[0]["top1"]["mean"], "tested": rows[0]["tested"]}
    return {**out, "pixels": rows[1]["top1"]["mean"]} if how["pixels"] else out


def by_supervised(images: str, folder: Path, options: dict[str, Any], how: dict[str, Any]) -> Figures:
    """The same network, views and epochs, learning from all labels."""
    return supervised(images, folder, options)


def by_transformations(images: str, folder: Path, options: dict[str, Any], how: dict[str, Any]) -> Figures:
    """Which transformation was applied, told from h and from g(h)."""
    run = train(images, folder, **options)
    return {**transformations(run, images, how["labels"], **reading(options)), **trained(run)}


def by_finetune(images: str, folder: Path, options: dict[str, Any], how: dict[str, Any]) -> Figures:
    """Fine-tuned and from scratch on 1 % and 10 % of the labels."""
    run = train(images, folder, **options)
    rows = finetune(
        run.path, images, folder / "finetune" / "study", labels=("1%", "10%"), seeds=1, seed=options["seed"], **reading(options)
    ).rows
    cells = [
        {
            "row": f"{'from scratch' if row['subject'] == 'from scratch' else 'SimCLR'} ×{options.get('width', 1):g}",
            "column": row["labels"],
            "top1": row["top1"]["mean"],
            "tested": row["tested"],
        }
        | ({"top5": row["top5"]["mean"]} if "top5" in row else {})
        for row in rows
    ]
    return {"cells": cells, **trained(run)}


def by_transfer(images: str, folder: Path, options: dict[str, Any], how: dict[str, Any]) -> Figures:
    """The paper's transfer table."""
    run = train(images, folder, **options)
    ways = ("linear", "fine-tuned", "from-scratch")
    given = {"how": ways, "seed": options["seed"], "steps": how["steps"], **reading(options)}
    rows = transfer(run.path, how["sets"], folder / "transfer" / "study", **given).rows
    cells = [
        {"row": row["how"], "column": row["set"], "top1": row["value"]["mean"], "tested": row.get("tested", 0)}
        for row in rows
        if row["subject"] in ("twoviews", "from scratch")
    ]
    return {"cells": cells, **trained(run)}


MEASURES: dict[str, Callable[[str, Path, dict[str, Any], dict[str, Any]], Figures]] = {
    "linear": by_linear,
    "untrained": by_untrained,
    "supervised": by_supervised,
    "transformations": by_transformations,
    "finetune": by_finetune,
    "transfer": by_transfer,
}
