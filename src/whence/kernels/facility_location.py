"""Greedy facility location: the k rows that best stand for all rows.

The objective is ``f(S) = sum_i w_i * max_{j in S} sim(i, j)`` (Nemhauser, Wolsey, Fisher 1978; lazy evaluation:
Minoux 1978; stochastic greedy: Mirzasoleiman et al. 2015, "Lazier Than Lazy Greedy").

How it stays small and exact: similarities are never kept as floats. Once the first row is chosen, a pair matters only
by how far it lifts the target above what the first row already gives it, so that lift is stored in 16 bits, rounded
up. Sums of the stored lifts are upper bounds on gains, kept up to date for all candidates by touching only the targets
that the last chosen row lifted (about n/t of them at step t). Only candidates whose bound reaches the top are evaluated
in float64, over the targets they can still lift. The subset is therefore that of plain float64 greedy whatever the
number of threads, at 2 bytes a pair.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

METRICS: Final = ("cosine", "squared_cosine", "euclidean")
_COSINE, _SQUARED_COSINE, _EUCLIDEAN = range(3)
_TOP_CODE: Final = 65535
_BLOCK_ROWS: Final = 256


@numba.njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _similarity(x: Any, scale: Any, i: int, j: int, metric: int) -> Any:
    total = 0.0
    if metric == _EUCLIDEAN:
        for t in range(x.shape[1]):
            difference = np.float64(x[i, t]) - np.float64(x[j, t])
            total += difference * difference
        return -total
    for t in range(x.shape[1]):
        total += np.float64(x[i, t]) * np.float64(x[j, t])
    total *= scale[i] * scale[j]
    if metric == _SQUARED_COSINE:
        return total * total
    return 1.0 + total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _similarities_to(x: Any, scale: Any, j: int, metric: int, out: Any) -> None:
    for i in range(x.shape[0]):
        out[i] = _similarity(x, scale, i, j, metric)


@numba.njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _store_block(dots: Any, first: int, offset: Any, floor: Any, inverse_step: Any, metric: int, slack: float, out: Any) -> None:
    """Write one block row of codes and its mirror; ``out[i, j]`` bounds the lift candidate j gives target i."""
    rows, columns = dots.shape
    factor = np.float32(2.0) if metric == _EUCLIDEAN else np.float32(1.0)
    up = np.float32(1.02)  # the 0.02 covers the float32 rounding of the quotient
    zero, top, extra = np.float32(0.0), np.float32(_TOP_CODE), np.float32(slack)
    for begin in range(0, columns, 64):
        end = min(begin + 64, columns)
        column_offset = offset[first + begin : first + end]
        for a in range(rows):
            dot, code = dots[a, begin:end], out[first + a, first + begin : first + end]
            base, low, rate = extra + offset[first + a], floor[first + a], inverse_step[first + a]
            for b in range(dot.shape[0]):
                similarity = dot[b] * dot[b] if metric == _SQUARED_COSINE else dot[b]
                similarity = factor * similarity + base + column_offset[b]
                dot[b] = similarity
                code[b] = np.uint16(min(max((similarity - low) * rate + up, zero), top))
        for b in range(begin, end):
            low, rate = floor[first + b], inverse_step[first + b]
            code = out[first + b, first : first + rows]
            for a in range(rows):
                code[a] = np.uint16(min(max((dots[a, b] - low) * rate + up, zero), top))


@numba.njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _lower_bounds(codes: Any, step: Any, old: Any, new: Any, bounds: Any) -> None:
    """Bring the bounds up to date: take off what target i could still gain between its old and its new code."""
    zero = np.float32(0.0)
    for i in range(codes.shape[0]):
        if new[i] > old[i]:
            row, low, width, unit = codes[i], old[i], new[i] - old[i], step[i]
            for j in range(row.shape[0]):
                bounds[j] -= unit * np.float64(min(max(np.float32(row[j]) - low, zero), width))


@numba.njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz", "nnan"})  # type: ignore[untyped-decorator]
def _first_bounds(codes: Any, step: Any, bounds: Any) -> None:
    for i in range(codes.shape[0]):
        row, unit = codes[i], step[i]
        for j in range(row.shape[0]):
            bounds[j] += unit * np.float64(np.float32(row[j]))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _exact_gain(x: Any, scale: Any, metric: int, weights: Any, codes: Any, current: Any, best: Any, j: int) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        if codes[i, j] > current[i]:
            lift = _similarity(x, scale, i, j, metric) - best[i]
            if lift > 0.0:
                total += weights[i] * lift
    return total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _take(x: Any, scale: Any, metric: int, codes: Any, current: Any, best: Any, start: Any, unit: Any, j: int) -> None:
    for i in range(x.shape[0]):
        if codes[i, j] > current[i]:
            similarity = _similarity(x, scale, i, j, metric)
            if similarity > best[i]:
                best[i] = similarity
                if unit[i] > 0.0:
                    code = np.floor((similarity - start[i]) / unit[i] * (1.0 - 1e-9))
                    current[i] = np.float32(min(max(code, 0.0), float(_TOP_CODE)))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _best_of(
    candidates: Any, bounds: Any, known: Any, slack: float, tie: float, x: Any, scale: Any, metric: int, weights: Any, codes: Any,
    current: Any, best: Any,
) -> tuple[int, float, int]:  # fmt: skip
    """Exact best of ``candidates`` (ascending): (row, gain, exact evaluations). Bounds decide who is evaluated.

    Gains closer than rounding can tell apart are ties and go by row number: two rows that are each other's only kin
    have the same gain on paper under a similarity that is the same for every row with itself.
    """
    m = candidates.shape[0]
    value, open_ = np.empty(m), np.ones(m, np.bool_)
    evaluations, largest = 0, -np.inf
    for c in range(m):
        value[c] = min(bounds[candidates[c]] * (1.0 + 1e-9) + slack, known[candidates[c]])
        if known[candidates[c]] <= tie:  # gains only fall: nothing is left to gain here, now or later
            open_[c] = False
            largest = max(largest, value[c])
    while True:
        top = -1
        for c in range(m):
            if open_[c] and (top < 0 or value[c] > value[top]):
                top = c
        if top < 0 or value[top] < largest - tie - 1e-12 * abs(largest):
            break
        value[top] = _exact_gain(x, scale, metric, weights, codes, current, best, candidates[top])
        known[candidates[top]] = value[top]
        open_[top] = False
        largest = max(largest, value[top])
        evaluations += 1
    for c in range(m):
        if not open_[c] and value[c] >= largest - tie - 1e-12 * largest:
            return candidates[c], value[c], evaluations
    return -1, 0.0, evaluations


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _sift(heap: Any, size: int, value: Any, at: int) -> None:
    """Restore the heap below position ``at``: largest value first, then smallest index."""
    item = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            value[heap[right]] > value[heap[child]] or (value[heap[right]] == value[heap[child]] and heap[right] < heap[child])
        ):
            child = right
        other = heap[child]
        if value[other] > value[item] or (value[other] == value[item] and other < item):
            heap[at] = other
            at = child
        else:
            break
    heap[at] = item


def _checked(x: npt.NDArray[Any], k: int, metric: str, weights: npt.ArrayLike | None) -> tuple[npt.NDArray[Any], int, Floats]:
    x = np.ascontiguousarray(x)
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0:
        raise ValueError(f"x must be (rows, features) and not empty, got shape {x.shape}")
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("x holds values that are not finite")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; legal: {', '.join(METRICS)}")
    if not 1 <= k <= x.shape[0]:
        raise ValueError(f"k is {k}; legal: 1 to the number of rows, {x.shape[0]}")
    w = np.ones(x.shape[0]) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
    if w.shape != (x.shape[0],) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("weights must be one finite number >= 0 per row")
    return x, METRICS.index(metric), w


def _unit_scale(x: npt.NDArray[Any]) -> Floats:
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return np.asarray(np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0))


def _single_row_sums(x: npt.NDArray[Any], scale: Floats, metric: int, weights: Floats) -> Floats:
    """``sum_i w_i sim(i, j)`` for every j, in closed form: one product with the mean or the second moment."""
    n, d = x.shape
    sums = np.empty(n)
    blocks = [slice(b, b + 2048) for b in range(0, n, 2048)]
    if metric == _SQUARED_COSINE:
        moment = np.zeros((d, d))
        for b in blocks:
            rows = x[b] * scale[b, None]
            moment += (rows * weights[b, None]).T @ rows
        for b in blocks:
            rows = x[b] * scale[b, None]
            sums[b] = np.einsum("ij,ij->i", rows @ moment, rows)
        return sums
    middle = np.mean(x, axis=0, dtype=np.float64) if metric == _EUCLIDEAN else np.zeros(d)
    direction, squares = np.zeros(d), 0.0
    for b in blocks:
        rows = x[b] - middle if metric == _EUCLIDEAN else x[b] * scale[b, None]
        direction += weights[b] @ rows
        squares += float(weights[b] @ np.einsum("ij,ij->i", rows, rows))
    for b in blocks:
        rows = x[b] - middle if metric == _EUCLIDEAN else x[b] * scale[b, None]
        if metric == _EUCLIDEAN:
            sums[b] = 2.0 * (rows @ direction) - squares - weights.sum() * np.einsum("ij,ij->i", rows, rows)
        else:
            sums[b] = weights.sum() + rows @ direction
    return sums


def _lift_codes(x: npt.NDArray[Any], scale: Floats, metric: int, best: Floats) -> tuple[npt.NDArray[np.uint16], Floats, float]:
    """Codes of all lifts over ``best`` (n, n), the value of one code unit per target (n,), and the largest distance."""
    n, d = x.shape
    rounding = 2.0**-24 * (d + 8)  # bound on a float32 dot product of length d, relative to the product of norms
    if metric == _EUCLIDEAN:
        middle = np.mean(x, axis=0, dtype=np.float64)
        rows = np.empty((n, d), np.float32)
        for b in range(0, n, 2048):
            rows[b : b + 2048] = x[b : b + 2048] - middle
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        offset = -(1.0 - 3.0 * rounding) * squares
        slack = 0.0
        peak = 6.0 * rounding * squares  # similarity to itself is 0; its stored value may exceed it by the slack
    else:
        rows = (x * scale[:, None]).astype(np.float32) if x.dtype == np.float64 else x * scale.astype(np.float32)[:, None]
        offset = np.zeros(n)
        slack = 3.0 * rounding + (1.0 if metric == _COSINE else 0.0)
        peak = np.full(n, (2.0 if metric == _COSINE else 1.0) + 6.0 * rounding)
    unit = np.maximum(peak - best, 0.0) / (_TOP_CODE - 2)
    unit[unit < np.finfo(np.float32).tiny] = 0.0
    inverse = np.divide(1.0, unit, out=np.zeros(n), where=unit > 0)
    codes = np.empty((n, n), np.uint16)
    farthest, pair = -np.inf, (0, 0)
    offset32, floor32, inverse32 = offset.astype(np.float32), best.astype(np.float32), inverse.astype(np.float32)
    for first in range(0, n, _BLOCK_ROWS):
        dots = rows[first : first + _BLOCK_ROWS] @ rows[first:].T
        _store_block(dots, first, offset32, floor32, inverse32, metric, slack, codes)
        if metric == _EUCLIDEAN and -dots.min() > farthest:
            at = int(dots.argmin())
            farthest, pair = float(-dots.min()), (first + at // dots.shape[1], first + at % dots.shape[1])
    largest = -_similarity(x, scale, pair[0], pair[1], metric) if metric == _EUCLIDEAN else 0.0
    return codes, unit, largest


def facility_location(
    x: npt.NDArray[Any],
    k: int,
    *,
    metric: str = "cosine",
    weights: npt.ArrayLike | None = None,
    sample_error: float | None = None,
    rng: np.random.Generator | None = None,
    memory_limit: int = 4 << 30,
) -> tuple[Indices, Floats]:
    """Choose ``k`` rows of ``x`` (n, d) greedily; high gain means the row stands for more of the data.

    Similarities, all >= 0: ``cosine`` is 1 + cos; ``squared_cosine`` is cos^2; ``euclidean`` is the largest squared
    distance in the data minus the squared distance. ``weights`` (n,) counts each row as that many targets.
    With ``sample_error`` in (0, 1) each step looks only at a random ``n/k * ln(1/sample_error)`` candidates drawn from
    ``rng``; the expected value is then at least ``1 - 1/e - sample_error`` of the best.

    Returns the chosen row numbers in order and the gain of each when it was chosen (similarity summed over rows), both
    (k,). Equal gains: the lowest row number. Raises ValueError on illegal parameters, and when the 2 n^2 bytes of the
    store exceed ``memory_limit`` (choose per class or per cluster then, see ``facility_location_by_class``).
    """
    x, kind_of_metric, w = _checked(x, k, metric, weights)
    n = x.shape[0]
    if (sample_error is None) != (rng is None):
        raise ValueError("sample_error and rng are given together or not at all")
    if sample_error is not None and not 0.0 < sample_error < 1.0:
        raise ValueError(f"sample_error is {sample_error}; legal: between 0 and 1, both excluded")
    if k > 1 and 2 * n * n > memory_limit:
        raise ValueError(
            f"{n} rows need {2 * n * n} bytes, over the memory_limit of {memory_limit}; "
            "select within classes or clusters (facility_location_by_class), or raise the limit"
        )
    scale = np.ones(n) if kind_of_metric == _EUCLIDEAN else _unit_scale(x)
    order, gains = np.empty(k, np.int64), np.empty(k)

    size = n
    if sample_error is not None:
        size = min(n, int(np.ceil(n / k * np.log(1.0 / sample_error))))
    sums = _single_row_sums(x, scale, kind_of_metric, w)
    pool = np.arange(n) if rng is None else np.sort(rng.choice(n, size, replace=False))
    # Rows that differ only by rounding of the products above count as equal, so that copies go by row number.
    tolerance = 1e-12 * float(np.abs(sums).max())
    chosen = int(pool[np.flatnonzero(sums[pool] >= sums[pool].max() - tolerance)[0]])
    best = np.empty(n)
    _similarities_to(x, scale, chosen, kind_of_metric, best)
    order[0], gains[0] = chosen, float(w @ best)
    if k == 1:
        if kind_of_metric == _EUCLIDEAN:
            gains[0] += float(w.sum()) * _largest_squared_distance(x)
        return order, gains

    copy_of = _copies(x)
    codes, unit, largest = _lift_codes(x, scale, kind_of_metric, best)
    if kind_of_metric == _EUCLIDEAN:
        gains[0] += float(w.sum()) * largest
    start, current = best.copy(), np.zeros(n, np.float32)  # current holds whole numbers, as the codes do
    step, bounds = w * unit, np.zeros(n)
    _first_bounds(codes, step, bounds)
    slack = 1e-11 * float(bounds.max())  # the running subtraction below rounds
    tie = 1e-14 * float(w @ np.abs(best))
    left = np.delete(np.arange(n), chosen)
    known = np.full(n, np.inf)
    known[copy_of == copy_of[chosen]] = 0.0
    for t in range(1, k):
        candidates = left if rng is None else np.sort(rng.choice(left, min(size, left.size), replace=False))
        j, gain, _ = _best_of(candidates, bounds, known, slack, tie, x, scale, kind_of_metric, w, codes, current, best)
        order[t], gains[t] = j, gain
        if t + 1 < k:
            known[copy_of == copy_of[j]] = 0.0
            before = current.copy()
            _take(x, scale, kind_of_metric, codes, current, best, start, unit, j)
            _lower_bounds(codes, step, before, current, bounds)
            left = left[left != j]
    return order, gains


def _copies(x: npt.NDArray[Any]) -> Indices:
    """Group number of each row, rows of equal bytes sharing one: a chosen row's copies have nothing to add."""
    as_bytes = np.ascontiguousarray(x).view(np.dtype((np.void, x.dtype.itemsize * x.shape[1])))[:, 0]
    return np.asarray(np.unique(as_bytes, return_inverse=True)[1], dtype=np.int64)


def _largest_squared_distance(x: npt.NDArray[Any]) -> float:
    rows = x - np.mean(x, axis=0, dtype=np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    largest = 0.0
    for b in range(0, x.shape[0], _BLOCK_ROWS):
        block = squares[b : b + _BLOCK_ROWS, None] + squares[None, b:] - 2.0 * (rows[b : b + _BLOCK_ROWS] @ rows[b:].T)
        largest = max(largest, float(block.max()))
    return largest


def facility_location_precomputed(
    similarity: npt.NDArray[Any], k: int, *, weights: npt.ArrayLike | None = None
) -> tuple[Indices, Floats]:
    """Choose ``k`` columns of ``similarity`` (targets, candidates), values >= 0, greedily and exactly.

    Returns chosen columns in order and their gains, both (k,). Equal gains: the lowest column. ``weights`` (targets,).
    """
    similarity = np.asarray(similarity)
    if similarity.ndim != 2 or similarity.size == 0:
        raise ValueError(f"similarity must be (targets, candidates) and not empty, got shape {similarity.shape}")
    if not np.isfinite(similarity).all() or (similarity < 0).any():
        raise ValueError("similarity must be finite and >= 0; shift it first")
    targets, n = similarity.shape
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}; legal: 1 to the number of candidates, {n}")
    w = np.ones(targets) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (targets,) or not np.isfinite(w).all() or (w < 0).any():
        raise ValueError("weights must be one finite number >= 0 per target")
    columns = np.ascontiguousarray(similarity.T)
    order, gains = np.empty(k, np.int64), np.empty(k)
    _greedy_columns(columns, w, order, gains)
    return order, gains


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _greedy_columns(columns: Any, weights: Any, order: Any, gains: Any) -> None:
    n, targets = columns.shape
    value, fresh = np.full(n, np.inf), np.full(n, -1)
    heap, size = np.arange(n), n
    best = np.zeros(targets)
    for t in range(order.shape[0]):
        while fresh[heap[0]] != t:
            j = heap[0]
            total = 0.0
            for i in range(targets):
                lift = np.float64(columns[j, i]) - best[i]
                if lift > 0.0:
                    total += weights[i] * lift
            value[j], fresh[j] = total, t
            _sift(heap, size, value, 0)
        j = heap[0]
        order[t], gains[t] = j, value[j]
        for i in range(targets):
            best[i] = max(best[i], np.float64(columns[j, i]))
        size -= 1
        heap[0] = heap[size]
        _sift(heap, size, value, 0)


def proportional_budgets(classes: npt.NDArray[np.integer[Any]], k: int) -> Indices:
    """Split ``k`` over classes 0..C-1 by their size (largest remainders, at least one per class when k allows)."""
    counts = np.bincount(classes)
    if not 1 <= k <= counts.sum():
        raise ValueError(f"k is {k}; legal: 1 to the number of rows, {int(counts.sum())}")
    present = counts > 0
    floor = np.where(present & (int(present.sum()) <= k), 1, 0)
    ideal = counts * (k / counts.sum())
    budgets = np.minimum(np.maximum(np.floor(ideal).astype(np.int64), floor), counts)
    while budgets.sum() != k:
        # give to (or take from) the class whose share is furthest from its due; lowest class on ties
        gap = ideal - budgets
        if budgets.sum() < k:
            budgets[int(np.argmax(np.where(budgets < counts, gap, -np.inf)))] += 1
        else:
            budgets[int(np.argmin(np.where(budgets > floor, gap, np.inf)))] -= 1
    return np.asarray(budgets)


def facility_location_by_class(
    x: npt.NDArray[Any],
    classes: npt.NDArray[np.integer[Any]],
    budgets: npt.NDArray[np.integer[Any]],
    *,
    metric: str = "cosine",
    weights: npt.ArrayLike | None = None,
) -> tuple[Indices, Floats]:
    """Run ``facility_location`` inside each class 0..C-1 with its own budget (C,).

    Returns row numbers, class by class in order of gain, and gains. Only one class's pairs are in memory at a time.
    """
    classes, budgets = np.asarray(classes), np.asarray(budgets)
    if classes.shape != (np.asarray(x).shape[0],):
        raise ValueError("classes must be one class number per row")
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    orders, gains = [np.empty(0, np.int64)], [np.empty(0)]
    for c, budget in enumerate(budgets):
        rows = np.flatnonzero(classes == c)
        if not 0 <= budget <= rows.size:
            raise ValueError(f"budget of class {c} is {budget}; legal: 0 to its size, {rows.size}")
        if budget:
            order, gain = facility_location(x[rows], int(budget), metric=metric, weights=None if w is None else w[rows])
            orders.append(rows[order])
            gains.append(gain)
    return np.concatenate(orders), np.concatenate(gains)


def assign_to_medoids(
    x: npt.NDArray[Any], chosen: Indices, *, metric: str = "cosine", weights: npt.ArrayLike | None = None
) -> tuple[Indices, Floats]:
    """Give every row to its most similar chosen row (the first in ``chosen`` on ties).

    Returns positions in ``chosen`` (n,) and the summed weight of each cluster (k,), the weights CRAIG and CREST train
    with (Mirzasoleiman et al. 2020, "Coresets for Data-efficient Training of Machine Learning Models").
    """
    x, kind_of_metric, w = _checked(x, 1, metric, weights)
    scale = np.ones(x.shape[0]) if kind_of_metric == _EUCLIDEAN else _unit_scale(x)
    owner, best = np.zeros(x.shape[0], np.int64), np.full(x.shape[0], -np.inf)
    column = np.empty(x.shape[0])
    for position, j in enumerate(chosen):
        _similarities_to(x, scale, int(j), kind_of_metric, column)
        better = column > best
        owner[better], best[better] = position, column[better]
    return owner, np.bincount(owner, weights=w, minlength=len(chosen)).astype(np.float64)
