from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.core.pool import Pool
from whence.score.value.knn_shapley import KNNShapley


def test_against_all_coalitions(pool_of) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((9, 3)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    labels = [f"c{c}" for c in rng.integers(0, 2, 9)]
    every, observer, ctx = pool_of(X, labels, "shapley")
    pool, reference = (Pool(every.table.take(rows), every.roles, name=every.name) for rows in np.split(np.arange(9), [6]))
    found = KNNShapley(k=2)(pool, observer, ctx, reference=reference).values

    def worth(rows: tuple[int, ...]) -> float:
        total = 0.0
        for q in range(6, 9):
            near = sorted(rows, key=lambda r: float(np.linalg.norm(X[r] - X[q])))[:2]
            total += sum(labels[r] == labels[q] for r in near) / 2
        return total / 3

    for i in range(6):
        rest = [j for j in range(6) if j != i]
        by_hand = sum((worth((*s, i)) - worth(s)) / (6 * comb(5, size)) for size in range(6) for s in combinations(rest, size))
        assert found[i] == pytest.approx(by_hand, abs=1e-9)


def test_without_a_reference_it_is_refused(world) -> None:
    with pytest.raises(NotCapable, match="reference"):
        KNNShapley()(world.pool, world.observer, world.ctx)
