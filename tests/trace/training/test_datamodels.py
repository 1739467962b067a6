"""Datamodels: weights of retraining, near the true leave-one-out effects, and an honest account of their quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.softmax_head import fit, margin_of
from whence.trace import Datamodels, Influence


def test_with_many_subsets_weights_are_the_effects_of_presence(make_world: Any) -> None:
    """Ridge on ten times more subsets than rows, against the mean over subsets of the effect of adding each row."""
    world = make_world(n=24, m=4)
    found = world.trace(Datamodels(subsets=1000, estimator="ridge"))
    rng = np.random.default_rng(9)
    truth = np.zeros_like(found)
    for i in range(24):
        others = [np.concatenate([rng.permutation(np.delete(np.arange(24), i))[:11]]) for _ in range(60)]
        both = [*others, *(np.append(o, i) for o in others)]
        margins = margin_of(fit(world.X, world.y, 3, subsets=both, C=1.0, tol=1e-5), world.Xq, world.yq)
        truth[i] = (margins[60:] - margins[:60]).mean(axis=0)
    # sampling noise of either side remains
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("estimator", "least"), [("lasso", 0.5), ("ridge", 0.5)])
def test_it_agrees_with_influence_which_is_found_another_way(make_world: Any, estimator: str, least: float) -> None:
    world = make_world(n=40, m=4)
    found, influence = world.trace(Datamodels(subsets=400, estimator=estimator)), world.trace(Influence())
    assert np.mean([np.corrcoef(found[:, q], influence[:, q])[0, 1] for q in range(4)]) > least


def test_more_subsets_predict_better(make_world: Any) -> None:
    world = make_world(n=60, m=5)
    few, many = (Datamodels(subsets=s).quality(world.pool, world.queries, world.observer, world.ctx) for s in (40, 400))
    assert few.figure < many.figure and many.figure > 0.8
    assert many.interval is not None and many.interval[0] <= many.figure <= many.interval[1]
    assert f"{many.figure:.2f}" in many.verdict and "80 subsets" in many.verdict


def test_lasso_leaves_most_rows_out(make_world: Any) -> None:
    world = make_world(n=90)
    assert (world.trace(Datamodels()) == 0).mean() > 0.2
    assert (world.trace(Datamodels(estimator="ridge")) == 0).mean() == 0


def test_order_of_the_pool_does_not_matter(world: Any) -> None:
    straight = world.trace(Datamodels(subsets=60))
    np.testing.assert_allclose(world.trace(Datamodels(subsets=60), world.permuted()), straight, rtol=1e-6, atol=1e-9)


def test_too_few_rows_and_no_question_are_refused(make_world: Any) -> None:
    small = make_world(n=6)
    with pytest.raises(NotCapable, match="10 or more"):
        Datamodels()(small.pool, small.queries, small.observer, small.ctx)
    world = make_world()
    none = type(world.queries)(world.queries.table.slice(0, 0), world.queries.roles, name="asked")
    with pytest.raises(NotCapable, match="question"):
        Datamodels()(world.pool, none, world.observer, world.ctx)
