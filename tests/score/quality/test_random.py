from __future__ import annotations

import numpy as np

from whence.core.pool import Pool
from whence.score.quality.random import Random


def test_a_number_stays_with_its_example(world) -> None:
    every = Random()(world.pool, world.observer, world.ctx)
    some = Pool(world.pool.table.take([7, 3, 5]), world.pool.roles)
    assert [Random()(some, world.observer, world.ctx)[i] for i in some.ids] == [every[i] for i in some.ids]
    assert Random()(some, world.observer, world.ctx.with_seed(1)).values.tolist() != [every[i] for i in some.ids]


def test_they_are_uniform(world) -> None:
    values = Random()(world.pool, world.observer, world.ctx).values
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 4 / np.sqrt(12 * len(values))
