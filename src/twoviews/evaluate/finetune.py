"""Fine-tuning: the whole network learns from the labels there are (Chen et al. 2020, B.5; SimCLRv2, section 2), beside the same network from
scratch on the same labels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base import draws as rng
from ..base import processes
from ..base.console import say
from ..base.device import reuse_memory
from ..base.errors import UserError
from ..base.names import default_out, name_of
from ..base.settings import options_of
from ..base.work import Work, slug, working
from ..nets.base import Encoder
from ..nets.classifier import Classifier, load_head, save_classifier
from ..nets.encoder import from_spec
from ..probes.features import BATCH, features
from ..sources.source import ImageSource
from ..sources.spec import Pictures
from ..training.step import unmoved
from . import labels as labelling
from .config import Amount, FinetuneConfig, LearnConfig, amount
from .intervals import summary
from .learn import labels_criterion, learn, logits_of, views_of
from .linear import layer
from .protocol import Result, about, opened
from .subjects import Named, where, workers_for

SCRATCH_WARMUP = 0.1
CLIP = 1.0  # largest norm of the gradient where the linear layer begins at the probe: on features of small scale its weights are large
FEW = 64  # pictures in a batch below which its statistics say little


def finetune(encoder: str | Path | Encoder, images: str | Path | ImageSource, out: str | Path | None = None, **options: Any) -> Result:
    """Fine-tune an encoder on few or all labels, and train the same network from scratch beside it.

    `options` are fields of FinetuneConfig. `out` keeps what is finished, so that the same call goes on; each first seed's network stays there
    as a folder that `load_encoder` and `distill` read. Default: RUN/finetune/IMAGES, else runs/finetune-ENCODER-IMAGES. Raises UserError for
    what can be mended before, Stopped after a signal.
    """
    config = options_of(FinetuneConfig, options)
    joined = processes.join()
    subject, pictures = opened(encoder, images, config)
    folder = Path(out) if out is not None else default_folder("finetune", subject, pictures)
    result = Finetuning(subject, pictures, config).measure(folder)
    if joined:
        processes.leave()
    return result


def default_folder(verb: str, subject: Named, pictures: Pictures) -> Path:
    """Where a long evaluation keeps its parts when no --out is given."""
    name = slug(Path(name_of(pictures.spec)).stem)
    if subject.folder:
        return subject.folder / verb / name
    return default_out(pictures.spec, Path("runs") / f"{verb}-{slug(Path(subject.text).stem)}-{name}")


def epochs_for(config: LearnConfig, wanted: Amount, used: int, possible: int) -> int:
    """The paper's passes for this share of the labels."""
    return config.epochs or (60 if not wanted.all and used <= 0.05 * possible else 30)


def frozen(config: FinetuneConfig, count: int) -> bool:
    """Whether batch norms keep their statistics: as the option says, or where batches are too small to have statistics of their own."""
    return config.norm == "frozen" or (config.norm == "auto" and min(config.batch, count) < FEW)


class Finetuning:
    """Everything that stays the same over amounts of labels and seeds."""

    def __init__(self, subject: Named, pictures: Pictures, config: FinetuneConfig):
        self.subject, self.pictures, self.config = subject, pictures, views_of(config, *subject.trained_views)
        self.asked = labelling.questions(pictures)
        self.amounts = [amount(text) for text in config.labels]
        for wanted in self.amounts:  # refuse what cannot be drawn before anything is computed
            self.asked.draw(wanted, config.seed)
        self.spec = subject.encoder.spec
        self.device, self.precision = where(config.device)
        self.workers = workers_for(config.workers, pictures.labelled)
        self.parts = [pictures.labelled, *([pictures.test] if pictures.test is not None else [])]
        self.name = subject.title
        self.network(scratch=False)  # refuses a layer that is not there
        if self.device.type == "cpu":
            reuse_memory()

    def network(self, scratch: bool, seed: int = 0) -> Classifier:
        """The pretrained network with its classifier at 0, or the same with random weights."""
        c, classes = self.config, self.asked.classes
        if scratch:
            return Classifier(from_spec(self.spec, seed), classes)
        projection = None
        if c.from_layer:
            if self.subject.folder is None:
                raise UserError(
                    f"--from-layer {c.from_layer} needs the projection head, and only a RUN has one; {self.subject.text} is none"
                )
            projection = load_head(self.subject.folder, self.subject.encoder.num_features)
            if c.from_layer > len(projection.dense):
                raise UserError(f"--from-layer {c.from_layer}: the head of {self.subject.text} has {len(projection.dense)} layers")
        return Classifier(self.subject.fresh(), classes, projection, c.from_layer)

    def measure(self, folder: Path) -> Result:
        """All parts, those that are there already from their files."""
        c, began = self.config, time.perf_counter()
        settings = {
            "encoder": self.subject.describe(),
            "images": self.pictures.labelled.fingerprint,
            "spec": self.pictures.spec,
            **c.deciding(),
        }
        with working(folder, "finetune", settings) as work:
            rows = [
                self.row(work, wanted, scratch)
                for wanted in self.amounts
                for scratch in ((False, True) if c.scratch and self.spec.name != "custom" else (False,))
            ]
            rows.sort(key=lambda row: row["subject"] != self.name)
            result = Result("finetune", about(self.subject, self.pictures, self.asked, describe(c), c, began), rows)
            processes.first(lambda: result.write(folder / "finetune.json"))
        if self.subject.folder:
            target = (
                self.subject.folder
                / "eval"
                / f"finetune-{slug(name_of(self.pictures.spec))}-{'-'.join(slug(Path(text).name) for text in c.labels)}.json"
            )
            processes.first(lambda: result.write(target))
        return result

    def row(self, work: Work, wanted: Amount, scratch: bool) -> dict[str, Any]:
        """One line of the table: a subject at an amount of labels, over its draws."""
        c, subject = self.config, "from scratch" if scratch else self.name
        found = []
        for seed in range(c.seed, c.seed + self.asked.draws(wanted, c.seeds)):
            part = f"{wanted}{' scratch' if scratch else ''} seed {seed}"
            keep = seed == c.seed
            found.append(work.part(part, lambda folder, s=seed, k=keep: self.fit(folder, wanted, scratch, s, k)))
            say(f"{subject}, {wanted} labels, seed {seed}: {100 * found[-1]['top1']:.1f} %")
        row = {
            "subject": subject,
            "labels": str(wanted),
            "labels_used": found[0]["labels_used"],
            "tested": found[0]["tested"],
            "top1": summary([f["top1"] for f in found], found[0]["tested"], self.asked.fixed is not None or len(found) == 1),
            "epochs": found[0]["epochs"],
            "final_loss": [f["loss"] for f in found],
        }
        if self.asked.classes > 5:
            row["top5"] = summary([f["top5"] for f in found], found[0]["tested"], self.asked.fixed is not None or len(found) == 1)
        return row

    def fit(self, folder: Path, wanted: Amount, scratch: bool, seed: int, keep: bool) -> dict[str, Any]:
        """Train once, test once."""
        c = self.config
        train, test = self.asked.draw(wanted, seed)
        net = self.network(scratch, seed)
        epochs = epochs_for(c, wanted, len(train), len(self.asked.split(seed)[0]))
        y = torch.from_numpy(self.asked.labels).to(self.device)
        if c.start == "probe" and not scratch:
            own = torch.from_numpy(train).to(self.device)
            h = self.represented(net, train, frozen(c, len(train)))
            net.start_at(*layer(h, y[own], self.asked.classes, seed))
        history = learn(
            net,
            self.pictures.labelled,
            train,
            labels_criterion(y[torch.from_numpy(train).to(self.device)]),
            size=self.spec.size,
            resize=self.spec.resize,
            config=c,
            epochs=(c.scratch_epochs or 2 * epochs) if scratch else epochs,
            rate=c.scratch_learning_rate if scratch else c.learning_rate,
            weight_decay=c.scratch_weight_decay if scratch else c.weight_decay,
            warmup=SCRATCH_WARMUP if scratch else 0.0,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
            frozen=not scratch and frozen(c, len(train)),
            clip=CLIP if c.start == "probe" and not scratch else 0.0,
            seed=int(rng.key("fit", seed)[0] >> 1) % 2**31,
            folder=folder,
            what=f"{'from scratch' if scratch else self.name}, {wanted} labels, seed {seed}",
        )
        logits = self.logits(net)
        right = right_of(logits[test], y[torch.from_numpy(test).to(self.device)])
        if keep:
            provenance = {
                "verb": "finetune",
                "encoder": self.subject.text,
                "labels": wanted.option,
                "views": [c.crop_min, c.flip],
                "seed": seed,
                "scratch": scratch,
            }
            processes.first(lambda: save_classifier(folder, net, list(self.pictures.labelled.classes), provenance))
        return {
            "top1": right[:, 0].float().mean().item(),
            "top5": right.any(1).float().mean().item(),
            "labels_used": len(train),
            "tested": len(test),
            "epochs": len(history),
            "loss": history[-1]["loss"],
        }

    def represented(self, net: Classifier, ids: np.ndarray, still: bool) -> Tensor:
        """What the linear layer will see of these pictures when learning begins: with each batch's own statistics unless norms stay `still`."""
        net.to(self.device).train(not still)
        take = (self.pictures.labelled, self.spec.size, self.spec.resize, self.device, self.precision, self.workers)
        with unmoved(net):
            return torch.cat([features(net.represent, *take, part) for part in np.array_split(ids, -(-len(ids) // BATCH))])

    def logits(self, net: Classifier) -> Tensor:
        return logits_of(net, self.parts, self.spec.size, self.spec.resize, self.device, self.precision, self.workers)


def right_of(logits: Tensor, y: Tensor) -> Tensor:
    """Whether each of the (up to five) likeliest classes is the true one, (n, 5)."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices == y[:, None]


def describe(c: FinetuneConfig) -> str:
    """The protocol in words."""
    begin = "the logistic regression on frozen features, gradients of norm at most 1" if c.start == "probe" else "0"
    text = (
        f"fine-tuned from {f'layer {c.from_layer} of the head' if c.from_layer else 'h'}, the linear layer beginning at {begin}: "
        f"{c.epochs or '60 (up to 5 % of the labels) or 30'} epochs, at least {c.steps} updates, batch {c.batch}, rate {c.learning_rate:g} · batch/256, "
        f"Nesterov {c.momentum:g}, cosine, no warm-up, weight decay {c.weight_decay:g}, crop and flip only"
    )
    if c.scratch:
        text += (
            f"; from scratch: {c.scratch_epochs or 'twice the'} epochs, rate {c.scratch_learning_rate:g} · batch/256, a tenth of the steps as warm-up, "
            f"weight decay {c.scratch_weight_decay:g}"
        )
    return text
