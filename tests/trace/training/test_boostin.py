"""BoostIn: removing the rows it names changes what boosted trees say, more than removing others does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.softmax_head import log_softmax
from whence.kernels.tree_influence import boost
from whence.trace import BoostIn


def said(world: Any, kept: Any, columns: Any) -> Any:
    """Log-probability of the labels of these questions under trees grown on these rows."""
    forest = boost(world.X[kept], world.y[kept], 3, rounds=15, depth=2, rate=0.2, rng=np.random.default_rng(0))
    scores = forest.scores(forest.leaves_of(world.Xq[columns]))[:, -1]
    return log_softmax(scores)[np.arange(len(columns)), world.yq[columns]]


def test_removing_the_strongest_rows_changes_the_answer_more_than_random_removal(make_world: Any) -> None:
    world = make_world(n=150, m=12)
    weights = world.trace(BoostIn(rounds=15, depth=2, rate=0.2))
    rng, everything = np.random.default_rng(0), np.arange(150)
    full = said(world, everything, np.arange(12))
    named, chance = [], []
    for q in range(12):
        kept = np.delete(everything, np.argsort(-weights[:, q], kind="stable")[:15])
        named.append(full[q] - said(world, kept, np.array([q]))[0])
        chance.append(full[q] - said(world, np.delete(everything, rng.permutation(150)[:15]), np.array([q]))[0])
    assert np.mean(named) > 0.1 and np.mean(named) > 3 * abs(np.mean(chance))


def test_a_mislabelled_copy_hurts_and_a_right_one_helps(make_world: Any) -> None:
    plain = make_world()
    world = make_world(extra=[(plain.Xq[0], int(plain.yq[0] + 1) % 3), (plain.Xq[0], int(plain.yq[0]))])
    effects = world.trace(BoostIn(rounds=20))[:, 0]
    assert effects[-2] == effects.min() < 0 and effects[-1] > 0


def test_order_of_the_pool_does_not_matter(world: Any) -> None:
    tracer = BoostIn(rounds=10)
    np.testing.assert_allclose(world.trace(tracer, world.permuted()), world.trace(tracer), rtol=1e-9, atol=1e-12)


def test_too_few_rows_are_refused(make_world: Any) -> None:
    small = make_world(n=6)
    with pytest.raises(NotCapable, match="10 or more"):
        BoostIn()(small.pool, small.queries, small.observer, small.ctx)
