"""Gradient Information Optimization: grow a set until it is as close to a target as it gets, in KL divergence.

Everaert, Potts 2024, "GIO: Gradient Information Optimization for Training Dataset Selection" (arXiv 2306.11670). A free
point moves down the gradient of a nearest-neighbour estimate of KL(target || set + point) and is replaced by the pool
row nearest to where it ends; the set stops growing when the estimate rises.

The estimate averages log-distances to ALL points of the set ("all", as the authors' package computes it) or takes the
k-th nearest ("kth", Wang, Kulkarni, Verdu 2009). Here gradients are written out instead of traced, and the sum over the
set is kept running, so a step costs O(targets * d). Two facts worth knowing: with "all" the set enters the gradient
only as a factor, so where the point starts decides what it finds ("mean" looks at the middle of the target, "jump"
visits its parts); with "kth" the gradient is 0 where the point is not a k-th neighbour.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from whence.kernels.kmeans import kmeans

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ESTIMATES: Final = ("all", "kth")
STARTS: Final = ("mean", "previous", "jump")
_SHORTEST: Final = 1e-5  # distances are kept above this, so that a copy costs a finite amount


def _distances(a: Floats, b: Floats) -> Floats:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squares, _SHORTEST**2)))


def _matrix(values: npt.ArrayLike, name: str) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
        raise ValueError(f"{name} must be (rows, features), finite and not empty, got shape {rows.shape}")
    return rows


class _Divergence:
    """Running estimate of KL(target || set); ``k`` neighbours inside the target, and in the set for "kth"."""

    def __init__(self, target: Floats, start: Floats, k: int, estimate: str) -> None:
        self.target, self.k, self.estimate = target, k, estimate
        n = target.shape[0]
        if not 1 <= k < n:
            raise ValueError(f"k is {k}; legal: 1 to one less than the number of targets, {n - 1}")
        if estimate not in ESTIMATES:
            raise ValueError(f"estimate is {estimate!r}; legal: {', '.join(ESTIMATES)}")
        if estimate == "kth" and start.shape[0] < k:
            raise ValueError(f"the starting set has {start.shape[0]} rows; the k-th neighbour estimate needs {k}")
        inside = _distances(target, target)
        np.fill_diagonal(inside, np.inf)
        self.inside = float(np.log(np.partition(inside, k - 1, axis=1)[:, k - 1]).mean())
        outside = _distances(target, start)
        self.size = start.shape[0]
        self.log_sum = float(np.log(outside).sum())
        self.log_ranks = float(np.log(np.arange(1, self.size + 1)).sum())
        self.near = np.sort(outside, axis=1)[:, :k] if estimate == "kth" else np.empty((n, 0))

    def value(self) -> float:
        n, d = self.target.shape
        if self.estimate == "kth":
            return float(d * (np.log(self.near[:, -1]).mean() - self.inside) + np.log(self.size / (n - 1)))
        spread = self.log_sum / (n * self.size) - self.inside
        return float(d * spread + np.log(self.k * self.size / (n - 1)) - self.log_ranks / self.size)

    def add(self, point: Floats) -> None:
        to_point = _distances(self.target, point[None, :])[:, 0]
        self.size += 1
        self.log_sum += float(np.log(to_point).sum())
        self.log_ranks += float(np.log(self.size))
        if self.estimate == "kth":
            self.near = np.sort(np.column_stack([self.near, to_point]), axis=1)[:, : self.k]

    def gradient(self, point: Floats) -> Floats:
        """Gradient of the estimate, ``point`` being one more member of the set, with respect to the point (d,)."""
        n, d = self.target.shape
        away = point - self.target
        squares = np.maximum((away * away).sum(axis=1), _SHORTEST**2)
        if self.estimate == "all":
            return np.asarray((away / squares[:, None]).sum(axis=0) * d / (n * (self.size + 1)))
        length = np.sqrt(squares)
        before = self.near[:, -2] if self.k > 1 else np.zeros(n)
        is_kth = (length < self.near[:, -1]) & (length >= before)
        return np.asarray((away[is_kth] / squares[is_kth, None]).sum(axis=0) * d / n)


def knn_divergence(target: npt.ArrayLike, chosen: npt.ArrayLike, *, k: int = 5, estimate: str = "all") -> float:
    """Nearest-neighbour estimate of KL(target || chosen) in nats; high: the chosen rows miss the target. May be < 0."""
    return _Divergence(_matrix(target, "target"), _matrix(chosen, "chosen"), k, estimate).value()


def gio(
    pool: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    initial: npt.ArrayLike | None = None,
    rng: np.random.Generator | None = None,
    k: int = 5,
    estimate: str = "all",
    start: str = "mean",
    descent_steps: int = 50,
    learning_rate: float = 0.01,
    max_rows: int = 100,
    patience: int = 0,
) -> tuple[Indices, Floats]:
    """Choose rows of ``pool`` (n, d) that bring the chosen set near ``target`` (m, d); stops when the estimate rises.

    The set begins with ``initial`` (s, d), or with 20 points drawn by ``rng`` from the cube [-1, 1]^d and scaled to unit
    length (the authors' default); these only serve the estimate and are not returned. Each round the free point starts
    at the target's mean (``mean``), where it last ended (``previous``) or at a random target (``jump``, needs ``rng``)
    and takes ``descent_steps`` steps (three times as many in the first round) of ``learning_rate`` times the gradient,
    scaled once so that the first gradient is as long as the point. Up to ``patience`` rising rounds in a row are
    accepted, then dropped if the estimate has not come back down; the rounds kept end at their lowest estimate.

    Returns row numbers (r,), r <= max_rows, possibly 0, and r + 1 estimates in nats: the start's, then after each row.
    """
    rows, aims = _matrix(pool, "pool"), _matrix(target, "target")
    d = rows.shape[1]
    if aims.shape[1] != d:
        raise ValueError(f"pool has {d} features and target has {aims.shape[1]}")
    if start not in STARTS:
        raise ValueError(f"start is {start!r}; legal: {', '.join(STARTS)}")
    if descent_steps < 1 or max_rows < 1 or patience < 0 or not learning_rate > 0:
        raise ValueError("legal: descent_steps and max_rows 1 or more, patience 0 or more, learning_rate above 0")
    if rng is None and (initial is None or start == "jump"):
        raise ValueError("rng is needed to draw the starting set (initial=None) and for start='jump'")
    if initial is None:
        assert rng is not None
        first = rng.uniform(-1.0, 1.0, (20, d))
        first /= np.linalg.norm(first, axis=1, keepdims=True)
    else:
        first = _matrix(initial, "initial")
    divergence = _Divergence(aims, first, k, estimate)

    def begin() -> Floats:
        if start == "jump":
            assert rng is not None
            return np.array(aims[int(rng.integers(aims.shape[0]))])
        return np.asarray(aims.mean(axis=0))

    point = begin()
    length = float(np.linalg.norm(divergence.gradient(point)))
    scale = float(np.linalg.norm(point)) / length if length > 0 and np.linalg.norm(point) > 0 else 1.0
    free = np.ones(rows.shape[0], np.bool_)
    order: list[int] = []
    estimates = [divergence.value()]
    best, rises = 0, 0
    for turn in range(min(max_rows, rows.shape[0])):
        if start != "previous" and turn:
            point = begin()
        for _ in range(descent_steps * (1 if turn else 3)):
            point = point - learning_rate * scale * divergence.gradient(point)
        squares = ((rows - point) ** 2).sum(axis=1)
        row = int(np.argmin(np.where(free, squares, np.inf)))
        free[row] = False
        divergence.add(rows[row])
        order.append(row)
        estimates.append(divergence.value())
        rises = rises + 1 if estimates[-1] > estimates[-2] else 0
        if estimates[-1] <= estimates[best]:
            best = len(order)
        if rises > patience:
            break
    return np.asarray(order[:best], dtype=np.int64), np.asarray(estimates[: best + 1])


def gio_quantized(
    pool: npt.ArrayLike,
    target: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    pool_clusters: int = 1500,
    target_clusters: int = 1500,
    initial: npt.ArrayLike | None = None,
    k: int = 5,
    estimate: str = "all",
    start: str = "mean",
    max_clusters: int = 100,
    patience: int = 0,
) -> tuple[Indices, Indices, Floats]:
    """GIO over k-means centroids of pool and target; a chosen centroid brings all rows of its cluster.

    Returns row numbers (cluster by cluster in order of choice, ascending inside one), the cluster each came with, and the
    estimates of ``gio``. Cluster counts are capped at the number of rows.
    """
    rows, aims = _matrix(pool, "pool"), _matrix(target, "target")
    centers, owner, _ = kmeans(rows, min(pool_clusters, rows.shape[0]), rng)
    aim_centers, _, _ = kmeans(aims, min(target_clusters, aims.shape[0]), rng)
    order, estimates = gio(
        centers, aim_centers, initial=initial, rng=rng, k=k, estimate=estimate, start=start,
        max_rows=max_clusters, patience=patience,
    )  # fmt: skip
    members = [np.flatnonzero(owner == c) for c in order]
    chosen = np.concatenate(members) if members else np.empty(0, np.int64)
    return chosen, np.repeat(order, [m.size for m in members]), estimates
