"""Names of files, classes and folders, which may be any bytes: how they are written where text must be UTF-8, how they are found again by that, and
where a command writes when nobody says where.

Python holds bytes that are no UTF-8 as lone surrogates. In text they become `\\xe4`; on a line of its own a name has no line break and nothing that
steers a terminal either.
"""

from __future__ import annotations

import codecs
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

from .errors import UserError

LONE = re.compile("[\ud800-\udfff]")
ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([tnr\\]))")
LOOKS_ESCAPED = re.compile(
    r"\\(?=x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[tnr\\]|[^ -~])"
)  # a backslash of the name's own, before what reads as an escape
LETTERS = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
JOINERS = "\u200c\u200d"  # within words and emoji: they steer nothing
LISTS = (".csv", ".tsv", ".jsonl")
GLANCE = 1000  # lines of a list
PREFIX = re.compile(r"(?:lance|shards|hf):")


def utf8(text: str) -> str:
    """Text that UTF-8 can hold: bytes that are none are shown as such."""
    return LONE.sub(lambda found: _byte(found[0]), text)


def spelled(name: str) -> str:
    """`utf8` text of a file's name from which that name alone is `meant`: its own backslashes are doubled where they would read as an escape.

    It is for names as the disk has them: spelled twice they are others.
    """
    return utf8(LOOKS_ESCAPED.sub(r"\\\\", name))


def printed(name: str) -> str:
    """A file's name as it stands on a line of its own; it is `meant` by that again."""
    return one_line(spelled(name))


def _byte(lone: str) -> str:
    code = ord(lone)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def one_line(text: str) -> str:
    """`utf8` text on one line: line breaks and tabs, what steers a terminal and what turns the direction of writing are shown as escapes."""
    return text if text.isprintable() else "".join(_shown(c) for c in text)


def _shown(c: str) -> str:
    kind = unicodedata.category(c)
    if kind == "Cs":
        return _byte(c)
    if kind not in ("Cc", "Cf", "Zl", "Zp") or c in JOINERS:
        return c
    return f"\\u{ord(c):04x}" if 0x80 <= ord(c) < 0x100 else c.encode("unicode_escape").decode()  # \x85 is a byte


def meant(text: str) -> str:
    """The name that an escaped one stands for."""

    def one(found: re.Match[str]) -> str:
        byte, short, long, letter = found.groups()
        if byte:
            code = int(byte, 16)
            return chr(code if code < 0x80 else 0xDC00 + code)
        return LETTERS[letter] if letter else chr(min(int(short or long, 16), 0x10FFFF))

    return os.fsdecode(ESCAPED.sub(one, text).encode("utf-8", "surrogateescape")) if "\\" in text and not _foreign(text) else text


def _foreign(text: str) -> bool:
    """Whether an escape stands for what no file name holds."""
    return any(
        0xD800 <= int(short or long, 16) <= 0xDFFF or int(short or long, 16) > 0x10FFFF
        for _, short, long, _ in ESCAPED.findall(text)
        if short or long
    )


def path_of(text: str) -> str:
    """The path that a text names, with or without escapes: as it stands where there is such a file or folder, else the one that is meant, if there is one.

    `lance:`, `shards:` and `hf:` may stand before it.
    """
    if "\\" not in text:
        return text
    prefix = found[0] if (found := PREFIX.match(text)) else ""
    path, other = text[len(prefix) :], meant(text[len(prefix) :])
    return prefix + other if other != path and not _there(path) and _there(other) else text


def _there(path: str) -> bool:
    try:
        return Path(path).exists() or Path(path).is_symlink()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def reachable(path: str | Path) -> Path:
    """The same file or folder by a path that is UTF-8, for libraries that take no other: one through a link that lasts as long as this process."""
    path = Path(path)
    if not LONE.search(str(path)):
        return path
    if not LONE.search(path.name):
        return Path(_link(str(path.parent.absolute()))) / path.name
    return Path(_link(str(path.absolute())))


@cache
def _links() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="twoviews-")


@cache
def _link(target: str) -> str:
    folder = Path(_links().name)
    link = folder / f"{len(list(folder.iterdir()))}{utf8(Path(target).suffix)}"
    link.symlink_to(target)
    return str(link)


FORMS: tuple[Callable[[str], str], ...] = (printed, str, utf8, one_line, lambda name: unicodedata.normalize("NFC", utf8(name)))


def lines_of(file: Path) -> list[str]:
    """The lines of a text file of any bytes, without empty ones. Raises UserError where it cannot be read."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("utf-8", "surrogatepass")
    text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def folders_of(images: object) -> list[Path]:
    """The folders that the images of a SPEC lie in, where it is a folder or a list of files."""
    if not isinstance(images, str | Path):
        return []
    path = Path(PREFIX.sub("", str(images), count=1))
    try:
        if path.is_dir():
            return [path.resolve()]
        return _folders_in(path) if path.suffix.lower() in LISTS and path.is_file() else []
    except (OSError, ValueError, UserError):  # whoever reads it says what is wrong
        return []


def _folders_in(file: Path) -> list[Path]:
    """The folders of files that a list names, as far as a glance at some of its lines shows, and the one that holds those below the list's own."""
    lines, own = lines_of(file), file.parent.resolve()
    found: set[Path] = set()
    for line in lines[:: max(1, len(lines) // GLANCE)]:
        for text in re.split(r'[,;\t"]', line):
            path = file.parent / text.strip().replace("\\", "/")
            if text.strip() and _there(str(path)) and path.is_file():
                found.add(path.parent.resolve())
    below = [folder for folder in found if folder.is_relative_to(own)]
    return sorted(found | ({Path(os.path.commonpath(below))} if below else set()))


def default_out(images: object, out: str | Path, option: str = "--out") -> Path:
    """Where a command writes that was not told where: `out`, below the working folder. Raises UserError where that lies among the images themselves."""
    place = Path(out).resolve()
    if (folder := next((folder for folder in folders_of(images) if place.is_relative_to(folder)), None)) is not None:
        raise UserError(
            f"without {option} this would be written to {out}, inside the folder of images {folder}, and would be taken for a part of it: "
            f"give {option} a place outside of it"
        )
    return Path(out)


def name_of(images: str | Path) -> str:
    """What a RUN of these images is called: the last part of the SPEC; that of the folder's full path for `.` and `..`."""
    path, own = Path(str(images)), Path(PREFIX.sub("", str(images), count=1))
    if own.name in ("", ".."):
        path = own.resolve()
    return path.name or "root"
