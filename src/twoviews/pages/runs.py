"""`runs DIR`: every RUN below a folder as a line, with its best figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from ..base.errors import UserError
from ..base.names import name_of
from .facts import facts

DEEP = 4  # folders below DIR that are looked into
PARTS = frozenset(("checkpoints", "eval", "export", "tensorboard", "vectors", "wandb"))  # of a RUN: no runs inside


def runs(folder: str | Path) -> list[dict[str, Any]]:
    """All RUN folders below a folder, the one that was written last first. A damaged one has its `error`. Raises UserError where there is no folder."""
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give the one that holds RUN folders")
    found = [line(path, root) for path in places(root)]
    return sorted(found, key=lambda one: one["written"], reverse=True)


def places(root: Path) -> list[Path]:
    """Folders with a config.json and what a training leaves."""
    out = []
    for place, inside, files in os.walk(root):
        path = Path(place)
        inside[:] = sorted(
            name for name in inside if not name.startswith(".") and name not in PARTS and len(path.relative_to(root).parts) < DEEP
        )
        if "config.json" in files and ("log.jsonl" in files or "lock" in files):
            out.append(path)
    return out


def line(path: Path, root: Path) -> dict[str, Any]:
    """What the table says of one run."""
    written = max((path / name).stat().st_mtime for name in ("config.json", "log.jsonl") if (path / name).is_file())
    out: dict[str, Any] = {"run": str(path.relative_to(root)) if path != root else str(root), "written": written}
    try:
        one = facts(path)
    except (UserError, KeyError, TypeError, ValueError) as error:
        return out | {"error": str(error)}
    best = one.best()
    return out | {
        "verdict": one.verdict.word,
        "epochs": int(one.run.log()[-1]["epoch"]) if one.run.log() else 0,
        "of_epochs": one.config["epochs"],
        "pictures": one.info["source"]["count"],
        "of": one.info["source"]["spec"],
        "encoder": one.config["encoder"] + ("" if one.config["width"] == 1 else f" ×{one.config['width']:g}"),
        "recipe": one.config["recipe"],
        "batch": one.config["batch"],
        "loss": one.last("loss"),
        "knn_monitor": one.last("knn"),
        "best": best and {key: best[key] for key in ("verb", "labels", "tested_on")} | {"top1": best["top1"]["mean"]},
    }


def table(found: list[dict[str, Any]]) -> Table:
    """The same for the terminal."""
    out = Table(
        box=box.SIMPLE_HEAD,
        title=f"{len(found)} run{'' if len(found) == 1 else 's'}; kNN is the monitor on training pictures, top-1 the best evaluation",
    )
    for name in ("run", "verdict", "epochs", "pictures", "encoder", "loss", "kNN", "top-1"):
        out.add_column(name, justify="right" if name in ("epochs", "loss", "kNN", "top-1") else "left", overflow="fold")
    for one in found:
        if "error" in one:
            out.add_row(one["run"], "damaged", "", one["error"])
            continue
        best = one["best"]
        out.add_row(
            one["run"],
            one["verdict"],
            f"{one['epochs']}/{one['of_epochs']}",
            f"{one['pictures']:,} {name_of(one['of'])}",
            one["encoder"],
            "" if one["loss"] is None else f"{one['loss']:.2f}",
            "" if one["knn_monitor"] is None else f"{100 * one['knn_monitor']:.1f}",
            "" if not best else f"{100 * best['top1']:.1f} {best['verb']}, {best['labels']}",
        )
    return out
