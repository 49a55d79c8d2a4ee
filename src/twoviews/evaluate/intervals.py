"""95 % intervals of accuracies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..base.draws import key, uniform
from ..base.files import finite
from ..probes.wilson import wilson


def over_seeds(values: list[float]) -> tuple[float, float]:
    """Interval of the mean over draws of labels (Student's t). One value: that value."""
    mean, half = float(np.mean(values)), half_over_seeds(values) if len(values) > 1 else 0.0
    return max(0.0, mean - half), min(1.0, mean + half)


def half_over_seeds(values: list[float]) -> float:
    """Half of the interval of the mean of two or more values (Student's t)."""
    from scipy.special import stdtrit  # scipy.stats takes a second to load

    return float(np.std(values, ddof=1) / math.sqrt(len(values)) * stdtrit(len(values) - 1, 0.975))


def bootstrap(metric: Callable[[Tensor, Tensor], float | None], logits: Tensor, y: Tensor, draws: int = 200) -> tuple[float, float] | None:
    """Interval of any metric over test pictures drawn again with replacement, by key (percentiles). Shapes (n, classes), (n, …). None where no draw has it."""
    n, values = len(y), []
    for draw in range(draws):
        rows = torch.from_numpy((uniform(key("bootstrap", draw), n)[0] * n).astype(np.int64)).to(y.device)
        values.append(metric(logits[rows], y[rows]))
    values = [value for value in values if value is not None]
    return (float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))) if values else None


def summary(values: Sequence[float | None], tested: int, one_split: bool) -> dict:
    """Mean, interval and how the interval was made. One draw on a fixed test set: Wilson; several draws: Student's t over them.

    Draws that come out alike say nothing of their spread, so theirs is Wilson too. What cannot be computed is None, and `interval` says
    why: no test picture, or one draw of something that has no interval of its own.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not tested or len(known) < len(values):
        nothing = "no test picture" if not tested else "a figure that is not finite"
        return {"mean": None, "low": None, "high": None, "interval": f"none: {nothing}", "values": finite(list(values))}
    if len(known) == 1 and not one_split:
        return {"mean": known[0], "low": None, "high": None, "interval": "none: one draw", "values": known}
    if max(known) == min(known):
        low, high = wilson(known[0], tested)
        kind = f"Wilson, {tested} test pictures" + (f"; all {len(known)} draws are alike" if len(known) > 1 else "")
    else:
        low, high = over_seeds(known)
        kind = f"Student t over {len(known)} draws"
    return {"mean": float(np.mean(known)), "low": low, "high": high, "interval": kind, "values": known}
