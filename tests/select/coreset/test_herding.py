from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.select.coreset.herding import Herding


def greedy_mean(X: np.ndarray, k: int) -> list[int]:
    """At each step the row whose arrival leaves the running mean nearest to the mean of all (Chen et al., linear kernel)."""
    mean, chosen, total = X.mean(0), [], np.zeros(X.shape[1])
    for t in range(k):
        gap = ((mean - (total + X) / (t + 1)) ** 2).sum(1)
        gap[chosen] = np.inf
        chosen.append(int(gap.argmin()))
        total = total + X[chosen[-1]]
    return chosen


def test_by_hand(scene) -> None:
    """The mean is (0.2, 0.1). (1, 0) lies nearest to it; with (-1, 0) the running mean is (0, 0), nearer than with any other."""
    at = scene(np.array([[1.0, 0], [0, 1], [-1, 0], [0.8, -0.6]]))
    assert at.rows(Herding()(at.pool, at.observer, at.ctx, budget=2).kept) == [0, 2]


def test_unit_rows_are_chosen_as_by_brute_force(scene, blobs) -> None:
    X = blobs(50, spread=0.5)[0].astype(float)
    at = scene(X)
    made = at.rows(Herding()(at.pool, at.observer, at.ctx, budget=15).kept)
    assert made == greedy_mean(X, 15)
    assert at.rows(Herding()(at.pool, at.observer, at.ctx, budget=6).kept) == made[:6]


def test_the_mean_is_kept_better_than_by_chance(scene, blobs) -> None:
    X = blobs(80, spread=0.5)[0].astype(float)
    at = scene(X)
    gap = np.linalg.norm(X[at.rows(Herding()(at.pool, at.observer, at.ctx, budget=10).kept)].mean(0) - X.mean(0))
    rng = np.random.default_rng(0)
    chance = [np.linalg.norm(X[rng.permutation(80)[:10]].mean(0) - X.mean(0)) for _ in range(200)]
    assert gap < min(chance)


def test_classes_take_turns(scene, blobs) -> None:
    X, y = blobs(30)
    at = scene(X, y)
    made = at.rows(Herding(by_class=True)(at.pool, at.observer, at.ctx, budget=9).kept)
    assert [i % 3 for i in made] == [0, 1, 2] * 3
    own = np.flatnonzero(np.arange(30) % 3 == 1)
    assert made[1::3] == [int(own[i]) for i in greedy_mean(X[own].astype(float), 3)]
    bare = scene(X)
    with pytest.raises(NotCapable):
        Herding(by_class=True)(bare.pool, bare.observer, bare.ctx, budget=3)
