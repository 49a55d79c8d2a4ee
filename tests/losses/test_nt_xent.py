"""NT-Xent against the paper's equation 1, written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twoviews.losses.nt_xent import chance, contrastive_metrics, nt_xent


def by_loops(z1, z2, temperature, normalize=True):
    """Mean over i of −log( exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ) ), in Python floats."""
    rows = [list(map(float, row)) for row in [*z1, *z2]]
    n = len(z1)

    def similarity(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)) if normalize else dot

    total = 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        below = sum(math.exp(similarity(rows[i], rows[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(similarity(rows[i], rows[j]) / temperature) / below)
    return total / (2 * n)


def pairs(n, d, seed=0, dtype=torch.float64):
    return torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype).unbind()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("n", "d", "temperature"), [(1, 3, 0.5), (2, 4, 0.1), (7, 5, 1.0), (16, 8, 0.5)])
def test_equals_the_equation(n, d, temperature, normalize):
    z1, z2 = pairs(n, d)
    assert nt_xent(z1, z2, temperature, normalize=normalize).item() == pytest.approx(by_loops(z1, z2, temperature, normalize), abs=1e-10)
    assert nt_xent(z1, z2, temperature, official=True).item() == pytest.approx(2 * by_loops(z1, z2, temperature), abs=1e-10)


def test_a_value_computed_once():
    """A vector of our own definition, kept so that nothing drifts."""
    z1 = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    z2 = torch.tensor([[0.8, 0.6], [0.0, 1.0]], dtype=torch.float64)
    logits = {(0, 1): 0.6, (0, 2): 0.8, (0, 3): 0.0, (1, 2): 0.96, (1, 3): 0.8, (2, 3): 0.6}
    s = {**logits, **{(b, a): v for (a, b), v in logits.items()}}
    want = sum(-s[i, (i + 2) % 4] / 0.5 + math.log(sum(math.exp(s[i, k] / 0.5) for k in range(4) if k != i)) for i in range(4)) / 4
    assert nt_xent(z1, z2, 0.5).item() == pytest.approx(want, abs=1e-14)


@given(st.integers(2, 12), st.floats(0.05, 2), st.integers(0, 1000))
@settings(max_examples=40)
def test_order_swap_and_scale_do_not_matter(n, temperature, seed):
    z1, z2 = pairs(n, 6, seed)
    loss = nt_xent(z1, z2, temperature).item()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    assert nt_xent(z1[order], z2[order], temperature).item() == pytest.approx(loss, rel=1e-12)
    assert nt_xent(z2, z1, temperature).item() == pytest.approx(loss, rel=1e-12)
    assert nt_xent(3 * z1, 0.1 * z2, temperature).item() == pytest.approx(loss, rel=1e-12)
    assert loss >= 0


@pytest.mark.parametrize("n", [2, 8, 512])
def test_knowing_nothing_is_log_2n_minus_1(n):
    z = torch.ones(n, 4)
    assert nt_xent(z, z, 0.1).item() == pytest.approx(math.log(2 * n - 1), rel=1e-6)
    assert chance(n) == math.log(2 * n - 1)


def test_is_safe_where_exponentials_overflow():
    z1, z2 = pairs(8, 4, dtype=torch.float32)
    loss = nt_xent(100 * z1, 100 * z2, 0.01, normalize=False)
    assert torch.isfinite(loss)
    zero = torch.zeros(4, 8, requires_grad=True)
    nt_xent(zero, zero, 0.1).backward()
    assert torch.isfinite(zero.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_is_raised(dtype):
    z1, z2 = pairs(32, 16, dtype=torch.float32)
    loss = nt_xent(z1.to(dtype), z2.to(dtype), 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(nt_xent(z1.to(dtype).float(), z2.to(dtype).float(), 0.1).item(), rel=1e-6)


def test_gradient_by_differences():
    z1, z2 = pairs(4, 3)
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (z1.requires_grad_(), z2.requires_grad_()))


def test_metrics_by_loops():
    z1, z2 = pairs(6, 4)
    accuracy, entropy = contrastive_metrics(z1, z2, 0.5)
    unit = [torch.nn.functional.normalize(z, dim=1) for z in (z1, z2)]
    right, total = 0, 0.0
    for i in range(6):
        logits = [float(unit[0][i] @ unit[1][j]) / 0.5 for j in range(6)]
        right += max(range(6), key=logits.__getitem__) == i
        weights = [math.exp(value) for value in logits]
        total -= sum(w / sum(weights) * math.log(w / sum(weights) + 1e-8) for w in weights)
    assert accuracy.item() == pytest.approx(right / 6)
    assert entropy.item() == pytest.approx(total / 6, abs=1e-12)
