"""What a study is made of: cells (a training and what is measured of it), the paper's numbers beside them, and what the paper found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from .scale import Scale

Measure = Literal["linear", "untrained", "supervised", "transformations", "finetune", "transfer"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One entry of a table: training with `values` over the scale's, measured by `measure`; `paper` is what the paper has there, in percent.

    `tuned`: alternatives for the values, of which the first seed's probe on training pictures chooses one.
    """

    row: str
    column: str
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    tuned: tuple[dict[str, Any], ...] = ({},)
    measure: Measure = "linear"
    paper: dict[str, float] = dataclasses.field(default_factory=dict)


Place = tuple[str, str]  # row and column of a cell


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that the paper says: the mean of the cells `more` lies above that of the cells `less`; with `best`, the best cell above the best."""

    text: str
    more: tuple[Place, ...]
    less: tuple[Place, ...]
    best: bool = False
    figure: str = "top1"


@dataclasses.dataclass(frozen=True)
class Study:
    """An experiment of the paper. `cells` and `findings` depend on the scale; `figures` are the measured figures, in the order of its table.

    `measured` says what the figures are, `papers` at what scale the paper trained.
    `beside` are lines of the paper's table that nothing here is trained for: (row, column, figures).
    """

    name: str
    source: str
    about: str
    form: Literal["matrix", "bars", "lines", "scatter"]
    cells: Callable[[Scale], list[Cell]]
    findings: Callable[[Scale], list[Finding]]
    figures: tuple[str, ...] = ("top1",)
    axes: tuple[str, str] = ("", "")
    note: str = ""
    measured: str = "linear evaluation on frozen h (labels: {labels})"
    papers: str = "ResNet-50, 224 px, batch 4096, 100 epochs of ImageNet (1.28 million pictures)"
    beside: tuple[tuple[str, str, dict[str, float]], ...] = ()


TITLES = {
    "top1": "top-1",
    "top5": "top-5",
    "entropy": "entropy",
    "contrast_acc": "contrastive accuracy",
    "parameters": "parameters, M",
}
PLAIN = frozenset({"entropy", "parameters"})  # figures that are no shares


def number(figure: str, value: float) -> str:
    """A figure as tables show it: shares in percent."""
    return f"{value:.1f}" if figure in PLAIN else f"{100 * value:.1f}"
