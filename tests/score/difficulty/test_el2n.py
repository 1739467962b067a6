from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.kernels.ranking import auroc
from whence.score.difficulty.el2n import EL2N, early_error


def test_the_mean_over_seeds_of_one_epoch() -> None:
    norms = np.array([[[0.0, 1.0], [0.5, 1.0]], [[1.0, 1.4], [0.1, 0.2]]])  # [2 seeds, 2 epochs, 2 rows]
    np.testing.assert_allclose(early_error(norms, 1), [0.5, 1.2])
    np.testing.assert_allclose(early_error(norms, 2), [0.3, 0.6])


def test_it_is_the_norm_of_the_error_vector(world) -> None:
    d = world.observer.dynamics(world.pool)
    found = EL2N(epoch=3)(world.pool, world.observer, world.ctx).values
    # ||p - onehot|| lies between what one other class, and what all other classes evenly, would give
    gap = 1 - d.p_label[:, 2].astype(float)
    low, high = gap * np.sqrt(1 + 1 / 2), gap * np.sqrt(2)
    assert (found >= low.mean(0) - 1e-5).all() and (found <= high.mean(0) + 1e-5).all()


def test_planted_flips_come_first(world) -> None:
    assert auroc(world.wrong, EL2N()(world.pool, world.observer, world.ctx).values) > 0.97


def test_an_epoch_beyond_the_training_is_refused(world) -> None:
    with pytest.raises(BadInput, match="1 to 16"):
        EL2N(epoch=17)(world.pool, world.observer, world.ctx)
