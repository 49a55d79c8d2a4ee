"""The pictures of docs/how-it-works.md: similarity matrix of a batch before and after training, curves of loss and accuracy.

The sheets of views are made by `twoviews views`. Command: python benchmarks/how_it_works.py --run runs/demo --out docs/figures
(after `make demo`; needs the `bench` extra for matplotlib)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F

import twoviews as tv
from twoviews.nets.encoder import from_spec

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PER_DIGIT = 3


def similarity(run: tv.Run, out: Path) -> None:
    """Cosine similarity of h between the views of a batch, sorted by digit: first views as rows, second views as columns."""
    config, source = run.config, tv.images("digits", channels=1)
    assert source.labels is not None
    ids = np.concatenate([np.flatnonzero(source.labels == digit)[:PER_DIGIT] for digit in range(10)])
    views = tv.Views.of(config)
    images = torch.stack([source.read(int(i)) for i in ids])
    x1, x2 = views(images, tv.draw_keys(0, "figure", ids))
    trained = run.encoder()
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
    for axis, (title, net) in zip(
        axes, (("untrained encoder", from_spec(trained.spec, config.seed).eval()), ("after training", trained)), strict=True
    ):
        with torch.inference_mode():
            h1, h2 = (net(x) for x in (x1, x2))
        mean = torch.cat([h1, h2]).mean(0)
        matrix = F.normalize(h1 - mean, dim=1) @ F.normalize(h2 - mean, dim=1).T
        shown = axis.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set_title(title)
        middles = np.arange(10) * PER_DIGIT + (PER_DIGIT - 1) / 2
        axis.set_xticks(middles, map(str, range(10)))
        axis.set_yticks(middles, map(str, range(10)))
        axis.set_xlabel("second views, by digit")
    axes[0].set_ylabel("first views, by digit")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="cosine similarity of h (centred)")
    figure.savefig(out / "similarity.png", dpi=110)


def curves(run: tv.Run, out: Path) -> None:
    """Loss beside log(2n − 1); contrastive accuracy, kNN and probe; rank."""
    steps, looks = run.log("step"), [line for line in run.log("epoch") if "rank" in line]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    axes[0].plot([s["step"] for s in steps], [s["loss"] for s in steps], label="loss")
    axes[0].axhline(steps[0]["loss_chance"], color="gray", linestyle="--", label="log(2n − 1): nothing known")
    axes[0].set_title("NT-Xent")
    axes[1].plot([s["step"] for s in steps], [100 * s["contrast_acc"] for s in steps], label="contrastive accuracy")
    for name, label in (("knn", "kNN (labels only for looking)"), ("probe", "ridge probe")):
        axes[1].plot([s["step"] for s in looks], [100 * s[name] for s in looks], "o-", markersize=3, label=label)
    axes[1].set_title("accuracy in percent")
    axes[2].plot([s["step"] for s in looks], [s["rank"] for s in looks], "o-", markersize=3, label="effective rank of h")
    axes[2].set_title("effective rank")
    for axis in axes:
        axis.set_xlabel("step")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.savefig(out / "curves.png", dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    similarity(tv.Run(arguments.run), arguments.out)
    curves(tv.Run(arguments.run), arguments.out)
