"""Which labels an evaluation may use: all, so many a class, a share; drawn by key. And which pictures it is asked about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base import draws as rng
from ..base.console import tell
from ..base.errors import UserError
from ..base.names import FORMS, lines_of, one_line
from ..sources.parts import TEST, TRAIN, VAL
from ..sources.source import ImageSource, labelled
from ..sources.spec import Pictures
from .config import Amount

TEST_SHARE = 0.2
Int = NDArray[np.int64]


def choose(labels: Int, classes: int, wanted: Amount, *key: int | str, names: Sequence[str] = ()) -> Int:
    """Positions in `labels` of the chosen ones, ascending; class-balanced, keyed. Raises UserError when a class, called as in `names`, has too few."""
    if wanted.all:
        return np.arange(len(labels))
    chosen = []
    for number in range(classes):
        members = np.flatnonzero(labels == number)
        count = wanted.per_class or max(1, round(len(members) * (wanted.share or 0)))
        if len(members) < count:
            raise UserError(
                f"{wanted} labels were asked for, and class {one_line(names[number]) if number < len(names) else number} has only {len(members)} in the training part"
            )
        chosen.append(members[rng.permutation(len(members), *key, number)[:count]])
    return np.sort(np.concatenate(chosen))


@dataclasses.dataclass(frozen=True)
class Questions:
    """Labelled pictures in one list: the first `fixed` are training, the rest test; or, without a test part, split anew for each seed.

    The last `choices` are those of the validation part, which are neither. `part` is the one that is tested on.
    """

    labels: Int
    classes: int
    fixed: int | None
    name: Callable[[int], str] = str
    choices: int = 0
    part: str = TEST
    names: tuple[str, ...] = ()  # of the classes

    @property
    def asked(self) -> int:
        """How many training and test pictures there are."""
        return len(self.labels) - self.choices

    def split(self, seed: int) -> tuple[Int, Int]:
        """Positions of the training and of the test pictures for a seed. Raises UserError where no class has a picture to spare."""
        if self.fixed is not None:
            return np.arange(self.fixed), np.arange(self.fixed, self.asked)
        if np.bincount(self.labels[: self.asked], minlength=1).max() < 2:
            raise UserError(
                f"{self.classes} classes of 1 image each: nothing is left to test on. A class needs 2 images, or the set a part of its own for the test"
            )
        train, test = [], []
        for number in range(self.classes):
            members = np.flatnonzero(self.labels[: self.asked] == number)
            members = members[rng.permutation(len(members), "test split", seed, number)]
            held = max(1, round(TEST_SHARE * len(members))) if len(members) > 1 else 0
            test.append(members[:held])
            train.append(members[held:])
        return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))

    def draw(self, wanted: Amount, seed: int) -> tuple[Int, Int]:
        """Positions of the pictures whose labels may be used, and of the test pictures. Raises UserError for what cannot be drawn.

        Names of a file are looked up in the training part; without a test part, all pictures that it does not name are the test.
        """
        if not wanted.file:
            train, test = self.split(seed)
            return train[choose(self.labels[train], self.classes, wanted, "labels", seed, names=self.names)], test
        pool = np.arange(self.asked if self.fixed is None else self.fixed)
        names = [self.name(int(i)) for i in pool]
        chosen = listed(Path(wanted.file), names, [f"{TRAIN}: {name}" for name in names])
        rest = self.split(seed)[1] if self.fixed is not None else np.setdiff1d(pool, pool[chosen])
        if not len(rest):
            raise UserError(f"{wanted.file} names all pictures: none is left to test on")
        return pool[chosen], rest

    def draws(self, wanted: Amount, seeds: int) -> int:
        """How many seeds differ: one for a file of names, and for all labels with a fixed test part."""
        return 1 if wanted.file or (wanted.all and self.fixed is not None) else seeds

    def choosing(self, train: Int, seed: int) -> Int:
        """Positions of the pictures that choices are made on: the validation part, where all labels are used; else none."""
        whole = self.choices and len(train) == len(self.split(seed)[0])
        return np.arange(self.asked, len(self.labels)) if whole else np.arange(0)

    def describe(self) -> str:
        if self.fixed is not None:
            return f"the set's own {self.part} part ({self.asked - self.fixed:,} pictures)"
        return f"{100 * TEST_SHARE:.0f} % of each class, drawn anew for each seed"


def listed(file: Path, names: list[str], titles: list[str] | None = None) -> Int:
    """Positions in `names` of the pictures that a text file names, one a line, by path or by file name alone, as the official ImageNet lists do.

    `titles` are the names with their parts before, "train: a/1.png", as our own output shows them where there are several. The file may hold any
    bytes, and names as our own output escapes them. A path that stands for several images means all of them. Raises UserError for names that match
    no picture, or several of different paths.
    """
    lines = lines_of(file)
    if not lines:
        raise UserError(f"{file} is empty: it is to hold the name of one picture a line")
    found: dict[str, list[int]] = {}
    for form in FORMS:
        if not (rest := {line for line in lines if line not in found}):
            break
        found |= _places(form, rest, names)
        if titles and (rest := rest - found.keys()):
            found |= _places(form, rest, titles)
    if missing := [line for line in lines if line not in found]:
        raise UserError(
            f"{len(missing)} of the {len(lines)} names in {file} match no picture, the first: {one_line(missing[0])!r}; "
            f"the pictures are called {one_line(names[0]) if names else ''!r} …"
        )
    if several := next((line for line in lines if len({names[i] for i in found[line]}) > 1), None):
        raise UserError(
            f"{one_line(several)!r} in {file} matches several pictures: give its path as in {one_line(names[found[several][0]])!r}"
        )
    return np.unique(np.array([i for line in lines for i in found[line]], np.int64))


def _places(form: Callable[[str], str], lines: set[str], names: list[str]) -> dict[str, list[int]]:
    """Where the lines are among the names, both in one form: as they are or without spaces around, by path, else by file name."""
    whole: dict[str, list[int]] = {}
    short: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        whole.setdefault(form(name), []).append(i)
        short.setdefault(form(name).rpartition("/")[2], []).append(i)
    found = {}
    for line in lines:
        for text in (line, line.strip(), form(line), form(line.strip())):
            if places := whole.get(text) or short.get(text):
                found[line] = places
                break
    return found


def questions(pictures: Pictures, choices: bool = False) -> Questions:
    """What the pictures of a SPEC can be asked. `choices`: a validation part comes with them, to choose on. What is not tested on is said.

    Raises UserError when they have no labels, or fewer than two classes.
    """
    first = labelled(pictures.labelled, "an evaluation")
    classes = len(pictures.labelled.classes)
    if classes < 2:
        raise UserError(f"{pictures.spec} has {classes} class; an accuracy needs at least two")
    held = _validation(pictures) if choices else None
    tests = None if pictures.test is None else _tested(pictures, pictures.test, first)
    if tests is None and pictures.validation is not None:
        tell(
            f"{pictures.spec} has no part {pictures.test_on}: {100 * TEST_SHARE:.0f} % of each class are held out for it. Its {VAL} part of "
            f"{len(pictures.validation):,} images is not tested on; --test-on {VAL} does"
        )
    return Questions(
        np.concatenate([part for part in (first, tests, held) if part is not None]),
        classes,
        None if tests is None else len(first),
        pictures.labelled.name,
        0 if held is None else len(held),
        pictures.test_on,
        tuple(pictures.labelled.classes),
    )


def _tested(pictures: Pictures, test: ImageSource, first: Int) -> Int:
    """Labels of the test part, with the numbers of the training part. Raises UserError for classes that are not there."""
    if test.labels is None and pictures.validation is not None and pictures.validation.labels is not None:
        raise UserError(
            f"the {pictures.test_on} part of {pictures.spec} has no labels, and its {VAL} part has: --test-on {VAL} tests on that"
        )
    labels, absent = _numbered(labelled(test, f"the {pictures.test_on} part"), test, pictures.labelled)
    if absent:
        raise UserError(
            f"class {absent[0]!r} of the {pictures.test_on} part is absent from the training part ({len(absent)} of {len(test.classes)} are): "
            "nothing could be right there"
        )
    if unknown := sorted(set(np.unique(labels)) - set(np.unique(first))):
        raise UserError(
            f"class {pictures.labelled.classes[unknown[0]]!r} of the {pictures.test_on} part has no picture in the training part"
        )
    return labels


def _validation(pictures: Pictures) -> Int | None:
    """Labels of the validation part, with the numbers of the training part; None where choices cannot be made on it."""
    source = pictures.validation
    if source is None or source.labels is None or (source.labels < 0).any():
        return None
    labels, absent = _numbered(source.labels, source, pictures.labelled)
    return None if absent else labels


def _numbered(labels: Int, source: ImageSource, of: ImageSource) -> tuple[Int, list[str]]:
    """Labels with the numbers that the classes of another source have, and the classes that it lacks."""
    names, number = list(source.classes), {name: i for i, name in enumerate(of.classes)}
    absent = [names[i] for i in np.unique(labels) if names[i] not in number]
    return np.array([number.get(name, -1) for name in names], np.int64)[labels], absent
