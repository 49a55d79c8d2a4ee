"""What breaks in a run through no fault of its settings alone: memory that does not suffice, a process that died. Said with what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from ..base import processes
from ..base.errors import RunError
from ..sources.loader import Batch, reader_lost
from . import checkpoint
from .plan import Plan
from .run import Run, checkpoints
from .step import NotFinite, Step


@contextlib.contextmanager
def explained(plan: Plan, run: Run) -> Iterator[None]:
    """Turn such errors of the block into RunErrors."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise RunError(f"out of memory with {held(plan)} at a time on {plan.device}. {advice(plan)}") from error
        if found := reader_lost(error):
            raise found from error
        if processes.lost(error):
            saved = checkpoints(run.path)
            where = f"from step {checkpoint.number(saved[-1]):,}" if saved else "from its beginning: no checkpoint had been written"
            raise RunError(
                f"another process of this run ended or cannot be reached any more; this is process {processes.rank()} of {processes.world()}. "
                f"Look for the first message of the others. The same command goes on {where}"
            ) from error
        raise


def nonfinite(plan: Plan, step: Step, done: int, batch: Batch, error: NotFinite) -> RunError | processes.Follower:
    """What to end with when step `done` (from 0) is not finite: said by the first process, and by whichever had the pictures that did it."""
    suspects = step.suspects(batch)
    if processes.rank() and not suspects:
        return processes.Follower(1)
    rows = suspects or list(range(len(batch.ids)))
    names = ", ".join(plan.source.name(int(batch.ids[row])) for row in rows[:5]) + (" …" if len(rows) > 5 else "")
    largest = ", ".join(f"{name} {norm:.3g}" for name, norm in error.largest)
    what = f"views that are not finite of the pictures {names}" if suspects else f"pictures {names}"
    return RunError(
        f"step {done + 1}: the loss is {error.loss}, the gradient's norm {error.norm:.3g} (largest: {largest}); learning rate "
        f"{plan.schedule(done):.3g}, {what}. Nothing of this step was kept; the last checkpoint is good. Lower --learning-rate or raise "
        f"--temperature; --skip-nonfinite {max(1, 2 * plan.config.skip_nonfinite)} leaves such steps out"
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused, by a GPU or by the system."""
    words = ("out of memory", "can't allocate memory", "Cannot allocate memory", "not enough memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)


def held(plan: Plan) -> str:
    return f"{plan.config.chunk or plan.share} pairs of {plan.config.size} px"


def advice(plan: Plan) -> str:
    """What to do about it: the next smaller chunk keeps the batch and the loss as they are."""
    now = plan.config.chunk or plan.share
    smaller = max((k for k in range(1, now // 2 + 1) if plan.share % k == 0), default=0)
    images = plan.pictures.spec
    if not smaller:
        return "It holds one pair already: take a smaller --size or --encoder"
    return f"--chunk {smaller} computes the same batch in less; `twoviews plan {images}` with these options measures what fits"
