"""The image files below a folder, and what else lies there: one walk, for any number of files."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections import Counter
from pathlib import Path

from ..base.console import detail
from ..base.errors import UserError
from .decode import could_be_image
from .files import SUFFIXES

BESIDE = frozenset(
    (".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".yaml", ".yml", ".html")
)  # lie beside images and are not told of
JUNK = frozenset(
    ("__macosx", "__pycache__", "lost+found", "@eadir", "#recycle", "$recycle.bin", "system volume information", "thumbnails", "thumbs")
)  # folders that systems make
THUMBNAILS = frozenset(("thumbnails", "thumbs"))  # of these, those that may be classes
JUNK_FILES = frozenset(("thumbs.db", "desktop.ini", "icon\r"))
UNENDED = "without an ending"
_HASH = re.compile(r"\.(?=.*\d)[0-9a-f]+|.{12,}")  # what stands after a dot but is no ending
START = 132  # bytes that tell an image from other files: a DICOM's mark ends there


@dataclasses.dataclass
class Found:
    """`names` of image files, sorted, relative, with forward slashes. `others`: how many files of which ending are not taken. `junk`: what was passed by;
    `thumbnails`: how many images lie in folders called so, which are passed by where others hold the images.
    """

    names: list[str] = dataclasses.field(default_factory=list)
    others: Counter[str] = dataclasses.field(default_factory=Counter)
    junk: Counter[str] = dataclasses.field(default_factory=Counter)
    thumbnails: dict[str, int] = dataclasses.field(default_factory=dict)


def find(root: Path) -> Found:
    """Image files below `root` by their ending; files without one, or with one that is no word, by their first bytes.

    Hidden files and folders, and those that systems make (`__MACOSX`, `@eaDir`, thumbnails …), are passed by. Links to files count as files. Links to
    folders are followed, but no folder is walked twice, and none that `root` lies in. Pipes and sockets are no files. Raises UserError for a folder
    that may not be read.
    """
    found = Found()
    folders: list[str] = []
    links = _walk(root, "", found, folders, None)
    seen = {_identity(root / folder) for folder in folders} if links else set()
    above = {_identity(folder) for folder in root.resolve().parents} if links else set()
    while links:
        link = links.pop(0)
        target = _identity(root / link)
        if target in above:
            detail(f"the link {link} is not followed: it leads to a folder that {root} lies in")
        elif target in seen:
            detail(f"the link {link} is not followed: its folder is taken already")
        else:
            detail(f"the link {link} is followed to {os.path.realpath(root / link)}")
            links += _walk(root, f"{link}/", found, [], seen)
    if found.junk:
        detail(f"passed by below {root}: " + ", ".join(f"{count:,} {what}" for what, count in found.junk.most_common()))
    found.names.sort()
    if found.thumbnails:
        holds = {name.rpartition("/")[0] for name in found.names}
        found.thumbnails = {  # those of the images that they lie among are no news
            folder: count for folder in found.thumbnails if folder.rpartition("/")[0] not in holds and (count := _count(root / folder))
        }
    return found


def _count(folder: Path) -> int:
    """How many files right in a folder have the ending of an image."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sum(os.path.splitext(entry.name)[1].lower() in SUFFIXES and not entry.name.startswith(".") for entry in entries)  # noqa: PTH122
    return 0


def _walk(root: Path, start: str, found: Found, folders: list[str], seen: set[tuple[int, int]] | None) -> list[str]:
    """Walk real folders from `start`, adding to `found` and `folders`. Returns the links to folders that were met, sorted.

    `seen`: the folders that are not walked again; the walked ones are added. None where there cannot be any.
    """
    links, waiting = [], [start]
    while waiting:
        folder = waiting.pop()
        if seen is not None:
            if (identity := _identity(root / folder)) in seen:
                continue
            seen.add(identity)
        folders.append(folder)
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_file(follow_symlinks=False) and name[name.rfind(".") :].lower() in SUFFIXES and not name.startswith("."):
                        found.names.append(folder + name)  # most files, a million times: the rest is looked at closely
                    elif entry.is_dir(follow_symlinks=False):
                        if _is_junk(name):
                            found.junk[name if name.lower() in JUNK else "hidden folders"] += 1
                            if name.lower() in THUMBNAILS:
                                found.thumbnails[folder + name] = 0
                        else:
                            waiting.append(f"{folder}{name}/")
                    elif name.startswith("."):
                        found.junk["hidden files"] += 1
                    elif entry.is_symlink() and _leads_to_folder(entry):
                        if not _is_junk(name):
                            links.append(folder + name)
                    else:
                        _take(entry, folder, found)
        except PermissionError as error:
            raise UserError(f"the folder {error.filename} may not be read: give this user the right to, or take it away") from error
    return sorted(links)


def _take(entry: os.DirEntry[str], folder: str, found: Found) -> None:
    """Put a file among the images or the others."""
    name = entry.name
    ending = os.path.splitext(name)[1].lower().rstrip()  # noqa: PTH122 (a million times)
    if ending in SUFFIXES:
        found.names.append(folder + name)
    elif ending in BESIDE:
        return
    elif name.lower() in JUNK_FILES:
        found.junk[name.strip()] += 1
    elif not ending[1:].isalpha() and not ending.endswith("~") and _holds_image(entry):  # .1234, .jpg_large; a ~ marks a copy
        found.names.append(folder + name)
    else:
        found.others[UNENDED if len(ending) < 2 or _HASH.fullmatch(ending) else ending] += 1


def _holds_image(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 (a million times)
            return could_be_image(file.read(START))
    except OSError:
        return False


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, whatever it is called; (-1, -1) for one that is gone."""
    try:
        stat = folder.stat()
    except OSError:
        return -1, -1
    return stat.st_dev, stat.st_ino
