"""skipped.csv of a RUN: the pictures that could not be read, before or during the run, and why."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ..base.files import write_whole
from ..base.names import utf8

SKIPPED = "skipped.csv"


def list_lost(run: Path, lost: dict[str, str]) -> None:
    """What any process could not read since the beginning goes into the list. Called by all at the same step."""
    from ..base import processes  # with torch; what reads the list needs none

    found = [json.loads(text) for text in processes.texts(json.dumps(lost))]
    merged = {name: f"during the run: {reason}" for own in found for name, reason in own.items()}
    if merged and processes.rank() == 0:
        write_skipped(run, merged)


def write_skipped(run: Path, found: dict[str, str]) -> None:
    """skipped.csv: the pictures that could not be read, with the reason; what stands there stays."""
    path = run / SKIPPED
    known: dict[str, str] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8", errors="backslashreplace") as file:
            known = dict(row for row in list(csv.reader(file))[1:] if len(row) == 2)
    merged = {**{utf8(name): utf8(reason) for name, reason in found.items()}, **known}
    if merged == known:
        return

    def fill(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file", "reason"), *sorted(merged.items())])

    write_whole(path, fill)
