"""doctor, completion, and colours in pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import torch

import twoviews as tv
from twoviews.base.errors import UserError
from twoviews.bench.doctor import Health, advise, doctor


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "twoviews", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


def test_doctor_measures_and_writes(tmp_path):
    done = run("doctor", "--seconds", "2", "--out", tmp_path, "--json", tmp_path / "doctor.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "doctor.json").read_text())
    for name in ("products_fp32_gflops", "step_fp32_images_per_second", "cut_images_per_second_and_core", "disk_mb_per_second"):
        assert found["measured"][name] > 0
    assert found["used"]["precision"] in ("fp32", "bf16")
    assert set(found["extras"]) >= {"report", "serve", "onnx", "wandb", "mlflow", "detect"}
    assert found["advice"]
    assert list(tmp_path.iterdir()) == [tmp_path / "doctor.json"]  # nothing of the disk's try is left
    assert "→" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_it_only_looks_when_asked():
    found = doctor(seconds=0)
    assert isinstance(found, Health)
    assert found.measured == {}


def test_advice_follows_from_what_was_seen():
    used = {"threads": 1, "cores_allowed": 8, "precision": "fp32", "compile": "no"}
    measured = {"step_fp32_images_per_second": 100.0, "step_bf16_images_per_second": 300.0, "disk_mb_per_second": 10.0}
    found = " ".join(advise({}, used, measured, torch.device("cpu")))
    assert "1 of 8 cores" in found
    assert "--precision bf16 was faster here: 3.0 times" in found
    assert "10 MB a second" in found
    better = {"step_fp32_images_per_second": 300.0, "step_bf16_images_per_second": 100.0, "disk_mb_per_second": 500.0}
    found = " ".join(advise({}, used | {"threads": 8}, better, torch.device("cpu")))
    assert "--precision" not in found
    assert "cores:" not in found


def test_wrong_input(tmp_path):
    for arguments, words in (
        (["--out", tmp_path / "none"], "no such folder"),
        (["--seconds", "-1"], "negative"),
        (["--device", "cuda:7"], "cannot be used"),
    ):
        done = run("doctor", *arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
    with pytest.raises(UserError):
        doctor("warp")


def test_shell_completion(tmp_path):
    """What is installed completes verbs and options, in a real bash."""
    done = run("--install-completion", HOME=str(tmp_path), SHELL="/bin/bash")
    assert done.returncode == 0, done.stderr
    script = next(path for path in tmp_path.rglob("*") if path.is_file() and "twoviews" in path.name)
    text = f'source "{script}"; complete -p twoviews; COMP_WORDS=(twoviews rep); COMP_CWORD=1; COMP_LINE="twoviews rep"; COMP_POINT=12; '
    function = "$(complete -p twoviews | sed -E 's/.*-F ([^ ]+).*/\\1/')"
    shown = subprocess.run(["bash", "-c", text + f'f={function}; $f; echo "${{COMPREPLY[@]}}"'], capture_output=True, text=True)
    assert "report" in shown.stdout, shown.stdout + shown.stderr


def test_colours_only_where_they_are_wanted(tmp_path):
    """Pipes get plain text; FORCE_COLOR brings colours, and NO_COLOR takes them away again."""
    tv.train("digits", tmp_path / "run", recipe="digits", batch=256, width=0.25, epochs=1, tensorboard=False)
    assert "\x1b" not in run("runs", tmp_path).stdout
    assert "\x1b[" in run("runs", tmp_path, FORCE_COLOR="1").stdout
    assert not re.search(r"\x1b\[[0-9;]*(3|9)[0-7]m", run("runs", tmp_path, FORCE_COLOR="1", NO_COLOR="1").stdout)
