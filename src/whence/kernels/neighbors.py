"""Exact nearest neighbours: float32 products in blocks, a few spare candidates, float64 for the final order.

Results are those of a float64 brute force, ties to the lowest row number, whatever the block size or thread count:
a query whose spare candidates do not settle its answer within the rounding bound is scanned again in float64.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

METRICS: Final = ("cosine", "euclidean")
_SPARE: Final = 16
_QUERY_ROWS: Final = 256
_BASE_ROWS: Final = 4096


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _exact(q: Any, qs: float, b: Any, bs: float, euclidean: bool) -> float:
    total = 0.0
    if euclidean:
        for t in range(q.shape[0]):
            difference = np.float64(q[t]) - np.float64(b[t])
            total += difference * difference
        return -total
    for t in range(q.shape[0]):
        total += np.float64(q[t]) * np.float64(b[t])
    return total * qs * bs


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _insert(values: Any, rows: Any, value: float, row: int) -> None:
    """Put (value, row) into lists sorted by falling value, then rising row; the last entry falls out."""
    at = values.shape[0] - 1
    while at > 0 and (value > values[at - 1] or (value == values[at - 1] and row < rows[at - 1])):
        values[at], rows[at] = values[at - 1], rows[at - 1]
        at -= 1
    values[at], rows[at] = value, row


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _scan(dots: Any, offset: Any, factor: float, first_query: int, first: int, skip_self: bool, values: Any, rows: Any) -> None:
    """Keep the largest ``factor * dot + offset`` of a block; 32 at a time are passed over by their largest."""
    m = dots.shape[1]
    scale = np.float32(factor)
    for a in range(dots.shape[0]):
        dot, kept, kept_rows = dots[a], values[a], rows[a]
        last = kept[kept.shape[0] - 1]
        for begin in range(0, m, 32):
            end = min(begin + 32, m)
            part, shift = dot[begin:end], offset[first + begin : first + end]
            largest = np.float32(-np.inf)
            for c in range(part.shape[0]):
                part[c] = scale * part[c] + shift[c]
                largest = part[c] if part[c] > largest else largest
            if largest > last:
                for c in range(part.shape[0]):
                    row = first + begin + c
                    if part[c] > last and not (skip_self and row == first_query + a):
                        _insert(kept, kept_rows, part[c], row)
                        last = kept[kept.shape[0] - 1]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _settle(
    queries: Any, query_scale: Any, base: Any, base_scale: Any, euclidean: bool, first_query: int, skip_self: bool,
    approximate: Any, candidates: Any, margin: Any, out_values: Any, out_rows: Any,
) -> None:  # fmt: skip
    n, k = base.shape[0], out_rows.shape[1]
    width = candidates.shape[1]
    for a in range(queries.shape[0]):
        values, rows = out_values[a], out_rows[a]
        values[:] = -np.inf
        rows[:] = n
        for c in range(width):
            row = candidates[a, c]
            if row >= 0:
                value = _exact(queries[a], query_scale[a], base[row], base_scale[row], euclidean)
                if value > values[k - 1] or (value == values[k - 1] and row < rows[k - 1]):
                    _insert(values, rows, value, row)
        # all rows left out have an approximate value of at most the last one kept
        if candidates[a, width - 1] >= 0 and not values[k - 1] > approximate[a, width - 1] + margin[a]:
            values[:] = -np.inf
            rows[:] = n
            for row in range(n):
                if not (skip_self and row == first_query + a):
                    value = _exact(queries[a], query_scale[a], base[row], base_scale[row], euclidean)
                    if value > values[k - 1] or (value == values[k - 1] and row < rows[k - 1]):
                        _insert(values, rows, value, row)


def _prepared(x: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    rows = np.ascontiguousarray(x)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{name} must be (rows, features), got shape {rows.shape}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} holds values that are not finite")
    return rows


def nearest(
    queries: npt.ArrayLike,
    base: npt.ArrayLike,
    k: int,
    *,
    metric: str = "cosine",
    exclude_self: bool = False,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The ``k`` rows of ``base`` (n, d) nearest to each row of ``queries`` (m, d), nearest first, ties by row number.

    Returns row numbers and values, both (m, k): for ``cosine`` the similarity in [-1, 1] (high is near; a row of zeros
    has similarity 0 to all), for ``euclidean`` the distance (low is near). ``exclude_self`` says that query i is row i
    of base and is not its own neighbour. Raises ValueError on illegal parameters.
    """
    q, b = _prepared(queries, "queries"), _prepared(base, "base")
    if q.shape[1] != b.shape[1]:
        raise ValueError(f"queries have {q.shape[1]} features and base has {b.shape[1]}")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; legal: {', '.join(METRICS)}")
    if exclude_self and q.shape[0] != b.shape[0]:
        raise ValueError("exclude_self needs queries and base to be the same rows")
    n, d = b.shape
    available = n - 1 if exclude_self else n
    if not 1 <= k <= available:
        raise ValueError(f"k is {k}; legal: 1 to the number of rows to choose from, {available}")
    euclidean = metric == "euclidean"
    rounding = 3.0 * 2.0**-24 * (d + 8)
    if euclidean:
        middle = np.mean(b, axis=0, dtype=np.float64)
        base32, query32 = (b - middle).astype(np.float32), (q - middle).astype(np.float32)
        base_scale, query_scale = np.ones(n), np.ones(q.shape[0])
        squares = np.einsum("ij,ij->i", base32, base32, dtype=np.float64)
        query_squares = np.einsum("ij,ij->i", query32, query32, dtype=np.float64)
        offset, factor = (-squares).astype(np.float32), 2.0
        margin = 2.0 * rounding * (query_squares + squares.max())
    else:
        base_scale, query_scale = _inverse_norms(b), _inverse_norms(q)
        base32 = (
            b * base_scale.astype(np.float32)[:, None] if b.dtype == np.float32 else (b * base_scale[:, None]).astype(np.float32)
        )
        query32 = (
            q * query_scale.astype(np.float32)[:, None]
            if q.dtype == np.float32
            else (q * query_scale[:, None]).astype(np.float32)
        )
        query_squares = np.zeros(q.shape[0])
        offset, factor = np.zeros(n, np.float32), 1.0
        margin = np.full(q.shape[0], rounding)
    width = min(k + _SPARE, available)
    out_rows, out_values = np.empty((q.shape[0], k), np.int64), np.empty((q.shape[0], k))
    for start in range(0, q.shape[0], _QUERY_ROWS):
        part = slice(start, start + _QUERY_ROWS)
        block = query32[part]
        approximate = np.full((block.shape[0], width), -np.inf, np.float32)
        candidates = np.full((block.shape[0], width), -1, np.int64)
        for first in range(0, n, _BASE_ROWS):
            dots = block @ base32[first : first + _BASE_ROWS].T
            _scan(dots, offset, factor, start, first, exclude_self, approximate, candidates)
        shifted = approximate.astype(np.float64) - query_squares[part, None]
        if width == available:
            shifted[:] = -np.inf  # nothing was left out, so there is nothing to doubt
        _settle(
            q[part], query_scale[part], b, base_scale, euclidean, start, exclude_self,
            shifted, candidates, margin[part], out_values[part], out_rows[part],
        )  # fmt: skip
    if euclidean:
        out_values = np.sqrt(np.maximum(-out_values, 0.0))
    return out_rows, out_values


def _inverse_norms(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return np.asarray(np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0))


def label_agreement(
    neighbors: npt.NDArray[np.int64], labels: npt.ArrayLike, own: npt.ArrayLike | None = None
) -> npt.NDArray[np.float64]:
    """Share of each row's neighbours (m, k) that carry its label, (m,) in [0, 1]; high: the label fits its surroundings.

    ``labels`` are those of the base rows; ``own`` those of the queries when they are not the base itself.
    """
    given = np.asarray(labels)
    mine = given if own is None else np.asarray(own)
    if mine.shape != (neighbors.shape[0],):
        raise ValueError(f"there are {neighbors.shape[0]} rows of neighbours and {mine.shape} labels")
    return np.asarray((given[neighbors] == mine[:, None]).mean(axis=1))
