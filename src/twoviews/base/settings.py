"""What every configuration is made of: fields with a line of help, and checks of their values. No torch here."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from .errors import UserError, WrongType, unknown

WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
SHORT = 40  # characters of a wrong value that a message shows


def setting(default, text: str, free: bool = False):
    """A dataclass field with the line of help that the command line and the documentation show.

    `free`: it decides where or how fast something is computed, not what; so it may change when a job goes on.
    """
    return dataclasses.field(default=default, metadata={"help": text, "free": free})


class Checked:
    """A configuration that refuses wrong values: choices are those of its Literal fields; a class names its bounds, which add up over its bases.

    Raises UserError.
    """

    LEAST: ClassVar[tuple[str, ...]] = ()  # at least 1
    ABOVE: ClassVar[tuple[str, ...]] = ()  # above 0
    NOT_BELOW: ClassVar[tuple[str, ...]] = ()  # at least 0

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, of_type(field.name, getattr(self, field.name), hints[field.name]))
        device = getattr(self, "device", "auto")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
            raise UserError(f"device {device!r} cannot be used: it is auto, cpu, cuda, cuda:N or mps")
        for name in self._all("LEAST"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in self._all("ABOVE"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in self._all("NOT_BELOW"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must not be negative")

    def deciding(self) -> dict[str, Any]:
        """The settings that decide what is computed: a job goes on only with the same."""
        free = self.free()
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}  # type: ignore[call-overload]

    @classmethod
    def free(cls) -> frozenset[str]:
        """The names of the others."""
        return frozenset(f.name for f in dataclasses.fields(cls) if f.metadata["free"])  # type: ignore[arg-type]

    def _all(self, bound: str) -> dict[str, None]:
        return dict.fromkeys(name for base in type(self).__mro__ for name in base.__dict__.get(bound, ()))


def of_type(name: str, value: Any, kind: Any) -> Any:
    """A value of the type that an option has: bool, int, float (finite), str (a path and a device too), tuple[str, …] (a lone text too), a Literal.

    Raises WrongType, UserError for a choice that there is not and for numbers that are not finite.
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if get_origin(kind) is tuple:
        texts = (value,) if isinstance(value, str | os.PathLike) else value
        if not isinstance(texts, list | tuple):
            raise _wrong(name, value, "a text, or several in a list")
        return tuple(of_type(name, text, str) for text in texts)
    if get_origin(kind) is Literal:
        if not isinstance(value, str):
            raise _wrong(name, value, f"one of {', '.join(get_args(kind))}")
        if value not in get_args(kind):
            raise unknown(name, value, get_args(kind))
        return value
    if kind is str and (isinstance(value, os.PathLike) or (name == "device" and type(value).__name__ == "device")):
        return str(value)
    fits = isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise _wrong(name, value, WORDS[kind])
    if kind is float and not math.isfinite(value):
        raise UserError(f"{name} is {value}; it must be a finite number")
    return value


def several(name: str, value: Any, *kinds: type) -> list[Any]:
    """An argument that is a list of texts, paths or `kinds`; one alone is a list of it. Raises WrongType for anything else."""
    one = (str, os.PathLike, *kinds)
    values = [value] if isinstance(value, one) else value
    if not isinstance(values, list | tuple | set) or not all(isinstance(part, one) for part in values):
        raise _wrong(name, value, "names or paths in a list" if not kinds else "names, paths or networks in a list")
    return list(values)


def path_argument(name: str, value: Any) -> Path:
    """An argument that is a path. Raises WrongType for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise _wrong(name, value, "a path")
    return Path(value)


def _wrong(name: str, value: Any, words: str) -> WrongType:
    shown = f"{value!r}, " if len(repr(value)) < SHORT else ""
    what = "None" if value is None else f"{shown}of type {type(value).__name__}"
    return WrongType(f"{name} is {what}; it must be {words}")


C = TypeVar("C", bound=Checked)


def options_of(config: type[C], options: dict[str, Any]) -> C:
    """A configuration from keyword arguments. Raises UserError, with the nearest name, for one that does not exist."""
    valid = [f.name for f in dataclasses.fields(config)]  # type: ignore[arg-type]
    for name in options:
        if name not in valid:
            raise unknown("option", name, valid)
    return config(**options)
