"""Orders at scale, simulated: what an order of a billion pictures costs, and how well a window of shards mixes.

Cost: time and memory to begin an epoch and of each batch, by the product's own Order. Mixing: batches of 4,096 from 1,000 classes, in shards that
were written class by class (the worst case) or mixed, as `twoviews shard` writes them: distinct classes in a batch, and the share of pairs of a
batch that come from one shard (a uniform order of all: 632 distinct of 1,000 at 1,000 draws, 983 at 4,096).

Command: python benchmarks/shuffle.py --json docs/figures/shuffle.json
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from machine import describe, parser, report
from twoviews.base import draws as rng
from twoviews.sources.order import Order

BATCH, CLASSES = 4096, 1000


def peak() -> float:
    """Most megabytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def cost(pictures: int, shard: int, window: int) -> dict[str, Any]:
    """An epoch's order and a hundred of its batches, in this process."""
    before, began = peak(), time.perf_counter()
    bounds = np.arange(0, pictures + 1, shard) if shard else None
    order = Order(pictures, bounds, window, 0, "order", 0)
    order[0:BATCH]
    begun = time.perf_counter() - began
    began = time.perf_counter()
    for n in range(100):
        order[n * BATCH : (n + 1) * BATCH]
    each = (time.perf_counter() - began) / 100
    return {
        "pictures": pictures, "shard": shard, "window": window, "seconds_to_begin": begun, "milliseconds_a_batch": each * 1e3,
        "megabytes": peak() - before,
    }  # fmt: skip


def mixing(mixed: bool, window: int, pictures: int = 4_000_000, shard: int = 4000) -> dict[str, Any]:
    """Distinct classes and pairs of one shard in batches of an epoch."""
    order = Order(pictures, np.arange(0, pictures + 1, shard), window, 1, "order", 0)
    classes = np.arange(pictures) * CLASSES // pictures
    if mixed:
        classes = classes[rng.permutation(pictures, 0, "shards")]
    distinct, same = [], []
    for n in range(0, pictures // BATCH, 7):
        ids = order[n * BATCH : (n + 1) * BATCH]
        distinct.append(len(np.unique(classes[ids])))
        counts = np.bincount(ids // shard)
        same.append((counts * (counts - 1)).sum() / (BATCH * (BATCH - 1)))
    return {"mixed": mixed, "window": window, "distinct_classes": float(np.mean(distinct)), "pairs_of_one_shard": float(np.mean(same))}


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        import json

        print(json.dumps(cost(*map(int, sys.argv[2:5]))))
        return
    a = parser(__doc__ or "").parse_args()

    def child(*numbers: int) -> Any:
        import json

        done = subprocess.run([sys.executable, __file__, "--child", *map(str, numbers)], stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(done.stdout)
        print(found, flush=True)
        return found

    costs = [
        child(*n)
        for n in (
            (1_000_000, 0, 1),
            (30_000_000, 0, 1),
            (1_000_000_000, 10_000, 16),
            (1_000_000_000, 10_000, 64),
            (10_000_000_000, 10_000, 16),
        )
    ]
    mixes = [mixing(mixed, window) for mixed in (False, True) for window in (1, 4, 16, 64, 1000)]
    for found in mixes:
        print(found, flush=True)
    report({"machine": describe(), "batch": BATCH, "classes": CLASSES, "costs": costs, "mixing": mixes}, a.json)


if __name__ == "__main__":
    main()
