from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.difficulty.confidence import Confidence, mean_probability


def test_the_mean_over_seeds_and_epochs() -> None:
    np.testing.assert_allclose(mean_probability(np.array([[[0.0, 1.0], [0.5, 0.5]], [[0.1, 0.3], [0.2, 0.6]]])), [0.2, 0.6])


def test_high_is_easy(world) -> None:
    scores = Confidence()(world.pool, world.observer, world.ctx)
    assert "easy" in scores.high
    assert auroc(~world.wrong, scores.values) > 0.97
