"""The gradient cache: peak memory and speed of one step, at once and in chunks. Each line is a process of its own.

ResNet-18 of quarter width, 32 px pictures. Memory is the process's peak beyond what it had before the step.
Command: python benchmarks/chunk.py --json docs/figures/chunk.json
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np

from machine import describe, parser, report
from twoviews.base import draws as rng
from twoviews.base.device import reuse_memory
from twoviews.bench.step import settings, step_of
from twoviews.bench.views import photos
from twoviews.sources.loader import Batch

CASES = ((64, 0), (256, 0), (1024, 0), (256, 64), (1024, 64), (4096, 64), (4096, 256))


def one(batch: int, chunk: int) -> dict[str, float]:
    """Peak bytes and seconds of a step."""
    import dataclasses

    reuse_memory()
    step = step_of(dataclasses.replace(settings(batch, 0.25), chunk=chunk))
    ids = np.arange(batch)
    data = Batch(ids, rng.key(0, ids), photos(batch, 32, 32))
    small = Batch(ids[:4], data.keys[:4], data.images[:4])
    step(small, 0)  # libraries load
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    step(data, 0)
    seconds = time.perf_counter() - began
    return {"bytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, "seconds": seconds}


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--one", type=int, nargs=2)
    a = arguments.parse_args()
    if a.one:
        print(json.dumps(one(*a.one)))
        return
    rows = []
    for batch, chunk in CASES:
        done = subprocess.run([sys.executable, __file__, "--one", str(batch), str(chunk)], capture_output=True, text=True, check=True)
        rows.append({"batch": batch, "chunk": chunk, **json.loads(done.stdout.splitlines()[-1])})
        row = rows[-1]
        print(f"batch {batch:5} chunk {chunk or batch:5}: {row['bytes'] / 1e6:8.0f} MB, {batch / row['seconds']:6.0f} images/s", flush=True)
    report({"machine": describe(), "rows": rows}, a.json)


if __name__ == "__main__":
    main()
