from __future__ import annotations

import numpy as np

from whence.select.dynamic.fixed_random import FixedRandom


def test_the_same_rows_in_every_round(scene, blobs) -> None:
    at = scene(*blobs(90))
    made = FixedRandom(rounds=7)(at.pool, at.observer, at.ctx, budget=20, queries=at.queries)
    assert sorted(made.drawn.tolist()) == [0] * 70 + [7] * 20
    assert made.forward == made.backward == 140
    other = FixedRandom(rounds=7)(at.pool, at.observer, at.ctx.with_seed(1), budget=20, queries=at.queries)
    assert (other.drawn != made.drawn).any()


def test_a_larger_budget_adds_to_the_draw(scene, blobs) -> None:
    at = scene(*blobs(90))
    few, many = (FixedRandom(rounds=1)(at.pool, at.observer, at.ctx, budget=k, queries=at.queries).drawn for k in (20, 40))
    assert (many >= few).all()


def test_only_what_was_drawn_teaches(scene) -> None:
    """Rows of class b point where the question points; the head says b of it only where some of them were drawn."""
    X = np.repeat(np.eye(8, dtype=np.float32)[:2], [56, 4], axis=0)
    at = scene(X, ["a"] * 56 + ["b"] * 4, queries=X[56:57])
    made = [FixedRandom()(at.pool, at.observer, at.ctx.with_seed(s), budget=10, queries=at.queries) for s in range(8)]
    drawn = np.array([m.drawn[56:].sum() > 0 for m in made])
    says = np.array([np.exp(m.log_probs[0, 1]) for m in made])
    assert 0 < drawn.sum() < 8
    assert says[drawn].min() > 0.5 > says[~drawn].max()
