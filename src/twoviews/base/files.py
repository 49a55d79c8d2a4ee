"""Files that are whole or absent: everything is written beside its place, synced and renamed.

Also the lock that keeps a RUN folder to one writer. No pickle is read or written anywhere: tensors are safetensors, the rest is text.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from .errors import RunError, UserError
from .names import LONE, reachable, utf8

LONGEST = 200  # bytes of a name that another part is to be put to: file systems take 255
_HELD: set[IO] = set()  # the lock files that this process has open


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary path beside `path` (a file or a folder), sync it, and rename it into place. Any library can write there.

    Raises RunError when the disk refuses; what stood at `path` before is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    short = utf8(path.name).encode()[:LONGEST].decode(errors="ignore")
    beside = reachable(path.with_name(f".{short}.{os.getpid()}.part"))
    try:
        write(beside)
        for file in beside.rglob("*") if beside.is_dir() else [beside]:
            _sync(file)
        if beside.is_dir() and path.is_dir():  # a folder cannot be renamed over a full one
            shutil.rmtree(path)
        beside.replace(path)
        _sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"could not write {path}: {getattr(error, 'strerror', None) or error}. What stood there before is unchanged."
        ) from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def sweep(*folders: Path) -> None:
    """Remove what killed writers left half-written in these folders. The caller holds the lock, so nobody writes there."""
    for folder in folders:
        for left in folder.glob(".*.part"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8; of names that are none, the bytes are shown as such."""

    def fill(part: Path) -> None:
        part.write_text(utf8(text), encoding="utf-8")

    write_whole(path, fill)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole, indented, with a closing newline."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: Any, **options: Any) -> str:
    """JSON that every reader takes: UTF-8 with the bytes of names that are none shown as such, `\\xe4`, and no NaN or infinity.

    `options` are those of `json.dumps`. Raises ValueError for a figure that is not finite: where it arises it is to become None, with the reason.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    return LONE.sub(lambda found: utf8(found[0]).replace("\\", "\\\\"), text)


def finite(value: Any) -> Any:
    """A value with None in place of each float that is not finite."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read JSON. Raises UserError when the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder/lock` for the block. Raises UserError when another process holds it.

    The lock is the kernel's (flock), so it is free again the moment its owner dies, however it dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise UserError(
                f"{folder} is being written by another process ({file.read().strip() or 'unknown'}). "
                "Wait for it, stop it, or choose another --out."
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()}\n")
        file.flush()
        _HELD.add(file)
        try:
            yield
        finally:
            _HELD.discard(file)


def forget_locks() -> None:
    """In a forked process: let go of the locks it inherited, which would else outlive their owner."""
    for file in _HELD:
        file.close()
    _HELD.clear()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
