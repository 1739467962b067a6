"""k-means, plain or spherical, with k-means++ starts; and distances to the centroids.

Lloyd 1982; Arthur, Vassilvitskii 2007 (k-means++); Dhillon, Modha 2001 (spherical); distances to centroids as a
measure of how prototypical a row is: Sorscher et al. 2022, "Beyond neural scaling laws". Rows go to their centroid by
float32 products, and by float64 where two centroids are within the rounding bound, so that results do not depend on
the number of threads; ties go to the lowest centroid.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _squared_distance(row: Any, center: Any) -> float:
    total = 0.0
    for t in range(row.shape[0]):
        difference = np.float64(row[t]) - center[t]
        total += difference * difference
    return total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _lower(x: Any, center: Any, nearest: Any) -> None:
    for i in range(x.shape[0]):
        nearest[i] = min(nearest[i], _squared_distance(x[i], center))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _assign(x: Any, first: int, scores: Any, margins: Any, centers: Any, owner: Any, nearest: Any) -> None:
    for a in range(scores.shape[0]):
        i = first + a
        top = scores[a, 0]
        for c in range(1, scores.shape[1]):
            top = max(top, scores[a, c])
        nearest[i] = np.inf
        for c in range(scores.shape[1]):
            if scores[a, c] >= top - margins[i]:
                squared = _squared_distance(x[i], centers[c])
                if squared < nearest[i]:
                    nearest[i], owner[i] = squared, c


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _sums(x: Any, owner: Any, weights: Any, sums: Any, totals: Any) -> None:
    for i in range(x.shape[0]):
        totals[owner[i]] += weights[i]
        for t in range(x.shape[1]):
            sums[owner[i], t] += weights[i] * np.float64(x[i, t])


def _rows(x: npt.ArrayLike, spherical: bool) -> npt.NDArray[Any]:
    rows = np.ascontiguousarray(x)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"x must be (rows, features) and not empty, got shape {rows.shape}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError("x holds values that are not finite")
    if spherical:
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        rows = (rows * scale[:, None]).astype(rows.dtype)
    return rows


def assign(x: npt.ArrayLike, centers: npt.ArrayLike) -> tuple[Indices, Floats]:
    """Nearest centroid of each row of ``x`` (n, d) among ``centers`` (k, d), and its squared distance, both (n,)."""
    rows, c = _rows(x, False), np.ascontiguousarray(centers, dtype=np.float64)
    if c.ndim != 2 or c.shape[0] == 0 or c.shape[1] != rows.shape[1]:
        raise ValueError(f"centers must be (k, {rows.shape[1]}), got shape {c.shape}")
    middle = c.mean(axis=0)
    low = (c - middle).astype(np.float32)
    squares = np.einsum("ij,ij->i", low, low, dtype=np.float64)
    rounding = 4.0 * 2.0**-24 * (rows.shape[1] + 8)
    owner, nearest = np.empty(rows.shape[0], np.int64), np.empty(rows.shape[0])
    margins = np.empty(rows.shape[0])
    for b in range(0, rows.shape[0], 2048):
        part = (rows[b : b + 2048] - middle).astype(np.float32)
        margins[b : b + 2048] = rounding * (np.einsum("ij,ij->i", part, part, dtype=np.float64) + squares.max())
        scores = 2.0 * (part @ low.T) - squares.astype(np.float32)
        _assign(rows, b, scores, margins, c, owner, nearest)
    return owner, nearest


def plus_plus(x: npt.ArrayLike, k: int, rng: np.random.Generator, *, weights: npt.ArrayLike | None = None) -> Indices:
    """Row numbers (k,) of k-means++ starts: each drawn with probability proportional to its squared distance to those
    before it (times its weight). When every row is at distance 0, the lowest rows not taken yet follow."""
    rows = _rows(x, False)
    n = rows.shape[0]
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}; legal: 1 to the number of rows, {n}")
    w = _weights(weights, n)
    nearest = np.full(n, np.inf)
    chosen = np.empty(k, np.int64)
    for t in range(k):
        mass = np.cumsum(w if t == 0 else w * nearest)
        if mass[-1] > 0:
            at = int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))
        else:
            at = int(np.setdiff1d(np.arange(n), chosen[:t])[0])
        chosen[t] = min(at, n - 1)
        _lower(rows, rows[chosen[t]].astype(np.float64), nearest)
    return chosen


def _weights(weights: npt.ArrayLike | None, n: int) -> Floats:
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (n,) or not np.isfinite(w).all() or (w < 0).any() or w.sum() == 0:
        raise ValueError("weights must be one finite number >= 0 per row, not all 0")
    return w


def kmeans(
    x: npt.ArrayLike,
    k: int,
    rng: np.random.Generator,
    *,
    spherical: bool = False,
    weights: npt.ArrayLike | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-6,
) -> tuple[Floats, Indices, Floats]:
    """Cluster ``x`` (n, d) into ``k`` groups; returns centroids (k, d), the centroid of each row (n,) and the squared
    distance of each row to it (n,).

    ``spherical`` scales rows and centroids to unit length (squared distance is then 2 - 2 cos). A centroid left without
    rows moves to the row farthest from its own. Stops when no row moves or the summed squared distance falls by less
    than ``tolerance`` of itself. Raises ValueError on illegal parameters.
    """
    rows = _rows(x, spherical)
    w = _weights(weights, rows.shape[0])
    if max_iterations < 1:
        raise ValueError(f"max_iterations is {max_iterations}; legal: 1 or more")
    centers = rows[plus_plus(rows, k, rng, weights=w)].astype(np.float64)
    owner, nearest = assign(rows, centers)
    for _ in range(max_iterations):
        sums, totals = np.zeros_like(centers), np.zeros(k)
        _sums(rows, owner, w, sums, totals)
        filled = totals > 0
        sums[filled] /= totals[filled, None]
        far = np.argsort(-nearest, kind="stable")
        sums[~filled] = rows[far[: int((~filled).sum())]]
        if spherical:
            norms = np.linalg.norm(sums, axis=1)
            sums[norms > 0] /= norms[norms > 0, None]
        centers = sums
        before, loss = owner, float(w @ nearest)
        owner, nearest = assign(rows, centers)
        if np.array_equal(owner, before) or loss - float(w @ nearest) < tolerance * loss:
            break
    return centers, owner, nearest


def prototype_distances(x: npt.ArrayLike, k: int, rng: np.random.Generator, *, spherical: bool = True) -> Floats:
    """Distance of each row to the nearest of ``k`` centroids, (n,). High: unlike the prototypes, hard.

    Sorscher et al. keep hard rows when data are many and easy ones when they are few. Spherical: 1 - cos, else Euclidean.
    """
    _, _, squared = kmeans(x, k, rng, spherical=spherical)
    return squared / 2.0 if spherical else np.sqrt(squared)
