"""What several processes compute together is what one computes alone. Real processes, started by torchrun, over gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from twoviews.nets.encoder import encoder, save_encoder
from twoviews.training import checkpoint
from twoviews.training.log import read_log
from twoviews.training.run import checkpoints

from ..evaluate.test_detect import squares

HERE = Path(__file__).parent


def torchrun(processes: int, *arguments: str, timeout: float = 300, check: bool = True) -> subprocess.CompletedProcess:
    """Start `arguments` (a script, or -m and a module) in so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("processes", [2, 4])
def test_the_loss(processes):
    assert "equal" in torchrun(processes, str(HERE / "loss.py")).stdout


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.soak)])
def test_the_step(processes):
    """Batch normalisation of ours, of PyTorch and of timm, LARS and AdamW, the built-in loss and one of your own."""
    assert torchrun(processes, str(HERE / "step.py")).stdout.count("equal") == 6


def train(out: Path, *options: str) -> list[str]:
    return ["-m", "twoviews", "train", "digits", "--out", str(out), "--width", "0.25", "--monitor-images", "200", *options]


def test_a_run_in_two_processes_is_the_run(tmp_path):
    options = ("--batch", "120", "--epochs", "2", "--log-every", "1")
    done = torchrun(2, *train(tmp_path / "two", *options))
    lines = [line for line in done.stderr.splitlines() if "epoch 1/2" in line]
    assert len(lines) == 1  # one of them speaks
    assert "2 processes with 60 pairs each" in done.stderr
    subprocess.run([sys.executable, *train(tmp_path / "one", *options)], check=True, capture_output=True, timeout=200)
    two, one = (read_log(tmp_path / name, "step") for name in ("two", "one"))
    assert [line["step"] for line in two] == [line["step"] for line in one]
    for name in ("loss", "contrast_acc", "alignment", "uniformity", "contrast_entropy"):
        assert two[0][name] == pytest.approx(one[0][name], rel=1e-4), name
    assert two[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=0.02)  # float32: rounding grows from step to step


def test_a_process_dies_and_another_number_goes_on(tmp_path):
    """kill -9 of one of two: within a minute all has ended with a clear message; one process finishes the run."""
    out = tmp_path / "run"
    options = ("--batch", "120", "--epochs", "60", "--checkpoint-every", "5", "--log-every", "1")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *train(out, *options)]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        deadline = time.monotonic() + 200
        while len(checkpoints(out)) < 2:
            assert time.monotonic() < deadline
            assert started.poll() is None, started.stderr.read()
            time.sleep(0.2)
        workers = [p for p in psutil.Process(started.pid).children() if "twoviews" in p.cmdline()]
        second = next(p for p in workers if p.environ()["RANK"] == "1")
        began = time.monotonic()
        second.kill()
        messages = started.communicate(timeout=60)[1]
    finally:
        started.kill()
    assert time.monotonic() - began < 60
    assert started.returncode != 0
    assert "another process of this run ended" in messages or "stopped by SIGTERM" in messages  # torchrun's signal may be faster
    assert "The same command goes on from" in messages
    assert not any(p.is_running() for p in workers)
    reached = checkpoint.number(checkpoints(out)[-1])
    goes_on = subprocess.run(
        [sys.executable, *train(out, *options)], capture_output=True, text=True, timeout=200, check=False, env={**os.environ, "RANK": "0"}
    )
    assert f"going on from step {reached}" in goes_on.stderr
    assert goes_on.returncode == 0, goes_on.stderr


def test_signals_stop_all_at_the_same_step(tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *train(out, "--batch", "120", "--epochs", "4000"),
    ]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 200
        while not read_log(out, "step"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        started.send_signal(signal.SIGTERM)
        messages = started.communicate(timeout=60)[1]
    finally:
        started.kill()
    assert messages.count("stopped by SIGTERM after step") == 1
    assert len(checkpoints(out)) == 1


def test_a_batch_that_does_not_divide(tmp_path):
    done = torchrun(2, *train(tmp_path / "run"), "--batch", "127", check=False)
    assert done.returncode != 0
    assert "batch 127 does not divide over 2 processes" in done.stderr
    assert "--batch 126 or 128" in done.stderr
    assert done.stderr.count("twoviews: ") == 1  # one message, not one a process
    assert not (tmp_path / "run").exists()


def test_a_group_that_does_not_form():
    script = "from twoviews.base import processes; processes.join(3)"
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29917"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **place}, timeout=100, check=False
    )
    assert "the 2 processes did not all meet at 127.0.0.1:29917 within 3 s (this is process 0)" in done.stderr
    assert "torchrun" in done.stderr


def test_learning_from_labels_in_two_processes_is_that_in_one(tmp_path):
    """The first steps' weights agree; batch norms move with the statistics of all."""
    save_encoder(tmp_path / "net.safetensors", encoder("convnet", channels=1, size=12), {})
    options = ("--labels", "5", "--seeds", "1", "--epochs", "1", "--steps", "3", "--scratch=False", "--norm", "moving", "--device", "cpu")
    line = ("-m", "twoviews", "finetune", str(tmp_path / "net.safetensors"), "digits", *options, "--out")
    torchrun(2, *line, str(tmp_path / "two"))
    subprocess.run([sys.executable, *line, str(tmp_path / "one")], check=True, capture_output=True, timeout=200)
    two, one = (load_file(tmp_path / name / "5-per-class-seed-0" / "classifier.safetensors") for name in ("two", "one"))
    begun = load_file(tmp_path / "net.safetensors")
    assert max(float((two[k] - one[k]).abs().max()) for k in one if one[k].is_floating_point()) < 2e-4
    assert any(float((one[f"encoder.{k}"] - begun[k]).abs().max()) > 1e-3 for k in begun), "something was learned"


def test_detection_in_two_processes(tmp_path):
    pytest.importorskip("faster_coco_eval")
    squares(tmp_path / "voc", 10)
    save_encoder(tmp_path / "net.safetensors", encoder("resnet18", width=0.25), {})
    options = (
        "--epochs",
        "1",
        "--batch",
        "4",
        "--side",
        "64",
        "--channels",
        "16",
        "--regions",
        "16",
        "--norm",
        "moving",
        "--beside",
        "none",
    )
    line = ("-m", "twoviews", "detect", str(tmp_path / "net.safetensors"), str(tmp_path / "voc"), *options, "--device", "cpu", "--out")
    torchrun(2, *line, str(tmp_path / "two"))
    subprocess.run([sys.executable, *line, str(tmp_path / "one")], check=True, capture_output=True, timeout=200)
    two, one = (load_file(tmp_path / name / "twoviews" / "detector.safetensors") for name in ("two", "one"))
    norm = "backbone.encoder.stem.0.bn.running_mean"
    assert float((two[norm] - one[norm]).abs().max()) < 1e-4, "statistics of all pictures, not of a process's own"
