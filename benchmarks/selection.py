"""Are chosen pictures better to label than random ones? Linear accuracy on CIFAR-10 from n labels chosen each way, at equal n.

Run: python benchmarks/selection.py RUN CIFAR_FOLDER --json docs/figures/select.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import twoviews as tv
from machine import describe
from twoviews.base.files import write_json
from twoviews.evaluate.intervals import summary
from twoviews.evaluate.linear import FIXED, prepared
from twoviews.probes.features import features
from twoviews.probes.logistic import Logistic
from twoviews.vectors.select import METHODS, choose

COUNTS, DRAWS, POOL, SIDE = (20, 50, 100, 400), 5, 10_000, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("cifar")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    net = tv.load_encoder(arguments.run)
    train, test = tv.images(arguments.cifar), tv.images(arguments.cifar, "test")
    h, asked = features(net, train, SIDE), features(net, test, SIDE)
    y, truth = torch.from_numpy(train.labels), torch.from_numpy(test.labels)
    top1: dict[str, dict[str, dict]] = {}
    for method in METHODS:
        for count in COUNTS:
            values = []
            for draw in range(DRAWS):
                pool = np.sort(np.random.default_rng(draw).permutation(len(h))[:POOL])  # pictures that could be labelled
                rows = torch.from_numpy(pool[choose(h[torch.from_numpy(pool)], count, method, seed=draw)])
                w, b = Logistic(prepared(h[rows], h[rows]), y[rows], 10).fit(FIXED)
                values.append(((prepared(asked, h[rows]) @ w + b).argmax(1) == truth).float().mean().item())
            top1.setdefault(method, {})[str(count)] = summary(values, len(truth), False)
            print(method, count, f"{100 * np.mean(values):.1f}", flush=True)
    if arguments.json:
        write_json(arguments.json, {"top1": top1, "draws": DRAWS, "pool": POOL, "l2": FIXED, "machine": describe()})


if __name__ == "__main__":
    main()
