from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.ranking import auroc
from whence.score.noise.self_confidence import SelfConfidence


def test_it_is_one_minus_the_out_of_fold_probability(world) -> None:
    seen = world.observer.class_probs(world.pool)
    found = SelfConfidence()(world.pool, world.observer, world.ctx).values
    by_hand = [1.0 - float(seen.probs[i, c]) for i, c in enumerate(seen.codes)]
    np.testing.assert_allclose(found, by_hand, atol=1e-7)
    assert auroc(world.wrong, found) > 0.97


def test_without_labels_it_is_refused(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(4, dtype=np.float32), None)
    with pytest.raises(NotCapable, match="label"):
        SelfConfidence()(pool, observer, ctx)
