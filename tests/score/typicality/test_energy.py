from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.typicality.energy import Energy, abet_gradient, ablated_energy, temperature


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_energy_by_hand() -> None:
    # cosines 1 and 0, temperature sigmoid(0) = 1/2: -log(e^2 + e^0)
    found = ablated_energy(np.array([[1.0, 0.0]]), np.array([[3.0, 0.0], [0.0, 5.0]]), np.zeros(2), 0.0)
    np.testing.assert_allclose(found, [-np.log(np.exp(2) + 1)])


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    X, W, a, c, y = unit(rng, 7, 4), rng.standard_normal((3, 4)), 0.3 * rng.standard_normal(4), -0.7, rng.integers(0, 3, 7)

    def loss(W: np.ndarray, a: np.ndarray, c: float) -> float:
        z = X @ (W / np.linalg.norm(W, axis=1, keepdims=True)).T / temperature(X, a, c)[:, None]
        return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(7), y]))

    gW, ga, gc = abet_gradient(X, y, W, a, c)
    step = 1e-6
    for i in range(3):
        for j in range(4):
            move = np.zeros_like(W)
            move[i, j] = step
            assert abs((loss(W + move, a, c) - loss(W - move, a, c)) / (2 * step) - gW[i, j]) < 1e-7
    for j in range(4):
        move = np.zeros(4)
        move[j] = step
        assert abs((loss(W, a + move, c) - loss(W, a - move, c)) / (2 * step) - ga[j]) < 1e-7
    assert abs((loss(W, a, c + step) - loss(W, a, c - step)) / (2 * step) - gc) < 1e-7


def test_a_class_that_was_never_shown_has_high_energy(make_world) -> None:
    shown, other = make_world(n=400, wrong=0.0, spread=0.15), make_world(n=210, classes=5, wrong=0.0, spread=0.15, seed=1)
    vectors = {**shown.observer.encoder.vectors, **other.observer.encoder.vectors}
    observer = type(shown.observer)(type(shown.observer.encoder)(vectors, 12), shown.ctx)
    found = Energy(epochs=60)(other.pool, observer, shown.ctx, reference=shown.pool).values
    assert auroc(other.pool.labels.codes >= 3, found) > 0.9
