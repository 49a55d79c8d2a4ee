"""The folder of a long job: it keeps every part that is finished, so that the same command goes on after any kill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import processes
from .errors import UserError
from .files import locked, read_json, sweep, to_json, write_json

SETTINGS, DONE = "work.json", "result.json"
LONGEST = 100  # bytes of a name, as others are put to it


class Work:
    """A folder of one job with its settings; parts in subfolders, each with a result.json once it is done."""

    def __init__(self, path: Path):
        self.path = path

    def part(self, name: str, compute: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What `compute(folder)` returned, now or in an earlier call. Its checkpoints lie in that folder and go when it is done."""
        folder = self.path / slug(name)
        if (folder / DONE).is_file():
            return read_json(folder / DONE)
        found = compute(folder)

        def keep() -> None:
            write_json(folder / DONE, found)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)

        processes.first(keep)
        return found


def slug(text: str) -> str:
    """A name for a folder or file: letters, digits, dots and dashes; a long one is cut, with a hash of the whole."""
    name = re.sub(r"[^\w.]+", "-", text.replace("%", "percent")).strip("-").lower()
    if len(name.encode()) <= LONGEST:
        return name
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def refuse_foreign(path: Path) -> None:
    """Raises UserError when `path` is a file, or a folder with something in it that is no job's of ours."""
    if path.is_file():
        raise UserError(f"--out {path} is a file; it is to be a folder")
    if path.is_dir() and not (path / SETTINGS).is_file() and any(p.name != "lock" for p in path.iterdir()):
        raise UserError(f"--out {path} exists and holds something else; choose a new folder")


@contextlib.contextmanager
def working(path: Path, verb: str, settings: dict[str, Any]) -> Iterator[Work]:
    """Lock and claim a folder for a job. Raises UserError when it holds another one; the message lists what differs."""
    refuse_foreign(path)
    with contextlib.ExitStack() as held:
        processes.first(lambda: _claim(path, {"verb": verb, **settings}, held))
        yield Work(path)


def _claim(path: Path, settings: dict[str, Any], held: contextlib.ExitStack) -> None:
    held.enter_context(locked(path))
    sweep(path)
    settings = json.loads(to_json(settings))  # as it will be read again
    if not (path / SETTINGS).is_file():
        write_json(path / SETTINGS, settings)
        return
    before = read_json(path / SETTINGS)
    other = [f"{k}: {before.get(k)!r} → {v!r}" for k, v in settings.items() if before.get(k) != v]
    if other:
        raise UserError(
            f"{path} was begun with other settings, and goes on only as it began. Changed: {'; '.join(other)}. Use another --out, or remove the folder"
        )
