"""Where the figures of log.jsonl go besides: TensorBoard, Weights & Biases, MLflow. Their own variables say where these are (WANDB_MODE,
WANDB_PROJECT, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME). A run that goes on goes on in the same record.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import Any, Protocol

from ..base.errors import RunError, UserError, unknown
from ..base.files import read_json, write_json
from ..base.names import reachable, utf8

TRACKERS = ("wandb", "mlflow")
RECORDS = "tracking.json"  # of a RUN: the record of each tracker that the run goes on in
_count = itertools.count()  # of the event files of this process


class Board(Protocol):
    """What takes figures by name at a step."""

    def scalars(self, figures: dict[str, float], step: int) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


def names(text: str) -> list[str]:
    """The trackers of an option. Raises UserError for one that is not known."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    for name in found:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
    return found


def boards(run: Path, config: dict[str, Any], step: int) -> list[Board]:
    """All that a config asks for. Raises UserError where a library is missing, RunError where it cannot be reached."""
    out: list[Board] = [TensorBoard(run, step)] if config["tensorboard"] else []
    for name in names(config["track"]):
        try:
            out.append({"wandb": WandB, "mlflow": MLflow}[name](run, config))
        except ImportError as error:
            raise UserError(f'--track {name} needs its library: pip install "twoviews[{name}]"') from error
        except (UserError, RunError):
            raise
        except Exception as error:  # whatever their clients raise: no server, no key, no disk
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(f"--track {name} could not begin: {first}. Without --track the run goes on from its last checkpoint") from error
    return out


class TensorBoard:
    """Event files in RUN/tensorboard; what stood behind the step is taken back.

    Written with TensorBoard's own messages and framing: torch's SummaryWriter loads TensorFlow wherever that is installed, which takes seconds.
    """

    def __init__(self, run: Path, step: int):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.event, self.summary = Event, Summary
        folder = run / "tensorboard"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.{next(_count)}"
        self.file = (folder / name).open("wb")
        self.writer = RecordWriter(self.file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if step:
            self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Any) -> None:
        self.writer.write(event.SerializeToString())

    def scalars(self, figures: dict[str, float], step: int) -> None:
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(self.event(wall_time=time.time(), step=step, summary=self.summary(value=values)))

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class WandB:
    """A W&B run; WANDB_MODE=offline keeps it in RUN/wandb until `wandb sync`. W&B takes no step twice: after a kill the first figures stay."""

    def __init__(self, run: Path, config: dict[str, Any]):
        import wandb

        known = record(run).get("wandb")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "twoviews"),
            name=os.environ.get("WANDB_NAME", utf8(run.resolve().name)),
            id=known,
            resume="allow" if known else None,
            dir=str(reachable(run)),
            config=config,
            settings=wandb.Settings(silent=True, console="off"),
        )
        remember(run, "wandb", self.run.id)

    def scalars(self, figures: dict[str, float], step: int) -> None:
        self.run.log(figures, step=step)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """An MLflow run with every setting as a parameter; without MLFLOW_TRACKING_URI in RUN/mlflow.db."""

    def __init__(self, run: Path, config: dict[str, Any]):
        import logging

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self.metric = Metric
        self.client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(reachable(run) / 'mlflow.db').absolute()}")
        known = record(run).get("mlflow")
        if known is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "twoviews")
            found = self.client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self.client.create_experiment(name)
            self.id: str = self.client.create_run(experiment, run_name=utf8(run.resolve().name)).info.run_id
            self.client.log_batch(self.id, params=[Param(key, utf8(str(value))) for key, value in config.items()])
            remember(run, "mlflow", self.id)
        else:
            self.id = known
            self.client.update_run(self.id, "RUNNING")
        self.waiting: list[Any] = []

    def scalars(self, figures: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self.waiting += [self.metric(name, value, now, step) for name, value in figures.items()]
        if len(self.waiting) > 500:
            self.flush()

    def flush(self) -> None:
        for start in range(0, len(self.waiting), 1000):
            self.client.log_batch(self.id, metrics=self.waiting[start : start + 1000])
        self.waiting = []

    def close(self) -> None:
        self.flush()
        self.client.set_terminated(self.id)


def record(run: Path) -> dict[str, str]:
    """The records that this run has begun."""
    return read_json(run / RECORDS) if (run / RECORDS).is_file() else {}


def remember(run: Path, name: str, id: str) -> None:
    """Note a record, so that the run goes on in it."""
    write_json(run / RECORDS, {**record(run), name: id})
