"""The parts of a set by the names that people give them: train, val, test, unlabelled. One reading for folders, lists, Parquet, shards and hf:."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ..base.errors import UserError, nearest, unknown

TRAIN, VAL, TEST, UNLABELLED, ALL = "train", "val", "test", "unlabelled", "all"
PARTS = (TRAIN, VAL, TEST, UNLABELLED)  # in their order; a set without parts is `all`
NONE = "none"  # --parts none: no name is that of a part

_TRAINVAL, _EVAL = "trainval", "eval"  # what they are depends on the names beside them
_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), VAL),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), TEST),
    **dict.fromkeys(("eval", "evaluation"), _EVAL),
    **dict.fromkeys(("unlabelled", "unlabeled", "unsup", "unsupervised", "nolabel", "nolabels"), UNLABELLED),
    **dict.fromkeys(("trainval", "trainvalid"), _TRAINVAL),
}
_FILL = (
    "sets",
    "set",
    "dataset",
    "datasets",
    "data",
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "photos",
    "samples",
    "split",
    "part",
    "files",
)
_LETTERS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+")
_ANY = "|".join(sorted(_WORDS, key=len, reverse=True))
_COMPOUND = re.compile(rf"({_ANY})({'|'.join(_FILL)})?")
_GLUED = re.compile(rf"(?P<before>.*?)(?P<last>{_ANY})|(?P<first>{_ANY})(?P<after>.*)")
_SHORT = {"tr": TRAIN, "va": VAL, "te": TEST, "ts": TEST}  # they say it together only
_ASIDE = frozenset(
    (
        "doc",
        "docs",
        "documentation",
        "readme",
        "assets",
        "figures",
        "figs",
        "examples",
        "example",
        "demo",
        "preview",
        "previews",
        "screenshots",
    )
)  # folders that are no classes


@dataclasses.dataclass(frozen=True)
class _Meant:
    """What a name says: the part, or trainval or eval; `exact` if it says nothing else; `rest` is what else it says."""

    part: str
    exact: bool
    rest: tuple[str, ...]


def part_of(name: str) -> str | None:
    """The part that a folder, file, split or value is called after, None where the name says nothing. Case and what surrounds the word do not matter:
    Training, seg_train, training_set, train2017, train-00000-of-00012, imagenet1k-train-0003 are all `train`. A word is whole: contest, valley are none.

    `trainval` is train. `eval` alone is test; beside a test it is val, which `split_by_part` sees. Names of two parts, such as train_test, are none.
    """
    meant = _meant(name)
    return None if meant is None else {_TRAINVAL: TRAIN, _EVAL: TEST}.get(meant.part, meant.part)


def any_part(names: Iterable[str]) -> bool:
    """Whether any of these names says a part, alone or together with the others."""
    known = list(dict.fromkeys(names))
    return any(part_of(name) for name in known) or bool(_together(known))


def says_only(name: str) -> bool:
    """Whether a name says a part and nothing else: train, test_set, val2017."""
    meant = _meant(name)
    return meant is not None and meant.exact


def is_wrapper(name: str) -> bool:
    """Whether a folder is called after nothing but that it holds images: data, images, dataset."""
    words = _words(name)
    return bool(words) and all(word in _FILL for word in words)


def is_aside(name: str) -> bool:
    """Whether a folder is called after what lies beside a set and is no class: docs, examples."""
    return name.lower() in _ASIDE


def _meant(name: str) -> _Meant | None:
    parts, rest = [], []
    for word in _words(name):
        match = _COMPOUND.fullmatch(word)
        if match:
            parts.append(_WORDS[match[1]])
        else:
            rest.append(word)
    found = set(parts)
    if found == {TRAIN, VAL}:
        found = {_TRAINVAL}
    if found == {TRAIN, UNLABELLED}:
        found = {UNLABELLED}
    if len(found) != 1:
        return None
    return _Meant(found.pop(), all(word in _FILL for word in rest), tuple(rest))


def _words(name: str) -> list[str]:
    """The words of a name in small letters: parted at digits, all that is no letter, and capitals; `hold out` and `no label` are one."""
    words = []
    for run in _LETTERS.findall(name):
        low = run.lower()
        words += [low] if _COMPOUND.fullmatch(low) else [piece.lower() for piece in _CAMEL.findall(run)]
    if words[:1] == ["images"] and words[1:] in (["tr"], ["ts"]):  # nnU-Net and the Medical Segmentation Decathlon
        return ["train" if words[1] == "tr" else "test"]
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] + word in ("holdout", "heldout", "nolabel", "nolabels"):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


@dataclasses.dataclass(frozen=True)
class Split:
    """Which names are which part, in the order of PARTS, or {"all": names} where there are no parts; `left` are the names that are not taken."""

    parts: dict[str, list[str]]
    left: list[str]

    def of(self, name: str) -> str | None:
        """The part that a name belongs to, None for one that is left out."""
        return next((part for part, names in self.parts.items() if name in names), None)


def split_by_part(
    names: Iterable[str],
    asked: Sequence[str] = (),
    *,
    where: str = "IMAGES",
    what: str = "name",
    flat: Collection[str] = (),
    inside: Mapping[str, Collection[str]] | None = None,
) -> Split:
    """Sort the names of folders, files, splits or values by the parts that they are called after, or that `asked` (ReadConfig.parts) says,
    where NAME may be a pattern such as data-*.

    Names that say nothing beside a training part are left out, and so is a train_mini beside train; beside an unlabelled part they are the training part.
    One part alone is `all` there is. `flat`: the folders that hold images themselves, and so may be classes; `inside`: the folders in each. Files, splits
    and values have neither, and are no classes. `where` and `what` are words of messages.
    Raises UserError where two readings are likely, and for `asked` that does not fit.
    """
    names = list(dict.fromkeys(names))
    if list(asked) == [NONE]:
        return Split({ALL: names}, [])
    given = _asked(names, asked, where, what)
    found = {name: meant for name in names if name not in given and (meant := _meant(name))}
    if not given:
        found = found or _together(names)
    if not given and not _whole(names, found, where, what, flat, inside or {}):
        return Split({ALL: names}, [])
    part = {**{name: _settled(name, found, given, where) for name in found}, **given}
    if TRAIN not in part.values() and (given or set(part.values()) == {UNLABELLED}):  # what is not to learn from is named: the rest is
        part |= dict.fromkeys([name for name in names if name not in part], TRAIN)
    parts = {own: [name for name in names if part.get(name) == own] for own in PARTS}
    parts = {own: members for own, members in parts.items() if members}
    left = [name for name in names if not part.get(name)]
    if len(parts) == 1 and (not given or TRAIN in parts):
        parts = {ALL: next(iter(parts.values()))}
    return Split(parts, left)


def _asked(names: list[str], asked: Sequence[str], where: str, what: str) -> dict[str, str]:
    """{name: part} of the texts PART=NAME; a text without = is another name of the part before. Raises UserError."""
    given: dict[str, str] = {}
    part = None
    for text in asked:
        key, equals, name = text.partition("=") if "=" in text or part is None else (part, "=", text)
        part = key if key in PARTS else part_of(key)
        if not equals or not name:
            raise UserError(
                f"--parts {text!r} is not understood: PART=NAME, such as train=NAME test=NAME, or none alone. Parts are {', '.join(PARTS)}"
            )
        if part is None:
            raise unknown("part", key, PARTS)
        own = [name] if name in names else [other for other in names if fnmatchcase(other, name)]
        if not own:
            raise UserError(f"--parts {text}: {where} has no {what} {name!r}.{nearest(name, names)} It has {_some(names)}")
        for one in own:
            if given.setdefault(one, part) != part:
                raise UserError(f"--parts says that {one!r} is both {given[one]} and {part}")
    return given


def _together(names: list[str]) -> dict[str, _Meant]:
    """What names say that say it only together: tr and te; Xtrain and Xtest, mnisttrain and mnisttest."""
    short = {name: _SHORT[name.lower()] for name in names if name.lower() in _SHORT}
    if len(short) == len(names) and {TRAIN, TEST} <= set(short.values()):
        return {name: _Meant(part, True, ()) for name, part in short.items()}
    found: dict[str, _Meant] = {}
    for name in names:
        if match := _GLUED.fullmatch(name.lower()):
            word, rest = match["last"] or match["first"], match["before"] or match["after"] or ""
            found[name] = _Meant(_WORDS[word], False, (rest,))
    train = {m.rest for m in found.values() if m.part in (TRAIN, _TRAINVAL)}
    held = {m.rest for m in found.values() if m.part not in (TRAIN, _TRAINVAL)}
    return {name: m for name, m in found.items() if m.rest in train & held}


def _whole(
    names: list[str],
    found: dict[str, _Meant],
    where: str,
    what: str,
    flat: Collection[str],
    inside: Mapping[str, Collection[str]],
) -> bool:
    """Whether these names make a set of parts. Raises UserError where they may as well be its classes, or all one part."""
    others = [name for name in names if name not in found]
    train = {name: m for name, m in found.items() if m.part in (TRAIN, _TRAINVAL)}
    rest = {name: m for name, m in found.items() if name not in train}
    exact = [name for name, m in found.items() if m.exact]
    likely = [name for name in others if name.lower() not in _ASIDE]  # to be classes
    if train and rest:
        known = {name for own in found for name in inside.get(own, ())}
        strange = [name for name in likely if inside.get(name) and not known & set(inside[name])]
        if exact or {m.rest for m in train.values()} & {m.rest for m in rest.values()} or not (flat or inside):
            return True
        if not strange and any(name not in flat for name in train) and any(name not in flat for name in rest):
            return True  # with class folders inside
        if any(name in flat for name in likely):
            return False  # a bullet_train and a test_tube among other classes
        held = _settled(next(iter(rest)), found, {}, where)
        raise _two(
            where,
            what,
            [*train, *rest, *strange],
            f"parts: --parts {TRAIN}={next(iter(train))} {held}={next(iter(rest))}",
            "classes",
            f"--parts {NONE}",
        )
    if not others:
        return bool(found)
    if not exact:
        return False
    one = exact[0]
    kind = "classes" if flat or inside else "all one set"
    if train:  # alone: with class folders inside it is the part that the others are not of, unless these are like it
        alike = [name for name in likely if inside.get(name) and not set(inside[name]) & set(inside.get(one, ()))]
        if not any(name in flat for name in exact) and not (alike and one in inside):
            return True
        reading = f"{one!r} is the training part, and {_some(others)} are left out: --parts train={one}"
    else:
        held = _settled(one, found, {}, where)
        if held == UNLABELLED:
            return True
        reading = f"{one!r} is the {held} part, and {_some(others)} are what is learned from: --parts {held}={one}"
    raise _two(where, what, [*exact, *others], reading, kind, f"and {one!r} is one of them: --parts {NONE}")


def _two(where: str, what: str, names: Sequence[str], parts: str, kind: str, then: str) -> UserError:
    """The refusal of names that can be read in two ways."""
    return UserError(f"{where} has the {what}s {_some(names)}, and they can be read in two ways: {parts}; or they are {kind}, {then}")


def _settled(name: str, found: dict[str, _Meant], given: dict[str, str], where: str) -> str | None:
    """The part of a name among the others. None for one that is left out: a trainval beside its train, a train_mini, a train where --parts names another."""
    present = {m.part for m in found.values()} | set(given.values())
    part = found[name].part
    if not found[name].exact and any(m.exact and m.part == part for m in found.values()):
        return None  # train_masks beside train_images, train_mini beside train: something else
    if part == _TRAINVAL:
        part = None if TRAIN in present else TRAIN
    if part == _EVAL and {VAL, TEST} <= present and not given:
        held = [n for n, m in found.items() if m.part in (VAL, TEST)]
        raise UserError(
            f"{where} has {name!r} beside {_some(held)}: it can be more of val, or another test. --parts val={name} or --parts test={name} says which, "
            f"with test=NAME or val=NAME for the others"
        )
    if part == _EVAL:
        part = VAL if TEST in present else TEST
    return None if part in given.values() else part


def _some(names: Sequence[str]) -> str:
    """Some names, in a form that cannot harm a terminal."""
    return ", ".join(repr(name)[1:-1] for name in names[:4]) + (f" … ({len(names):,})" if len(names) > 4 else "")
