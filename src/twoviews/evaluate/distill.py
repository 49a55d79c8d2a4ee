"""Distillation (SimCLRv2, section 2.3): a student learns what a fine-tuned teacher says of all pictures, labelled or not."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import draws as rng
from ..base import processes
from ..base.console import say
from ..base.device import autocast, reuse_memory
from ..base.errors import UserError
from ..base.files import sha256
from ..base.names import default_out, name_of
from ..base.settings import options_of
from ..base.work import slug, working
from ..nets.classifier import Classifier, load_classifier, save_classifier
from ..nets.encoder import encoder as make_encoder
from ..nets.encoder import fingerprint, from_spec, load_encoder, read_header
from ..nets.names import CLASSIFIER
from ..sources.source import ImageSource
from ..sources.spec import Pictures
from . import labels as labelling
from .config import DistillConfig, amount
from .finetune import right_of
from .intervals import summary
from .learn import Criterion, labels_criterion, learn, logits_of, views_of
from .protocol import Result, about
from .subjects import Named, pictures_for, where, workers_for

WARMUP = 0.1


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """−Σ P_teacher log P_student, both softened by the temperature, the mean over pictures (SimCLRv2, equation 2). (n, classes) each."""
    return -((teacher / temperature).softmax(1) * (student / temperature).log_softmax(1)).sum(1).mean()


def teacher_criterion(teacher: nn.Module, temperature: float, y: Tensor, truth: float, precision: str) -> Criterion:
    """The teacher sees the same views as the student; where y (n,) is not −1, `truth` of the loss is cross-entropy to it (equation 3)."""

    def criterion(x: Tensor, logits: Tensor, at: Tensor) -> Tensor:
        with torch.no_grad(), autocast(x.device, precision):
            says = teacher(x).float()
        loss = soft_cross_entropy(logits, says, temperature)
        known = y[at] >= 0
        if truth and bool(known.any()):
            hard = F.cross_entropy(logits[known], y[at][known])
            loss = (1 - truth) * loss + truth * hard
        return loss

    return criterion


def distill(teacher: str | Path, images: str | Path | ImageSource, out: str | Path | None = None, **options: Any) -> Result:
    """Teach a student of any size what a fine-tuned network says of all training pictures; beside it the same student from labels alone.

    `teacher`: a folder that `finetune` left (with classifier.safetensors). `options` are fields of DistillConfig. `out` keeps what is
    finished; the student is OUT/student-seed-0, an encoder and a teacher itself. Raises UserError for what can be mended before.
    """
    config = options_of(DistillConfig, options)
    teacher = Path(teacher)
    net, classes = load_classifier(teacher)
    joined = processes.join()
    if config.size:
        net.encoder.spec = dataclasses.replace(net.encoder.spec, size=config.size)
    pictures = pictures_for(net.encoder, images, config)
    result = Distilling(teacher, net, classes, pictures, config).measure(
        Path(out) if out is not None else default_folder(teacher, pictures)
    )
    if joined:
        processes.leave()
    return result


def default_folder(teacher: Path, pictures: Pictures) -> Path:
    """Where a distillation keeps its parts when no --out is given."""
    return default_out(pictures.spec, Path("runs") / f"distill-{slug(teacher.name)}-{slug(Path(name_of(pictures.spec)).stem)}")


class Distilling:
    """Everything that stays the same over students."""

    def __init__(self, folder: Path, teacher: Classifier, classes: list[str], pictures: Pictures, config: DistillConfig):
        self.folder, self.teacher, self.pictures = folder, teacher, pictures
        self.header = read_header(folder / CLASSIFIER)
        self.config = views_of(config, *self.header["views"])
        self.asked = labelling.questions(pictures)
        if list(pictures.labelled.classes) != classes:
            raise UserError(
                f"the teacher {folder} knows {len(classes)} classes, {', '.join(classes[:3])} …; these pictures have "
                f"{len(pictures.labelled.classes)}, {', '.join(list(pictures.labelled.classes)[:3])} …"
            )
        self.wanted = amount(config.labels or self.header["labels"])
        self.train, self.test = self.asked.draw(self.wanted, self.header["seed"])
        self.all = self.asked.split(self.header["seed"])[0]
        self.device, self.precision = where(config.device)
        self.workers = workers_for(config.workers, pictures.labelled)
        self.parts = [pictures.labelled, *([pictures.test] if pictures.test is not None else [])]
        self.student(0)  # refuses a network that does not exist
        if self.device.type == "cpu":
            reuse_memory()

    def student(self, seed: int) -> Classifier:
        """A new student."""
        c, of = self.config, self.teacher.encoder.spec
        if c.init:
            net = load_encoder(c.init)
        elif c.student:
            net = make_encoder(c.student, c.width, stem=c.stem, channels=of.channels, size=of.size, resize=of.resize, seed=seed)
        else:
            net = from_spec(of, seed)
        net.spec = dataclasses.replace(net.spec, size=of.size, resize=of.resize)
        if net.spec.channels != of.channels:
            raise UserError(f"the student takes pictures of {net.spec.channels} channels, the teacher of {of.channels}")
        return Classifier(net.requires_grad_(True), len(self.pictures.labelled.classes))

    def measure(self, folder: Path) -> Result:
        """Teacher, student, and the student from labels alone."""
        c, began = self.config, time.perf_counter()
        file = self.folder / CLASSIFIER
        settings = {
            "teacher": sha256(file),
            "images": self.pictures.labelled.fingerprint,
            "spec": self.pictures.spec,
            **c.deciding(),
        }
        known = f"{len(self.train):,} labels ({self.wanted})"
        with working(folder, "distill", settings) as work:
            rows = [self.row(f"teacher, {known}", [work.part("teacher", lambda _: self.score(self.teacher))])]
            names = {"student": f"student, taught, {f'{c.truth:g} · true labels' if c.truth else 'no true labels'}"}
            if c.supervised:
                names["supervised"] = f"student, {known} alone"
            for kind, name in names.items():
                found = []
                for seed in range(c.seed, c.seed + c.seeds):
                    found.append(work.part(f"{kind} seed {seed}", lambda to, k=kind, s=seed: self.fit(to, k == "student", s)))
                    say(f"{name}, seed {seed}: {100 * found[-1]['top1']:.1f} %")
                rows.append(self.row(name, found))
            subject = Named(str(self.folder), self.teacher.encoder, None)
            result = Result("distill", about(subject, self.pictures, self.asked, self.describe(), c, began), rows)
            result.about["teacher_sha256"] = sha256(file)
            processes.first(lambda: result.write(folder / "distill.json"))
        return result

    def row(self, name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "subject": name,
            "labels": str(self.wanted),
            "labels_used": len(self.train),
            "tested": len(self.test),
            "parameters": found[0]["parameters"],
            "top1": summary([f["top1"] for f in found], len(self.test), True),
        }

    def fit(self, folder: Path, taught: bool, seed: int) -> dict[str, Any]:
        """One student, by the teacher's labels of all pictures or by the true ones of the labelled."""
        c = self.config
        net = self.student(seed)
        y = torch.from_numpy(self.asked.labels).to(self.device)
        ids = self.all if taught else self.train
        if taught:
            known = torch.full((len(ids),), -1, device=self.device)
            known[torch.from_numpy(np.isin(ids, self.train)).to(self.device)] = y[torch.from_numpy(self.train).to(self.device)]
            teacher = self.teacher.to(self.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
            before = fingerprint(teacher)
            criterion = teacher_criterion(teacher, c.temperature, known, c.truth, self.precision)
        else:
            criterion = labels_criterion(y[torch.from_numpy(ids).to(self.device)])
        learn(
            net,
            self.pictures.labelled,
            ids,
            criterion,
            size=self.teacher.encoder.spec.size,
            resize=self.teacher.encoder.spec.resize,
            config=c,
            epochs=c.epochs,
            rate=c.learning_rate,
            weight_decay=c.weight_decay,
            warmup=WARMUP,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
            frozen=False,
            clip=0.0,
            seed=int(rng.key("student", seed)[0] >> 1) % 2**31,
            folder=folder,
            what=f"student{'' if taught else ' from labels alone'}, seed {seed}",
        )
        if taught and fingerprint(self.teacher) != before:
            raise UserError("the teacher changed while it taught: its figures would mean nothing")
        kept = {key: self.header[key] for key in ("labels", "seed")}  # what a student of this student may see
        provenance = {"verb": "distill", "teacher": str(self.folder), "views": [c.crop_min, c.flip], **kept}
        processes.first(lambda: save_classifier(folder, net, list(self.pictures.labelled.classes), provenance))
        return self.score(net)

    def score(self, net: Classifier) -> dict[str, Any]:
        spec = self.teacher.encoder.spec
        logits = logits_of(net, self.parts, spec.size, spec.resize, self.device, self.precision, self.workers)
        y = torch.from_numpy(self.asked.labels).to(self.device)
        right = right_of(logits[self.test], y[torch.from_numpy(self.test).to(self.device)])
        return {"top1": right[:, 0].float().mean().item(), "parameters": sum(p.numel() for p in net.parameters())}

    def describe(self) -> str:
        c = self.config
        student = c.student or "the teacher's own network"
        return (
            f"student: {student}{f' from {c.init}' if c.init else ''}; {len(self.all):,} pictures with the teacher's labels at temperature {c.temperature:g}"
            f"{f', {c.truth:g} of the loss from true labels' if c.truth else ', no true labels'}; {c.epochs} epochs, rate {c.learning_rate:g} · batch/256, "
            f"Nesterov {c.momentum:g}, cosine, a tenth of the steps as warm-up, weight decay {c.weight_decay:g}, crop and flip. Labels alone: the same, "
            f"at least {c.steps} updates"
        )
