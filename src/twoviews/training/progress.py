"""The progress bar of a training: images/s, time left, loss beside chance, contrastive accuracy, share of time spent waiting for data."""

from __future__ import annotations

import time
from typing import Any, Self

from ..base.console import err


class Bar:
    """A bar of steps where there is a terminal, and the time since the last checkpoint."""

    def __init__(self, what: str, total: int, done: int):
        self.what, self.total, self.done = what, total, done
        self.bar, self.task = None, None
        self.last_saved = time.perf_counter()

    def __enter__(self) -> Self:
        if err().is_terminal:
            from rich import progress as p

            columns = (
                p.BarColumn(30),
                p.TextColumn("{task.percentage:>3.0f} %"),
                p.TimeRemainingColumn(),
                p.TextColumn("{task.description}"),
            )
            self.bar = p.Progress(*columns, console=err(), transient=True)
            self.task = self.bar.add_task(self.what, total=self.total, completed=self.done)
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.stop()

    def advance(self, text: str = "") -> None:
        """One step more, and what is said beside the bar."""
        if self.bar and self.task is not None:
            self.bar.advance(self.task)
            if text:
                self.bar.update(self.task, description=f"{self.what} · {text}")

    def saved(self) -> None:
        self.last_saved = time.perf_counter()

    def since_saved(self) -> float:
        return time.perf_counter() - self.last_saved


class Progress(Bar):
    """A training's bar: counts pictures and waiting between lines of the log."""

    def __init__(self, total: int, done: int):
        super().__init__("", total, done)
        self.since = time.perf_counter()
        self.pictures, self.waited, self.paused_at, self.last = (
            0,
            0.0,
            0.0,
            {"images_per_second": 0.0, "data_wait": 0.0},
        )

    def step(self, pictures: int, waited: float) -> None:
        """After each step: how many pictures, and how long it waited for them."""
        self.pictures += pictures
        self.waited += waited
        self.advance()

    def rates(self) -> dict[str, float]:
        """Source pictures a second and the share of waiting since the last call."""
        now = time.perf_counter()
        span = max(now - self.since, 1e-9)
        self.last = {"images_per_second": self.pictures / span, "data_wait": self.waited / span}
        self.pictures, self.waited, self.since = 0, 0.0, now
        return self.last

    def show(self, line: dict[str, Any]) -> None:
        """The newest numbers on the bar."""
        if self.bar and self.task is not None:
            text = (
                f"{self.last['images_per_second']:,.0f} images/s · waits for data {100 * self.last['data_wait']:.0f} % · loss {line['loss']:.3f} "
                f"(nothing known: {line['loss_chance']:.2f}) · contrastive accuracy {100 * line['contrast_acc']:.0f} % (chance {100 * line['contrast_acc_chance']:.2g} %)"
            )
            self.bar.update(self.task, description=text)

    def pause(self) -> None:
        """Monitors do not count as training time."""
        self.paused_at = time.perf_counter()

    def go_on(self) -> None:
        self.since += time.perf_counter() - self.paused_at
