"""The learning rate by step: linear warm-up, then one cosine to zero, no restarts (official model.py; paper section 3). No torch here."""

from __future__ import annotations

import dataclasses
import math


def peak(learning_rate: float, batch: int, scaling: str) -> float:
    """The largest learning rate: `linear` · batch/256, `sqrt` · √batch, `none` as it is (paper B.1)."""
    return learning_rate * {"linear": batch / 256, "sqrt": math.sqrt(batch), "none": 1.0}[scaling]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """`peak` reached after `warmup` steps from 0 (step 0 has rate 0), then half a cosine that is 0 at step `total`."""

    peak: float
    warmup: int
    total: int

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * step / self.warmup
        done = min(step, self.total) - self.warmup
        return 0.5 * self.peak * (1 + math.cos(math.pi * done / max(1, self.total - self.warmup)))


def official(learning_rate: float, scaling: str, warmup_epochs: float, batch: int, images: int, epochs: int) -> Schedule:
    """The official code's step counts: total ⌊n·epochs/batch⌋ + 1, warm-up ⌊epochs·n/batch⌋ rounded."""
    return Schedule(peak(learning_rate, batch, scaling), round(warmup_epochs * images // batch), images * epochs // batch + 1)
