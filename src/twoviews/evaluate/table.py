"""Results as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from .protocol import Result, amounts_of

TITLES = {"knn": "kNN"}


def cell(figure: dict[str, Any]) -> str:
    """« 86.8 ± 0.7 » in percent, the larger half of the interval; « – » for what could not be computed."""
    if figure["mean"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{100 * figure['mean']:.1f} ± –"
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
        what = next(row.get("verb", result.verb) for row in result.rows if row["labels"] == labels)
        head = f"{TITLES.get(what, what)}\n{labels}{' labels' if labels == 'all' else ''}{', top-5' if figure == 'top5' else ''}"
        out.add_column("kNN" if labels == "kNN" else head, justify="right")
    for name in dict.fromkeys(row["subject"] for result in results for row in result.rows):
        cells = []
        for result, labels, figure in columns:
            row = next((r for r in result.rows if (r["subject"], r["labels"]) == (name, labels)), None)
            cells.append(cell(row[figure]) if row else "")
        out.add_row(name, *cells)
    return out


def transfer_table(result: Result) -> Table:
    """Sets as columns, ways and subjects as rows, the paper's lines (another network, another pretraining) under ours: its Table 8."""
    from .transfer import paper_rows

    names = list(dict.fromkeys(row["set"] for row in result.rows))
    marks = {"top1": "", "per-class": "\nper class", "map11": "\nmAP"}
    metric = {row["set"]: row["metric"] for row in result.rows}
    out = Table(title="transfer, in percent (± half of the 95 % interval)")
    out.add_column("")
    for name in names:
        out.add_column(name + marks[metric[name]], justify="right")
    for how in dict.fromkeys(row["how"] for row in result.rows):
        own = [row for row in result.rows if row["how"] == how]
        for subject in dict.fromkeys(row["subject"] for row in own):
            values = {row["set"]: cell(row["value"]) for row in own if row["subject"] == subject}
            out.add_row(f"{how}: {subject}", *(values.get(name, "") for name in names))
        for label, cells in paper_rows(names, how):
            if any(cells):
                out.add_row(f"{how}: {label}", *cells, style="dim")
    return out


def detection_table(result: Result) -> Table:
    """Encoders as rows: mAP, at IoU 0.5 and 0.75, of each class."""
    classes = result.about["boxes"]["classes"]
    out = Table(title="detection on the test part, in percent")
    for name in ("", "mAP", "IoU 0.5", "IoU 0.75", *classes):
        out.add_column(name, justify="right" if name else "left")
    for row in result.rows:
        each = [row["map_per_class"].get(name) for name in classes]
        out.add_row(
            row["subject"],
            *(
                "–" if value is None or value < 0 else f"{100 * value:.1f}"
                for value in [*(row[k] for k in ("map", "map_50", "map_75")), *each]
            ),
        )
    return out
