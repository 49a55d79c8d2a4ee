from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from twoviews.base import device as devices
from twoviews.base.errors import UserError


def test_cpu():
    cpu = devices.pick("cpu")
    assert devices.precision("auto", cpu) == "fp32"
    assert devices.precision("bf16", cpu) == "bf16"
    assert devices.to_device(np.arange(3)[::-1], cpu, torch.float32).tolist() == [2.0, 1.0, 0.0]
    assert "threads" in devices.describe(cpu)
    with devices.autocast(cpu, "bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with devices.autocast(cpu, "fp32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cdua"])
def test_wrong_device(name):
    with pytest.raises(UserError, match=f"device '{name}' cannot be used"):
        devices.pick(name)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_freed_memory_stays():
    script = """
import sys, resource, torch
from twoviews.base.device import reuse_memory
if sys.argv[1] == "1":
    reuse_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = resident()
torch.ones(2**26)  # 256 MB, freed at once
print(resident() - before > 2**27)
"""
    for keep, want in (("0", "False"), ("1", "True")):
        done = subprocess.run([sys.executable, "-c", script, keep], capture_output=True, text=True, check=True)
        if keep == "1" and done.stdout.strip() != want and "glibc" not in platform.libc_ver()[0]:
            pytest.skip("another C library")
        assert done.stdout.strip() == want
