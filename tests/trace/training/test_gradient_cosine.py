"""Gradient cosine against gradients written out in full."""

from __future__ import annotations

from typing import Any

import numpy as np

from whence.trace import GradientCosine


def test_it_is_the_cosine_of_the_gradients_written_out(world: Any) -> None:
    head = world.observer.head(world.pool)

    def gradients(X: Any, y: Any) -> Any:
        r = head.probs(X.astype(np.float32)).astype(np.float64) - np.eye(3)[y]
        flat = np.einsum("nc,nd->ncd", r, np.column_stack([X, np.ones(len(X))])).reshape(len(X), -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    expected = gradients(world.X, world.y) @ gradients(world.Xq, world.yq).T
    found = world.trace(GradientCosine())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() <= 1 + 1e-9


def test_a_copy_of_the_question_has_cosine_one(make_world: Any) -> None:
    plain = make_world()
    world = make_world(extra=[(plain.Xq[0], int(plain.yq[0]))])
    np.testing.assert_allclose(world.trace(GradientCosine())[-1, 0], 1.0, atol=1e-5)
