"""What a run will take, measured before it: which batch fits at once, images/s, time and memory of the whole, which chunk to take."""

from __future__ import annotations

import dataclasses
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..base import draws as rng
from ..base.console import out, say
from ..base.device import reuse_memory
from ..losses.nt_xent import nt_xent
from ..nets.trial import place
from ..sources.loader import Batch, Loader
from ..sources.source import ImageSource
from ..views.pipeline import Views
from .failures import out_of_memory
from .plan import Plan, prepare
from .step import Step

SECONDS = 60  # of measuring, about
SHARE = 0.9  # of the memory may be planned with


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to compute the batch. Memory in bytes, time of the whole run in seconds; `measured`: memory was measured at this size."""

    pairs: int
    whole: bool
    memory: float
    images_per_second: float
    seconds: float
    fits: bool
    measured: bool


@dataclasses.dataclass(frozen=True)
class Estimate:
    """`rows` from the smallest chunk to the whole batch; `chunk` is the advice: 0, a number of pairs, or None where nothing fits."""

    batch: int
    steps: int
    epochs: int
    images: int
    available: int
    largest: int
    loss_seconds: float
    loading_images_per_second: float
    rows: list[Row]
    chunk: int | None


def estimate(images: str | Path | ImageSource, **options: Any) -> Estimate:
    """Measure a few steps of the training that these options describe. Takes about a minute; nothing is written.

    Raises UserError for what `train` would refuse; RunError when not even two pairs fit.
    """
    plan = prepare(images, None, options)
    if plan.device.type == "cpu":
        reuse_memory()
    share, available = plan.share, memory_limit(plan.device)
    say(f"measuring steps of up to {share} pairs on {plan.device}, for about {SECONDS} s")
    loading = loading_rate(plan)
    loss = loss_time(plan)
    measured: list[tuple[int, float, float, float]] = []  # pairs, memory, seconds a pair at once, and through the cache
    began, pairs = time.perf_counter(), min(share, 4)
    while pairs <= share:
        try:
            found = measure(plan, pairs)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or not measured:
                raise
            break
        measured.append((pairs, *found))
        each = 4 * pairs * found[1]
        if pairs == share or time.perf_counter() - began + 4 * each > SECONDS or predicted(measured, 2 * pairs) > SHARE * available:
            break
        pairs = min(2 * pairs, share)
    largest = measured[-1][0]
    while largest < share and predicted(measured, min(2 * largest, share)) <= SHARE * available:
        largest = min(2 * largest, share)
    rows = []
    for k in sorted({k for k in range(1, share + 1) if share % k == 0 and (k & (k - 1) == 0 or k == share)}):
        near = min(measured, key=lambda m: abs(m[0] - k))
        memory = next((m[1] for m in measured if m[0] == k), predicted(measured, k))
        step = near[2] if k == share else near[3]
        rate = 1 / (step + loss / share + (1 / loading if plan.device.type == "cpu" else 0))
        rate = rate if plan.device.type == "cpu" else min(rate, loading)
        seconds = plan.steps * share / rate
        rows.append(Row(k, k == share, memory, rate, seconds, memory <= SHARE * available, any(m[0] == k for m in measured)))
    rows = [row for row in rows if row.pairs >= min(4, share)]
    fitting = [row for row in rows if row.fits]
    chunk = None if not fitting else 0 if fitting[-1].whole else fitting[-1].pairs
    return Estimate(plan.config.batch, plan.steps, plan.config.epochs, len(plan.source), available, largest, loss, loading, rows, chunk)


def measure(plan: Plan, pairs: int) -> tuple[float, float, float]:
    """Peak memory in bytes, seconds a pair of the direct step, and of one through the gradient cache, with this many pairs at a time."""
    seconds = []
    for chunk, count in ((0, pairs), (pairs, 2 * pairs)):
        config = dataclasses.replace(plan.config, chunk=chunk)
        network = place(plan.encoder, plan.device, learns=True).train()
        step = Step(config, network, plan.head.to(plan.device).train(), Views.of(config), plan.schedule, plan.device, plan.precision)
        side = config.size
        pictures = torch.randint(0, 256, (count, 2, config.channels, side, side), dtype=torch.uint8)  # as workers cut them
        batch = Batch(np.arange(count), rng.key("estimate", np.arange(count)), pictures)
        if plan.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(plan.device)
        step(batch, 0)
        wait(plan.device)
        began = time.perf_counter()
        step(batch, 0)
        wait(plan.device)
        seconds.append((time.perf_counter() - began) / count)
        if not chunk:
            memory = peak_memory(plan.device)
    return memory, seconds[0], seconds[1]


def predicted(measured: list[tuple[int, float, float, float]], pairs: int) -> float:
    """Memory with this many pairs at a time: it grows by a constant a pair, taken from the two largest sizes that were measured."""
    if len(measured) == 1:
        return measured[0][1] * pairs / measured[0][0]
    (k, low, *_), (n, high, *_) = measured[-2:]
    return high + max(0.0, high - low) / (n - k) * (pairs - n)


def loss_time(plan: Plan) -> float:
    """Seconds of NT-Xent for the whole batch, forward and backward."""
    z = torch.randn(2, plan.config.batch, plan.head.out_features, device=plan.device).requires_grad_()
    times = []
    for _ in range(2):
        began = time.perf_counter()
        nt_xent(z[0], z[1], plan.config.temperature, normalize=plan.config.normalize).backward()
        wait(plan.device)
        times.append(time.perf_counter() - began)
    return min(times)


def loading_rate(plan: Plan) -> float:
    """Pictures a second that reach the device as uint8, with this run's workers."""
    loader = Loader(plan.source, Views.of(plan.config).crop_pairs, plan.workers)
    ids = rng.permutation(len(plan.source), plan.config.seed, "order", 0)[: 32 * (2 + 2 * max(1, plan.workers))]
    parts = [(part, rng.key(0, part)) for part in np.array_split(ids, max(1, len(ids) // 32))]
    counted, began = 0, 0.0
    for number, batch in enumerate(loader(parts)):
        if number == 0:
            began = time.perf_counter()  # workers have started
        else:
            counted += len(batch.images)
    span = time.perf_counter() - began
    loader.close()
    return counted / span if counted else 1e6


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> float:
    """Bytes: of a GPU since the peak was reset; of this process since it began, elsewhere. So sizes are measured in ascending order."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def memory_limit(device: torch.device) -> int:
    """Bytes that a run can have: of the GPU, or of the machine and the control group that this process lives in."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    limits = [line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")]
    bytes_ = int(limits[0]) * 1024 + int(peak_memory(device))
    group = Path("/sys/fs/cgroup/memory.max")
    if group.is_file() and group.read_text().strip().isdigit():
        bytes_ = min(bytes_, int(group.read_text()))
    return bytes_


def show(found: Estimate) -> None:
    """Print an estimate as a table and one sentence of advice."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("pairs at a time", "memory", "images/s", "whole run", ""):
        table.add_column(name, justify="right" if name else "left")
    for row in found.rows:
        kind = "the whole batch" if row.whole else f"--chunk {row.pairs}"
        note = kind if row.fits else f"{kind}: does not fit"
        about = "" if row.measured else "≈ "
        table.add_row(f"{row.pairs:,}", f"{about}{row.memory / 2**30:.1f} GiB", f"{row.images_per_second:,.0f}", span(row.seconds), note)
    out().print(table)
    print(
        f"{found.images:,} pictures, {found.epochs} epochs, {found.steps:,} steps of {found.batch:,} pairs; {found.available / 2**30:.1f} GiB "
        f"of memory. NT-Xent of a batch takes {found.loss_seconds:.2g} s; loading alone {found.loading_images_per_second:,.0f} images/s."
    )
    if found.chunk is None:
        print("Nothing fits: take a smaller --size, --width or --encoder.")
    elif found.chunk:
        print(f"Take --chunk {found.chunk}: the exact loss of {found.batch:,} pairs, in the memory of {found.chunk}.")
    else:
        print("The whole batch fits at once: no --chunk is needed.")


def span(seconds: float) -> str:
    """A time in words of two units at most."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
