"""What goes to the terminal: messages and progress to standard error, results to standard output.

In pipes and logs there are no bars and no colours: rich sees to that by itself.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from .names import one_line, utf8

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
_command = _details = False
_told: set[str] = set()


@cache
def err() -> Console:
    """The console for messages and progress (standard error)."""
    return _console(True)


@cache
def out() -> Console:
    """The console for results (standard output)."""
    return _console(False)


def _console(stderr: bool) -> Console:
    """A console that prints text as it is: names may hold what looks like markup or emoji codes, what steers a terminal, and bytes that are no UTF-8."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(plain(text), **options)

    return Plain(stderr=stderr, highlight=False, markup=False, emoji=False)


def mute() -> None:
    """No messages and bars from this process any more: another one speaks."""
    err().quiet = True


def say(message: str) -> None:
    """One message line on standard error; neither markup nor a line break is interpreted, so file names may hold anything."""
    err().print(one_line(message), soft_wrap=True)


@contextmanager
def command(details: bool = False) -> Iterator[None]:
    """What runs in the block is a command: it says what it is told (`tell`), and with `details` (--debug) how it understood it (`detail`)."""
    global _command, _details
    _command, _details = True, details
    _told.clear()
    try:
        yield
    finally:
        _command = _details = False


def tell(message: str) -> None:
    """A message that a command says once, however often it comes to it. Python callers are not told: they can ask."""
    if _command and message not in _told:
        _told.add(message)
        say(message)


def detail(message: str) -> None:
    """One message line for those who ask how something was understood: which column, which links. Said with --debug only."""
    if _details:
        say(message)


def plain(text: str) -> str:
    """Text without what would steer a terminal: control characters, and those that turn the direction of writing, are shown as escapes."""
    return "\n".join(map(one_line, text.split("\n")))


def speak_any_text() -> None:
    """Let standard output and error take any text: what their encoding does not hold is shown as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="twoviews-shown")


def _show(error: UnicodeError) -> tuple[str, int]:
    """What an encoding does not hold, as `names.utf8` shows it or as the escape of the character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = utf8(error.object[error.start : error.end])
    return part.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error("twoviews-shown", _show)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar on a terminal that disappears at the end; silently elsewhere."""
    if not err().is_terminal:
        yield from items
        return
    from rich.progress import track as rich_track

    yield from rich_track(items, what, total=total, console=err(), transient=True)
