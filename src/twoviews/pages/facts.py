"""What a RUN folder says of itself, without its pictures: settings, curves, evaluations, what was left out."""

from __future__ import annotations

import csv
import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import UserError
from ..base.files import read_json, sha256
from ..base.names import one_line
from ..training.config import options
from ..training.recipes import recipe
from ..training.run import Run
from ..training.skipped import SKIPPED
from .verdict import Verdict, judge

CURVE = 600  # points of a curve on the page; longer ones are shown by means
CURVES = {
    "loss": "NT-Xent",
    "loss_chance": "loss when nothing is known",
    "contrast_acc": "contrastive accuracy",
    "learning_rate": "learning rate",
    "alignment": "alignment of z",
    "uniformity": "uniformity of z",
    "gradient_norm": "gradient norm",
    "images_per_second": "pictures a second",
    "data_wait": "share of the time spent waiting for pictures",
    "rank": "effective rank of h",
    "std": "spread of h",
    "probe": "ridge probe",
    "knn": "kNN",
}


@dataclasses.dataclass
class Facts:
    """One RUN. `curves` are lists of (epoch, value); `evaluations` the JSON files of eval/ by name."""

    run: Run
    name: str
    info: dict[str, Any]
    finished: bool
    curves: dict[str, list[tuple[float, float]]]
    evaluations: dict[str, dict[str, Any]]
    skipped: list[tuple[str, str]]
    verdict: Verdict
    seconds: float | None

    @property
    def config(self) -> dict[str, Any]:
        return self.info["config"]

    @property
    def command(self) -> str:
        """The command line that repeats the run."""
        words = self.info.get("command") or []
        if words and Path(words[0]).name in ("twoviews", "__main__.py", "main.py"):
            return shlex.join(["twoviews", *words[1:]])
        default = {**{name: field.default for name, field in options().items()}, **recipe(self.config["recipe"]).values}
        given = [f"{name}={value!r}" for name, value in self.config.items() if name != "recipe" and default.get(name) != value]
        return f"tv.train({self.info['source']['spec']!r}, {str(self.run.path)!r}, recipe={self.config['recipe']!r}, {', '.join(given)})"

    def last(self, name: str) -> float | None:
        """The last value of a curve."""
        return self.curves[name][-1][1] if self.curves.get(name) else None

    def best(self) -> dict[str, Any] | None:
        """The evaluation figure to be named first: linear with the most labels, else kNN, else whatever is there. With verb, labels and top1;
        `beside` the other subjects' means, `no_better_than` those whose 95 % interval reaches its own."""
        found = [
            {
                "verb": value.get("verb", name),
                "labels": row["labels"],
                "top1": row["top1"],
                "tested_on": value.get("tested_on", ""),
                "file": name,
            }
            for name, value in self.evaluations.items()
            for row in value.get("rows", [])
            if row.get("subject") == "twoviews" and "top1" in row and row["top1"]["mean"] is not None
        ]
        order = {"linear": 0, "finetune": 1, "knn": 2}
        found.sort(key=lambda one: (order.get(one["verb"], 9), one["labels"] != "all", -one["top1"]["mean"]))
        if not found:
            return None
        best = found[0]
        rows = [row for row in self.evaluations[best["file"]]["rows"] if row["labels"] == best["labels"] and row["subject"] != "twoviews"]
        rows = [row for row in rows if row["top1"]["mean"] is not None]
        best["beside"] = [(row["subject"], row["top1"]["mean"]) for row in rows]
        best["no_better_than"] = [row["subject"] for row in rows if reaches(row["top1"], best["top1"])]
        return best

    def hashes(self) -> dict[str, str]:
        """sha256 of the weights that a user takes away."""
        return {
            name: sha256(self.run.path / name) for name in ("encoder.safetensors", "head.safetensors") if (self.run.path / name).is_file()
        }


def reaches(other: dict[str, Any], own: dict[str, Any]) -> bool:
    """Whether another's 95 % interval reaches into its own; one that could not be computed tells nothing apart."""
    return None in (other["high"], own["low"]) or other["high"] >= own["low"]


def facts(path: str | Path) -> Facts:
    """Read a RUN folder. Raises UserError where it is none or damaged."""
    run = Run(Path(path))
    info = run.info
    steps, epochs = run.log("step"), run.log("epoch")
    per_epoch = max(1, info["source"]["count"] // info["config"].get("batch", 1))
    try:
        curves = {name: thinned(curve(steps, epochs, name, per_epoch)) for name in CURVES}
        verdict = judge(info["config"], steps, epochs, run.finished())
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{run.path / 'log.jsonl'} is damaged, or of another version of twoviews: {error}") from error
    rates = [line["images_per_second"] for line in steps if line.get("images_per_second")]
    seen = info["source"]["count"] // per_epoch * per_epoch * (epochs[-1]["epoch"] if epochs else 0)
    return Facts(
        run,
        one_line(run.path.resolve().name),
        info,
        run.finished(),
        {name: values for name, values in curves.items() if values},
        {file.stem: read_json(file) for file in sorted((run.path / "eval").glob("*.json"))},
        left_out(run.path / SKIPPED),
        verdict,
        seen / float(np.median(rates)) if rates else None,
    )


def curve(steps: list[dict[str, Any]], epochs: list[dict[str, Any]], name: str, per_epoch: int) -> list[tuple[float, float]]:
    """(epoch, value) of a field of the log, from its steps where it has them, else from its epochs."""
    found = [(line["step"] / per_epoch, line[name]) for line in steps if line.get(name) is not None]
    return found or [(float(line["epoch"]), line[name]) for line in epochs if line.get(name) is not None]


def thinned(points: list[tuple[float, float]], most: int = CURVE) -> list[tuple[float, float]]:
    """At most `most` points: means of equal stretches."""
    if len(points) <= most:
        return points
    return [(float(x), float(y)) for x, y in (part.mean(0) for part in np.array_split(np.array(points), most))]


def left_out(path: Path) -> list[tuple[str, str]]:
    """(file, reason) of skipped.csv."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="backslashreplace") as file:
        return [(row[0], row[1]) for row in list(csv.reader(file))[1:] if len(row) == 2]
