from __future__ import annotations

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
