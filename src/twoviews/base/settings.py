"""What every configuration is made of: fields with a line of help, and checks of their values. No torch here."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from .errors import UserError, unknown


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
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise unknown(name, str(getattr(self, name)), get_args(kind))
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


C = TypeVar("C", bound=Checked)


def options_of(config: type[C], options: dict[str, Any]) -> C:
    """A configuration from keyword arguments. Raises UserError, with the nearest name, for one that does not exist."""
    valid = [f.name for f in dataclasses.fields(config)]  # type: ignore[arg-type]
    for name in options:
        if name not in valid:
            raise unknown("option", name, valid)
    return config(**options)
