"""Exact search against the bare matrix product and against the plain definition: one after the other, many times, medians.

Run: python benchmarks/search.py --json docs/figures/search.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from machine import describe
from twoviews.base.device import reuse_memory
from twoviews.base.files import write_json
from twoviews.vectors.search import top_k

VECTORS, FEATURES, K = 100_000, 512, 10


def seconds(functions: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each, taking turns."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(turns + 1):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            if turn:
                found[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    reuse_memory()
    generator = torch.Generator().manual_seed(0)
    unit = F.normalize(torch.randn(VECTORS, FEATURES, generator=generator), dim=1)
    rows = []
    for count in (1, 10, 100, 1000):
        queries = F.normalize(torch.randn(count, FEATURES, generator=generator), dim=1)
        functions = {
            "search": lambda q=queries: top_k(unit, q, K),
            "product": lambda q=queries: q @ unit.T,
            "definition": lambda q=queries: (q @ unit.T).topk(K, dim=1),
        }
        rows.append({"queries": count, **seconds(functions, 7)})
        print(rows[-1], f"product / search {rows[-1]['product'] / rows[-1]['search']:.2f}")
    if arguments.json:
        write_json(arguments.json, {"vectors": VECTORS, "features": FEATURES, "k": K, "rows": rows, "machine": describe()})


if __name__ == "__main__":
    main()
