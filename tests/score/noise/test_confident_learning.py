from __future__ import annotations

import numpy as np

from whence.score.noise.confident_learning import ConfidentLearning, flagged_margin


def test_half_or_more_is_exactly_flagged() -> None:
    values = flagged_margin(np.array([True, False, True, False]), np.array([0.0, 1.0, 0.8, 0.2]))
    np.testing.assert_allclose(values, [0.5, 0.5, 0.9, 0.1])
    assert values[1] < 0.5


def test_the_flags_are_those_of_cleanlab(world) -> None:
    from cleanlab.filter import find_label_issues

    seen = world.observer.class_probs(world.pool)
    found = ConfidentLearning()(world.pool, world.observer, world.ctx).values
    theirs = find_label_issues(labels=seen.codes, pred_probs=seen.probs, n_jobs=1)
    assert np.array_equal(found >= 0.5, theirs)
    assert (found >= 0.5)[world.wrong].mean() > 0.8
    assert (found >= 0.5)[~world.wrong].mean() < 0.02


def test_no_share_flags_nothing(world) -> None:
    assert not ConfidentLearning(noise_share=0.0).flags(world.pool, world.observer).any()
