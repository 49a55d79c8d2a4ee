"""What to think of a run, in plain words, with the evidence. Looks at the log only, never at a figure of test pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

STILL_FALLING = 0.01  # of the way from chance to the end, over the last fifth of a run
STILL_RISING = 0.01  # of kNN or probe accuracy, over the last fifth
LITTLE = 0.35  # of the information log(2n - 1) that the loss has taken in: less is a hint that more training would help
COUNTED = 3  # looks that are too few to see a trend in


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`word` is healthy, still improving, under-trained, too short, collapsed, learns nothing, unfinished or broken; `text` one sentence, `evidence` the figures."""

    word: str
    text: str
    evidence: list[str]


def judge(config: dict[str, Any], steps: list[dict[str, Any]], epochs: list[dict[str, Any]], finished: bool) -> Verdict:
    """The verdict on a log."""
    if not epochs:
        return Verdict("unfinished", "No epoch has ended yet: there is nothing to judge.", [f"{len(steps)} logged steps"])
    evidence = [f"{epochs[-1]['epoch']} of {config['epochs']} epochs" + ("" if finished else ": the run has not ended")]
    losses = np.array([np.nan if line["loss"] is None else line["loss"] for line in epochs], float)
    chance = epochs[-1]["loss_chance"]
    if not np.isfinite(losses[-1]):
        return Verdict("broken", "The loss is not finite: the weights mean nothing.", [*evidence, "the last epoch's loss is not finite"])
    evidence.append(f"loss {losses[-1]:.2f}; knowing nothing gives {chance:.2f}")
    looked = [line for line in epochs if "verdict" in line]
    if looked:
        evidence.append(
            f"effective rank of h {_figure(looked[-1]['rank'], 0)}, uniformity of z {_figure(looked[-1]['uniformity'], 2)} (0: all pictures at one point, −4: spread out)"
        )
    said = looked[-1]["verdict"].split(":")[0] if looked else ""
    if said == "collapsed":
        return Verdict(
            "collapsed",
            "All pictures are represented nearly the same. Lower the learning rate or the temperature, and look at the views: do two of one picture still have anything in common?",
            evidence,
        )
    if said == "learns nothing yet" and finished:
        return Verdict(
            "learns nothing",
            "The loss has not left the value of knowing nothing. Raise the learning rate or lower the temperature, and check that the views still show the same thing.",
            evidence,
        )
    falling, rising = trend(losses, chance), [(name, gain(looked, name)) for name in ("kNN", "probe")]
    if falling is not None:
        evidence.append(f"over the last fifth of the epochs the loss fell by {100 * falling:.1f} % of its way so far")
    for name, value in rising:
        if value is not None:
            evidence.append(f"over the last fifth of the looks {name} on training pictures changed by {100 * value:+.1f} points")
    if not finished:
        return Verdict("unfinished", "The run has not ended; the same command goes on with it.", evidence)
    if falling is None and all(value is None for _, value in rising):
        return Verdict("too short", "Nothing speaks against it, but the epochs are too few to see where the curves go.", evidence)
    improving = (falling or 0) > STILL_FALLING or any((value or 0) > STILL_RISING for _, value in rising)
    taken = 1 - losses[-1] / chance if chance > 0 else 1.0
    if improving and taken < LITTLE:
        return Verdict("under-trained", "The run ended while it was still learning fast: train for several times as many epochs.", evidence)
    if improving:
        return Verdict("still improving", "Learning went well and had not ended: more epochs would still help.", evidence)
    return Verdict("healthy", "Pictures are told apart, the representation is spread out, and the curves have become flat.", evidence)


def _figure(value: float | None, digits: int) -> str:
    """A figure in words; – where it could not be computed, which a log has as null."""
    return "–" if value is None else f"{value:.{digits}f}"


def trend(losses: np.ndarray, chance: float) -> float | None:
    """How far the loss fell over the last fifth of the epochs, as a share of its way from chance; None where that is too few to tell."""
    last = max(2, len(losses) // 5)
    if len(losses) < 2 * COUNTED or chance - losses[-1] <= 0:
        return None
    half = last // 2
    before, after = np.nanmean(losses[-last : len(losses) - half]), np.nanmean(losses[-half:])
    return float((before - after) / (chance - losses[-1]))


def gain(looked: list[dict[str, Any]], name: str) -> float | None:
    """How much an accuracy rose over the last fifth of the looks; None where that is too few to tell."""
    values = [line[name.lower()] for line in looked if line.get(name.lower()) is not None]
    if len(values) < 2 * COUNTED:
        return None
    return float(values[-1] - np.mean(values[-1 - max(2, len(values) // 5) : -1]))
