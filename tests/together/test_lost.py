"""Processes and networks that are lost, as they are lost: kill -9 of one of four, and a cable that is cut between two hosts (network namespaces)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from twoviews.training import checkpoint
from twoviews.training.run import checkpoints

from .test_together import train

pytestmark = pytest.mark.soak
QUIET = {**os.environ, "OMP_NUM_THREADS": "1"}
OPTIONS = ("--batch", "120", "--epochs", "24", "--checkpoint-every", "5", "--log-every", "1", "--monitor-every", "12", "--no-tensorboard")


def bytes_of(run: Path) -> bytes:
    return (run / "encoder.safetensors").read_bytes()


def wait_for(run: Path, step: int, *processes: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not any(checkpoint.number(saved) >= step for saved in checkpoints(run)):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)


def test_one_of_four_is_killed_at_random_steps(tmp_path):
    """The others end within a minute; the same command ends in the same weights, bit by bit; two processes can finish what four began."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    subprocess.run([*command, *train(tmp_path / "whole", *OPTIONS)], check=True, capture_output=True, env=QUIET, timeout=600)
    moments, out = random.Random(0), tmp_path / "run"
    for kill in range(3):
        started = subprocess.Popen(
            [*command, *train(out, *OPTIONS)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=QUIET
        )
        try:
            wait_for(out, 5 + 60 * kill, started)
            time.sleep(moments.uniform(0, 1))
            workers = [p for p in psutil.Process(started.pid).children() if "twoviews" in p.cmdline()]
            began = time.monotonic()
            moments.choice(workers).kill()
            said = started.communicate(timeout=60)[1]
        finally:
            started.kill()
        assert time.monotonic() - began < 60
        assert "The same command goes on" in said
        assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in workers)
        if kill == 1:
            half = tmp_path / "half"
            subprocess.run(["cp", "-r", str(out), str(half)], check=True)
    subprocess.run([*command, *train(out, *OPTIONS)], check=True, capture_output=True, env=QUIET, timeout=600)
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    command[-1] = "2"
    subprocess.run([*command, *train(half, *OPTIONS)], check=True, capture_output=True, env=QUIET, timeout=600)
    one, other = load_file(half / "encoder.safetensors"), load_file(out / "encoder.safetensors")
    one, other = (torch.cat([v.float().flatten() for v in weights.values()]) for weights in (one, other))
    assert (one - other).norm() < 0.1 * other.norm()  # two processes round otherwise than four, and 150 float32 steps make it more


def test_a_cable_is_cut_between_two_hosts(tmp_path):
    """Two network namespaces, a cable between them that goes dead without a word: both sides end within a minute; with it back the run goes on."""
    if subprocess.run(["ip", "netns", "add", "twoviews-a"], capture_output=True).returncode:
        pytest.skip("this user may not make network namespaces")
    try:
        for line in (
            "netns add twoviews-b",
            "link add tv0 netns twoviews-a type veth peer name tv1 netns twoviews-b",
            "-n twoviews-a addr add 10.213.7.1/24 dev tv0",
            "-n twoviews-b addr add 10.213.7.2/24 dev tv1",
            "-n twoviews-a link set tv0 up",
            "-n twoviews-b link set tv1 up",
            "-n twoviews-a link set lo up",
            "-n twoviews-b link set lo up",
        ):
            subprocess.run(["ip", *line.split()], check=True)

        def start(out: Path) -> list[subprocess.Popen]:
            found = []
            for rank, (space, device) in enumerate((("twoviews-a", "tv0"), ("twoviews-b", "tv1"))):
                where = {
                    "RANK": str(rank),
                    "WORLD_SIZE": "2",
                    "MASTER_ADDR": "10.213.7.1",
                    "MASTER_PORT": "29512",
                    "GLOO_SOCKET_IFNAME": device,
                }
                line = ["ip", "netns", "exec", space, sys.executable, *train(out, *OPTIONS)]
                found.append(subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**QUIET, **where}))
            return found

        for process in start(tmp_path / "whole"):
            said = process.communicate(timeout=300)[1]
            assert process.returncode == 0, said
        both = start(tmp_path / "run")
        wait_for(tmp_path / "run", 60, *both)
        subprocess.run(["ip", "-n", "twoviews-b", "link", "set", "tv1", "down"], check=True)
        began = time.monotonic()
        for process in both:
            said = process.communicate(timeout=60)[1]
            assert process.returncode == 1
            assert "The same command goes on" in said
        assert time.monotonic() - began < 60
        subprocess.run(["ip", "-n", "twoviews-b", "link", "set", "tv1", "up"], check=True)
        for process in start(tmp_path / "run"):
            said = process.communicate(timeout=300)[1]
            assert process.returncode == 0, said
        assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")
    finally:
        for space in ("twoviews-a", "twoviews-b"):
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
