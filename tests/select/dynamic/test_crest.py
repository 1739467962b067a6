from __future__ import annotations

import itertools

import numpy as np
import pytest

from whence.select.dynamic._linear import Linear
from whence.select.dynamic.crest import CREST, Quadratic, gradient_distances, standing_for


def small(n: int = 12, d: int = 4, classes: int = 3) -> tuple[Linear, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, d)).astype(np.float32), rng.integers(0, classes, n).astype(np.int32)
    return Linear(d, classes, rng), X, y


def full_gradient(head: Linear, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    r = head.residuals(X, y)
    return np.stack([np.concatenate([np.outer(x, e).ravel(), e]) for x, e in zip(X, r, strict=True)])


def test_distances_are_between_whole_gradients() -> None:
    head, X, y = small()
    G = full_gradient(head, X, y)
    expected = np.linalg.norm(G[:, None] - G[None], axis=2)
    np.testing.assert_allclose(gradient_distances(X, head.residuals(X, y)), expected, atol=1e-5)


def test_gradients_are_derivatives() -> None:
    head, X, y = small()
    r = head.residuals(X, y)
    W = head.W.copy()
    for i, j in itertools.product(range(4), range(3)):
        ends = []
        for e in (1e-2, -1e-2):
            head.W = W.copy()
            head.W[i, j] += e
            ends.append(head.losses(X, y).astype(float).mean())
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-2, (X.T @ r)[i, j] / len(X), atol=2e-4)


def test_a_mini_batch_stands_for_its_subset() -> None:
    """Three tight groups of 5, 3 and 2: one row of each, with these weights."""
    points = np.array([0.0, 0.01, 0.02, 0.03, 0.04, 5, 5.01, 5.02, 9, 9.01])
    chosen, stands = standing_for(np.abs(points[:, None] - points), 3)
    group = (points[chosen] > 4).astype(int) + (points[chosen] > 8)
    assert sorted(zip(group, stands, strict=True)) == [(0, 5.0), (1, 3.0), (2, 2.0)]


def test_weights_bring_the_gradient_nearer_than_no_weights() -> None:
    head, X, y = small(60, 4, 3)
    G = full_gradient(head, X, y)
    chosen, stands = standing_for(gradient_distances(X, head.residuals(X, y)), 12)
    weighted = (stands[:, None] * G[chosen]).sum(0) / stands.sum()
    assert stands.sum() == 60
    rng = np.random.default_rng(1)
    chance = [np.linalg.norm(G[rng.permutation(60)[:12]].mean(0) - G.mean(0)) for _ in range(300)]
    assert np.linalg.norm(weighted - G.mean(0)) < np.median(chance)


def test_the_quadratic_model_is_taylors() -> None:
    head, X, y = small(40)
    model = Quadratic(head, X, y)
    assert model.predict(head) == pytest.approx(head.losses(X, y).mean())
    # along one weight alone the diagonal is the whole second derivative, so what is left is of third order
    W, gaps = head.W.copy(), []
    for e in (0.4, 0.2):
        head.W = W.copy()
        head.W[1, 2] += np.float32(e)
        gaps.append(abs(model.predict(head) - float(head.losses(X, y).astype(float).mean())))
    assert gaps[1] < gaps[0] / 5 and gaps[0] < 0.01


def test_an_endless_tolerance_chooses_once(scene, blobs) -> None:
    at = scene(*blobs(240))
    few = CREST(rounds=4, tolerance=1e9, coresets=1, check=1)(at.pool, at.observer, at.ctx, budget=64, queries=at.queries)
    assert (few.drawn > 0).sum() == 8 and few.drawn.max() == 32 and few.backward == 256
    many = CREST(rounds=4, tolerance=1e-9)(at.pool, at.observer, at.ctx, budget=64, queries=at.queries)
    assert (many.drawn > 0).sum() > 40 and many.forward > few.forward


def test_learned_examples_are_left_out(scene, blobs) -> None:
    X, y = blobs(240, spread=0.05)
    hard = np.arange(240) % 10 == 0
    rng = np.random.default_rng(0)
    y = [f"c{rng.integers(3)}" if h else label for h, label in zip(hard, y, strict=True)]
    at = scene(X, y)
    plain, dropping = (
        CREST(learned=level, patience=1, tolerance=1e-9)(at.pool, at.observer, at.ctx, budget=60, queries=at.queries)
        for level in (0.0, 0.3)
    )
    assert dropping.drawn[hard].sum() > plain.drawn[hard].sum()
