"""How to measure: candidates take turns in the same run, so that a change of the machine's speed meets all of them."""

# What is compared with comes with the extra `bench`, which need not be there.
# pyright: reportMissingImports=false

from __future__ import annotations

import ctypes
import gc
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..base import processes
from ..base.errors import UserError
from ..training.run import versions

Series = dict[str, dict[float, float]]  # name → {x: y}


def turns(candidates: Mapping[str, Callable[[], Any]], seconds: float = 4.0, least: int = 3, most: int = 200) -> dict[str, float]:
    """Median seconds of a call of each, which take turns for about `seconds` after one call to warm up."""
    for call in candidates.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in candidates}
    began = time.perf_counter()
    for number in range(most):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - start)
        if number + 1 >= least and processes.largest([time.perf_counter() - began])[0] > seconds:  # all processes stop together
            break
    return {name: median(values) for name, values in found.items()}


def peak(call: Callable[[], Any]) -> int | None:
    """Bytes that a call takes beyond what there was, at its peak; None where the system does not tell."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        call()
        return max(0, _status("VmHWM") - before)
    except (OSError, AttributeError):
        return None


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def installed(name: str) -> bool:
    """Whether a package to compare with is there."""
    return find_spec(name) is not None


def machine() -> dict[str, Any]:
    """Date, processor, cores, GPU, versions and commit: what every figure stands beside."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        commit = ""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "date": date.today().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "commit": commit,
        **versions(),
    }


def plot(path: Path, panels: Sequence[tuple[str, str, str, Series]]) -> None:
    """Curves side by side on logarithmic axes as one PNG: (title, label of x, label of y, series) each.

    Raises UserError where matplotlib is missing.
    """
    if not installed("matplotlib"):
        raise UserError("--plot needs matplotlib: uv pip install 'twoviews[bench]'")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.6 * len(panels), 4.2), squeeze=False, layout="constrained")
    names = list(dict.fromkeys(name for *_, series in panels for name in series))
    for axis, (title, x, y, series) in zip(axes[0], panels, strict=True):
        for name, points in series.items():
            axis.plot(list(points), list(points.values()), marker="o", markersize=4, label=name, color=f"C{names.index(name)}")
        ticks = sorted({value for points in series.values() for value in points})
        axis.set(title=title, xlabel=x, ylabel=y, xscale="log", yscale="log")
        axis.set_xticks(ticks, [f"{tick:,g}" for tick in ticks], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
