"""What several processes compute together is what one computes alone. Real processes, started by torchrun, over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
