from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.difficulty.learning_order import LearningOrder, learnt_at


def test_by_hand() -> None:
    right = np.array([[[1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 0]]], dtype=bool)
    assert learnt_at(right).tolist() == [[1, 3, 3, 4, 5]]


def test_planted_flips_are_learnt_last(world) -> None:
    assert auroc(world.wrong, LearningOrder()(world.pool, world.observer, world.ctx).values) > 0.95
