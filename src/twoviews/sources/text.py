"""Tables that are text: CSV and TSV as people's programs write them, in whatever encoding and with whatever delimiter; and JSON lines."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ..base.errors import UserError
from .choose import tidy

DELIMITERS = ",;\t|"
LOOKED_AT = 50  # rows that decide the delimiter
BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
QUOTES = ({}, {"doublequote": False, "escapechar": "\\"})  # "" within quotes, else \"


def read_table(path: Path, usual: Collection[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The columns of a CSV or TSV by name, and remarks. `usual` are names of columns by which the delimiter is known.

    Bytes that are no UTF-8 are lone surrogates: `readable` makes text of them. Raises UserError for what is no table.
    """
    text, remarks = _decoded(path)
    if "\0" in text:
        raise UserError(f"{path} holds zero bytes: it is no text")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    order = "\t,;|" if path.suffix.lower() == ".tsv" else DELIMITERS
    said = re.match(r"sep=(.)\r?\n", text)  # Excel's own line
    text = text[said.end() :] if said else text
    delimiter = said[1] if said else max(order, key=lambda d: _fits(text, d, usual))
    rows = _rows(path, text, delimiter)
    if not rows:
        raise UserError(f"{path} is empty: a list has a line of column names and a line an image")
    return _columns(path, rows), remarks


def readable(text: str) -> str:
    """Text with bytes that are no UTF-8 → as Windows-1252 has it, where every byte that it lacks is Latin-1's."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _decoded(path: Path) -> tuple[str, list[str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read as a table: {error}") from error
    encoding = next((name for bom, name in BOMS if data.startswith(bom)), None) or _without_bom(data)
    if encoding == "utf-8":
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        bad = re.search("[\udc80-\udcff]", text)
        if bad is None:
            return text, []
        line = text.count("\n", 0, bad.start()) + 1
        return text, [f"{path.name} is not UTF-8 (first in line {line}): such fields are read as Windows-1252"]
    try:
        return data.decode(encoding), [f"{path.name} is read as {encoding.upper()}"]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} begins as {encoding} and is damaged at byte {error.start:,}: save it as UTF-8") from error


def _without_bom(data: bytes) -> str:
    """UTF-16 where every second of the first bytes is zero: names of columns are ASCII."""
    head = data[:16]
    for encoding, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if len(head) >= 4 and not any(zeros) and all(letters):
            return encoding
    return "utf-8"


def _reader(text: str, delimiter: str, options: dict) -> Iterator[list[str]]:
    spaced = f"{delimiter} " in text[:1000].split("\n", 1)[0]
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=spaced, **options)


def _fits(text: str, delimiter: str, usual: Collection[str]) -> tuple[int, bool, int]:
    """How well a delimiter fits: usual names in the first row, as many fields in each row, fields."""
    rows: list[list[str]] = []
    even = True
    try:
        rows += (row for row in itertools.islice(_reader(text, delimiter, {}), LOOKED_AT) if any(row))
    except csv.Error:
        even = False
    if not rows:
        return 0, False, 0
    width = len(rows[0])
    even = even and all(len(row) == width or (len(row) > width and not any(row[width:])) for row in rows)
    return sum(tidy(name) in usual for name in rows[0]), even, width


def _rows(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """All rows that hold anything."""
    wrong = []
    for options in QUOTES:
        try:
            return [row for row in _reader(text, delimiter, options) if any(row)]
        except csv.Error as error:
            wrong.append(error)
    raise UserError(f"{path} cannot be read as a table: {wrong[0]}") from wrong[0]


def _columns(path: Path, rows: list[list[str]]) -> dict[str, list[str]]:
    names = [readable(name).strip() for name in rows[0]]
    named = [name for name in names if name]
    if twice := next((name for i, name in enumerate(named) if name in named[:i]), None):
        raise UserError(f"{path} has two columns {twice!r}: give each a name of its own")
    for number, row in enumerate(rows[1:], 2):
        if len(row) < len(names) or any(row[len(names) :]):
            raise UserError(f"{path}: row {number} has {len(row)} fields, the line of names has {len(names)}")
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(names) if name}


def read_lines(path: Path) -> dict[str, list]:
    """The columns of JSON lines by name, None where a line lacks one. Raises UserError for what is none."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON lines: {error}") from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} holds no JSON lines with one object an image")
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
