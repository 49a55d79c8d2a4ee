"""The frame of every evaluation: subjects × amounts of labels × seeds → accuracies with intervals, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base.files import write_json
from ..base.names import name_of
from ..base.settings import options_of
from ..base.work import slug
from ..nets.base import Encoder
from ..probes.knn import knn_votes
from ..sources.source import ImageSource
from ..sources.spec import Pictures
from ..training.run import versions
from . import labels as labelling
from .config import Asking, Drawing, EvalConfig, amount
from .intervals import summary
from .linear import FIXED, PATIENCE, TUNE, VALIDATION, lbfgs
from .sgd import RATE, sgd
from .subjects import Named, Subject, gather, named, pictures_for, where, workers_for

# (subject, positions of training pictures, their labels, positions of test pictures, seed) → logits of the test pictures, and remarks
Classifier = Callable[[Subject, np.ndarray, Tensor, np.ndarray, int], tuple[Tensor, dict[str, Any]]]


@dataclasses.dataclass
class Result:
    """An evaluation: `rows` of subject, labels and top-1; `about` says what was done to what."""

    verb: str
    about: dict[str, Any]
    rows: list[dict[str, Any]]

    def top1(self, subject: str = "twoviews", labels: str = "all") -> float:
        """Mean top-1 of a subject at an amount of labels."""
        return next(row["top1"]["mean"] for row in self.rows if (row["subject"], row["labels"]) == (subject, labels))

    def write(self, path: Path) -> None:
        """As JSON, whole."""
        write_json(path, {"verb": self.verb, **self.about, "rows": self.rows})


def knn(encoder: str | Path | Encoder, images: str | Path | ImageSource, **options: Any) -> Result:
    """k-nearest-neighbour accuracy of an encoder (RUN, file, timm:NAME, torchvision:NAME, or in memory) on labelled pictures.

    `options` are fields of EvalConfig. Raises UserError for pictures without labels and for wrong options.
    """
    return _evaluate("knn", encoder, images, options)


def linear(encoder: str | Path | Encoder, images: str | Path | ImageSource, **options: Any) -> Result:
    """Linear accuracy of an encoder on labelled pictures, beside raw pixels and an untrained encoder; `protocol` is lbfgs or sgd.

    `options` are fields of EvalConfig. Raises UserError for pictures without labels and for wrong options.
    """
    return _evaluate("linear", encoder, images, options)


def opened(encoder: str | Path | Encoder, images: str | Path | ImageSource, config: Asking) -> tuple[Named, Pictures]:
    """The encoder, at the side that was asked for, and the pictures in its channels."""
    subject = named(encoder, config.size)
    return subject, pictures_for(subject.encoder, images, config)


def _evaluate(verb: str, encoder: str | Path | Encoder, images: str | Path | ImageSource, options: dict[str, Any]) -> Result:
    config = options_of(EvalConfig, options)
    subject, pictures = opened(encoder, images, config)
    result = evaluate(verb, subject, pictures, config)
    if subject.folder:
        how = [
            verb,
            *([config.protocol] if verb == "linear" else []),
            name_of(pictures.spec),
            *(Path(text).name for text in config.labels),
        ]
        result.write(subject.folder / "eval" / f"{'-'.join(map(slug, how))}.json")
    return result


def evaluate(verb: str, subject: Named, pictures: Pictures, config: EvalConfig) -> Result:
    """Measure a subject and its baselines on open pictures."""
    began, amounts = time.perf_counter(), [amount(text) for text in config.labels]
    chooses = verb == "linear" and config.protocol == "lbfgs" and any(wanted.all for wanted in amounts)
    asked = labelling.questions(pictures, chooses)
    baselines = [name for name in config.baselines if name != "none"]
    for wanted in amounts:  # refuse what cannot be drawn before anything is computed
        asked.draw(wanted, config.seed)
    device, precision = where(config.device)
    workers = workers_for(config.workers, pictures.labelled)
    subjects = gather(subject, pictures, baselines, device, precision, workers, config.seed, asked.choices > 0)
    y = torch.from_numpy(asked.labels).to(device)
    classify = classifier(verb, config, asked, pictures.labelled, device, precision, workers, subject.encoder.spec.resize)
    rows = [row_of(found, wanted, asked, y, classify, config, device) for found in subjects for wanted in amounts]
    return Result(verb, about(subject, pictures, asked, describe(verb, config, asked.choices), config, began), rows)


def about(subject: Named, pictures: Pictures, asked: labelling.Questions, protocol: str, config: Drawing, began: float) -> dict[str, Any]:
    """What was done to what: the part of a JSON that makes its figures repeatable."""
    found = {
        "subject": subject.describe(),
        "images": {
            "spec": pictures.spec,
            "fingerprint": pictures.labelled.fingerprint,
            "classes": list(pictures.labelled.classes),
            "skipped": len(pictures.skipped),
        },
        "tested_on": asked.describe(),
        "protocol": protocol,
        "config": dataclasses.asdict(config),
        "versions": versions(),
        "command": sys.argv,
        "seconds": round(time.perf_counter() - began, 1),
    }
    if asked.fixed is None and subject.run and subject.run.info["source"]["fingerprint"] == pictures.labelled.fingerprint:
        found["seen"] = "the test pictures were among those of pretraining, without their labels"
    return found


def row_of(
    found: Subject,
    wanted: labelling.Amount,
    asked: labelling.Questions,
    y: Tensor,
    classify: Classifier,
    config: EvalConfig,
    device: torch.device,
) -> dict[str, Any]:
    """One line of a table: a subject at an amount of labels, over its draws."""
    draws = asked.draws(wanted, config.seeds)
    one_split = asked.fixed is not None or draws == 1
    top1, top5, remarks, used, tested = [], [], [], 0, 0
    for seed in range(config.seed, config.seed + draws):
        chosen, test = asked.draw(wanted, seed)
        logits, remark = classify(found, chosen, y[torch.from_numpy(chosen).to(device)], test, seed)
        right = logits.topk(min(5, asked.classes), dim=1).indices == y[torch.from_numpy(test).to(device)][:, None]
        top1.append(right[:, 0].float().mean().item())
        top5.append(right.any(1).float().mean().item())
        remarks.append(remark)
        used, tested = len(chosen), len(test)
    row = {
        "subject": found.name,
        "labels": str(wanted),
        "labels_used": used,
        "tested": tested,
        "top1": summary(top1, tested, one_split),
    }
    if asked.classes > 5:
        row["top5"] = summary(top5, tested, one_split)
    merged = {key: [remark[key] for remark in remarks] for key in remarks[0]}
    return {**row, **merged, **found.proof}


def classifier(
    verb: str,
    config: EvalConfig,
    asked: labelling.Questions,
    source: ImageSource,
    device: torch.device,
    precision: str,
    workers: int,
    resize: str,
) -> Classifier:
    """How a verb classifies."""

    def by_knn(found: Subject, train: np.ndarray, y: Tensor, test: np.ndarray, seed: int) -> tuple[Tensor, dict[str, Any]]:
        return knn_votes(found.h[train], y, found.h[test], asked.classes, config.k, config.knn_temperature), {}

    def by_lbfgs(found: Subject, train: np.ndarray, y: Tensor, test: np.ndarray, seed: int) -> tuple[Tensor, dict[str, Any]]:
        chosen_on = asked.choosing(train, seed)
        held = (found.h[chosen_on], torch.from_numpy(asked.labels[chosen_on]).to(y.device)) if len(chosen_on) else None
        logits, l2 = lbfgs(found.h[train], y, found.h[test], asked.classes, seed, held)
        return logits, {"l2": l2}

    def by_sgd(found: Subject, train: np.ndarray, y: Tensor, test: np.ndarray, seed: int) -> tuple[Tensor, dict[str, Any]]:
        w, b = sgd(
            found.net,
            found.size,
            resize,
            source,
            train,
            y,
            asked.classes,
            config.epochs,
            config.batch,
            device,
            precision,
            workers,
            seed,
        )
        return found.h[test] @ w + b, {}

    if verb == "knn":
        return by_knn
    return by_sgd if config.protocol == "sgd" else by_lbfgs


def describe(verb: str, config: EvalConfig, choices: int = 0) -> str:
    """The protocol in words. `choices`: how many pictures of a validation part it chooses on."""
    if verb == "knn":
        return f"kNN on h: cosine, k = {config.k}, votes exp(similarity / {config.knn_temperature:g})"
    if config.protocol == "sgd":
        return (
            f"linear on frozen h by SGD: {config.epochs} epochs of crop and flip, batch {config.batch}, rate {RATE} · batch/256, Nesterov 0.9, "
            "cosine, no weight decay"
        )
    own = f"the val part ({choices:,} images) where all labels are used, else on " if choices else ""
    return (
        f"logistic regression by L-BFGS on frozen h (centred, length √d); l2 of 45 values from 1e5 to 1e-6 (ended after {PATIENCE} no better) by "
        f"cross-entropy on {own}{100 * VALIDATION:.0f} % of the training labels: the strongest within a standard error of the best, then refitted on all; "
        f"below {TUNE} labels a class{' without a val part' if choices else ''} l2 = {FIXED:g}"
    )


def amounts_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The amounts of labels in the order of the rows."""
    return list(dict.fromkeys(row["labels"] for row in rows))
