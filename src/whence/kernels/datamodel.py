"""Datamodels: many sparse (or ridge) linear regressions from "which rows were trained on" to outputs, at once.

Each target y [S] is a query's output under S retrained models, each row of the design [S, n] says which of n training
rows the model saw. The lasso minimises what scikit-learn's `Lasso(alpha=penalty)` minimises,

    ||y - b - M w||^2 / (2 S) + penalty ||w||_1,

the ridge ||y - b - M w||^2 + penalty ||w||^2; the intercept is free in both. Targets share the design, so its columns
are centred once; each target runs coordinate descent down a path of falling penalties with an active set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]
Estimator = Literal["lasso", "ridge"]

#: penalties of a lasso path, as shares of the one beyond which every weight is 0
LASSO_SHARES = np.geomspace(1.0, 0.03, 16)
#: penalties of a ridge, as multiples of the mean squared size of a centred design row
RIDGE_SHARES = np.geomspace(1e-2, 1e3, 16)


@dataclass(frozen=True)
class Datamodels:
    """`weights` [n, m] and `intercept` [m] of m linear models; `penalty` [m] the one chosen for each."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    penalty: NDArray[np.float64]

    def predict(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Outputs [S', m] predicted for other subsets [S', n]."""
        out: NDArray[np.float64] = masks.astype(np.float64) @ self.weights + self.intercept
        return out


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _dot(a: Floats, b: Floats) -> Any:
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _step(columns: Floats, size: Floats, r: Floats, w: Floats, j: int, threshold: float) -> Any:
    """Minimise over weight j alone; returns how far the fitted values moved (square)."""
    if size[j] == 0.0:
        return 0.0
    pull = _dot(columns[j], r) + size[j] * w[j]
    new = 0.0
    if pull > threshold:
        new = (pull - threshold) / size[j]
    elif pull < -threshold:
        new = (pull + threshold) / size[j]
    change = new - w[j]
    if change == 0.0:
        return 0.0
    w[j] = new
    row = columns[j]
    for k in range(r.size):
        r[k] -= change * row[k]
    return change * change * size[j]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _descend(columns: Floats, size: Floats, y: Floats, penalties: Floats, tol: float, max_sweeps: int, out: Floats) -> bool:
    """Weights out [L, n] down a path of penalties; columns [n, S] and y [S] centred. False when a sweep limit was hit."""
    n, S = columns.shape
    w = np.zeros(n)
    r = y.copy()
    goal = tol * tol * max(_dot(y, y), 1e-300)
    active = np.empty(n, np.int64)
    settled = True
    for level in range(penalties.size):
        threshold = penalties[level] * S
        sweeps = 0
        while True:
            moved = 0.0
            for j in range(n):
                moved = max(moved, _step(columns, size, r, w, j, threshold))
            sweeps += 1
            if moved <= goal:
                break
            held = 0
            for j in range(n):
                if w[j] != 0.0:
                    active[held] = j
                    held += 1
            while sweeps < max_sweeps:
                moved = 0.0
                for a in range(held):
                    moved = max(moved, _step(columns, size, r, w, active[a], threshold))
                sweeps += 1
                if moved <= goal:
                    break
            if sweeps >= max_sweeps:
                settled = False
                break
        out[level] = w
    return settled


def _centred(masks: NDArray[np.bool_], Y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    if masks.ndim != 2 or Y.ndim != 2 or len(masks) != len(Y):
        raise ValueError(f"masks {masks.shape} and outputs {Y.shape} do not agree")
    design = masks.astype(np.float64)
    mean, level = design.mean(axis=0), Y.astype(np.float64).mean(axis=0)
    return design - mean, Y - level, mean, level


def lasso(masks: NDArray[np.bool_], Y: Floats, penalty: Floats, *, tol: float = 1e-7, max_sweeps: int = 10_000) -> Datamodels:
    """Lasso of outputs Y [S, m] on membership masks [S, n], with a penalty [m] (>= 0) for each target.

    Each is reached down a short path from the penalty that leaves no weight. `tol` bounds the last move of the fitted values
    relative to the size of the target. Raises ValueError for shapes that disagree.
    """
    X, R, mean, level = _centred(masks, Y)
    columns = np.ascontiguousarray(X.T)
    size = (columns**2).sum(axis=1)
    highest = np.abs(columns @ R).max(axis=0) / len(R) if len(columns) else np.zeros(R.shape[1])
    weights = np.zeros((len(columns), R.shape[1]))
    for q in range(R.shape[1]):
        if penalty[q] >= highest[q]:
            continue
        path = np.array([penalty[q]]) if penalty[q] <= 0 else np.geomspace(highest[q], penalty[q], 6)
        out = np.zeros((len(path), len(columns)))
        _descend(columns, size, np.ascontiguousarray(R[:, q]), path, tol, max_sweeps, out)
        weights[:, q] = out[-1]
    return Datamodels(weights, level - mean @ weights, np.asarray(penalty, dtype=np.float64))


def ridge(masks: NDArray[np.bool_], Y: Floats, penalty: Floats) -> Datamodels:
    """Ridge of outputs Y [S, m] on membership masks [S, n], with a penalty [m] (> 0) for each target; solved in closed form."""
    X, R, mean, level = _centred(masks, Y)
    values, vectors = np.linalg.eigh(X @ X.T)
    weights = X.T @ (vectors @ ((vectors.T @ R) / (np.maximum(values, 0.0)[:, None] + np.asarray(penalty)[None, :])))
    return Datamodels(weights, level - mean @ weights, np.asarray(penalty, dtype=np.float64))


def fit(masks: NDArray[np.bool_], Y: Floats, *, rng: np.random.Generator, estimator: Estimator = "lasso",
        folds: int = 4) -> Datamodels:
    """Datamodels of outputs Y [S, m] with a penalty for each target, the one with the least cross-validated squared error.

    Raises ValueError for fewer subsets than folds. A lasso target that nothing predicts gets the highest penalty and no weight.
    """
    S = len(masks)
    if not 2 <= folds <= S:
        raise ValueError(f"folds must lie in 2..{S} (the number of subsets), got {folds}")
    errors, grid = _lasso_errors if estimator == "lasso" else _ridge_errors, _grid(masks, Y, estimator)
    fold = np.empty(S, np.int64)
    fold[rng.permutation(S)] = np.arange(S) % folds
    total = np.zeros(grid.shape)
    for f in range(folds):
        total += errors(masks[fold != f], Y[fold != f], masks[fold == f], Y[fold == f], grid)
    chosen = grid[total.argmin(axis=0), np.arange(Y.shape[1])]
    made: Callable[..., Datamodels] = lasso if estimator == "lasso" else ridge
    return made(masks, Y, chosen)


def _grid(masks: NDArray[np.bool_], Y: Floats, estimator: Estimator) -> Floats:
    """Penalties [L, m] to choose from, highest first."""
    X, R, _, _ = _centred(masks, Y)
    if estimator == "lasso":
        out: Floats = LASSO_SHARES[:, None] * (np.abs(X.T @ R).max(axis=0) / len(R))[None, :]
    else:
        out = np.repeat(RIDGE_SHARES[::-1, None] * (X**2).sum() / len(X), Y.shape[1], axis=1)
    return out


def _lasso_errors(masks: NDArray[np.bool_], Y: Floats, held: NDArray[np.bool_], Yh: Floats, grid: Floats) -> Floats:
    """Squared errors [L, m] on held-out subsets, down the path of each target."""
    X, R, mean, level = _centred(masks, Y)
    columns = np.ascontiguousarray(X.T)
    size = (columns**2).sum(axis=1)
    out = np.zeros((len(grid), len(columns)))
    total = np.empty(grid.shape)
    others = held.astype(np.float64) - mean
    for q in range(Y.shape[1]):
        # loose: this only chooses a penalty
        _descend(columns, size, np.ascontiguousarray(R[:, q]), np.ascontiguousarray(grid[:, q]), 1e-3, 200, out)
        total[:, q] = ((others @ out.T + level[q] - Yh[:, q, None]) ** 2).sum(axis=0)
    return total


def _ridge_errors(masks: NDArray[np.bool_], Y: Floats, held: NDArray[np.bool_], Yh: Floats, grid: Floats) -> Floats:
    """Squared errors [L, m] on held-out subsets."""
    X, R, mean, level = _centred(masks, Y)
    values, vectors = np.linalg.eigh(X @ X.T)
    turned = vectors.T @ R
    reach = (held.astype(np.float64) - mean) @ X.T @ vectors
    return np.array([((reach @ (turned / (np.maximum(values, 0.0)[:, None] + g[None, :])) + level - Yh) ** 2).sum(axis=0)
                     for g in grid])


def correlations(predicted: Floats, actual: Floats) -> NDArray[np.float64]:
    """Pearson correlation [m] of each column of [S, m]; 0 where a prediction or an output never moves."""
    a, b = predicted - predicted.mean(axis=0), actual - actual.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    out: NDArray[np.float64] = np.divide((a * b).sum(axis=0), scale, out=np.zeros(a.shape[1]), where=scale > 1e-300)
    return out
