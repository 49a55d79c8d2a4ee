"""The run: epochs of steps, with log, monitors and checkpoints; it may be killed anywhere and goes on to the same bits.

The order of pictures is a function of (seed, epoch), a view's draws of (seed, epoch, picture, view): what remains to be saved is the
weights, the optimizer, and a handful of sums.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base import processes
from ..base.console import say
from ..base.device import describe as describe_device
from ..base.device import reuse_memory
from ..base.errors import RunError, UserError, WrongType
from ..base.files import locked, sweep
from ..base.settings import path_argument
from ..losses.named import chance
from ..losses.nt_xent import contrastive_metrics
from ..nets.encoder import save_encoder, save_module
from ..nets.names import HEAD, WEIGHTS
from ..nets.trial import broken, place
from ..probes.features import Cut
from ..probes.quality import alignment, uniformity, verdict
from ..sources.files import Files, keep
from ..sources.loader import Batch, Loader
from ..sources.order import Batches, Order
from ..sources.source import ImageSource
from ..sources.spec import check_images
from ..views.pipeline import Views
from . import checkpoint
from .check import check, run_folder
from .failures import explained, nonfinite
from .log import Log, Silent
from .monitors import Monitor, looks
from .plan import PICTURES, Plan, prepare
from .progress import Progress
from .run import Run, checkpoints, claim
from .signals import Signals, Stopped
from .skipped import list_lost, write_skipped
from .step import Loss, NotFinite, PairMaker, Step
from .tracking import boards

CHECKPOINT_SECONDS = 300


def train(
    images: str | Path | ImageSource,
    out: str | Path | None = None,
    *,
    encoder: str | nn.Module | None = None,
    views: PairMaker | None = None,
    loss: str | Loss | None = None,
    **options: Any,
) -> Run:
    """Train an encoder on unlabelled pictures; the same call on the same `out` goes on where it was stopped.

    `images`: a folder, a set's name, a Parquet file, or an ImageSource. `out`: the RUN folder (default runs/NAME). `encoder`: a name, or
    a module of your own (`wrap_encoder` says what is done with its output), which is trained itself, not a copy. `views`: (images, keys) →
    (x1, x2), or more of them. `loss`: a name, or (z1, z2) → scalar, with as many z as there are views. `options`: fields of TrainConfig.
    Raises UserError for what can be mended before the run, RunError for what breaks in it, Stopped after a signal.
    """
    check_images(images)
    _check_encoder(encoder)
    if isinstance(encoder, str):
        options["encoder"] = encoder
    if isinstance(loss, str):
        options["loss"] = loss
    out = run_folder(images, None if out is None else path_argument("out", out))
    check(None if isinstance(images, ImageSource) else images, out, options)
    joined = processes.join()
    plan = prepare(images, encoder if isinstance(encoder, nn.Module) else None, options, out)
    if plan.device.type == "cpu":
        reuse_memory()
    with contextlib.ExitStack() as held:
        processes.first(lambda: _begin(out, plan, held))
        run = Run(out)
        with explained(plan, run):
            Trainer(plan, run, views, None if isinstance(loss, str) else loss).run_all()
    if joined:
        processes.leave()
    return run


def _check_encoder(encoder: Any) -> None:
    """Raises WrongType for what is neither a name nor a module."""
    if isinstance(encoder, type) and issubclass(encoder, nn.Module):
        raise WrongType(f"encoder is the class {encoder.__name__}; give a network made of it: encoder={encoder.__name__}(…)")
    if not isinstance(encoder, str | nn.Module | None):
        raise WrongType(f"encoder is of type {type(encoder).__name__}; it is a name, such as 'resnet18' or 'timm:NAME', or an nn.Module")


def _begin(out: Path, plan: Plan, held: contextlib.ExitStack) -> None:
    """Lock the RUN folder as long as `held`, and claim it; a refusal leaves no new folder."""
    existed = out.exists()
    try:
        held.enter_context(locked(out))
        sweep(out, out / "checkpoints")
        claim(out, plan.config, plan.origin)
        if isinstance(plan.source, Files) and not (out / PICTURES).is_file():
            keep(plan.source, out / PICTURES)
    except UserError:
        if not existed:
            _remove_empty(out)
        raise


class Trainer:
    """One process's part of a run. The first process writes and speaks; each computes its share of every batch."""

    def __init__(self, plan: Plan, run: Run, views: PairMaker | None, loss: Loss | None):
        self.plan, self.config, self.run, c = plan, plan.config, run, plan.config
        self.views = views or Views.of(c)
        encoder = place(plan.encoder, plan.device, learns=True)
        self.model = nn.ModuleDict({"encoder": encoder, "head": plan.head.to(plan.device)})
        self.step = Step(c, encoder, plan.head, self.views, plan.schedule, plan.device, plan.precision, loss)
        self.monitor = Monitor(c, plan.source, plan.device, plan.precision, plan.workers)
        self.first = processes.rank() == 0
        cut = getattr(self.views, "crop_pairs", None) or Cut(c.size, c.resize)
        self.loader = Loader(plan.source, cut, plan.workers, plan.device.type == "cuda", plan.device, "replace")
        self.done, self.sum, self.looked = 0, torch.zeros((), dtype=torch.float64, device=plan.device), {}
        self.summed = self.left_out = 0  # steps of this epoch in `sum`; steps of the run that were left out
        self.lost: dict[str, str] = {}  # pictures that could not be read any more, and why
        self.signals = Signals()

    def run_all(self) -> None:
        """From the newest checkpoint, or from nothing, to the last epoch."""
        log = self.resume()
        if self.done >= self.plan.steps:
            log.close()
            say(
                f"{self.run.path} is finished: {self.config.epochs} epochs, {self.done:,} steps. Measure it with: twoviews linear {self.run.path} IMAGES"
            )
            return
        if self.first:
            write_skipped(self.run.path, dict(self.plan.pictures.skipped))
        self.announce()
        try:
            with self.signals, Progress(self.plan.steps, self.done) as progress:
                for epoch in range(self.done // self.plan.steps_per_epoch, self.config.epochs):
                    self.epoch(epoch, log, progress)
        finally:
            log.close()
            self.loader.close()

    def resume(self) -> Log:
        """Weights, optimizer, sums and log of the newest checkpoint."""
        saved, start = checkpoints(self.run.path), 0
        if saved:
            state = checkpoint.load(saved[-1], self.model, self.step.optimizer, "log_bytes", "loss_sum", "summed", "left_out", "looked")
            self.done, start = state["step"], state["log_bytes"]
            self.sum.fill_(state["loss_sum"])
            self.summed, self.left_out = state["summed"], state["left_out"]
            self.looked = state["looked"]
            if self.done < self.plan.steps:
                say(f"going on from step {self.done:,} of {self.plan.steps:,}")
        if not self.first:
            return Silent()
        return Log(
            self.run.path, start, boards(self.run.path, dataclasses.asdict(self.config), self.done) if self.done < self.plan.steps else ()
        )

    def batches(self, epoch: int, start: int) -> Batches:
        """This process's part of an epoch's batches from number `start` on. The last pictures that fill no batch wait for another epoch."""
        c, source = self.config, self.plan.source
        order = Order(len(source), getattr(source, "blocks", None), c.shuffle_window, c.seed, "order", epoch)
        own = slice(processes.rank() * self.plan.share, (processes.rank() + 1) * self.plan.share)
        return Batches(order, c.batch, own, start, self.plan.steps_per_epoch, c.seed, "views", epoch)

    def epoch(self, epoch: int, log: Log, progress: Progress) -> None:
        c, per_epoch = self.config, self.plan.steps_per_epoch
        batches = iter(self.loader(self.batches(epoch, self.done % per_epoch)))
        self.model.train()
        while self.done < (epoch + 1) * per_epoch:
            waiting = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - waiting
            self.lost |= {self.plan.source.name(one.id): one.reason for one in batch.lost}
            made = self.try_step(epoch, batch, log)
            self.done += 1
            progress.step(c.batch, waited)
            logged, last = self.done % c.log_every == 0, self.done == (epoch + 1) * per_epoch
            if logged:
                self.refuse_bad(batch)
            z1 = z2 = None
            if made is not None and (logged or last):
                z1, z2 = (processes.gathered(z, processes.everyone()).flatten(0, 1) for z in made[1:])
                if logged and self.first:
                    self.log_step(log, epoch, made[0], z1, z2, progress)
            if last:
                processes.first(functools.partial(self.end_epoch, epoch, log, z1, z2, progress))
                self.sum.zero_()
                self.summed = 0
            stop, due = (
                int(number) for number in processes.largest([self.signals.number or 0, self.due(progress)])
            )  # all at the same step
            if last or stop or due:
                list_lost(self.run.path, self.lost)
            if stop or due:
                self.refuse_bad(batch)
                processes.first(functools.partial(self.save, log))
                progress.saved()
            if stop and self.done < self.plan.steps:
                raise Stopped(stop, self.run.path, self.done) if self.first else processes.Follower(128 + stop)

    def try_step(self, epoch: int, batch: Batch, log: Log) -> tuple[Tensor, Tensor, Tensor] | None:
        """Loss, z1 and z2 of the next step; None where it was left out, as its loss or gradient was not finite."""
        try:
            loss, z1, z2 = self.step(batch, self.done)
        except NotFinite as error:
            if self.left_out >= self.config.skip_nonfinite:
                raise nonfinite(self.plan, self.step, self.done, batch, error) from error
            self.left_out += 1
            names = [self.plan.source.name(int(batch.ids[row])) for row in self.step.suspects(batch) or range(len(batch.ids))]
            line = {
                "kind": "skip",
                "step": self.done + 1,
                "epoch": epoch,
                "loss": error.loss,
                "gradient_norm": error.norm,
                "pictures": names[:5],
            }
            log.write(line)
            say(
                f"step {self.done + 1} left out: loss {error.loss}, gradient norm {error.norm:.3g}, pictures {', '.join(names[:5])} "
                f"({self.left_out} of at most {self.config.skip_nonfinite})"
            )
            return None
        self.sum += loss
        self.summed += 1
        return loss, z1, z2

    def log_step(self, log: Log, epoch: int, loss: Tensor, z1: Tensor, z2: Tensor, progress: Progress) -> None:
        c, n = self.config, len(z1)
        accuracy, entropy = contrastive_metrics(z1, z2, c.temperature, normalize=c.normalize)
        line = {
            "kind": "step",
            "step": self.done,
            "epoch": epoch,
            "loss": loss.item(),
            "loss_chance": chance(self.config, n),
            "contrast_acc": accuracy.item(),
            "contrast_acc_chance": 1 / n,
            "contrast_entropy": entropy.item(),
            "alignment": alignment(z1, z2).item(),
            "uniformity": uniformity(torch.cat([z1, z2])).item(),
            "gradient_norm": self.step.norm.item(),
            "learning_rate": self.plan.schedule(self.done - 1),
        }
        log.write({**line, **progress.rates()})
        progress.show(line)

    def end_epoch(self, epoch: int, log: Log, z1: Tensor | None, z2: Tensor | None, progress: Progress) -> None:
        """One line of the log; every so often a look at the representation, and the encoder written out."""
        n = self.config.batch
        line: dict[str, Any] = {
            "kind": "epoch",
            "step": self.done,
            "epoch": epoch + 1,
            "loss": self.sum.item() / max(1, self.summed),
            "loss_chance": chance(self.config, n),
        }
        if epoch + 1 in looks(self.config):
            progress.pause()
            spread = uniformity(torch.cat([z1, z2])).item() if z1 is not None and z2 is not None else self.looked.get("uniformity", 0.0)
            self.looked = {"uniformity": spread, **self.monitor(self.plan.encoder)}
            words = verdict(
                line["loss"],
                chance(self.config, n),
                spread,
                self.looked["rank"],
                self.plan.encoder.num_features,
                len(self.monitor.ids),
            )
            line |= {**self.looked, "verdict": words}
            self.write_encoder(epoch + 1)
            probes = "".join(f" · {name} {100 * self.looked[name]:.1f} %" for name in ("probe", "knn") if name in self.looked)
            say(f"epoch {epoch + 1}/{self.config.epochs}{probes} · {words}")
            progress.go_on()
        log.write(line)

    def due(self, progress: Progress) -> bool:
        """Whether a checkpoint is to be written after this step."""
        every = self.config.checkpoint_every
        timely = self.done % every == 0 if every else progress.since_saved() > CHECKPOINT_SECONDS
        return timely or self.done == self.plan.steps

    def save(self, log: Log) -> None:
        state = {
            "epoch": self.done // self.plan.steps_per_epoch,
            "loss_sum": self.sum.item(),
            "summed": self.summed,
            "left_out": self.left_out,
            "looked": self.looked,
            "log_bytes": log.position(),
            "finished": self.done == self.plan.steps,
        }
        bad = broken(self.model)
        if bad:
            raise RunError(
                f"{bad} is not finite after step {self.done} (learning rate {self.plan.schedule(self.done - 1):.3g}): nothing was saved, the last "
                "checkpoint is good. Lower --learning-rate"
            )
        checkpoint.save(self.run.path, self.done, self.model, self.step.optimizer, state, self.config.keep_every)

    def write_encoder(self, epoch: int) -> None:
        """encoder.safetensors and head.safetensors, each usable without the rest."""
        save_encoder(self.run.path / WEIGHTS, self.plan.encoder, {"epoch": epoch, "step": self.done, "source": self.plan.origin})
        if self.plan.head.dense:
            c = self.config
            save_module(self.run.path / HEAD, self.plan.head, {"head": c.head, "features": c.head_features, "norm": c.head_norm})

    def refuse_bad(self, batch: Batch) -> None:
        """On devices that are not watched at each step: whether any step since the last look was not finite."""
        if not self.step.watch and self.step.bad.item():
            raise nonfinite(self.plan, self.step, self.done - 1, batch, NotFinite(math.nan, self.step.norm.item(), self.step.largest()))

    def announce(self) -> None:
        plan, c = self.plan, self.config
        n, skipped = len(plan.source), len(plan.pictures.skipped)
        weights = sum(p.numel() for p in plan.encoder.parameters()) / 1e6
        say(f"{n:,} pictures of {plan.pictures.spec}" + (f", {skipped} left out (skipped.csv)" if skipped else "") + f" → {self.run.path}")
        for note in plan.notes:
            say(note)
        spec = plan.encoder.spec
        chosen = " (as fast as it gets on CPUs; --precision changes it)" if plan.precision == "fp32" and c.precision == "auto" else ""
        say(
            f"{spec}, {weights:.2f} M weights, h of {plan.encoder.num_features}; head {c.head}, z of {plan.head.out_features}; "
            f"{describe_device(plan.device)}, {plan.precision}{chosen}, {'contiguous' if plan.encoder.contiguous else 'channels_last'}, {plan.workers} workers"
            + (f"; {processes.world()} processes with {plan.share} pairs each" if processes.world() > 1 else "")
            + (f"; {c.chunk} pairs at a time" if c.chunk else "")
        )
        say(
            f"{c.epochs} epochs of {plan.steps_per_epoch} steps with {c.batch} pairs. Knowing nothing, the loss is "
            f"{'log(2n − 1) = ' if c.loss == 'nt-xent' else ''}{chance(c, c.batch):.2f} and contrastive accuracy 1/n = {100 / c.batch:.2g} %"
        )


def _remove_empty(folder: Path) -> None:
    """Take away a folder that a refused command made: nothing half-written stays."""
    if folder.is_dir() and {p.name for p in folder.iterdir()} <= {"lock"}:
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
