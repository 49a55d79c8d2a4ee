from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from twoviews.base import draws as rng

MASK = (1 << 64) - 1


def splitmix(x: int) -> int:
    """The published finaliser in whole numbers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@given(st.integers(0, MASK), st.integers(0, 1000))
def test_numbers_are_splitmix64(key, position):
    ours = rng.uniform(np.array([key], np.uint64), 1, position)[0, 0]
    assert ours == (splitmix((key + (position + 1) * 0x9E3779B97F4A7C15) & MASK) >> 11) * 2.0**-53


@given(st.integers(-(2**40), 2**40), st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.data())
def test_a_key_depends_on_its_parts_only(seed, ids, data):
    together = rng.key(seed, "views", np.array(ids))
    place = data.draw(st.integers(0, len(ids) - 1))
    assert rng.key(seed, "views", ids[place])[0] == together[place]
    assert rng.key(seed + 1, "views", ids[place])[0] != together[place]
    assert rng.key(seed, "order", ids[place])[0] != together[place]
    assert rng.key(seed, ids[place], "views")[0] != together[place]


def test_uniform_and_normal_follow_their_distributions():
    keys = rng.key(1, np.arange(20_000))
    assert stats.kstest(rng.uniform(keys, 1)[:, 0], "uniform").pvalue > 0.001
    assert stats.kstest(rng.normal(keys, 3).ravel(), "norm").pvalue > 0.001
    u = rng.uniform(keys, 2)
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 0.03
    neighbours = rng.uniform(rng.key(np.arange(20_000)), 1)[:, 0]
    assert abs(np.corrcoef(neighbours[:-1], neighbours[1:])[0, 1]) < 0.03


@given(st.integers(1, 500), st.integers(0, 100))
def test_permutation(n, seed):
    order = rng.permutation(n, seed, "order", 3)
    assert sorted(order) == list(range(n))
    assert (order == rng.permutation(n, seed, "order", 3)).all()


def test_another_epoch_is_another_order():
    assert (rng.permutation(100, 0, "order", 0) != rng.permutation(100, 0, "order", 1)).any()
    assert rng.subset(10, 4, 1).tolist() == sorted(set(rng.subset(10, 4, 1).tolist()))
