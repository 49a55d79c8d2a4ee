"""Results as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from .protocol import Result, amounts_of

TITLES = {"knn": "kNN"}


def cell(figure: dict[str, Any]) -> str:
    """« 86.8 ± 0.7 » in percent, the larger half of the interval."""
    half = max(figure["high"] - figure["mean"], figure["mean"] - figure["low"])
    return f"{100 * figure['mean']:.1f} ± {100 * half:.1f}"


def table(*results: Result, title: str = "") -> Table:
    """Subjects as rows, amounts of labels as columns; top-5 where there is one."""
    out = Table(title=title or "top-1 in percent (± half of the 95 % interval)")
    out.add_column("")
    columns: list[tuple[Result, str, str]] = []
    for result in results:
        for labels in amounts_of(result.rows):
            columns.append((result, labels, "top1"))
            if result.rows[0].get("top5") and len(results) == 1 and labels == "all":
                columns.append((result, labels, "top5"))
    for result, labels, figure in columns:
        what = TITLES.get(result.verb, result.verb)
        out.add_column(
            f"{what}\n{labels}{' labels' if labels == 'all' else ''}{', top-5' if figure == 'top5' else ''}",
            justify="right",
        )
    for name in dict.fromkeys(row["subject"] for result in results for row in result.rows):
        cells = []
        for result, labels, figure in columns:
            row = next((r for r in result.rows if (r["subject"], r["labels"]) == (name, labels)), None)
            cells.append(cell(row[figure]) if row else "")
        out.add_row(name, *cells)
    return out
