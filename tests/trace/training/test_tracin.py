"""TracIn: one step of gradient descent is what it says it is, and it follows the training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.kernels.training_dynamics import Schedule, train_heads
from whence.trace import TracIn
from whence.trace.training.tracin import checkpoint_effects


def test_it_is_the_sum_over_checkpoints_written_out(world: Any) -> None:
    X, Xq = world.X.astype(np.float32), world.Xq.astype(np.float32)
    found = checkpoint_effects(X, world.y, Xq, world.yq, 3, epochs=3, rate=0.5, rng=np.random.default_rng(4))
    seen: list[tuple[Any, Any]] = []
    plan = Schedule(epochs=3, batch_size=32, rate=0.5, optimiser="sgd", momentum=0.0)
    train_heads(X, world.y, 3, plan, rng=np.random.default_rng(4), after_epoch=lambda seed, epoch, p: seen.append((p(X), p(Xq))))
    expected = np.zeros_like(found)
    for p, pq in seen:
        for i in range(len(X)):
            for q in range(len(Xq)):
                a = np.outer(p[i] - np.eye(3)[world.y[i]], [*X[i], 1.0])
                b = np.outer(pq[q] - np.eye(3)[world.yq[q]], [*Xq[q], 1.0])
                expected[i, q] += 0.5 / 32 * (a * b).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_effects_of_all_rows_add_up_to_what_training_did(make_world: Any) -> None:
    """Small steps, whole batches: the sum over rows is about the rise of the log-probability from the first checkpoint on."""
    world = make_world(n=30, m=6)
    X, Xq = world.X.astype(np.float32), world.Xq.astype(np.float32)
    rows = np.arange(6)
    said: list[Any] = []
    plan = Schedule(epochs=60, batch_size=30, rate=0.05, optimiser="sgd", momentum=0.0)
    train_heads(X, world.y, 3, plan, rng=np.random.default_rng(0),
                after_epoch=lambda seed, epoch, p: said.append(np.log(p(Xq)[rows, world.yq])))
    effects = checkpoint_effects(X, world.y, Xq, world.yq, 3, epochs=60, rate=0.05, rng=np.random.default_rng(0))
    # sixty checkpoints stand for sixty steps; the first of them was taken before the first checkpoint
    rise = (said[-1] - said[0]) * 60 / 59
    np.testing.assert_allclose(effects.sum(axis=0), rise, rtol=0.05, atol=0.01)


def test_a_mislabelled_copy_hurts_and_a_right_one_helps(make_world: Any) -> None:
    plain = make_world()
    world = make_world(extra=[(plain.Xq[0], int(plain.yq[0] + 1) % 3), (plain.Xq[0], int(plain.yq[0]))])
    effects = world.trace(TracIn())[:, 0]
    # early checkpoints, when the head knows nothing yet, count for all rows of the other classes alike
    assert effects[-2] < np.quantile(effects, 0.05) < 0 and effects[-1] > np.quantile(effects, 0.95)


def test_order_of_the_pool_does_not_matter(world: Any) -> None:
    np.testing.assert_allclose(world.trace(TracIn(), world.permuted()), world.trace(TracIn()), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rate", [0.1, 2.0])
def test_the_whole_range_of_rates_trains(world: Any, rate: float) -> None:
    assert np.isfinite(world.trace(TracIn(epochs=5, rate=rate))).all()
