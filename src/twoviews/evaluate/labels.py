"""Which labels an evaluation may use: all, so many a class, a share; drawn by key. And which pictures it is asked about."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..base import draws as rng
from ..base.errors import UserError
from ..sources.source import labelled
from ..sources.spec import Pictures
from .config import Amount

TEST_SHARE = 0.2
Int = NDArray[np.int64]


def choose(labels: Int, classes: int, wanted: Amount, *key: int | str) -> Int:
    """Positions in `labels` of the chosen ones, ascending; class-balanced, keyed. Raises UserError when a class has too few."""
    if wanted.all:
        return np.arange(len(labels))
    chosen = []
    for number in range(classes):
        members = np.flatnonzero(labels == number)
        count = wanted.per_class or max(1, round(len(members) * (wanted.share or 0)))
        if len(members) < count:
            raise UserError(f"{wanted} labels were asked for, and class {number} has only {len(members)} in the training part")
        chosen.append(members[rng.permutation(len(members), *key, number)[:count]])
    return np.sort(np.concatenate(chosen))


@dataclasses.dataclass(frozen=True)
class Questions:
    """Labelled pictures in one list: the first `fixed` are training, the rest test; or, without a test part, split anew for each seed."""

    labels: Int
    classes: int
    fixed: int | None

    def split(self, seed: int) -> tuple[Int, Int]:
        """Positions of the training and of the test pictures for a seed."""
        if self.fixed is not None:
            return np.arange(self.fixed), np.arange(self.fixed, len(self.labels))
        train, test = [], []
        for number in range(self.classes):
            members = np.flatnonzero(self.labels == number)
            members = members[rng.permutation(len(members), "test split", seed, number)]
            held = max(1, round(TEST_SHARE * len(members))) if len(members) > 1 else 0
            test.append(members[:held])
            train.append(members[held:])
        return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))

    def describe(self) -> str:
        if self.fixed is not None:
            return f"the set's own test part ({len(self.labels) - self.fixed:,} pictures)"
        return f"{100 * TEST_SHARE:.0f} % of each class, drawn anew for each seed"


def questions(pictures: Pictures) -> Questions:
    """What the pictures of a SPEC can be asked. Raises UserError when they have no labels, or fewer than two classes."""
    first = labelled(pictures.labelled, "an evaluation")
    classes = len(pictures.labelled.classes)
    if classes < 2:
        raise UserError(f"{pictures.spec} has {classes} class; an accuracy needs at least two")
    if pictures.test is None:
        return Questions(first, classes, None)
    return Questions(np.concatenate([first, labelled(pictures.test, "the test part")]), classes, len(first))
