"""LARS and the schedule against plain definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twoviews.optim.lars import LARS, split
from twoviews.optim.schedule import Schedule, official, peak


def reference(w, g, v, lr, momentum, decay, trust, adapt):
    """One step of the official rule for one tensor, float64."""
    g = g + decay * w
    ratio = 1.0
    if adapt and w.norm() > 0 and g.norm() > 0:
        ratio = trust * w.norm() / g.norm()
    v = momentum * v + lr * ratio * g
    return w - v, v


@given(st.floats(0, 1e-2), st.floats(0, 0.99), st.floats(0.01, 5), st.integers(0, 50))
def test_lars_step_by_step(decay, momentum, lr, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in [(3, 4), (2, 3, 3, 3), (4, 1)]]
    tensors.append(torch.zeros(3, 2, dtype=torch.float64))
    params = [torch.nn.Parameter(t.clone()) for t in tensors]
    bias = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = LARS(
        [{"params": params, "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0, "adapt": False}], lr=lr, momentum=momentum
    )
    wanted = [(t, torch.zeros_like(t), decay, True) for t in [*tensors]] + [
        (torch.ones(3, dtype=torch.float64), torch.zeros(3), 0.0, False)
    ]
    for _ in range(3):
        for p in [*params, bias]:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        gradients = [p.grad.clone() for p in [*params, bias]]
        optimizer.step()
        wanted = [(*reference(w, g, v, lr, momentum, d, 1e-3, a), d, a) for (w, v, d, a), g in zip(wanted, gradients, strict=True)]
    for p, (w, *_) in zip([*params, bias], wanted, strict=True):
        assert torch.allclose(p, w, rtol=1e-10, atol=1e-12)


def test_adaptation_without_weight_decay():
    """Other libraries switch it off there."""
    p = torch.nn.Parameter(torch.full((10,), 2.0)[None])
    p.grad = torch.full_like(p, 5.0)
    LARS([p], lr=1.0, weight_decay=0.0).step()
    assert p[0, 0].item() == pytest.approx(2.0 - 1e-3 * 2.0 / 5.0 * 5.0)


def test_groups():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    kernels, rest = split(model, weight_decay=0.1)
    assert [p.ndim for p in kernels["params"]] == [4, 2]
    assert rest == {"params": rest["params"], "weight_decay": 0.0, "adapt": False}
    assert len(rest["params"]) == 4
    with pytest.raises(ValueError):
        LARS([torch.nn.Parameter(torch.ones(1))], lr=-1.0)


def test_no_gradient_no_step():
    p = torch.nn.Parameter(torch.ones(2, 2))
    LARS([p], lr=1.0).step()
    assert (p == 1).all()


def test_schedule():
    s = Schedule(2.0, 10, 110)
    assert s(0) == 0
    assert s(5) == 1.0
    assert s(10) == 2.0
    assert s(60) == pytest.approx(1.0)
    assert s(110) == pytest.approx(0)
    assert s(500) == pytest.approx(0)
    assert all(s(t) > s(t + 1) for t in range(10, 109)), "one cosine, no restarts"
    assert Schedule(1.0, 0, 10)(0) == 1.0


def test_scaling_and_step_counts():
    assert peak(0.3, 4096, "linear") == pytest.approx(4.8)
    assert peak(0.075, 4096, "sqrt") == pytest.approx(0.075 * math.sqrt(4096))
    assert peak(0.3, 64, "none") == 0.3
    assert official(0.3, "linear", 10, 512, 50_000, 100) == Schedule(0.6, 976, 9766)
