from __future__ import annotations

import numpy as np

from whence.select.coreset.random import Random


def test_every_example_is_drawn_equally_often(scene) -> None:
    at = scene(np.eye(10, dtype=np.float32))
    counts = np.zeros(10)
    for s in range(600):
        counts[at.rows(Random()(at.pool, at.observer, at.ctx.with_seed(s), budget=3).kept)] += 1
    # 180 expected, standard deviation 11.2
    assert np.abs(counts - 180).max() < 4.5 * 11.2


def test_the_draw_is_by_id_and_grows_with_the_budget(scene) -> None:
    at = scene(np.eye(10, dtype=np.float32))
    kept = Random()(at.pool, at.observer, at.ctx, budget=7).kept
    assert Random()(at.permuted().pool, at.observer, at.ctx, budget=4).kept == kept[:4]
    assert Random()(at.pool, at.observer, at.ctx.with_seed(1), budget=7).kept != kept


def test_the_rest_is_not_drawn(scene) -> None:
    at = scene(np.eye(3, dtype=np.float32))
    assert set(Random()(at.pool, at.observer, at.ctx, budget=1).dropped.values()) == {"not drawn"}
