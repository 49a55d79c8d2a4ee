"""A study on paper: table.md and figure.png in the paper's form, its numbers beside ours, and figures.json with all of it."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.files import write_json, write_text
from ..evaluate.config import amount
from ..evaluate.figure import drawn
from ..evaluate.table import cell as share
from .study import PLAIN, TITLES, Study, number

if TYPE_CHECKING:
    from .paper import Outcome

TABLE, FIGURE, FIGURES = "table.md", "figure.png", "figures.json"


def write(study: Study, outcome: Outcome, folder: Path) -> None:
    """The three files."""
    write_text(folder / TABLE, markdown(study, outcome.about, outcome.rows, outcome.findings))
    write_json(folder / FIGURES, dataclasses.asdict(outcome))
    figure(study, outcome, folder / FIGURE)


def cell(name: str, row: dict[str, Any]) -> str:
    """« 41.2 ± 0.8 (63.2) »: ours, half of its 95 % interval, and the paper's."""
    out, found, theirs = "–", row.get(name), row["paper"].get(name)
    if found:
        out = number(name, found["mean"]) if name in PLAIN or found["high"] == found["low"] else share(found)
    return out + (f" ({theirs:.1f})" if theirs is not None else "")


def markdown(study: Study, about: dict[str, Any], rows: list[dict[str, Any]], findings: list[dict[str, Any]]) -> str:
    """The whole as Markdown: a table for each figure, the paper's numbers in brackets, then the findings."""
    columns = list(dict.fromkeys(row["column"] for row in rows))
    names = list(dict.fromkeys(row["row"] for row in rows))
    by = {(row["row"], row["column"]): row for row in rows}
    parts = [f"# {study.source}: {study.about}", "", *words(study, about), ""]
    if len(columns) == 1 or len(study.figures) > 1:
        heads = [TITLES[f] for f in study.figures]
        parts += [f"| | {study.axes[0]} | {' | '.join(heads)} |", f"| --- | --- |{' ---: |' * len(heads)}"]
        parts += [f"| {r['row']} | {r['column']} | {' | '.join(cell(f, r) for f in study.figures)} |" for r in rows]
        parts += [
            f"| {name} (paper) | {column} | {' | '.join(f'({values[f]:.1f})' if f in values else '' for f in study.figures)} |"
            for name, column, values in study.beside
        ]
    else:
        parts += [f"| {study.axes[1] if study.form == 'matrix' else ''} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
        parts += [f"| {n} | {' | '.join(cell('top1', by[n, c]) if (n, c) in by else '' for c in columns)} |" for n in names]
    chosen = [f"{row['row']}: {', '.join(f'{k} {v:g}' for k, v in row['chosen'].items())}" for row in rows if row.get("chosen")]
    if chosen:
        parts += ["", f"Chosen by the probe on training pictures: {'; '.join(chosen)}."]
    if findings:
        parts += ["", "| what the paper says | here | difference |", "| --- | --- | ---: |"]
        parts += [f"| {f['text']} | {f['verdict']} | {gap(f)} |" for f in findings]
    return "\n".join(parts) + "\n"


def gap(finding: dict[str, Any]) -> str:
    """The difference in points with half of its interval."""
    if "difference" not in finding:
        return ""
    half = f" ± {100 * finding['half']:.1f}" if finding["half"] is not None else ""
    return f"{100 * finding['difference']:+.1f}{half}"


def words(study: Study, about: dict[str, Any]) -> list[str]:
    """What was done, and how its scale differs from the paper's."""
    scale, values = about["scale"], about["scale"]["values"]
    n = len(about["seeds"])
    spread = f"mean of {n} seeds ± half of its 95 % interval" if n > 1 else "one seed ± half of the 95 % interval of its test pictures"
    epochs = f"{values['epochs']} epoch{'s' if values['epochs'] > 1 else ''}"
    wide = f" ×{values['width']:g}" if values.get("width", 1) != 1 else ""
    return [
        f"In percent, {study.measured.format(labels=amount(scale['labels']))}, {spread}; the paper's number in brackets.",
        f"Scale `{scale['name']}`: {scale['words']}. "
        f"Here {values.get('encoder', 'resnet50')}{wide}, {values.get('size', 224)} px, batch {values.get('batch', 4096)}, {epochs} of "
        f"{about['images']['count']:,} pictures of {Path(about['images']['spec']).name}; the paper: {study.papers}. "
        f"{about['trainings']} trainings on {about['device']}.",
        *(
            [f"Beside, by the same linear evaluation: {'; '.join(f'{name} {share(found)}' for name, found in about['beside'].items())}."]
            if about["beside"]
            else []
        ),
        *([about["note"]] if about["note"] else []),
    ]


def figure(study: Study, outcome: Outcome, path: Path) -> None:
    """The figure in the paper's form."""
    forms = {"matrix": _matrix, "bars": _bars, "lines": _lines, "scatter": _scatter}
    with drawn(path, size=(10.5, 4.6) if study.form == "matrix" else (7.6, 4.6), parts=2 if study.form == "matrix" else 1) as axes:
        forms[study.form](study, outcome.rows, axes)
        title = f"{study.source}: {study.about} ({Path(outcome.about['images']['spec']).name})"
        axes[0].figure.suptitle(textwrap.fill(title, 130 if study.form == "matrix" else 90), fontsize=10)


def _places(rows: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    return list(dict.fromkeys(r["row"] for r in rows)), list(dict.fromkeys(r["column"] for r in rows))


def _matrix(study: Study, rows: list[dict[str, Any]], axes: Any) -> None:
    names, columns = _places(rows)
    ours = {(r["row"], r["column"]): 100 * r["top1"]["mean"] for r in rows if "top1" in r}
    theirs = {(r["row"], r["column"]): r["paper"]["top1"] for r in rows if "top1" in r["paper"]}
    for axis, values, title in ((axes[0], ours, "here"), (axes[1], theirs, "the paper, ImageNet")):
        grid = [[values.get((n, c), float("nan")) for c in columns] for n in names]
        axis.imshow(grid, cmap="viridis")
        low, high = min(values.values(), default=0), max(values.values(), default=1)
        for i, line in enumerate(grid):
            for j, value in enumerate(line):
                axis.text(
                    j, i, f"{value:.1f}", ha="center", va="center", fontsize=7, color="black" if value > (low + high) / 2 else "white"
                )
        axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set(title=title, xlabel=study.axes[0], ylabel=study.axes[1])


def _spread(found: dict[str, Any]) -> list[list[float]]:
    if found["low"] is None or found["high"] is None:
        return [[0.0], [0.0]]
    return [[100 * (found["mean"] - found["low"])], [100 * (found["high"] - found["mean"])]]


def _bars(study: Study, rows: list[dict[str, Any]], axes: Any) -> None:
    (axis,), (names, columns) = axes, _places(rows)
    across = len(columns) == 1  # one bar a row
    labels, groups = (names, columns) if across else (columns, names)
    width = 0.8 / len(groups)
    for number_, group in enumerate(groups):
        own = [r for r in rows if r["column" if across else "row"] == group and "top1" in r]
        x = [labels.index(r["row" if across else "column"]) + (number_ - (len(groups) - 1) / 2) * width for r in own]
        bars = axis.bar(x, [100 * r["top1"]["mean"] for r in own], width * 0.92, label="here" if across else group)
        for place, r in zip(x, own, strict=True):
            axis.errorbar([place], [100 * r["top1"]["mean"]], _spread(r["top1"]), color="black", capsize=2, linewidth=0.8)
        paper = [(place, r["paper"]["top1"]) for place, r in zip(x, own, strict=True) if "top1" in r["paper"]]
        if paper:
            axis.plot(
                *zip(*paper, strict=True),
                "_",
                color=bars.patches[0].get_facecolor() if not across else "C3",
                markersize=14,
                markeredgewidth=2,
            )
    if any("top1" in r["paper"] for r in rows):
        axis.plot([], [], "_", color="gray", markersize=14, markeredgewidth=2, label="the paper (ImageNet)")
    axis.set_xticks(
        range(len(labels)),
        labels,
        rotation=0 if len(labels) < 6 and not across else 20,
        ha="center" if len(labels) < 6 and not across else "right",
    )
    axis.set(xlabel=study.axes[0], ylabel=study.axes[1])
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8)


def _lines(study: Study, rows: list[dict[str, Any]], axes: Any) -> None:
    (axis,), (names, columns) = axes, _places(rows)
    for number_, name in enumerate(names):
        own = [r for r in rows if r["row"] == name and "top1" in r]
        x = [columns.index(r["column"]) + 0.03 * (number_ - len(names) / 2) for r in own]
        spread = [[_spread(r["top1"])[side][0] for r in own] for side in (0, 1)]
        axis.errorbar(x, [100 * r["top1"]["mean"] for r in own], spread, marker="o", markersize=4, capsize=3, label=name)
    axis.set_xticks(range(len(columns)), columns)
    axis.set(xlabel=study.axes[0], ylabel=study.axes[1])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, title="batch" if study.name == "figure9" else None)


def _scatter(study: Study, rows: list[dict[str, Any]], axes: Any) -> None:
    """Accuracy by parameters. A supervised network stands straight below or above its SimCLR, so only the latter is named."""
    (axis,) = axes
    for row in rows:
        if "top1" not in row or "parameters" not in row:
            continue
        cross = "supervised" in row["row"]
        x, y = row["parameters"]["mean"], 100 * row["top1"]["mean"]
        axis.errorbar([x], [y], _spread(row["top1"]), marker="x" if cross else "o", color="gray" if cross else "C0", capsize=2)
        if not cross:
            axis.annotate(f"{row['row']} {row['column']}", (x, y), fontsize=7, xytext=(4, 4), textcoords="offset points")
    for number_, (name, column, values) in enumerate(study.beside):
        point = (values["parameters"], values["top1"])
        cross = name.startswith("supervised")
        axis.plot(*point, "x" if cross else "^", color="C3" if cross else "C1", alpha=0.8)
        label = f"{name.removeprefix('SimCLRv2 ResNet-')} {column}" if column.startswith("×") else name
        axis.annotate(label, point, fontsize=6, alpha=0.8, ha="right", xytext=(-5, 3 - 7 * (number_ % 2)), textcoords="offset points")
    marks = [("o", "C0", "SimCLR, here"), ("x", "gray", "supervised, here")]
    if study.beside:
        marks += [("^", "C1", "the paper's, ImageNet")]
    if any(name.startswith("supervised") for name, *_ in study.beside):
        marks += [("x", "C3", "supervised, ImageNet")]
    for mark, color, label in marks:
        axis.plot([], [], mark, color=color, label=label)
    axis.set_xscale("log")
    axis.set(xlabel=study.axes[0], ylabel=study.axes[1])
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right")
