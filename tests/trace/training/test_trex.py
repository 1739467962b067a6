"""TREX: its surrogate agrees with the trees, its terms with retraining; the arithmetic is tested beside the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.errors import OverBudget
from whence.kernels.tree_influence import boost, trex
from whence.trace import BoostIn, EmbeddingSimilarity, Trex
from whence.trace.training._links import by_id


def test_it_is_the_kernel_on_the_trees_of_the_pool(world: Any) -> None:
    rows = by_id(world.pool)
    X, Xq = world.X.astype(np.float32), world.Xq.astype(np.float32)
    forest = boost(X[rows], world.y[rows], 3, rounds=12, depth=3, rate=0.1, rng=world.ctx.rng("trees"))
    expected = np.empty((len(X), len(Xq)))
    expected[rows] = trex(forest, forest.leaves_of(Xq), world.y[rows], world.yq, 3, 5.0)
    np.testing.assert_allclose(world.trace(Trex(rounds=12, inverse_penalty=5.0)), expected, rtol=1e-9, atol=1e-12)


def test_rows_of_the_label_help_and_others_hurt(world: Any) -> None:
    found = world.trace(Trex(rounds=20))
    same = world.y[:, None] == world.yq[None]
    assert (found[same] >= 0).all() and (found[~same] <= 0).mean() > 0.9


def test_it_is_nearer_to_boostin_than_similarity_is(make_world: Any) -> None:
    world = make_world(n=150)
    trees, terms = world.trace(BoostIn(rounds=20)), world.trace(Trex(rounds=20))
    similar = world.trace(EmbeddingSimilarity())
    assert np.corrcoef(trees.ravel(), terms.ravel())[0, 1] > 0.5
    assert np.corrcoef(trees.ravel(), terms.ravel())[0, 1] > np.corrcoef(trees.ravel(), similar.ravel())[0, 1]


def test_more_than_memory_bears_is_refused(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whence.trace.training.trex._MOST", 50)
    with pytest.raises(OverBudget, match="fewer rounds"):
        Trex(rounds=20)(world.pool, world.queries, world.observer, world.ctx)
    Trex(rounds=1, depth=1)(world.pool, world.queries, world.observer, world.ctx)
    monkeypatch.setattr("whence.trace.training._trees.MOST", 90 * 3 * 7)
    with pytest.raises(OverBudget, match="fewer rounds"):
        BoostIn(rounds=8)(world.pool, world.queries, world.observer, world.ctx)
    BoostIn(rounds=7)(world.pool, world.queries, world.observer, world.ctx)


def test_order_of_the_pool_does_not_matter(world: Any) -> None:
    tracer = Trex(rounds=10)
    np.testing.assert_allclose(world.trace(tracer, world.permuted()), world.trace(tracer), rtol=1e-6, atol=1e-9)
