"""kNN, ridge, logistic regression and label-free measures against naive definitions and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from twoviews.probes.knn import knn_votes
from twoviews.probes.logistic import Logistic
from twoviews.probes.quality import alignment, effective_rank, uniformity, verdict
from twoviews.probes.ridge import L2, ridge, ridge_accuracy


def blobs(n=60, d=5, classes=3, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centres = 2 * torch.randn(classes, d, generator=generator)
    return centres[y] + spread * torch.randn(n, d, generator=generator), y


def test_knn_by_loops():
    x, y = blobs()
    queries, _ = blobs(seed=1)
    got = knn_votes(x, y, queries, 3, k=7, temperature=0.2, chunk=11)
    unit = torch.nn.functional.normalize(x, dim=1)
    for n, query in enumerate(queries):
        q = query / query.norm()
        ranked = sorted(((float(q @ row), int(label)) for row, label in zip(unit, y, strict=True)), reverse=True)[:7]
        votes = [sum(math.exp((s - ranked[0][0]) / 0.2) for s, label in ranked if label == c) for c in range(3)]
        assert got[n].tolist() == pytest.approx(votes, rel=1e-3, abs=1e-5)
    assert knn_votes(x[:2], y[:2], queries, 3, k=50).isfinite().all()


@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 40)])
def test_ridge_is_scikit_learns(n, d):
    """Also with fewer pictures than features, where the Gram matrix is decomposed."""
    x, y = blobs(n, d)
    strengths = torch.tensor([1e-3, 1.0, 50.0])
    w, b = ridge(x, y, 3, strengths)
    for i, strength in enumerate(strengths.tolist()):
        theirs = Ridge(alpha=strength * n).fit(x.double().numpy(), np.eye(3)[y.numpy()])
        assert np.abs(w[i].numpy() - theirs.coef_.T).max() < 1e-4
        assert np.abs(b[i].numpy() - theirs.intercept_).max() < 1e-4


def test_ridge_accuracy():
    x, y = blobs(spread=0.1)
    assert ridge_accuracy(x, y, x, y, 3) == 1.0
    assert len(L2) == 45
    assert (L2[0], L2[-1]) == pytest.approx((1e-6, 1e5))


@pytest.mark.parametrize("l2", [1e-3, 0.1, 1.0])
def test_logistic_is_scikit_learns(l2):
    x, y = blobs(spread=2.0)
    w, b = Logistic(x, y, 3).fit(l2)
    theirs = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-8, max_iter=10_000).fit(x.double().numpy(), y.numpy())
    assert np.abs((w - w.mean(1, keepdim=True)).numpy() - theirs.coef_.T).max() < 1e-3
    assert np.abs((b - b.mean()).numpy() - theirs.intercept_).max() < 1e-3


def test_a_path_ends_where_single_fits_do():
    x, y = blobs(spread=2.0)
    path = list(Logistic(x, y, 3).path([1e-3, 1.0, 0.1]))
    assert [l2 for l2, *_ in path] == [1.0, 0.1, 1e-3]
    for l2, w, _ in path:
        assert (w - Logistic(x, y, 3).fit(l2)[0]).abs().max() < 1e-3


def test_alignment_and_uniformity_by_loops():
    z1, z2 = (torch.randn(6, 4, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (0, 1))
    u1, u2 = (torch.nn.functional.normalize(z, dim=1) for z in (z1, z2))
    assert alignment(z1, z2).item() == pytest.approx(sum(((a - b) ** 2).sum().item() for a, b in zip(u1, u2, strict=True)) / 6, rel=1e-5)
    values = [math.exp(-2 * ((u1[i] - u1[j]) ** 2).sum().item()) for i in range(6) for j in range(6) if i != j]
    assert uniformity(z1).item() == pytest.approx(math.log(sum(values) / len(values)), rel=1e-5)
    assert uniformity(torch.ones(5, 3)).item() == pytest.approx(0, abs=1e-5)
    assert alignment(z1, 3 * z1).item() == pytest.approx(0, abs=1e-6)


def test_effective_rank():
    axes = torch.cat([torch.eye(8), -torch.eye(8)])
    assert effective_rank(axes) == pytest.approx(8, rel=1e-4)
    line = torch.linspace(-1, 1, 20)[:, None] @ torch.ones(1, 6)
    assert effective_rank(line + 5) == pytest.approx(1, abs=1e-3)


def test_verdict_in_words():
    assert verdict(5.0, 7.1, -2.0, 40, 128, 1000).startswith("learning: loss 5.00 below 7.10")
    assert verdict(7.09, 7.1, -2.0, 40, 128, 1000).startswith("learns nothing yet")
    assert verdict(5.0, 7.1, -2.0, 1.2, 128, 1000).startswith("collapsed: effective rank 1.2")
    assert verdict(7.1, 7.1, 0.0, 30, 128, 1000).startswith("collapsed")


def test_points_of_no_direction_have_no_uniformity_and_are_said_in_words():
    spread = uniformity(torch.zeros(6, 4)).item()
    assert np.isnan(spread)
    for value in (spread, None):
        words = verdict(1.0, 2.0, value, 1.0, 4, 6)
        assert words.startswith("collapsed")
        assert "nan" not in words
