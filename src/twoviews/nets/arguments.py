"""What `encoder` and `wrap_encoder` are given, checked in words before a network is made. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_type_hints

from ..base.errors import UserError, WrongType
from ..base.settings import of_type
from ..sources.config import AUTO, DATA, check_channels, limits
from ..views.config import ViewConfig


def check_feeding(size: int | None, channels: int | None, resize: str, range: str) -> None:
    """Raises WrongType or UserError for what no pictures can be fed by. None: it is to be found out."""
    if size is not None and of_type("size", size, int) < 1:
        raise UserError(f"size is {size}; it must be at least 1")
    if channels is not None:
        check_channels(of_type("channels", channels, int))
    of_type("resize", resize, get_type_hints(ViewConfig)["resize"])
    if of_type("range", range, str) not in (AUTO, DATA):
        limits(range)


def check_numbers(name: str, values: Sequence[float], channels: int) -> None:
    """Raises WrongType or UserError for a mean or deviation that pictures of so many channels cannot have."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise WrongType(f"{name} is {values!r}; it must be a number for each channel, such as {name}=(0.5, 0.5, 0.5)")
    for value in values:
        of_type(name, value.item() if hasattr(value, "item") else value, float)  # type: ignore[attr-defined]
    if name == "std" and not all(value > 0 for value in values):
        raise UserError(f"std is {tuple(map(float, values))}; each must be above 0")
    if len(values) not in (1, channels):
        raise UserError(f"{name} has {len(values)} numbers, and the pictures have {channels} channels: one for each, or one for all")
