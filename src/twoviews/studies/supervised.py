"""The supervised baseline of the paper's tables: the same network, views and epochs as a SimCLR training, learning from all labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..base.device import reuse_memory
from ..evaluate.config import Amount, LearnConfig
from ..evaluate.finetune import SCRATCH_WARMUP, right_of
from ..evaluate.labels import questions
from ..evaluate.learn import labels_criterion, learn, logits_of
from ..evaluate.sgd import OneView
from ..nets.classifier import Classifier
from ..sources.source import Small
from ..training.plan import prepare
from ..views.pipeline import Views

RATE, DECAY, BATCH = 0.1, 5e-4, 256


def supervised(images: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Test top-1 and top-5 of a network that learned from all labels, with the views and epochs that `options` of train name.

    `folder` keeps its checkpoints, so that it goes on. Raises UserError for pictures without labels.
    """
    plan = prepare(images, None, options)
    c, source = plan.config, plan.pictures.labelled
    asked = questions(plan.pictures)
    train, test = asked.draw(Amount(), c.seed)
    if plan.device.type == "cpu":
        reuse_memory()
    y = torch.from_numpy(asked.labels).to(plan.device)
    net = Classifier(plan.encoder, asked.classes)
    learn(
        net,
        source,
        train,
        labels_criterion(y[torch.from_numpy(train).to(plan.device)]),
        size=c.size,
        resize=c.resize,
        config=LearnConfig(batch=BATCH, steps=1),
        epochs=c.epochs,
        rate=RATE,
        weight_decay=DECAY,
        warmup=SCRATCH_WARMUP,
        device=plan.device,
        precision=plan.precision,
        workers=plan.workers,
        frozen=False,
        clip=0.0,
        seed=c.seed,
        folder=folder,
        what="supervised",
        view=OneView(c.size, c.channels, c.resize, isinstance(source, Small), views=Views.of(c)),
    )
    parts = [source, *([plan.pictures.test] if plan.pictures.test is not None else [])]
    logits = logits_of(net, parts, c.size, c.resize, plan.device, plan.precision, plan.workers)
    right = right_of(logits[test], y[torch.from_numpy(test).to(plan.device)])
    out = {
        "top1": right[:, 0].float().mean().item(),
        "tested": len(test),
        "labels_used": len(train),
        "parameters": sum(p.numel() for p in plan.encoder.parameters()) / 1e6,
    }
    return {**out, "top5": right.any(1).float().mean().item()} if asked.classes > 5 else out
