from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.kernels.training_dynamics import Schedule, train_heads
from whence.score.difficulty.grand import GraNd, early_gradient


def test_a_linear_heads_gradient_is_the_error_times_the_length_of_the_input() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 4)).astype(np.float32), rng.integers(0, 3, 20)
    found = train_heads(X, y, 3, Schedule(epochs=2, seeds=2), rng=rng, grad_norm=True).train
    length = np.sqrt((X**2).sum(axis=1) + 1)
    assert found.grad_norm is not None
    np.testing.assert_allclose(early_gradient(found.grad_norm, 2), (found.error_norm[:, 1] * length).mean(axis=0), rtol=1e-5)


def test_it_grows_with_the_error(world) -> None:
    d = world.observer.dynamics(world.pool)
    found = GraNd()(world.pool, world.observer, world.ctx).values
    np.testing.assert_allclose(found, d.grad_norm[:, 1].mean(axis=0), rtol=1e-6)
    assert np.corrcoef(found, d.error_norm[:, 1].mean(axis=0))[0, 1] > 0.9


def test_an_epoch_beyond_the_training_is_refused(world) -> None:
    with pytest.raises(BadInput, match="beyond"):
        GraNd(epoch=99)(world.pool, world.observer, world.ctx)
