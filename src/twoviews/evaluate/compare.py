"""`compare`: is it worth it? Encoders side by side, by kNN and linear at several amounts of labels, and a recommendation with its evidence."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..base.errors import UserError
from ..nets.base import Encoder
from ..nets.names import of_library
from ..sources.source import ImageSource
from ..sources.spec import Pictures, open_pictures
from . import labels as labelling
from .config import CompareConfig, amount
from .figure import accuracy_figure
from .protocol import Result, about, classifier, describe, options_of, row_of
from .subjects import Named, Subject, gather, named, where, workers_for

SIMPLE = ("pixels", "histogram")  # baselines that look at no network


def compare(
    images: str | Path | ImageSource, encoders: Sequence[str | Path | Encoder], plot: str | Path | None = None, **options: Any
) -> Result:
    """Measure several encoders on the same pictures, labels and splits; `about["recommendation"]` says in words which to take.

    `encoders`: RUNs, files, `timm:NAME`, `torchvision:NAME`, `untrained:NAME`, or in memory. The untrained baseline has the first encoder's
    architecture. `plot`: a PNG of accuracy against labels. `options` are fields of CompareConfig.
    """
    config, began = options_of(CompareConfig, options), time.perf_counter()
    if not encoders:
        raise UserError("compare needs at least one encoder beside the pictures")
    subjects = [named(encoder) for encoder in encoders]
    device, precision = where(config.device)
    opened: dict[int, Pictures] = {}
    rows: list[dict[str, Any]] = []
    first: labelling.Questions | None = None
    for number, subject in enumerate(subjects):
        spec = subject.encoder.spec
        if config.size:
            subject.encoder.spec = spec = dataclasses.replace(spec, size=config.size)
        if spec.channels not in opened:
            opened[spec.channels] = (
                Pictures("a source of your own", {"all": images}, [])
                if isinstance(images, ImageSource)
                else open_pictures(images, spec.channels, config.root, config.download)
            )
        pictures = opened[spec.channels]
        asked = labelling.questions(pictures)
        if first is None:
            first = asked
            for text in config.labels:  # refuse what cannot be drawn before anything is computed
                asked.draw(amount(text), config.seed)
        workers = workers_for(config.workers, pictures.labelled)
        beside = [name for name in config.baselines if name != "none"] if number == 0 else []
        found = gather(subject, pictures, beside, device, precision, workers, config.seed)
        found = [s for s in found if s.name != "start" or number == 0]
        found[0].name = title(subject, subjects)
        rows += _rows(found, asked, config, device, pictures, precision, workers, spec.resize)
    order = [title(s, subjects) for s in subjects]
    rows.sort(key=lambda row: order.index(row["subject"]) if row["subject"] in order else len(order))
    pictures = next(iter(opened.values()))
    assert first is not None
    found_about = about(subjects[0], pictures, first, f"{describe('knn', config)}. {describe('linear', config)}", config, began)
    found_about["encoders"] = {title(s, subjects): s.describe() for s in subjects}
    found_about["recommendation"] = recommend(rows, [title(s, subjects) for s in subjects], {title(s, subjects): s for s in subjects})
    if plot:
        names = list(dict.fromkeys(row["subject"] for row in rows))
        lines = {n: [(r["labels"], r["top1"]) for r in rows if r["subject"] == n] for n in names}
        accuracy_figure(Path(plot), f"{Path(pictures.spec).name}: linear at amounts of labels, and kNN", lines)
    return Result("compare", found_about, rows)


def title(subject: Named, subjects: Sequence[Named]) -> str:
    """A short name that tells encoders apart: a RUN's folder, or the text as it was given."""
    if of_library(subject.text) or subject.text.startswith("untrained:"):
        return subject.text
    short = Path(subject.text).name
    return short if sum(Path(s.text).name == short for s in subjects) == 1 else subject.text


def _rows(
    found: list[Subject],
    asked: labelling.Questions,
    config: CompareConfig,
    device: torch.device,
    pictures: Pictures,
    precision: str,
    workers: int,
    resize: str,
) -> list[dict[str, Any]]:
    y = torch.from_numpy(asked.labels).to(device)
    out = []
    for subject in found:
        for text in config.labels:
            by = classifier("linear", config, asked, pictures.labelled, device, precision, workers, resize)
            out.append({**row_of(subject, amount(text), asked, y, by, config, device), "verb": "linear"})
        by = classifier("knn", config, asked, pictures.labelled, device, precision, workers, resize)
        out.append({**row_of(subject, amount("all"), asked, y, by, config, device), "verb": "knn", "labels": "kNN"})
    return out


def _says(figure: dict[str, Any]) -> str:
    return f"{100 * figure['mean']:.1f} % ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def recommend(rows: list[dict[str, Any]], encoders: list[str], subjects: dict[str, Named] | None = None) -> str:
    """Which encoder to take, and why, in words. An encoder wins where its interval lies above the other's.

    The fewest labels decide first, since few labels are why one pretrains; then the most.
    """
    columns = list(dict.fromkeys(row["labels"] for row in rows if row["verb"] == "linear"))
    by = {(row["subject"], row["labels"]): row["top1"] for row in rows}
    others = [name for name in dict.fromkeys(row["subject"] for row in rows) if name not in encoders]
    best = max(encoders, key=lambda name: sum(by[name, c]["mean"] for c in columns))
    sentences = []
    beaten = [n for n in others if all(by[best, c]["low"] > by[n, c]["high"] for c in columns)]
    matched = [n for n in others if any(by[n, c]["mean"] >= by[best, c]["mean"] for c in columns)]
    simple = [n for n in matched if n in (*SIMPLE, "untrained")]
    if simple:
        c = next(c for c in columns for n in simple if by[n, c]["mean"] >= by[best, c]["mean"])
        n = max(simple, key=lambda n: by[n, c]["mean"])
        sentences.append(
            f"None of these encoders is worth it yet: with {c} labels {n} reaches {_says(by[n, c])}, {best} {_says(by[best, c])}. "
            "Train longer, on more pictures, or begin from pretrained weights (--init timm:NAME)."
        )
    else:
        few, rest = columns[0], [name for name in encoders if name != best]
        sentences.append(f"Take {best}: linear top-1 {', '.join(f'{_says(by[best, c])} with {c} labels' for c in columns)}.")
        for other in rest:
            clear = [c for c in columns if by[best, c]["low"] > by[other, c]["high"]]
            worse = [c for c in columns if by[other, c]["low"] > by[best, c]["high"]]
            text = f"{other} has {', '.join(_says(by[other, c]) + f' with {c}' for c in columns)}: "
            text += f"clearly less with {' and '.join(clear)} labels" if clear else "not told apart by these intervals"
            sentences.append(text + (f", clearly more with {' and '.join(worse)} labels." if worse else "."))
        for other in others:
            sentences.append(
                f"{other[0].upper()}{other[1:]}: {_says(by[other, few])} with {few} labels{'' if other in beaten else ', not clearly less'}."
            )
        if subjects and of_library(best) and any(subjects[n].run for n in rest):
            sentences.append(f"Pretraining on these pictures has not beaten it so far: begin the next run from it with --init {best}.")
    neighbours = {n: by[n, "kNN"]["mean"] for n in [*encoders, *others] if (n, "kNN") in by}
    top = max(neighbours, key=lambda n: neighbours[n])
    sentences.append(f"kNN {'agrees' if top == best else f'prefers {top}'} ({100 * neighbours[top]:.1f} %).")
    return " ".join(sentences)
