"""SIGINT and SIGTERM while steps run: noted, not obeyed at once, so that a checkpoint can be written after the step."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from ..base.errors import RunError


class Stopped(RunError):
    """A signal ended the run after its checkpoint was written. `exit_code` is 128 + the signal's number."""

    def __init__(self, number: int, out: Path, step: int):
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}; the checkpoint is written. The same command goes on from here"
        )
        self.exit_code = 128 + number


class Signals:
    """In this block the first SIGINT or SIGTERM only sets `number`; a second one interrupts. Elsewhere than in the main thread: nothing."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.number is not None:  # asked twice: do not wait for the step
            raise KeyboardInterrupt
        self.number = number
