"""`compare`: is it worth it? Encoders side by side, by kNN and linear at several amounts of labels, and a recommendation with its evidence."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..base.errors import UserError
from ..base.names import name_of
from ..base.settings import options_of, several
from ..nets.names import of_library
from ..sources.source import ImageSource
from ..sources.spec import Pictures
from . import labels as labelling
from .config import CompareConfig, amount
from .figure import accuracy_figure
from .protocol import Result, about, classifier, describe, row_of
from .subjects import Named, gather, named, pictures_for, where, workers_for

SIMPLE = ("pixels", "histogram")  # baselines that look at no network


def compare(
    images: str | Path | ImageSource, encoders: Sequence[str | Path | nn.Module], plot: str | Path | None = None, **options: Any
) -> Result:
    """Measure several encoders on the same pictures, labels and splits; `about["recommendation"]` says in words which to take.

    `encoders`: RUNs, files, `timm:NAME`, `torchvision:NAME`, `untrained:NAME`, or in memory. The untrained baseline has the first encoder's
    architecture. `plot`: a PNG of accuracy against labels. `options` are fields of CompareConfig.
    """
    config, began = options_of(CompareConfig, options), time.perf_counter()
    encoders = several("encoders", encoders, nn.Module)
    if not encoders:
        raise UserError("compare needs at least one encoder beside the pictures")
    subjects = [named(encoder, config.size) for encoder in encoders]
    names = told_apart([title(subject, subjects) for subject in subjects])
    reading = {subject.encoder.spec.reading: subject.encoder for subject in subjects}
    opened = {how: pictures_for(net, images, config) for how, net in reading.items()}
    pictures = opened[subjects[0].encoder.spec.reading]
    asked = labelling.questions(pictures, any(amount(text).all for text in config.labels))
    for text in config.labels:  # refuse what cannot be drawn before anything is computed
        asked.draw(amount(text), config.seed)
    rows: list[dict[str, Any]] = []
    for name, subject in zip(names, subjects, strict=True):
        beside = [b for b in config.baselines if b != "none"] if subject is subjects[0] else []
        rows += _rows(name, subject, opened[subject.encoder.spec.reading], asked, beside, config)
    rows.sort(key=lambda row: names.index(row["subject"]) if row["subject"] in names else len(names))
    found = about(subjects[0], pictures, asked, f"{describe('knn', config)}. {describe('linear', config, asked.choices)}", config, began)
    found["encoders"] = {name: subject.describe() for name, subject in zip(names, subjects, strict=True)}
    found["recommendation"] = recommend(rows, names, {n for n, s in zip(names, subjects, strict=True) if s.run})
    if plot:
        lines = {n: [(r["labels"], r["top1"]) for r in rows if r["subject"] == n] for n in dict.fromkeys(row["subject"] for row in rows)}
        accuracy_figure(Path(plot), f"{name_of(pictures.spec)}: linear at amounts of labels, and kNN", lines)
    return Result("compare", found, rows)


def title(subject: Named, subjects: Sequence[Named]) -> str:
    """A short name that tells encoders apart: a RUN's folder, or the text as it was given."""
    if of_library(subject.text) or subject.text.startswith("untrained:"):
        return subject.text
    short = Path(subject.text).name
    return short if sum(Path(s.text).name == short for s in subjects) == 1 else subject.text


def told_apart(names: list[str]) -> list[str]:
    """The same names, those that come again with a number."""
    return [name if name not in names[:place] else f"{name} ({names[: place + 1].count(name)})" for place, name in enumerate(names)]


def _rows(
    name: str, subject: Named, pictures: Pictures, asked: labelling.Questions, baselines: list[str], config: CompareConfig
) -> list[dict[str, Any]]:
    """Lines of one encoder, and of the baselines that stand beside it: linear at each amount, then kNN."""
    device, precision = where(config.device)
    workers = workers_for(config.workers, pictures.labelled)
    y = torch.from_numpy(asked.labels).to(device)
    encoder, *others = gather(subject, pictures, baselines, device, precision, workers, config.seed, asked.choices > 0)
    encoder.name = name
    columns = [("linear", text, str(amount(text))) for text in config.labels] + [("knn", "all", "kNN")]
    out = []
    for found in (encoder, *(other for other in others if other.name in baselines)):
        for verb, text, column in columns:
            by = classifier(verb, config, asked, pictures.labelled, device, precision, workers, subject.encoder.spec.resize)
            out.append({**row_of(found, amount(text), asked, y, by, config, device), "verb": verb, "labels": column})
    return out


def _says(figure: dict[str, Any]) -> str:
    return f"{100 * figure['mean']:.1f} % ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def recommend(rows: list[dict[str, Any]], encoders: list[str], runs: Collection[str] = ()) -> str:
    """Which encoder to take, and why, in words. An encoder wins where its interval lies above the other's.

    `runs` are those of the encoders that were trained here. The fewest labels decide first, since few labels are why one pretrains; then the most.
    """
    if unknown := next((row for row in rows if row["top1"]["mean"] is None), None):
        return f"No recommendation: {unknown['subject']} with {unknown['labels']} labels could not be measured ({unknown['top1']['interval']})."
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
        if of_library(best) and any(name in runs for name in rest):
            sentences.append(f"Pretraining on these pictures has not beaten it so far: begin the next run from it with --init {best}.")
    neighbours = {n: by[n, "kNN"]["mean"] for n in [*encoders, *others] if (n, "kNN") in by}
    top = max(neighbours, key=lambda n: neighbours[n])
    sentences.append(f"kNN {'agrees' if top == best else f'prefers {top}'} ({100 * neighbours[top]:.1f} %).")
    return " ".join(sentences)
