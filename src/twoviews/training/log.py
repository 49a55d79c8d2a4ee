"""log.jsonl: one line every `log_every` steps and one an epoch, append-only; cut back to the checkpoint when a run goes on.

Fields are documented in docs/run-folder.md. TensorBoard and the trackers that were asked for get the same numbers.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..base.console import say
from ..base.errors import RunError, UserError
from ..base.files import finite, to_json
from .tracking import Board


class Log:
    """Writes lines to RUN/log.jsonl from byte `start` on; what stood behind it is cut away."""

    def __init__(self, run: Path, start: int, boards: Sequence[Board] = ()):
        self.file = (run / "log.jsonl").open("ab")
        self.file.truncate(start)
        self.boards = list(boards)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line. `line` has `kind` ("step" or "epoch") and `step`; numbers also go to the boards."""
        clean = {k: round_off(v) if isinstance(v, float) else v for k, v in line.items()}
        try:
            self.file.write((to_json(finite(clean)) + "\n").encode())
        except OSError as error:
            raise RunError(f"could not write log.jsonl: {error.strerror}") from error
        figures: dict[str, float] = {
            f"{line['kind']}/{name}": value
            for name, value in clean.items()
            if isinstance(value, int | float) and name not in ("step", "epoch")
        }
        self.tell(lambda board: board.scalars(figures, line["step"]))

    def tell(self, act: Callable[[Board], None]) -> None:
        """Each board in turn. One that fails is left out from then on: a training does not end because a server does."""
        for board in list(self.boards):
            try:
                act(board)
            except Exception as error:  # whatever their clients raise
                self.boards.remove(board)
                say(f"{type(board).__name__} takes no more figures ({error}); log.jsonl has them all")

    def position(self) -> int:
        """Bytes written so far, all of them on disk."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise RunError(f"could not write log.jsonl: {error.strerror}") from error
        self.tell(lambda board: board.flush())
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
        self.tell(lambda board: board.close())


class Silent(Log):
    """The log of the processes that do not write."""

    def __init__(self) -> None:
        pass

    def write(self, line: dict[str, Any]) -> None:
        pass

    def position(self) -> int:
        return 0

    def close(self) -> None:
        pass


def round_off(value: float) -> float | None:
    """Six significant digits; None where it is not finite, which JSON does not know."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def read_log(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind, "step" or "epoch"."""
    path = run / "log.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        return [line for line in lines if line["kind"] == kind]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
