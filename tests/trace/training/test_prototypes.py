"""Prototypes: gradients by finite differences, parts that add up, and citations whose removal is felt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.softmax_head import fit, predict
from whence.trace import Prototypes
from whence.trace.training import prototypes as pt


def test_gradient_by_finite_differences() -> None:
    rng = np.random.default_rng(0)
    X, P = rng.standard_normal((20, 4)), rng.standard_normal((5, 4))
    onehot, slopes, levels = np.eye(3)[rng.integers(0, 3, 20)], rng.standard_normal((3, 5)), rng.standard_normal(3)

    def loss(P: Any) -> float:
        return pt.prototype_loss(X, onehot, P, slopes, levels, 2.0, 0.7)[0]

    _, g = pt.prototype_loss(X, onehot, P, slopes, levels, 2.0, 0.7)
    for j in range(5):
        for d in range(4):
            step = np.zeros_like(P)
            step[j, d] = 1e-6
            assert g[j, d] == pytest.approx((loss(P + step) - loss(P - step)) / 2e-6, rel=1e-5, abs=1e-8)


def test_loss_by_hand() -> None:
    X, P = np.array([[0.0], [1.0]]), np.array([[0.0], [3.0]])
    slopes, levels = np.zeros((2, 2)), np.zeros(2)
    # cross-entropy log 2; prototypes lie 0 and 4 (squared) from their nearest rows, rows 0 and 1 from their nearest prototype
    value, _ = pt.prototype_loss(X, np.eye(2), P, slopes, levels, 1.0, 0.5)
    assert value == pytest.approx(np.log(2) + 0.5 * (2.0 + 0.5))


def test_it_classifies_about_as_well_as_a_linear_head(make_world: Any) -> None:
    world = make_world(n=240, m=120, spread=0.3)
    model = pt.train(world.X, world.y, 3, per_class=3, free=1, near=0.5, rng=np.random.default_rng(0))
    assert len(model.points) == 10
    linear = (predict(fit(world.X, world.y, 3, tol=1e-6), world.Xq)[0] == world.yq).mean()
    assert (model.predict(world.Xq) == world.yq).mean() > linear - 0.03
    assert linear > 0.9


def test_training_brings_every_prototype_near_an_example(make_world: Any) -> None:
    world = make_world(n=120)
    near, far = (pt.train(world.X, world.y, 3, per_class=3, free=2, near=w, rng=np.random.default_rng(0)) for w in (2.0, 0.0))

    def distance(model: Any) -> float:
        return float(((world.X[:, None] - model.points[None]) ** 2).sum(axis=2).min(axis=0).mean())

    assert distance(near) < 0.5 * distance(far)


def test_weights_add_up_to_the_score_of_the_label_against_the_mean(make_world: Any) -> None:
    world = make_world(n=120)
    model = pt.train(world.X, world.y, 3, per_class=2, free=1, near=0.5, rng=np.random.default_rng(0))
    weights = pt.through_prototypes(model, world.X, world.Xq, world.yq, 5)
    score = model.closeness(world.Xq) @ model.slopes.T - (model.closeness(world.X) @ model.slopes.T).mean(axis=0)
    np.testing.assert_allclose(weights.sum(axis=0), score[np.arange(8), world.yq] - score.mean(axis=1), rtol=1e-9, atol=1e-12)
    assert (np.count_nonzero(weights, axis=0) <= 5 * len(model.points)).all()


def test_removing_what_is_cited_changes_the_head_more_than_removing_at_random(make_world: Any) -> None:
    world = make_world(n=150, m=20)
    weights = world.trace(Prototypes())
    rng = np.random.default_rng(0)

    def moved(gone: Any) -> float:
        from whence.kernels.softmax_head import log_prob_of

        subsets = [np.arange(150), *(np.delete(np.arange(150), rows) for rows in gone)]
        said = log_prob_of(fit(world.X, world.y, 3, subsets=subsets, tol=1e-6), world.Xq, world.yq)
        return float(np.mean([said[0, q] - said[1 + q, q] for q in range(20)]))

    cited = moved([np.argsort(-weights[:, q], kind="stable")[:15] for q in range(20)])
    chance = max(moved([rng.permutation(150)[:15] for _ in range(20)]) for _ in range(5))
    assert cited > 2 * chance and cited > 0.02


def test_order_of_the_pool_does_not_matter(world: Any) -> None:
    np.testing.assert_allclose(world.trace(Prototypes(), world.permuted()), world.trace(Prototypes()), rtol=1e-6, atol=1e-9)


def test_too_few_rows_are_refused(make_world: Any) -> None:
    small = make_world(n=5)
    with pytest.raises(NotCapable, match="6 or more"):
        Prototypes()(small.pool, small.queries, small.observer, small.ctx)
