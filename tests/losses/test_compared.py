"""The losses of Table 2, DCL and SupCon against their equations, written as loops over Python floats."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import twoviews as tv
from twoviews.base.errors import UserError
from twoviews.losses.compared import decoupled, margin_triplet, multi_view, nt_logistic, supervised_contrastive
from twoviews.losses.named import chance, named_loss
from twoviews.losses.nt_xent import definition
from twoviews.training.config import TrainConfig


def pairs(n, d, seed=0):
    return torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).unbind()


def table(z1, z2, normalize):
    """Similarities of all views as lists, and each view's partner."""
    rows = [list(map(float, row)) for row in [*z1, *z2]]
    n = len(z1)

    def of(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)) if normalize else dot

    return [[of(a, b) for b in rows] for a in rows], [(i + n) % (2 * n) for i in range(2 * n)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def chosen(s, i, j, semi_hard, margin):
    """The negatives of view i that count: all, or the semi-hardest one."""
    negatives = [k for k in range(len(s)) if k not in (i, j)]
    if not semi_hard:
        return negatives
    fits = [k for k in negatives if s[i][j] - margin < s[i][k] < s[i][j]]
    return [max(fits, key=lambda k: s[i][k])] if fits else []


def logistic_by_loops(z1, z2, temperature, normalize, semi_hard, margin):
    s, partner = table(z1, z2, normalize)
    total = 0.0
    for i, j in enumerate(partner):
        ks = chosen(s, i, j, semi_hard, margin)
        total -= math.log(sigmoid(s[i][j] / temperature))
        total -= sum(math.log(sigmoid(-s[i][k] / temperature)) for k in ks) / max(1, len(ks))
    return total / len(s)


def margin_by_loops(z1, z2, margin, normalize, semi_hard):
    s, partner = table(z1, z2, normalize)
    total = 0.0
    for i, j in enumerate(partner):
        ks = chosen(s, i, j, semi_hard, margin)
        total += sum(max(s[i][k] - s[i][j] + margin, 0) for k in ks) / max(1, len(ks))
    return total / len(s)


def decoupled_by_loops(z1, z2, temperature, normalize):
    s, partner = table(z1, z2, normalize)
    return sum(
        -s[i][j] / temperature + math.log(sum(math.exp(s[i][k] / temperature) for k in range(len(s)) if k not in (i, j)))
        for i, j in enumerate(partner)
    ) / len(s)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("semi_hard", [False, True])
@pytest.mark.parametrize(("n", "d", "tile"), [(2, 3, 1), (7, 4, 3), (16, 8, 64)])
def test_each_equals_its_equation(n, d, tile, semi_hard, normalize):
    z1, z2 = pairs(n, d)
    found = nt_logistic(z1, z2, 0.3, normalize=normalize, semi_hard=semi_hard, margin=0.5, tile=tile).item()
    assert found == pytest.approx(logistic_by_loops(z1, z2, 0.3, normalize, semi_hard, 0.5), abs=1e-10)
    found = margin_triplet(z1, z2, 0.5, normalize=normalize, semi_hard=semi_hard, tile=tile).item()
    assert found == pytest.approx(margin_by_loops(z1, z2, 0.5, normalize, semi_hard), abs=1e-10)
    assert decoupled(z1, z2, 0.3, normalize=normalize, tile=tile).item() == pytest.approx(
        decoupled_by_loops(z1, z2, 0.3, normalize), abs=1e-10
    )


def test_supervised_contrastive():
    z1, z2 = pairs(9, 5)
    labels = torch.arange(9) % 3
    s, _ = table(z1, z2, True)
    y = labels.tolist() * 2
    total = 0.0
    for i in range(18):
        below = sum(math.exp(s[i][a] / 0.2) for a in range(18) if a != i)
        same = [p for p in range(18) if p != i and y[p] == y[i]]
        total -= sum(math.log(math.exp(s[i][p] / 0.2) / below) for p in same) / len(same)
    assert supervised_contrastive(z1, z2, labels, 0.2).item() == pytest.approx(total / 18, abs=1e-10)
    assert supervised_contrastive(z1, z2, torch.arange(9), 0.2).item() == pytest.approx(definition(z1, z2, 0.2).item(), abs=1e-12)


@given(st.integers(2, 10), st.integers(1, 12), st.integers(0, 1000), st.sampled_from(["nt-logistic", "margin", "decoupled"]))
@settings(max_examples=30)
def test_gradients_do_not_depend_on_tiles(n, tile, seed, name):
    """Also by finite differences in one direction."""
    z = torch.stack(pairs(n, 4, seed)).requires_grad_()
    losses = {"nt-logistic": nt_logistic, "margin": margin_triplet, "decoupled": decoupled}
    whole = losses[name](z[0], z[1], 0.5, tile=1000)
    (slope,) = torch.autograd.grad(whole, z)
    (tiled,) = torch.autograd.grad(losses[name](z[0], z[1], 0.5, tile=tile), z)
    assert (slope - tiled).abs().max() < 1e-10
    direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (losses[name](*(z + sign * step * direction), 0.5).item() for sign in (1, -1))
    if name != "margin":  # the hinge has corners
        assert (ahead - behind) / (2 * step) == pytest.approx((slope * direction).sum().item(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", ["nt-xent", "nt-logistic", "margin", "decoupled"])
def test_chance_is_what_knowing_nothing_gives(name):
    """All similarities equal: for NT-Logistic, all 0."""
    config = TrainConfig(loss=name)
    n = 16
    z = torch.eye(2 * n, dtype=torch.float64) if name == "nt-logistic" else torch.ones(2 * n, 3, dtype=torch.float64)
    assert named_loss(config, z[:n], z[n:], None).item() == pytest.approx(chance(config, n))


@pytest.mark.parametrize("views", [2, 3, 5])
def test_more_than_two_views(views):
    z = torch.randn(views, 4, 6, generator=torch.Generator().manual_seed(views), dtype=torch.float64).unbind()
    rows = [[float(v) for v in row] for one in z for row in one]
    length = [math.sqrt(sum(v * v for v in row)) for row in rows]
    s = [
        [sum(a * b for a, b in zip(u, v, strict=True)) / p / q / 0.3 for v, q in zip(rows, length, strict=True)]
        for u, p in zip(rows, length, strict=True)
    ]
    terms = []
    for i in range(len(rows)):
        below = math.log(sum(math.exp(s[i][k]) for k in range(len(rows)) if k != i))
        terms += [below - s[i][p] for p in range(len(rows)) if p != i and p % 4 == i % 4]
    assert len(terms) == 4 * views * (views - 1)
    assert multi_view(*z, temperature=0.3).item() == pytest.approx(sum(terms) / len(terms), abs=1e-10)
    if views == 2:
        assert multi_view(*z, temperature=0.3).item() == pytest.approx(definition(*z, 0.3).item(), abs=1e-12)


def test_wrong_shapes():
    with pytest.raises(UserError, match="two views"):
        multi_view(torch.zeros(3, 4))
    with pytest.raises(UserError, match=r"\(3, 4\) and \(2, 4\)"):
        multi_view(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(2, 4))
    z1, z2 = pairs(4, 3)
    for loss in (nt_logistic, margin_triplet, decoupled):
        with pytest.raises(UserError, match="two views"):
            loss(z1, z2[:2])
    with pytest.raises(UserError, match="at least two pairs"):
        decoupled(z1[:1], z2[:1])
    with pytest.raises(UserError, match="one label a pair"):
        supervised_contrastive(z1, z2, torch.zeros(3))


@pytest.mark.parametrize(
    "options",
    [{"loss": "nt-logistic"}, {"loss": "nt-logistic", "semi_hard": True}, {"loss": "margin", "margin": 0.4}, {"loss": "decoupled"}],
)
def test_each_trains(tmp_path, options):
    """With the gradient cache too; the log has the chance of its own loss."""
    run = tv.train(
        "digits", tmp_path / "run", recipe="digits", batch=128, width=0.25, epochs=3, chunk=32, log_every=1, tensorboard=False, **options
    )
    losses = [line["loss"] for line in run.log("step")]
    if not options.get("semi_hard"):  # these negatives become harder as it learns
        assert sum(losses[-5:]) < sum(losses[:5])
    assert run.log()[0]["loss_chance"] == pytest.approx(chance(run.config, 128), rel=1e-5)
    assert run.log()[-1]["knn"] > 0.5
