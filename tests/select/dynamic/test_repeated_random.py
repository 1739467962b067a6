from __future__ import annotations

import numpy as np
import pytest

from whence.core.catalogue import build
from whence.select.dynamic.repeated_random import RepeatedRandom, walk


@pytest.mark.parametrize(("n", "k"), [(10, 3), (10, 5), (7, 7), (5, 4), (9, 1)])
def test_no_row_comes_again_before_all_have_come(n: int, k: int) -> None:
    draw = walk(n, k, np.random.default_rng(0))
    seen = np.zeros(n, int)
    for _ in range(40):
        rows = draw()
        assert len(set(rows.tolist())) == k == len(rows), "a round holds a row once"
        seen[rows] += 1
        # a draw across the end of a pass may hold rows of the next one
        assert seen.max() - seen.min() <= 2
    assert seen.sum() == 40 * k
    if n % k == 0:
        assert seen.max() - seen.min() <= 1


def test_every_example_is_used_as_often_as_the_budget_allows(scene, blobs) -> None:
    at = scene(*blobs(120), queries=blobs(30, seed=1)[0])
    made = RepeatedRandom(rounds=10)(at.pool, at.observer, at.ctx, budget=12, queries=at.queries)
    np.testing.assert_array_equal(made.drawn, 1)
    assert made.forward == made.backward == 120
    made = RepeatedRandom(rounds=20)(at.pool, at.observer, at.ctx, budget=30, queries=at.queries)
    np.testing.assert_array_equal(made.drawn, 5)


def test_with_replacement_draws_are_uneven(scene, blobs) -> None:
    at = scene(*blobs(120), queries=blobs(30, seed=1)[0])
    schedule = build("repeated-random-replaced", verb="select", rounds=10)
    made = schedule(at.pool, at.observer, at.ctx, budget=12, queries=at.queries)
    assert made.drawn.sum() == 120 and made.drawn.min() == 0 and 1 < made.drawn.max() <= 10


def test_separable_classes_are_learnt(scene, blobs) -> None:
    Xq, yq = blobs(60, seed=1)
    at = scene(*blobs(240), queries=Xq)
    made = RepeatedRandom()(at.pool, at.observer, at.ctx, budget=24, queries=at.queries)
    assert (made.log_probs.argmax(1) == [int(c[1]) for c in yq]).mean() > 0.9


def test_seeds_draw_apart(scene, blobs) -> None:
    at = scene(*blobs(120))
    schedule = RepeatedRandom(rounds=2)
    one, two = (schedule(at.pool, at.observer, at.ctx.with_seed(s), budget=12, queries=at.queries) for s in (0, 1))
    assert (one.drawn != two.drawn).any()
