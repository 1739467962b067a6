"""Greedy k-center: choose rows so that no row is far from a chosen one (farthest first).

Gonzalez 1985, "Clustering to minimize the maximum intercluster distance" (at most twice the best radius); as active
learning: Sener, Savarese 2018. Distances come from float32 products of batches of likely next centres; wherever such a
product may lower a row's distance, that distance is recomputed in float64, so the centres are those of a float64 run
whatever the number of threads.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

METRICS: Final = ("euclidean", "cosine")
_BATCH: Final = 32


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _squared_distance(x: Any, scale: Any, i: int, j: int) -> float:
    total = 0.0
    for t in range(x.shape[1]):
        difference = np.float64(x[i, t]) * scale[i] - np.float64(x[j, t]) * scale[j]
        total += difference * difference
    return total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _lower(x: Any, scale: Any, j: int, dots: Any, squares: Any, rounding: float, nearest: Any) -> None:
    for i in range(x.shape[0]):
        norms = squares[i] + squares[j]
        if norms * (1.0 - rounding) - 2.0 * dots[i] < nearest[i]:
            nearest[i] = min(nearest[i], _squared_distance(x, scale, i, j))


def kcenter(
    x: npt.NDArray[Any],
    k: int,
    *,
    metric: str = "euclidean",
    initial: npt.ArrayLike | None = None,
    outlier_share: float = 0.0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Choose ``k`` rows of ``x`` (n, d), each the row farthest from all chosen before; ties: the lowest row number.

    ``initial`` row numbers count as chosen already and are not returned; without them the first row is the one nearest
    the mean. ``outlier_share`` in [0, 1) skips that share of all rows, the farthest ones, at each choice.
    ``cosine`` is the Euclidean distance between rows of unit length.

    Returns row numbers (k,) and, after each choice, the covering radius: the largest distance of a row to its nearest
    chosen row (the skipped share left out), never rising. Raises ValueError on illegal parameters.
    """
    x = np.ascontiguousarray(x)
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"x must be (rows, features) and not empty, got shape {x.shape}")
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("x holds values that are not finite")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; legal: {', '.join(METRICS)}")
    if not 0.0 <= outlier_share < 1.0:
        raise ValueError(f"outlier_share is {outlier_share}; legal: 0 to 1, 1 excluded")
    n, d = x.shape
    given = np.empty(0, np.int64) if initial is None else np.asarray(initial, dtype=np.int64)
    if given.size and (given.min() < 0 or given.max() >= n or np.unique(given).size != given.size):
        raise ValueError(f"initial must be different row numbers, 0 to {n - 1}")
    if not 1 <= k <= n - given.size:
        raise ValueError(f"k is {k}; legal: 1 to the number of rows not chosen yet, {n - given.size}")
    scale = np.ones(n)
    if metric == "cosine":
        norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
        scale = np.divide(1.0, norms, out=np.zeros(n), where=norms > 0)
    middle = (scale @ x) / n
    rows = np.empty((n, d), np.float32)
    to_middle = np.empty(n)
    for b in range(0, n, 2048):
        part = x[b : b + 2048] * scale[b : b + 2048, None] - middle
        rows[b : b + 2048] = part
        to_middle[b : b + 2048] = np.einsum("ij,ij->i", part, part)
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    rounding = 2.0 * 2.0**-24 * (d + 8)
    skip = int(outlier_share * n)
    nearest = np.full(n, np.inf)
    free = np.ones(n, np.bool_)
    dots: dict[int, npt.NDArray[np.float32]] = {}

    def add(j: int) -> None:
        if j not in dots:
            # Distances only fall, so the rows farthest now are the likely next centres: one product for all of them.
            ranked = np.where(free & np.isfinite(nearest), nearest, -1.0)
            reach = min(skip + _BATCH, n)
            ahead = np.argpartition(-ranked, reach - 1)[:reach]
            ahead = ahead[np.argsort(-ranked[ahead], kind="stable")][skip:]
            ahead = np.concatenate(([j], ahead[ahead != j]))[:_BATCH]
            products = rows[ahead] @ rows.T
            dots.clear()
            dots.update(zip(ahead.tolist(), products, strict=True))
        _lower(x, scale, j, dots[j], squares, rounding, nearest)
        free[j] = False

    for j in given:
        add(int(j))
    order, radii = np.empty(k, np.int64), np.empty(k)
    for t in range(k):
        if t == 0 and not given.size:
            j = int(np.flatnonzero(to_middle <= to_middle.min() * (1 + 1e-12))[0])
        else:
            left = np.where(free, nearest, -1.0)
            rank = min(skip, int(free.sum()) - 1)
            limit = np.partition(left, n - 1 - rank)[n - 1 - rank] if rank else left.max()
            j = int(np.flatnonzero(left == limit)[0])
        add(j)
        order[t] = j
        radii[t] = np.sqrt(np.partition(nearest, n - 1 - skip)[n - 1 - skip] if skip else nearest.max())
    return order, radii
