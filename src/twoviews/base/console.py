"""What goes to the terminal: messages and progress to standard error, results to standard output.

In pipes and logs there are no bars and no colours: rich sees to that by itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
_command = _details = False
_told: set[str] = set()
_held: list[str] = []


@cache
def err() -> Console:
    """The console for messages and progress (standard error)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@cache
def out() -> Console:
    """The console for results (standard output)."""
    from rich.console import Console

    return Console(highlight=False)


def mute() -> None:
    """No messages and bars from this process any more: another one speaks."""
    err().quiet = True


def say(message: str) -> None:
    """One message line on standard error; markup is not interpreted, so file names may hold anything."""
    _say_held()
    err().print(plain(message), markup=False, soft_wrap=True)


@contextmanager
def command(details: bool = False) -> Iterator[None]:
    """What runs in the block is a command: it says what it is told (`tell`), and with `details` (--debug) how it understood it (`detail`)."""
    global _command, _details
    _command, _details = True, details
    _told.clear()
    try:
        yield
        _say_held()
    finally:
        _held.clear()
        _command = _details = False


def tell(message: str) -> None:
    """A message that a command says once, however often it comes to it, before its next message or bar, or at its end: what is refused is one message.

    Python callers are not told: they can ask.
    """
    if _command and message not in _told:
        _told.add(message)
        _held.append(message)


def _say_held() -> None:
    while _held:
        say(_held.pop(0))


def detail(message: str) -> None:
    """One message line for those who ask how something was understood: which column, which links. Said with --debug only."""
    if _details:
        say(message)


def plain(text: str) -> str:
    """Text without what would steer a terminal: control characters, and those that turn the direction of writing, are shown as escapes."""
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else c.encode("unicode_escape", "surrogatepass").decode()
        for c in text
    )


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar on a terminal that disappears at the end; silently elsewhere."""
    if not err().is_terminal:
        yield from items
        return
    _say_held()
    from rich.progress import track as rich_track

    yield from rich_track(items, what, total=total, console=err(), transient=True)
