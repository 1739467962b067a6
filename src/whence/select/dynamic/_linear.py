"""A linear softmax head that is stepped by hand, for schedules whose next batch depends on what the last one did."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Linear:
    """Logits X W + b, stepped by Adam. `W` [d, C] starts uniform within d^-0.5, `b` [C] at zero."""

    def __init__(self, d: int, n_classes: int, rng: np.random.Generator) -> None:
        bound = d**-0.5
        self.W = rng.uniform(-bound, bound, (d, n_classes)).astype(np.float32)
        self.b = np.zeros(n_classes, np.float32)
        self._m = [np.zeros_like(self.W), np.zeros_like(self.b)]
        self._v = [np.zeros_like(self.W), np.zeros_like(self.b)]
        self._taken = 0

    def log_probs(self, X: Floats) -> Floats:
        """[m, d] -> [m, C] in nats."""
        z: Floats = X @ self.W + self.b
        z -= z.max(axis=1, keepdims=True, initial=-np.inf)
        z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
        return z

    def losses(self, X: Floats, y: NDArray[np.int32]) -> Floats:
        """Cross-entropy [m] in nats."""
        out: Floats = -self.log_probs(X)[np.arange(len(y)), y]
        return out

    def residuals(self, X: Floats, y: NDArray[np.int32]) -> Floats:
        """p - onehot(y) [m, C]: the loss's gradient in the logits."""
        out: Floats = np.exp(self.log_probs(X))
        out[np.arange(len(y)), y] -= 1
        return out

    def step(self, X: Floats, y: NDArray[np.int32], rate: float, weights: Floats | None = None) -> None:
        """One step of Adam on the mean loss of these rows, weighted by `weights` [m] (which need not sum to one)."""
        r = self.residuals(X, y)
        r *= np.float32(1 / len(X)) if weights is None else (weights / weights.sum())[:, None]
        self._taken += 1
        fix1, fix2 = 1 - 0.9**self._taken, 1 - 0.999**self._taken
        for value, gradient, m, v in zip((self.W, self.b), (X.T @ r, r.sum(axis=0)), self._m, self._v, strict=True):
            m += np.float32(0.1) * (gradient - m)
            v += np.float32(0.001) * (gradient * gradient - v)
            value -= np.float32(rate / fix1) * m / (np.sqrt(v / np.float32(fix2)) + np.float32(1e-8))


def cosine(progress: float) -> float:
    """From 1 at the start to 0 at the end of training."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
