"""Errors that speak to the user: what is wrong, where, what to do, and the nearest valid name.

`UserError` is what the user can mend before anything has run (exit code 2); `RunError` is what broke in a run (exit code 1).
The command line prints their message without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TwoviewsError(Exception):
    """Base of every error that twoviews raises on purpose. `exit_code` is what the command line ends with."""

    exit_code = 1


class UserError(TwoviewsError):
    """Something the user can mend: an argument, a path, a name, a setting."""

    exit_code = 2


class RunError(TwoviewsError):
    """Something that broke while a run was going on: a loss that is not finite, a disk that is full."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """« Did you mean X? » for the closest valid name, or the empty string."""
    names = {v.lower(): v for v in valid}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.55)
    return f" Did you mean {names[close[0]]}?" if close else ""


def unknown(what: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that does not exist: the name, the nearest one, and all that there are."""
    valid = list(valid)
    return UserError(f"unknown {what} {name!r}.{nearest(name, valid)} Valid: {', '.join(valid)}")
