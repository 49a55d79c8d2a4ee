"""`paper`: repeat an experiment of the paper. Trainings, their figures over seeds, and which of the paper's findings they show."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..base import device as devices
from ..base.errors import RunError, UserError
from ..base.files import locked
from ..base.settings import options_of
from ..evaluate.config import amount
from ..evaluate.intervals import half_over_seeds, summary
from ..evaluate.labels import questions
from ..nets.encoder import encoder
from ..sources.source import Small
from ..sources.spec import open_pictures
from ..training.config import TrainConfig
from ..training.estimate import measure as measured_step
from ..training.estimate import memory_limit
from ..training.plan import decide, prepare
from ..training.run import versions
from .catalog import study_of
from .config import PaperConfig
from .report import write
from .scale import Scale, scale_of
from .study import PLAIN, Cell, Finding, Study
from .trainings import Part, Stop, key_of, refuse_failed, run_all

CONTEXT = 1.5 * 2**30  # bytes that a process takes on a GPU beside its training
MOST = 4  # trainings side by side on one GPU: more would wait for each other


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A study that has run. `rows` have row, column, figures over seeds and the paper's; `findings` what the paper says and whether it shows."""

    name: str
    about: dict[str, Any]
    rows: list[dict[str, Any]]
    findings: list[dict[str, Any]]


def paper(experiment: str, images: str | Path, out: str | Path = "studies", **options: Any) -> Outcome:
    """Repeat an experiment of the paper on your pictures, at a scale of your machine's.

    `experiment`: figure5, table1, … (twoviews paper list). `out` keeps every training, shared by all studies in it; the same call goes on.
    `options` are fields of PaperConfig. Writes EXPERIMENT/table.md, figure.png and figures.json into `out`. Raises UserError for what can be
    mended before, RunError for trainings that failed.
    """
    config, began = options_of(PaperConfig, options), time.perf_counter()
    study = study_of(experiment)
    out, images = Path(out), str(images)
    repeat = Repeat(study, images, out / "runs", config)
    with locked(out / study.name):
        failed = repeat.train()
        outcome = Outcome(study.name, repeat.about(began), repeat.rows(), repeat.findings())
        write(study, outcome, out / study.name)
    refuse_failed(failed, out / "runs")
    return outcome


class Repeat:
    """A study on given pictures: its cells, their trainings, and what came out."""

    def __init__(self, study: Study, images: str, runs: Path, config: PaperConfig):
        self.study, self.images, self.runs, self.config = study, images, runs, config
        self.device = devices.pick(config.device)
        self.pictures = open_pictures(images, 3, config)
        source = self.pictures.training
        side = max(source.images.shape[2:]) if isinstance(source, Small) else None
        self.source, self.fingerprint = source, source.fingerprint
        self.scale: Scale = scale_of(config, self.device.type == "cuda", side, len(source))
        self.cells = study.cells(self.scale)
        asked = questions(self.pictures)  # refuses pictures without labels
        try:
            asked.draw(amount(self.scale.labels), 0)  # before anything is trained
        except UserError:
            if config.labels:
                raise
            self.scale = dataclasses.replace(self.scale, labels="all")  # the scale's own are too many for small sets
        base = self.scale.values.get("batch", TrainConfig().batch)
        largest = max(base, *(cell.values.get("batch", base) for cell in self.cells))
        if largest > len(source):
            raise UserError(
                f"{study.name} trains with batches of {largest} pairs, and {self.pictures.spec} has {len(source):,} pictures to train on: it needs more pictures"
                + (f", or --batch {len(source)}" if config.batch else "")
            )
        self.seeds = list(range(config.seed, config.seed + config.seeds))
        self.chosen: dict[tuple[str, str], int] = {}

    def options(self, cell: Cell, alternative: int, seed: int) -> dict[str, Any]:
        """What train is given for a cell."""
        values = {**self.scale.values, **cell.values, **cell.tuned[alternative], "seed": seed}
        values["monitor_every"] = values["epochs"]
        steps = len(self.source) // values.get("batch", TrainConfig().batch)
        if steps < TrainConfig().log_every:
            values["log_every"] = max(1, steps)  # so that the last epoch has a line
        if values.get("head_features") == -1:
            default = TrainConfig()
            values["head_features"] = length_of_h(*(values.get(name, getattr(default, name)) for name in ("encoder", "width", "stem")))
        return values

    def part(self, cell: Cell, alternative: int, seed: int) -> Part:
        values = self.options(cell, alternative, seed)
        config, _ = decide(self.pictures.spec, self.source, values)
        return Part(
            key_of(config, self.fingerprint, cell.measure),
            self.images,
            values,
            cell.measure,
            {"labels": self.scale.labels, "sets": list(self.config.sets), "steps": self.scale.part(400, 2000, 20000)},
            self.runs,
        )

    def untrained(self) -> list[Part]:
        """What stands beside linear evaluations: the network before training, by each seed, and raw pixels once."""
        if all(cell.measure != "linear" for cell in self.cells):
            return []
        cell = Cell("untrained", "", {"epochs": 1}, measure="untrained")
        parts = [self.part(cell, 0, seed) for seed in self.seeds]
        return [dataclasses.replace(part, how={**part.how, "pixels": part is parts[0]}) for part in parts]

    def beside(self) -> dict[str, dict[str, Any]]:
        """Their figures."""
        found = [figures for part in self.untrained() if (figures := part.figures())]
        pixels = [figures["pixels"] for figures in found if "pixels" in figures]
        out = {"the untrained network": [figures["top1"] for figures in found], "raw pixels": pixels[:1]}
        return {name: summary(values, found[0]["tested"], one_split=True) for name, values in out.items() if values}

    def train(self) -> dict[str, str]:
        """All trainings; where there are alternatives, those of the first seed before the others. Returns what failed."""
        jobs = self.config.jobs or self.room()
        workers = 0 if isinstance(self.source, Small) else max(1, (os.cpu_count() or 1) // jobs)
        failed: dict[str, str] = {}
        if any(len(cell.tuned) > 1 for cell in self.cells):
            failed = self.run([self.part(cell, n, self.seeds[0]) for cell in self.cells for n in range(len(cell.tuned))], jobs, workers)
        for cell in self.cells:
            self.chosen[cell.row, cell.column] = self.choose(cell)
        rest = [self.part(cell, self.chosen[cell.row, cell.column], seed) for seed in self.seeds for cell in self.cells]
        return failed | self.run([part for part in [*rest, *self.untrained()] if part.key not in failed], jobs, workers)

    def run(self, parts: Sequence[Part], jobs: int, workers: int) -> dict[str, str]:
        unique = list({(part.key, part.measure): part for part in parts}.values())
        try:
            return run_all(unique, jobs, workers, self.config.device)
        except Stop as stop:
            raise stopped(stop.number, self.runs.parent) from None

    def choose(self, cell: Cell) -> int:
        """The alternative with the best probe on training pictures, by the first seed."""
        probes = []
        for n in range(len(cell.tuned)):
            figures = self.part(cell, n, self.seeds[0]).figures() or {} if len(cell.tuned) > 1 else {}
            probes.append(figures.get("probe", -1.0))
        return int(np.argmax(probes))

    def room(self) -> int:
        """Trainings side by side: one a core, or as many as the GPU's memory holds."""
        if self.device.type != "cuda":
            return os.cpu_count() or 1
        values = self.options(self.cells[0], 0, self.seeds[0])
        plan = prepare(self.images, None, {**values, "device": self.config.device})
        memory, *_ = measured_step(plan, plan.share)
        torch.cuda.empty_cache()
        return int(max(1, min(MOST, os.cpu_count() or 1, 0.9 * memory_limit(self.device) // (memory + CONTEXT))))

    def figures(self, cell: Cell) -> list[dict[str, Any]]:
        """What was measured of a cell, a dictionary a seed; what failed is left out."""
        out = []
        for seed in self.seeds:
            found = self.part(cell, self.chosen[cell.row, cell.column], seed).figures()
            if found and "cells" in found:
                found = next(
                    (
                        one | {"parameters": found.get("parameters")}
                        for one in found["cells"]
                        if (one["row"], one["column"]) == (cell.row, cell.column)
                    ),
                    None,
                )
            if found:
                out.append(found | {"seed": seed})
        return out

    def rows(self) -> list[dict[str, Any]]:
        """One line a cell."""
        out = []
        for cell in self.expanded():
            found = self.figures(cell)
            row: dict[str, Any] = {"row": cell.row, "column": cell.column, "seeds": [f["seed"] for f in found], "paper": cell.paper}
            if len(cell.tuned) > 1:
                row["chosen"] = cell.tuned[self.chosen[cell.row, cell.column]]
            for name in self.study.figures:
                values = [f[name] for f in found if f.get(name) is not None]
                if values and name not in PLAIN:
                    row[name] = summary(values, found[0]["tested"], one_split=name != "contrast_acc")
                elif values:
                    row[name] = {
                        "mean": float(np.mean(values)),
                        "low": min(values),
                        "high": max(values),
                        "interval": "range",
                        "values": values,
                    }
            out.append(row)
        return out

    def expanded(self) -> list[Cell]:
        """The cells; where the columns are sets that only the measuring finds, those."""
        if not any(cell.column == "sets" for cell in self.cells):
            return self.cells
        part = self.part(self.cells[0], 0, self.seeds[0])
        found = (part.figures() or {}).get("cells", [])
        cells = [dataclasses.replace(self.cells[0], row=one["row"], column=one["column"]) for one in found]
        self.chosen |= {(cell.row, cell.column): 0 for cell in cells}
        return cells

    def findings(self) -> list[dict[str, Any]]:
        """Each of the paper's findings, and whether it shows here."""
        by = {(cell.row, cell.column): {f["seed"]: f for f in self.figures(cell)} for cell in self.expanded()}
        return [judged(finding, by) for finding in self.study.findings(self.scale)]

    def about(self, began: float) -> dict[str, Any]:
        trainings = {self.part(c, self.chosen[c.row, c.column], s).key for c in self.cells for s in self.seeds}
        trainings |= {self.part(c, n, self.seeds[0]).key for c in self.cells for n in range(len(c.tuned))}
        return {
            "study": self.study.about,
            "source": self.study.source,
            "note": self.study.note,
            "images": {"spec": self.pictures.spec, "count": len(self.source), "fingerprint": self.fingerprint},
            "scale": {"name": self.scale.name, "words": self.scale.words, "values": self.scale.values, "labels": self.scale.labels},
            "seeds": self.seeds,
            "trainings": len(trainings),
            "beside": self.beside(),
            "device": devices.describe(self.device),
            "versions": versions(),
            "command": sys.argv,
            "seconds": round(time.perf_counter() - began, 1),
        }


@cache
def length_of_h(name: str, width: float, stem: str) -> int:
    """Features of an encoder."""
    return encoder(name, width, stem=stem).num_features


def judged(finding: Finding, by: dict[tuple[str, str], dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """Compare two groups of cells seed by seed. It shows where the 95 % interval of the difference (Student's t over seeds) lies above 0."""

    def side(places: Sequence[tuple[str, str]]) -> dict[int, float]:
        there = [{seed: f for seed, f in by.get(place, {}).items() if finding.figure in f} for place in places]
        there = [cell for cell in there if cell]
        if not there:
            return {}
        if finding.best:
            there = [max(there, key=lambda cell: np.mean([f[finding.figure] for f in cell.values()]))]
        seeds = set.intersection(*(set(cell) for cell in there))
        return {seed: float(np.mean([cell[seed][finding.figure] for cell in there])) for seed in seeds}

    more, less = side(finding.more), side(finding.less)
    seeds = sorted(more.keys() & less.keys())
    out: dict[str, Any] = {"text": finding.text, "figure": finding.figure, "seeds": seeds}
    if not seeds:
        return {**out, "verdict": "not measured"}
    gaps = [more[seed] - less[seed] for seed in seeds]
    mean = float(np.mean(gaps))
    if len(gaps) < 2:
        return {**out, "difference": mean, "half": None, "verdict": "one seed says nothing"}
    half = half_over_seeds(gaps)
    verdict = "not told apart" if abs(mean) <= half else "shows" if mean > 0 else "the opposite shows"
    return {**out, "difference": mean, "half": half, "verdict": verdict}


def stopped(number: int, out: Path) -> RunError:
    """What is raised after a signal."""
    error = RunError(f"stopped; what is finished stays in {out}, and the same command goes on")
    error.exit_code = 128 + number
    return error
