from __future__ import annotations

import numpy as np

from whence.score.difficulty.variability import Variability, spread


def test_the_spread_is_along_epochs_and_not_across_seeds() -> None:
    steady = np.array([[[0.2], [0.2]], [[0.8], [0.8]]])  # two seeds that differ, and never move
    moving = np.array([[[0.0], [1.0]], [[0.5], [0.5]]])
    assert spread(steady).tolist() == [0.0]
    np.testing.assert_allclose(spread(moving), [0.25])


def test_it_is_at_most_a_half(world) -> None:
    values = Variability()(world.pool, world.observer, world.ctx).values
    assert values.min() >= 0 and values.max() <= 0.5
