"""Many small trainings side by side in processes of their own (part.py); each keeps its RUN and what was measured of it.

So a study goes on after any kill, and studies in one folder share what is finished: a RUN is named by what decides it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ..base.console import say
from ..base.errors import RunError
from ..base.files import read_json
from ..base.work import slug
from ..training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Part:
    """A training and what is measured of it. `options` are given to train, `key` is made of all that decides the outcome.

    `how` it is measured: `labels` for the linear classifiers, whether raw `pixels` too, `sets` and `steps` for transfer. It is in the name of the figures'
    file, so that another question does not get an old answer.
    """

    key: str
    images: str
    options: dict[str, Any]
    measure: str
    how: dict[str, Any]
    runs: Path

    @property
    def folder(self) -> Path:
        """The RUN; networks that learn from labels have a folder likewise."""
        return self.runs / self.key

    @property
    def found(self) -> Path:
        """Where its figures lie."""
        if self.measure == "transfer":
            asked = [Path(name).name for name in self.how["sets"]]
        elif self.measure in ("linear", "transformations", "untrained"):
            asked = [self.how["labels"], *(["pixels"] if self.how.get("pixels") else [])]
        else:
            asked = []
        return self.folder / "eval" / f"{slug('-'.join(['study', self.measure, *asked]))}.json"

    @property
    def log(self) -> Path:
        """What its process said."""
        return self.runs / f"{self.key}.txt"

    def figures(self) -> dict[str, Any] | None:
        """What was measured; None where it is not done."""
        return read_json(self.found) if self.found.is_file() else None

    def message(self, workers: int, device: str) -> str:
        """For the process that does it."""
        places = {"folder": str(self.folder), "found": str(self.found), "log": str(self.log)}
        told = {"images": self.images, **places, "measure": self.measure, "how": self.how}
        return json.dumps({**told, "options": {**self.options, "workers": workers, "device": device}})


def key_of(config: TrainConfig, fingerprint: str, measure: str) -> str:
    """The name of a RUN: its network, and a hash of the settings and pictures that decide it."""
    other = measure in ("supervised", "untrained")  # no SimCLR training
    text = json.dumps([config.deciding(), fingerprint, other], sort_keys=True)
    short = "".join(c if c.isalnum() else "-" for c in config.encoder)
    return f"{f'{measure}-' if other else ''}{short}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


class Stop(Exception):
    """A signal came."""

    def __init__(self, number: int):
        self.number = number


@contextlib.contextmanager
def heeding() -> Iterator[None]:
    """SIGINT and SIGTERM become Stop, so that the processes can be told."""

    def heed(number: int, frame: FrameType | None) -> None:
        raise Stop(number)

    before = {number: signal.signal(number, heed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Worker:
    """A process that does parts, one at a time."""

    def __init__(self, threads: int):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "twoviews.studies.part"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # a Ctrl-C reaches the study, which tells its trainings
        )
        self.part: Part | None = None

    def begin(self, part: Part, workers: int, device: str) -> None:
        """Let it do a part."""
        self.part = part
        assert self.process.stdin is not None
        self.process.stdin.write(part.message(workers, device).encode() + b"\n")

    def fileno(self) -> int:
        """Where its answer comes from, for `select`."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def answer(self) -> tuple[Part, str]:
        """Its part and the exit code of that; empty when the process has died."""
        assert self.process.stdout is not None
        assert self.part is not None
        part, self.part = self.part, None
        return part, self.process.stdout.readline().decode().strip()

    def end(self) -> None:
        """Let a training write its checkpoint, and wait for the end."""
        if self.part is not None:
            self.process.terminate()
        elif self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def run_all(parts: Sequence[Part], jobs: int, workers: int, device: str) -> dict[str, str]:
    """Do what is not done yet, `jobs` at a time. Returns what failed: the key of each, and why. Raises Stop when a signal came.

    Trainings are told to stop, write a checkpoint and end before this returns, however it returns.
    """
    waiting = [part for part in parts if part.figures() is None]
    if not waiting:
        return {}
    waiting[0].runs.mkdir(parents=True, exist_ok=True)
    total, finished, began, failed = len(waiting), 0, time.perf_counter(), {}
    say(f"{total} trainings to go, {jobs} at a time; what each says lies in {waiting[0].runs}/*.txt")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    team: list[Worker] = []
    try:
        with heeding():
            while waiting or any(worker.part for worker in team):
                idle = [worker for worker in team if worker.part is None]
                while waiting and (idle or len(team) < jobs):
                    if not idle:
                        team.append(Worker(threads))
                        idle.append(team[-1])
                    idle.pop().begin(waiting.pop(0), workers, device)
                for worker in select.select([worker for worker in team if worker.part], [], [])[0]:
                    part, code = worker.answer()
                    finished += 1
                    if not code or int(code) > 128:  # it has died, or was told to end
                        team.remove(worker)
                        code = code or str(worker.process.wait())
                    if part.figures() is None:
                        failed[part.key] = last_line(part.log, code)
                        say(f"{finished}/{total} {part.key} failed: {failed[part.key]}")
                    else:
                        left = (time.perf_counter() - began) / finished * (total - finished)
                        say(f"{finished}/{total} {part.key} · {told(part)} · about {max(1, round(left / 60))} min left")
    finally:
        for worker in team:
            worker.end()
    return failed


def last_line(log: Path, code: str) -> str:
    """Why a process ended: the last that it said."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return f"{lines[-1] if lines else 'it said nothing'} (exit {code})"


def told(part: Part) -> str:
    """A finished part in a few words."""
    figures = part.figures() or {}
    top1 = figures.get("top1")
    return f"top-1 {100 * top1:.1f} %" if isinstance(top1, float) else "done"


def refuse_failed(failed: dict[str, str], runs: Path) -> None:
    """Raises RunError that lists what failed."""
    if failed:
        (key, why), *others = failed.items()
        raise RunError(
            f"{len(failed)} trainings failed, the first {runs / key}: {why}"
            + (f", and {len(others)} more" if others else "")
            + ". The same command tries them again"
        )
