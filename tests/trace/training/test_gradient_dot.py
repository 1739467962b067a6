"""Gradient dot against one small step of gradient descent on each training row."""

from __future__ import annotations

from typing import Any

import numpy as np

from whence.kernels.softmax_head import log_softmax
from whence.trace import GradientDot


def stepped(world: Any, rate: float) -> np.ndarray[Any, Any]:
    """Change of each question's log-probability per unit rate, after one step on row i alone, by finite difference."""
    head = world.observer.head(world.pool)
    W, b = head.W.astype(np.float64), head.b.astype(np.float64)
    rows = np.arange(len(world.yq))

    def says(W: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return log_softmax(world.Xq @ W.T + b)[rows, world.yq]

    p = np.exp(log_softmax(world.X @ W.T + b))
    out = np.empty((len(world.X), len(rows)))
    for i, (x, label) in enumerate(zip(world.X, world.y, strict=True)):
        slope = p[i] - np.eye(3)[label]
        step = rate * np.outer(slope, x), rate * slope
        out[i] = (says(W - step[0], b - step[1]) - says(W + step[0], b + step[1])) / (2 * rate)
    return out


def test_it_is_the_slope_of_one_step(world: Any) -> None:
    np.testing.assert_allclose(world.trace(GradientDot()), stepped(world, 1e-4), rtol=1e-4, atol=1e-6)


def test_it_is_the_cosine_of_the_gradients_written_out(world: Any) -> None:
    head = world.observer.head(world.pool)

    def gradients(X: Any, y: Any) -> Any:
        r = head.probs(X.astype(np.float32)).astype(np.float64) - np.eye(3)[y]
        flat = np.einsum("nc,nd->ncd", r, np.column_stack([X, np.ones(len(X))])).reshape(len(X), -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    expected = gradients(world.X, world.y) @ gradients(world.Xq, world.yq).T
    found = world.trace(GradientDot(normalised=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() <= 1 + 1e-9


def test_a_copy_of_the_question_has_cosine_one(make_world: Any) -> None:
    plain = make_world()
    world = make_world(extra=[(plain.Xq[0], int(plain.yq[0]))])
    np.testing.assert_allclose(world.trace(GradientDot(normalised=True))[-1, 0], 1.0, atol=1e-5)
