"""What h and g(h) know: a linear classifier is asked which transformation a picture went through (Chen et al. 2020, Table 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base import draws as rng
from ..base.device import autocast
from ..evaluate.config import amount
from ..evaluate.labels import questions
from ..evaluate.linear import lbfgs
from ..evaluate.subjects import pictures_for, where, workers_for
from ..nets.classifier import load_head
from ..nets.trial import place
from ..probes.features import evaluation_batches
from ..sources.config import READ, ReadConfig
from ..sources.source import ImageSource
from ..training.run import Run
from ..views.jitter import to_gray
from ..views.sequence import quarter_turns, sobel

GRAY = 0.2  # share that is gray, as in training
NOISE = 0.1  # standard deviation of the noise: the paper names none


def by_color(x: Tensor, keys: rng.Keys) -> tuple[Tensor, np.ndarray]:
    """A fifth of the pictures gray."""
    answer = rng.uniform(rng.extend(keys, "gray"), 1)[:, 0] < GRAY
    return to_gray(x, answer), answer


def by_rotation(x: Tensor, keys: rng.Keys) -> tuple[Tensor, np.ndarray]:
    """Turned by 0 to 3 quarters."""
    answer = np.floor(4 * rng.uniform(rng.extend(keys, "turns"), 1)[:, 0]).astype(np.int64)
    return quarter_turns(x, answer), answer


def by_noise(x: Tensor, keys: rng.Keys) -> tuple[Tensor, np.ndarray]:
    """Half of them with Gaussian noise."""
    answer = rng.uniform(rng.extend(keys, "noisy"), 1)[:, 0] < 0.5
    pixels = rng.normal(rng.extend(keys, "pixels"), x[0].numel()).reshape(tuple(x.shape))
    sigma = (NOISE * answer)[:, None, None, None]
    return (x + torch.from_numpy(sigma * pixels).to(x.dtype)).clamp(0, 1), answer


def by_sobel(x: Tensor, keys: rng.Keys) -> tuple[Tensor, np.ndarray]:
    """Half of them Sobel filtered."""
    answer = rng.uniform(rng.extend(keys, "edges"), 1)[:, 0] < 0.5
    return torch.where(torch.from_numpy(answer)[:, None, None, None], sobel(x), x), answer


Question = Callable[[Tensor, rng.Keys], tuple[Tensor, np.ndarray]]
QUESTIONS: dict[str, tuple[Question, int]] = {
    "colour or gray": (by_color, 2),
    "rotation": (by_rotation, 4),
    "original or noisy": (by_noise, 2),
    "original or Sobel": (by_sobel, 2),
}


def transformations(run: Run, images: str, labels: str, **options: Any) -> dict[str, Any]:
    """Accuracy of each question from h, from g(h) and by always giving the commonest answer, as `cells` of a table.

    `labels`: how many training pictures the classifiers learn from, as for linear evaluation. `options`: READ, `device`, `workers`.
    """
    net = run.encoder()
    pictures = pictures_for(net, images, ReadConfig(**{k: v for k, v in options.items() if k in READ}))
    asked, (device, precision) = questions(pictures), where(options.get("device", "auto"))
    workers = workers_for(options.get("workers", -1), pictures.labelled)
    train, test = asked.draw(amount(labels), run.config.seed)
    net = place(net, device)
    head = load_head(run.path, net.num_features).to(device).eval()
    fixed = asked.fixed if asked.fixed is not None else len(asked.labels)
    wanted = (
        [(pictures.labelled, train), (pictures.labelled, test)]
        if pictures.test is None
        else [(pictures.labelled, train), (pictures.test, test - fixed)]
    )
    cells = []
    for name, (question, classes) in QUESTIONS.items():
        learned, held = (represented(net, head, source, ids, question, name, device, precision, workers) for source, ids in wanted)
        guess = torch.bincount(held[2], minlength=classes).max().item() / len(held[2])
        cells.append({"row": name, "column": "guessing", "top1": guess, "tested": len(test)})
        for layer, x, queries in (("h", learned[0], held[0]), ("g(h)", learned[1], held[1])):
            logits, _ = lbfgs(x, learned[2], queries, classes, run.config.seed)
            right = (logits.argmax(1) == held[2]).float().mean().item()
            cells.append({"row": name, "column": layer, "top1": right, "tested": len(test)})
    return {"cells": cells}


@torch.inference_mode()
def represented(
    net: Any,
    head: Any,
    source: ImageSource,
    ids: np.ndarray,
    question: Question,
    name: str,
    device: torch.device,
    precision: str,
    workers: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """h and z of transformed pictures, and the right answers."""
    spec, h, z, answers, done = net.spec, [], [], [], 0
    for x in evaluation_batches(source, spec.size, spec.resize, workers, ids):
        x, answer = question(x, rng.key("transformation", name, ids[done : done + len(x)]))
        done += len(x)
        with autocast(device, precision):
            features = net(x.to(device).contiguous(memory_format=torch.channels_last))
            h.append(features.float())
            z.append(head(features).float())
        answers.append(torch.from_numpy(answer.astype(np.int64)))
    return torch.cat(h), torch.cat(z), torch.cat(answers).to(device)
