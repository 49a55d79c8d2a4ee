"""NT-Xent against the paper's equation 1, written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from twoviews.base.errors import UserError
from twoviews.losses import tiled
from twoviews.losses.nt_xent import chance, contrastive_metrics, definition, nt_xent


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


@pytest.mark.parametrize("tile", ["auto", None, 2])
def test_gradient_by_differences(tile):
    z1, z2 = pairs(4, 3)
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3, tile=tile), (z1.requires_grad_(), z2.requires_grad_()))


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


def gradients(loss, *z):
    value = loss(*z)
    return value.detach(), torch.autograd.grad(value, z)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 17, 40])
def test_every_tile_is_the_definition(n, normalize, monkeypatch):
    z = [x.requires_grad_() for x in pairs(n, 8, n)]
    want, slopes = gradients(lambda a, b: definition(a, b, 0.2, normalize), *z)
    for keep in (0, tiled.KEEP_BYTES):
        monkeypatch.setattr(tiled, "KEEP_BYTES", keep)
        for tile in ["auto", None, *range(1, n + 1)]:
            got, slope = gradients(lambda a, b, tile=tile: nt_xent(a, b, 0.2, normalize=normalize, tile=tile), *z)
            assert abs(got - want) < 1e-10
            assert all((x - y).abs().max() < 1e-10 for x, y in zip(slope, slopes, strict=True))


@given(st.integers(0, 200), st.integers(1, 80))
def test_tiles_hold_each_pair_once(high, tile):
    seen = torch.zeros(high, high, dtype=torch.int64)
    for a, b, c, d in tiled.tiles(0, high, tile):
        assert b - a <= tile
        assert d - c <= tile
        seen[a:b, c:d] += 1
        if a != c:
            seen[c:d, a:b] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("temperature", [0.001, 0.0166, 0.0167, 0.05, 5.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_tiles_are_safe_at_every_temperature(temperature, normalize):
    """Equal views are the hottest pairs there are; float32 must neither overflow nor lose the loss."""
    z1, _ = pairs(50, 8, dtype=torch.float32)
    z = torch.stack([z1, z1]).requires_grad_()
    loss = nt_xent(z[0], z[1], temperature, normalize=normalize, tile=7)
    loss.backward()
    exact = definition(z[0].double(), z[1].double(), temperature, normalize)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-4, abs=1e-5)
    assert torch.isfinite(z.grad).all()


def test_memory_grows_with_n_only():
    """At n = 2,048 the similarities would take 64 MiB; no tensor that is made here is larger than n × tile."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        bytes = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for x in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(x, torch.Tensor):
                    self.bytes = max(self.bytes, x.untyped_storage().nbytes())
            return out

    z1, z2 = pairs(2048, 16, dtype=torch.float32)
    for normalize in (True, False):
        with Largest() as largest:
            nt_xent(z1.requires_grad_(), z2.requires_grad_(), normalize=normalize, tile=128).backward()
        assert largest.bytes <= 128 * 2 * 2048 * 4
    with Largest() as largest:
        contrastive_metrics(z1.detach(), z2.detach())
    assert largest.bytes <= 1024 * 2048 * 4


@pytest.mark.parametrize("tile", ["auto", 8, None])
def test_under_autocast_and_compile(tile):
    z = [x.requires_grad_() for x in pairs(40, 8, dtype=torch.float32)]
    want, slopes = gradients(lambda a, b: definition(a, b, 0.2), *z)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(*z, 0.2, tile=tile)
    mixed = loss.detach(), torch.autograd.grad(loss, z)
    whole = torch.compile(lambda a, b: 3 * nt_xent(a, b, 0.2, tile=tile), fullgraph=True, backend="aot_eager")
    traced = gradients(whole, *z)
    for (got, slope), factor in ((mixed, 1), (traced, 3)):
        assert got.item() == pytest.approx(factor * want.item(), rel=1e-5)
        assert all(torch.allclose(x, factor * y, atol=1e-6) for x, y in zip(slope, slopes, strict=True))


@pytest.mark.parametrize(
    ("shape", "tile", "words"),
    [
        ((4, 8), 5, ["tile is 5", "4 pairs", "'auto'"]),
        ((4, 8), 0, ["tile is 0", "from 1 to 4"]),
        ((4, 8), "big", ["'big'", "'auto'"]),
        ((4, 8, 1), "auto", ["(n, d)", "(4, 8, 1)"]),
        ((0, 8), "auto", ["n ≥ 1", "(0, 8)"]),
    ],
)
def test_what_cannot_be(shape, tile, words):
    with pytest.raises(UserError) as error:
        nt_xent(torch.ones(shape), torch.ones(shape), tile=tile)
    assert all(word in str(error.value) for word in words)
