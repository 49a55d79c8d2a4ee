"""The long tests of what a kill costs: nothing. benchmarks/kill.py does the work and tells the figures of docs/reliability.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.soak
def test_fifty_kills_of_a_training_and_ten_of_every_other_long_job(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "kill.py"), "--json", str(tmp_path / "kill.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "kill.json").read_text())
    assert found["equal"]
    assert found["jobs"]["train"]["kills"] >= 40  # a run that has finished cannot be killed any more
    assert set(found["jobs"]["train"]["places"]) == {"step", "file", "before", "after", "removal", "log", "worker", "anywhere"}
    assert all(job["kills"] >= 3 for job in found["jobs"].values())


@pytest.mark.soak
def test_damaged_input_for_long(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), "--inputs", "20000", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
