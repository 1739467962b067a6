"""Shapley values of training rows for a k-nearest-neighbour classifier, exactly, in n log n per test row.

Jia et al. 2019, "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms" (VLDB, arXiv 1908.08619),
Theorem 1. The value of a set S for a test row is ``(1/K) * sum over its min(K, |S|) nearest of [label is right]``. Here
the recursion also holds for fewer rows than K.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

METRICS: Final = ("euclidean", "cosine")


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _distances(test: Any, test_scale: float, train: Any, scale: Any, out: Any) -> None:
    for i in range(train.shape[0]):
        total, row = 0.0, train[i]
        for t in range(row.shape[0]):
            difference = np.float64(row[t]) * scale[i] - np.float64(test[t]) * test_scale
            total += difference * difference
        out[i] = total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _recursion(order: Any, right: Any, k: int, out: Any) -> None:
    n = order.shape[0]
    last = order[n - 1]
    value = right[last] * min(k, n) / (k * n)
    out[last] += value
    for i in range(n - 1, 0, -1):  # i is the 1-based rank of the nearer row
        near, far = order[i - 1], order[i]
        value += (right[near] - right[far]) / k * min(k, i) / i
        out[near] += value


def knn_shapley_from_order(order: npt.NDArray[np.int64], right: npt.NDArray[Any], k: int) -> npt.NDArray[np.float64]:
    """Values (n,) for one test row: ``order`` (n,) rows from near to far, ``right`` (n,) 1 where the label agrees."""
    out = np.zeros(order.shape[0])
    _recursion(np.asarray(order, dtype=np.int64), np.asarray(right, dtype=np.float64), k, out)
    return out


def knn_shapley(
    train: npt.ArrayLike,
    train_labels: npt.ArrayLike,
    test: npt.ArrayLike,
    test_labels: npt.ArrayLike,
    k: int,
    *,
    metric: str = "euclidean",
) -> npt.NDArray[np.float64]:
    """Mean over test rows of each training row's Shapley value, (n,). High: the row makes test labels come out right.

    The values sum to the mean share of right labels among the K nearest. ``train`` (n, d), ``test`` (m, d), labels of
    any comparable kind; equal distances: the lowest row is nearer. Raises ValueError on illegal parameters.
    """
    rows, tests = np.ascontiguousarray(train), np.ascontiguousarray(test)
    y, t = np.asarray(train_labels), np.asarray(test_labels)
    if rows.ndim != 2 or tests.ndim != 2 or rows.shape[1] != tests.shape[1] or 0 in rows.shape or 0 in tests.shape:
        raise ValueError(f"train and test must be (rows, same features), got shapes {rows.shape} and {tests.shape}")
    if y.shape != (rows.shape[0],) or t.shape != (tests.shape[0],):
        raise ValueError("there must be one label per row")
    if not (np.isfinite(rows).all() and np.isfinite(tests).all()):
        raise ValueError("train and test must be finite")
    if k < 1:
        raise ValueError(f"k is {k}; legal: 1 or more")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; legal: {', '.join(METRICS)}")
    scale, test_scale = np.ones(rows.shape[0]), np.ones(tests.shape[0])
    if metric == "cosine":
        for matrix, factors in ((rows, scale), (tests, test_scale)):
            norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
            factors[:] = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    values, distances = np.zeros(rows.shape[0]), np.empty(rows.shape[0])
    for i in range(tests.shape[0]):
        _distances(tests[i], test_scale[i], rows, scale, distances)
        _recursion(np.argsort(distances, kind="stable"), (y == t[i]).astype(np.float64), k, values)
    return np.asarray(values / tests.shape[0])
