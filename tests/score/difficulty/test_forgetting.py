from __future__ import annotations

import numpy as np

from whence.score.difficulty.forgetting import Forgetting, forgetting_events


def test_transitions_by_hand() -> None:
    right = np.array([[
        # epochs down, rows across: always right, never right, forgotten twice, learnt late, forgotten at the end
        [1, 0, 1, 0, 1],
        [1, 0, 0, 0, 1],
        [1, 0, 1, 1, 1],
        [1, 0, 0, 1, 0],
    ]], dtype=bool)
    assert forgetting_events(right).tolist() == [[0, 4, 2, 0, 1]]


def test_a_label_that_is_never_learnt_counts_as_all_epochs(world) -> None:
    scores = Forgetting()(world.pool, world.observer, world.ctx)
    d = world.observer.dynamics(world.pool)
    never = ~(d.predicted == d.codes).any(axis=(0, 1))
    assert (scores.values[never] == d.epochs).all() and scores.values.max() <= d.epochs
