"""Which labels an evaluation may use: all, so many a class, a share; drawn by key. And which pictures it is asked about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base import draws as rng
from ..base.errors import UserError
from ..base.names import FORMS, lines_of, one_line
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
    name: Callable[[int], str] = str

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

    def draw(self, wanted: Amount, seed: int) -> tuple[Int, Int]:
        """Positions of the pictures whose labels may be used, and of the test pictures. Raises UserError for what cannot be drawn.

        Names of a file are looked up in the training part; without a test part, all pictures that it does not name are the test.
        """
        train, test = self.split(seed)
        if not wanted.file:
            return train[choose(self.labels[train], self.classes, wanted, "labels", seed)], test
        pool = train if self.fixed is not None else np.arange(len(self.labels))
        chosen = listed(Path(wanted.file), [self.name(int(i)) for i in pool])
        rest = test if self.fixed is not None else np.setdiff1d(pool, pool[chosen])
        if not len(rest):
            raise UserError(f"{wanted.file} names all pictures: none is left to test on")
        return pool[chosen], rest

    def draws(self, wanted: Amount, seeds: int) -> int:
        """How many seeds differ: one for a file of names, and for all labels with a fixed test part."""
        return 1 if wanted.file or (wanted.all and self.fixed is not None) else seeds

    def describe(self) -> str:
        if self.fixed is not None:
            return f"the set's own test part ({len(self.labels) - self.fixed:,} pictures)"
        return f"{100 * TEST_SHARE:.0f} % of each class, drawn anew for each seed"


def listed(file: Path, names: list[str]) -> Int:
    """Positions in `names` of the pictures that a text file names, one a line, by path or by file name alone, as the official ImageNet lists do.

    The file may hold any bytes, and names as our own output escapes them. Raises UserError for names that match no picture, or several.
    """
    lines = lines_of(file)
    if not lines:
        raise UserError(f"{file} is empty: it is to hold the name of one picture a line")
    found: dict[str, list[int]] = {}
    for form in FORMS:
        if not (rest := {line for line in lines if line not in found}):
            break
        found |= _places(form, rest, names)
    if missing := [line for line in lines if line not in found]:
        raise UserError(
            f"{len(missing)} of the {len(lines)} names in {file} match no picture, the first: {one_line(missing[0])!r}; "
            f"the pictures are called {one_line(names[0]) if names else ''!r} …"
        )
    if several := next((line for line in lines if len(found[line]) > 1), None):
        raise UserError(
            f"{one_line(several)!r} in {file} matches several pictures: give its path as in {one_line(names[found[several][0]])!r}"
        )
    return np.unique(np.array([found[line][0] for line in lines], np.int64))


def _places(form: Callable[[str], str], lines: set[str], names: list[str]) -> dict[str, list[int]]:
    """Where the lines are among the names, both in one form: as they are or without spaces around, by path, else by file name."""
    whole: dict[str, list[int]] = {}
    short: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        whole.setdefault(form(name), []).append(i)
        short.setdefault(form(name).rpartition("/")[2], []).append(i)
    found = {}
    for line in lines:
        for text in (form(line), form(line.strip())):
            if places := whole.get(text) or short.get(text):
                found[line] = places
                break
    return found


def questions(pictures: Pictures) -> Questions:
    """What the pictures of a SPEC can be asked. Raises UserError when they have no labels, or fewer than two classes."""
    first = labelled(pictures.labelled, "an evaluation")
    classes = len(pictures.labelled.classes)
    if classes < 2:
        raise UserError(f"{pictures.spec} has {classes} class; an accuracy needs at least two")
    if pictures.test is None:
        return Questions(first, classes, None, pictures.labelled.name)
    test = labelled(pictures.test, "the test part")
    names = list(pictures.test.classes)
    if names != list(pictures.labelled.classes):  # numbers mean what the training part says
        number = {name: i for i, name in enumerate(pictures.labelled.classes)}
        if absent := [names[i] for i in np.unique(test) if names[i] not in number]:
            raise UserError(
                f"class {absent[0]!r} of the test part is absent from the training part ({len(absent)} of {len(names)} are): nothing could be right there"
            )
        test = np.array([number[name] for name in names], np.int64)[test]
    if unknown := sorted(set(np.unique(test)) - set(np.unique(first))):
        raise UserError(f"class {pictures.labelled.classes[unknown[0]]!r} of the test part has no picture in the training part")
    return Questions(np.concatenate([first, test]), classes, len(first), pictures.labelled.name)
