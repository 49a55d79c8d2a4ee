"""Weights & Biases (offline), MLflow (a database of its own) and TensorBoard get what log.jsonl has; a stopped run goes on in the same record."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import twoviews as tv
from twoviews.base.errors import RunError, UserError
from twoviews.training import tracking
from twoviews.training.log import Log

OPTIONS = {"recipe": "digits", "batch": 256, "width": 0.25, "epochs": 4, "log_every": 1, "tensorboard": False}


def train(out, track, stop_after=None):
    """In a process of its own: the trackers' libraries keep threads. `stop_after` ends it by SIGTERM after so many steps."""
    script = f"""
import os, signal
import twoviews as tv
from twoviews.training.step import Step
if {stop_after!r}:
    whole, count = Step.__call__, 0
    def counted(self, *a, **k):
        global count
        count += 1
        if count == {stop_after!r}:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, *a, **k)
    Step.__call__ = counted
try:
    tv.train('digits', {str(out)!r}, track={track!r}, **{OPTIONS!r})
except tv.TwoviewsError as error:
    raise SystemExit(error.exit_code)
"""
    environment = {**os.environ, "WANDB_MODE": "offline"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=300)


def logged(out):
    """{name: [(step, value)]} of log.jsonl."""
    found = {}
    for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()):
        for name, value in line.items():
            if isinstance(value, int | float) and name not in ("step", "epoch"):
                found.setdefault(f"{line['kind']}/{name}", []).append((line["step"], value))
    return found


def test_mlflow_goes_on_in_the_same_record(tmp_path):
    from mlflow import MlflowClient

    out = tmp_path / "run"
    stopped = train(out, "mlflow", stop_after=6)
    assert stopped.returncode == 143, stopped.stderr
    assert train(out, "mlflow").returncode == 0
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("twoviews").experiment_id])
    assert len(found) == 1
    assert found[0].info.status == "FINISHED"
    assert found[0].data.params["temperature"] == str(tv.Run(out).config.temperature)
    for name in ("step/loss", "epoch/loss", "epoch/knn"):
        history = sorted((one.step, one.value) for one in client.get_metric_history(found[0].info.run_id, name))
        assert sorted(set(history)) == logged(out)[name], name


def test_wandb_offline(tmp_path):
    out = tmp_path / "run"
    assert train(out, "wandb", stop_after=6).returncode == 143
    first = tracking.record(out)["wandb"]
    done = train(out, "wandb")
    assert done.returncode == 0, done.stderr
    assert tracking.record(out) == {"wandb": first}
    files = sorted((out / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    assert all(first in file.name for file in files)
    assert sum(file.stat().st_size for file in files) > 5000


def test_what_is_missing_or_unknown(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="Did you mean wandb"):
        tv.train("digits", tmp_path / "run", track="wand", **OPTIONS)
    for name in ("wandb", "mlflow"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(UserError, match=rf'pip install "twoviews\[{name}\]"'):
                tracking.boards(tmp_path, {"tensorboard": False, "track": name}, 0)


def test_a_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RunError, match="--track mlflow could not begin"):
        tracking.boards(tmp_path, {"tensorboard": False, "track": "mlflow"}, 0)


def test_a_server_that_goes_away_does_not_end_the_run(tmp_path, capsys):
    class Lost:
        def scalars(self, figures, step):
            raise ConnectionError("gone")

        flush = close = None

    log = Log(tmp_path, 0, [Lost()])
    log.write({"kind": "step", "step": 1, "loss": 1.0})
    log.write({"kind": "step", "step": 2, "loss": 0.5})
    log.position()
    log.close()
    assert capsys.readouterr().err.count("takes no more figures") == 1
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
