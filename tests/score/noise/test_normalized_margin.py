from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.noise.normalized_margin import NormalizedMargin


def test_by_hand_from_the_probabilities(world) -> None:
    seen = world.observer.class_probs(world.pool)
    found = NormalizedMargin()(world.pool, world.observer, world.ctx).values
    for i in range(0, len(found), 17):
        others = np.delete(seen.probs[i].astype(float), seen.codes[i])
        assert abs(found[i] - (others.max() - float(seen.probs[i, seen.codes[i]]) + 1) / 2) < 1e-6
    assert auroc(world.wrong, found) > 0.97
    assert np.array_equal(found > 0.5, seen.probs.argmax(axis=1) != seen.codes)
