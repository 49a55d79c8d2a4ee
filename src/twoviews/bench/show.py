"""`twoviews bench`: measures, prints tables, draws plots, writes JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from ..base import processes
from ..base.console import out, say
from ..base.files import write_json
from . import loss, step, views
from .measure import Series, installed, plot


def run(what: str, images: Path | None, sizes: tuple[int, ...] | None, seconds: float | None, json: Path | None, png: Path | None) -> None:
    """Measure `what`; the first process prints and writes."""
    joined = processes.join()
    missing = [name for name in ("lightly", "kornia", "pytorch_metric_learning") if not installed(name)]
    if missing:
        say(f"not compared with {', '.join(missing)}: uv pip install 'twoviews[bench]'")
    given: dict[str, Any] = {k: v for k, v in (("sizes", sizes), ("seconds", seconds)) if v is not None}
    if what == "loss":
        figures = loss.bench(**given)
        times, memory = figures["seconds"], figures["bytes"]
        tables = [
            grid("NT-Xent, forward and backward, milliseconds", "pairs", times, 1e3),
            grid("peak memory of a call, gradients included, MB", "pairs", memory, 1e-6),
        ]
        panels = [("NT-Xent, forward and backward", "pairs n", "seconds", times), ("peak memory", "pairs n", "bytes", memory)]
    elif what == "views":
        figures = views.bench(images, **given)
        rates, files = figures["images_per_second"], figures["files"]
        by_file = {name: {files["size"]: value} for name, value in files["images_per_second"].items()}
        title = f"two views from JPEG files, {files['workers']} workers, pictures a second"
        tables = [grid("two views from memory on one core, pictures a second", "pixels", rates), grid(title, "pixels", by_file)]
        panels = [("two views on one core", "pixels", "pictures a second", rates)]
    else:
        figures = step.bench(**given)
        rates, loops = figures["images_per_second"], {k: v for k, v in figures["loops"].items() if k != "batch"}
        tables = [grid("ResNet-18, 32 px: whole and bare steps, pictures a second", "batch", rates)]
        if loops:
            names = list(dict.fromkeys(name for values in loops.values() for name in values))
            whole = {name: {float(width): values[name] for width, values in loops.items() if name in values} for name in names}
            tables.append(grid(f"from pictures to weights, batch {figures['loops']['batch']}, pictures a second", "width", whole))
        panels = [("ResNet-18, 32 px, a step", "batch", "pictures a second", rates)]
    if processes.rank() == 0:
        for table in tables:
            out().print(table)
            print()
        m = figures["machine"]
        print(
            f"{m['date']}, {m['cpu']}, {m['cores']} cores, {m['threads']} threads, torch {m['torch']}, twoviews {m['twoviews']} ({m['commit']})"
        )
        if json:
            write_json(json, figures)
        if png:
            plot(png, panels)
    if joined:
        processes.leave()


def grid(title: str, label: str, series: Series, factor: float = 1.0) -> Table:
    """x down, names across."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in (label, *series):
        table.add_column(name, justify="right")
    for x in sorted({x for points in series.values() for x in points}):
        table.add_row(f"{x:,g}", *(number(points[x] * factor) if x in points else "" for points in series.values()))
    return table


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
