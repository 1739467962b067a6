"""Herding: choose rows whose running mean follows the mean of all rows.

Welling 2009, "Herding dynamical weights to learn"; Chen, Welling, Smola 2010, "Super-samples from kernel herding".
Greedy nearest-mean choice as used for exemplars: Rebuffi et al. 2017 (iCaRL).
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

OBJECTIVES: Final = ("herding", "nearest_mean")


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _dot(row: Any, middle: Any, direction: Any) -> float:
    total = 0.0
    for t in range(row.shape[0]):
        total += (np.float64(row[t]) - middle[t]) * direction[t]
    return total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _best(x: Any, middle: Any, direction: Any, penalty: Any, free: Any, rough: Any, margin: float) -> int:
    """Row with the largest ``(x - middle) . direction - penalty``, the rough values being right within ``margin``."""
    top = -np.inf
    for i in range(rough.shape[0]):
        if free[i] and rough[i] > top:
            top = rough[i]
    best, best_value = -1, -np.inf
    for i in range(rough.shape[0]):
        if free[i] and rough[i] >= top - 2.0 * margin:
            value = _dot(x[i], middle, direction) - penalty[i]
            if value > best_value:
                best, best_value = i, value
    return best


def herding(
    x: npt.ArrayLike, k: int, *, objective: str = "herding", target: npt.ArrayLike | None = None, replace: bool = False
) -> tuple[Indices, Floats]:
    """Choose ``k`` rows of ``x`` (n, d) so that their mean stays close to ``target`` (d,), by default the mean of x.

    At step t with s the sum of the t rows chosen, ``herding`` takes the row with the largest product with
    ``target - s / (t + 1)`` (kernel herding with the linear kernel); ``nearest_mean`` takes the row
    that brings the mean of the t + 1 rows nearest to the target. ``replace`` lets a row be taken again. Ties: the
    lowest row number. Returns row numbers and the distance of the running mean to the target after each, both (k,).
    """
    rows = np.ascontiguousarray(x)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"x must be (rows, features) and not empty, got shape {rows.shape}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError("x holds values that are not finite")
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {objective!r}; legal: {', '.join(OBJECTIVES)}")
    n, d = rows.shape
    if k < 1 or (k > n and not replace):
        raise ValueError(f"k is {k}; legal: 1 to the number of rows, {n} (more only with replace)")
    middle = np.mean(rows, axis=0, dtype=np.float64)
    aim = middle if target is None else np.asarray(target, dtype=np.float64)
    if aim.shape != (d,) or not np.isfinite(aim).all():
        raise ValueError(f"target must be {d} finite numbers, got shape {aim.shape}")
    low = np.empty((n, d), np.float32)
    squares = np.empty(n)
    for b in range(0, n, 2048):
        part = rows[b : b + 2048] - middle
        low[b : b + 2048] = part
        squares[b : b + 2048] = np.einsum("ij,ij->i", part, part)
    longest = float(np.sqrt(squares.max()))
    rounding = 3.0 * 2.0**-24 * (d + 8)
    free, total = np.ones(n, np.bool_), np.zeros(d)
    order, distances = np.empty(k, np.int64), np.empty(k)
    for t in range(k):
        if objective == "herding":
            direction = aim - total / (t + 1)
            penalty = np.zeros(n)
        else:
            # with everything centred, |aim - (total + x) / (t + 1)|^2 is least where
            # x . (2 ((t + 1) aim - total)) - |x|^2 is largest
            direction = 2.0 * ((t + 1) * (aim - middle) - (total - t * middle))
            penalty = squares
        rough = low @ direction.astype(np.float32) - penalty
        margin = rounding * (longest * float(np.linalg.norm(direction)) + 1e-300)
        j = int(_best(rows, middle, direction, penalty, free, rough, margin))
        order[t] = j
        total += rows[j]
        distances[t] = float(np.linalg.norm(total / (t + 1) - aim))
        free[j] = replace
    return order, distances


def kernel_herding(x: npt.ArrayLike, k: int, *, bandwidth: float) -> Indices:
    """Kernel herding with ``exp(-|x - y|^2 / (2 bandwidth^2))``: chosen row numbers (k,), each at most once.

    Takes the row with the largest ``mean_i k(i, j) - sum_s k(s, j) / (t + 1)``; values within 1e-12 count as equal and
    the lowest row number goes first. Work is n^2 d, memory O(n d).
    """
    rows = np.ascontiguousarray(x, dtype=np.float64)
    if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
        raise ValueError(f"x must be (rows, features), finite and not empty, got shape {rows.shape}")
    if not (np.isfinite(bandwidth) and bandwidth > 0):
        raise ValueError(f"bandwidth is {bandwidth}; legal: above 0")
    n = rows.shape[0]
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}; legal: 1 to the number of rows, {n}")
    rows = rows - rows.mean(axis=0)
    squares = np.einsum("ij,ij->i", rows, rows)
    rate = -0.5 / bandwidth**2

    def similar(first: int, last: int) -> Floats:
        gaps = squares[first:last, None] + squares - 2.0 * (rows[first:last] @ rows.T)
        return np.asarray(np.exp(rate * np.maximum(gaps, 0.0)))

    mean = np.concatenate([similar(b, min(b + 256, n)).mean(axis=1) for b in range(0, n, 256)])
    pressed, free, order = np.zeros(n), np.ones(n, np.bool_), np.empty(k, np.int64)
    for t in range(k):
        value = np.where(free, mean - pressed / (t + 1), -np.inf)
        order[t] = np.flatnonzero(value >= value.max() - 1e-12)[0]
        free[order[t]] = False
        pressed += similar(int(order[t]), int(order[t]) + 1)[0]
    return order
