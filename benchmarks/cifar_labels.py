"""Accuracy against labels on CIFAR-10: raw pixels, an untrained encoder, supervised from scratch, and twoviews (linear and fine-tuned).

Pretrains once without labels (resumable), then measures by the program's own verbs. Everything trains on this machine; the seconds are kept.

Run: python benchmarks/cifar_labels.py CIFAR_FOLDER --out runs/cifar_labels --json docs/figures/cifar_labels.json --plot docs/figures/cifar_labels.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import twoviews as tv
from machine import describe
from twoviews.base.files import read_json, write_json
from twoviews.evaluate.figure import accuracy_figure

# Found with the probe on training pictures (25,000 of them, equal time for each): this network learned more in a few minutes than ResNet-18 of a
# quarter or half width, views of 24 px more than 32, temperature 0.2 more than 0.5, AdamW at 5e-3 more than at 2e-3.
PRETRAIN = {
    "recipe": "cifar10", "encoder": "convnet", "width": 1.5, "size": 24, "head": "mlp2", "temperature": 0.2, "batch": 256, "optimizer": "adamw",
    "learning_rate": 5e-3, "scaling": "none", "weight_decay": 1e-4, "epochs": 16, "monitor_every": 4, "tensorboard": False,
}  # fmt: skip
FEW = ("10", "40", "100", "500")
# Frozen encoders see pictures at 32 px, about the scale of the objects in the training crops: kNN on a fifth of the second half of the training
# pictures gave 62.2 at 24 px, 63.5 at 28 and 64.4 at 32. What learns from labels does so at 24 px, which takes half the time.
SIDE = 32


def kept(path: Path, measure: Callable[[], tv.Result]) -> dict[str, Any]:
    """What `measure` gave, now or in an earlier call."""
    if not path.is_file():
        measure().write(path)
    return read_json(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cifar")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar_labels"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    images, out = arguments.cifar, arguments.out
    run = tv.train(images, out / "run", **PRETRAIN)
    linear = kept(
        out / "linear.json", lambda: tv.linear(run.path, images, labels=(*FEW, "all"), seeds=3, size=SIDE, baselines=("untrained",))
    )
    raw = kept(out / "pixels.json", lambda: tv.linear(run.path, images, labels=(*FEW, "all"), seeds=3, size=SIDE, baselines=("pixels",)))
    knn = kept(out / "knn.json", lambda: tv.knn(run.path, images, size=SIDE))
    budgets = {"epochs": 30, "scratch_epochs": 60, "steps": 100}
    few = tv.finetune(run.path, images, out / "few", labels=FEW[:3], seeds=1, **budgets)
    more = tv.finetune(run.path, images, out / "500", labels=FEW[3:], seeds=1, steps=100, epochs=4, scratch_epochs=12)
    every = tv.finetune(run.path, images, out / "all", labels=("all",), seeds=1, steps=100, epochs=1, scratch_epochs=4, learning_rate=0.1)
    rows = [{**row, "subject": f"{row['subject']}, linear"} for row in linear["rows"]]
    rows += [{**row, "subject": "pixels, linear"} for row in raw["rows"] if row["subject"] == "pixels"]
    called = {"twoviews": "twoviews, fine-tuned", "from scratch": "supervised from scratch"}
    rows += [{**row, "subject": called[row["subject"]]} for row in [*few.rows, *more.rows, *every.rows]]
    rows += [{**row, "subject": f"{row['subject']}, kNN"} for row in knn["rows"]]
    steps = run.log("step")
    figures = {
        "pretraining": PRETRAIN,
        "size": SIDE,
        "rows": rows,
        "protocols": {
            "linear": linear["protocol"],
            "knn": knn["protocol"],
            "finetune": [found.about["protocol"] for found in (few, more, every)],
        },
        "seconds_of_pretraining": sum(run.config.log_every * run.config.batch / line["images_per_second"] for line in steps),
        "machine": describe(),
    }
    if arguments.json:
        write_json(arguments.json, figures)
    if arguments.plot:
        names = ("twoviews, fine-tuned", "twoviews, linear", "supervised from scratch", "untrained, linear", "pixels, linear")
        lines = {n: [(r["labels"], r["top1"]) for r in rows if r["subject"] == n] for n in names}
        accuracy_figure(arguments.plot, "CIFAR-10 (JPEG version), 10,000 test pictures", lines)


if __name__ == "__main__":
    main()
