"""The loop of everything that learns from labels, boxes or a teacher: epochs of steps that may be killed anywhere and go on to the same bits.

What is fitted, on which batches and by which loss, the caller says; here are resume, signals, progress, checkpoints, and several processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base import draws as rng
from ..base import processes
from ..base.errors import RunError
from ..nets.batchnorm import Across
from . import checkpoint
from .progress import Bar
from .run import checkpoints
from .signals import Signals, Stopped

CHECKPOINT_SECONDS = 120


@dataclasses.dataclass
class Fit:
    """`loss(batch, step)` is the mean over this process's part of a batch; `batches(epoch, start)` gives these parts from number `start` on.

    `schedule(step)` is the learning rate; a parameter group's `scale` multiplies it. `end_epoch(epoch)`, epochs from 1, returns what is to be
    remembered of it. `clip` bounds the norm of the gradient; 0: it is left alone. `folder` holds the checkpoints; None: none are written.
    `seed` keys what layers draw at random.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]
    epochs: int
    per_epoch: int
    batches: Callable[[int, int], Iterable[Any]]
    loss: Callable[[Any, int], Tensor]
    seed: int
    clip: float = 0.0
    what: str = ""
    folder: Path | None = None
    end_epoch: Callable[[int], dict[str, Any]] | None = None

    def run(self) -> list[dict[str, Any]]:
        """Fit the model in place, from its newest checkpoint if there is one. One line an epoch: its mean loss, and what was remembered.

        Raises Stopped after a signal, RunError for a loss that is not finite.
        """
        saved = checkpoints(self.folder) if self.folder else []
        state = (
            checkpoint.load(saved[-1], self.model, self.optimizer, "sum", "history") if saved else {"step": 0, "sum": 0.0, "history": []}
        )
        done, total, history = state["step"], state["sum"], state["history"]
        group, steps = processes.everyone(), self.epochs * self.per_epoch
        with Signals() as signals, Bar(self.what, steps, done) as bar:
            while done < steps:
                epoch = done // self.per_epoch
                for batch in self.batches(epoch, done % self.per_epoch):
                    total += self._step(batch, done, group)
                    done += 1
                    bar.advance(f"loss {total / ((done - 1) % self.per_epoch + 1):.3f}")
                    if done % self.per_epoch == 0:
                        line = {"epoch": epoch + 1, "loss": total / self.per_epoch}
                        history.append(line | (processes.first(lambda n=epoch + 1: self.end_epoch and self.end_epoch(n)) or {}))
                        total = 0.0
                    stop, due = processes.largest([signals.number or 0, float(bar.since_saved() > CHECKPOINT_SECONDS)])
                    if self.folder and (stop or due) and done < steps:
                        self._save(done, total, history)
                        bar.saved()
                    if stop and done < steps:
                        if processes.rank():
                            raise processes.Follower(128 + int(stop))
                        if self.folder is None:
                            raise KeyboardInterrupt
                        raise Stopped(int(stop), self.folder, done)
        return history

    def _step(self, batch: Any, number: int, group: processes.Group | None) -> float:
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.schedule(number) * settings.get("scale", 1.0)
        torch.manual_seed(int(rng.key(self.seed, "layers", number, processes.rank())[0] >> 1))
        self.optimizer.zero_grad(set_to_none=True)
        with Across(group) if group else contextlib.nullcontext():
            loss = self.loss(batch, number) / processes.world()
            loss.backward()
        processes.sum_gradients(self.model.parameters(), group)
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        value = float(processes.summed(loss.detach().clone(), group))
        if not math.isfinite(value):
            raise RunError(f"{self.what}: the loss is {value} at step {number}. The last checkpoint is good. Lower the learning rate")
        self.optimizer.step()
        return value

    def _save(self, done: int, total: float, history: list[dict[str, Any]]) -> None:
        folder = self.folder
        assert folder is not None
        state = {"sum": total, "history": history}
        processes.first(lambda: checkpoint.save(folder, done, self.model, self.optimizer, state, 0))
