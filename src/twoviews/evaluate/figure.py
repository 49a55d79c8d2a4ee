"""Curves as one PNG, by matplotlib (an extra)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..base.errors import UserError
from ..base.files import write_whole
from ..base.names import one_line


def need_matplotlib(option: str) -> None:
    """Raises UserError, with the line that installs it, where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise UserError(f"{option} needs matplotlib: uv pip install 'twoviews[plot]'")


@contextlib.contextmanager
def drawn(path: Path, size: tuple[float, float] = (7.2, 4.6), parts: int = 1) -> Iterator[list[Any]]:
    """Axes to draw on, side by side; the PNG is written at the end, whole."""
    need_matplotlib(str(path))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, parts, figsize=size, layout="constrained", squeeze=False)
    try:
        yield list(axes[0])
        write_whole(path, lambda part: figure.savefig(part, dpi=110, format="png"))
    finally:
        pyplot.close(figure)


def drawable(text: str) -> str:
    """Text as matplotlib draws it as it stands: on one line, in UTF-8, a dollar sign being no formula."""
    return one_line(text).replace("$", r"\$")


def accuracy_figure(path: Path, title: str, lines: dict[str, list[tuple[str, dict[str, Any]]]], label: str = "top-1, %") -> None:
    """Accuracy by amount of labels, a line with 95 % intervals for each name; the amounts stand in the order of the first appearance."""
    amounts = list(dict.fromkeys(labels for points in lines.values() for labels, _ in points))
    with drawn(path) as (axis,):
        for number, (name, every) in enumerate(lines.items()):
            points = [(labels, figure) for labels, figure in every if figure["mean"] is not None]
            x = [amounts.index(labels) + 0.04 * (number - len(lines) / 2) for labels, _ in points]
            y = [100 * f["mean"] for _, f in points]
            low, high = ([f["mean"] if f[end] is None else f[end] for _, f in points] for end in ("low", "high"))
            spread = [
                [y_ - 100 * value for y_, value in zip(y, low, strict=True)],
                [100 * value - y_ for y_, value in zip(y, high, strict=True)],
            ]
            axis.errorbar(
                x, y, spread, marker="o", markersize=4, capsize=3, label=drawable(name), linestyle="-" if len(points) > 1 else "none"
            )
        axis.set_xticks(range(len(amounts)), [drawable(text) for text in amounts])
        axis.set(title=drawable(title), ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
