"""Confident learning: which given labels are probably wrong, from out-of-sample class probabilities.

Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels". The flags are those of
the cleanlab package's default filter (prune by noise rate); where it leaves equal values to the sort in use, the lowest
row or class number goes first here, so that flags do not depend on the machine.

Throughout, ``probabilities`` is (n, K) with entries in [0, 1] and ``labels`` is (n,) with whole numbers 0..K-1.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_TOLERANCE: Final = 1e-6  # a probability this far below a threshold still counts as confident
_LOWEST_THRESHOLD: Final = 2e-6
_ABSENT_THRESHOLD: Final = 2.0  # no probability reaches it: nothing is confidently counted into an absent class


def checked(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[Indices, npt.NDArray[Any]]:
    """Return labels as int64 and probabilities as a C-ordered float array, or raise ValueError saying what is wrong."""
    p = np.asarray(probabilities)
    if p.dtype not in (np.float32, np.float64):
        p = p.astype(np.float64)
    p = np.ascontiguousarray(p)
    if p.ndim != 2 or p.shape[0] == 0 or p.shape[1] < 2:
        raise ValueError(f"probabilities must be (examples, classes >= 2) and not empty, got shape {p.shape}")
    y = np.asarray(labels)
    if y.shape != (p.shape[0],):
        raise ValueError(f"labels must be one per row of probabilities ({p.shape[0]}), got shape {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels must be whole numbers 0 to {p.shape[1] - 1}, got {y.dtype}")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"labels must be 0 to {p.shape[1] - 1}, got {y.min()} to {y.max()}")
    if not (p.min() >= 0.0 and p.max() <= 1.0):  # also false for NaN
        raise ValueError("probabilities must be in [0, 1]; turn logits into probabilities first")
    return y.astype(np.int64), p


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _self_confidence_sums(labels: Any, p: Any, sums: Any, counts: Any) -> None:
    for i in range(labels.shape[0]):
        sums[labels[i]] += np.float64(p[i, labels[i]])
        counts[labels[i]] += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _count_confident(labels: Any, p: Any, limits: Any, joint: Any, guess: Any, doubtful: Any) -> None:
    n, k = p.shape
    for i in range(n):
        label = labels[i]
        given = p[i, label] + 1e-6
        confident, first, largest, top, beaten = 0, 0, p[i, 0], 0, False
        for j in range(k):
            value = p[i, j]
            if value >= limits[j]:
                if confident == 0:
                    first = j
                confident += 1
            if value > largest:
                largest, top = value, j
            if j != label and (value > given or (value == given and j < label)):
                beaten = True
        doubtful[i] = beaten
        if confident > 0:
            guess[i] = top if confident > 1 else first
            joint[label, guess[i]] += 1
        else:
            guess[i] = -1


def thresholds(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """Mean probability of class k over the rows labelled k, (K,); 2.0 for a class without rows."""
    y, p = checked(labels, probabilities)
    sums, counts = np.zeros(p.shape[1]), np.zeros(p.shape[1], np.int64)
    _self_confidence_sums(y, p, sums, counts)
    means = np.divide(sums, counts, out=np.full(p.shape[1], _ABSENT_THRESHOLD), where=counts > 0)
    return np.asarray(np.maximum(means, _LOWEST_THRESHOLD))


def _confident_counts(y: Indices, p: npt.NDArray[Any], limits: Floats | None) -> tuple[Indices, Indices, npt.NDArray[np.bool_]]:
    """Raw counts (given, true), confident class or -1 per row, and whether another class beats the given label."""
    k = p.shape[1]
    at = thresholds(y, p) if limits is None else np.asarray(limits, dtype=np.float64)
    joint, guess, doubtful = np.zeros((k, k), np.int64), np.empty(y.size, np.int64), np.empty(y.size, np.bool_)
    _count_confident(y, p, at - _TOLERANCE, joint, guess, doubtful)
    return joint, guess, doubtful


def _rounded(row: Floats) -> Indices:
    """Round to whole numbers with the row's (rounded) total kept: the entries nearest to the next number move."""
    whole = np.round(row)
    target = np.round(row.sum())
    while (missing := round(float(target - whole.sum()))) != 0:
        sign = 1 if missing > 0 else -1
        # equal remainders: up goes to the last class, down to the first, as cleanlab does where its sort is stable
        order = np.argsort(row - whole, kind="stable")[::-sign][: min(abs(missing), row.size)]
        whole[order] += sign
    return whole.astype(np.int64)


def calibrate(joint: npt.NDArray[Any], labels: npt.ArrayLike) -> Indices:
    """Scale a (K, K) joint of counts so that row k sums to the number of rows labelled k; whole numbers."""
    counts = np.bincount(np.asarray(labels), minlength=joint.shape[0])
    joint = np.asfortranarray(joint)  # sums run in memory order; one order, whatever the caller's layout
    rows = np.maximum(joint.sum(axis=1), 1e-100)
    scaled = (joint.T / rows * counts).T  # this order of operations, so that equal shares stay equal in floating point
    scaled = scaled / max(float(np.sum(scaled)), 1e-100) * counts.sum()
    return np.stack([_rounded(row) for row in scaled])


def confident_joint(labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, calibrated: bool = True) -> Indices:
    """Counts (K, K): row = given label, column = class the model is confident of (estimated true label).

    A row of the data counts where its probability reaches the class's threshold (the largest such class); the diagonal
    is at least 1. ``calibrated`` scales rows to the label counts.
    """
    y, p = checked(labels, probabilities)
    joint, _, _ = _confident_counts(y, p, None)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    return calibrate(joint, y) if calibrated else joint


def noise_matrix(joint: npt.NDArray[Any]) -> Floats:
    """P(given label | true label) from a joint (given, true): columns sum to 1; an empty column is all 0."""
    totals = joint.sum(axis=0)
    return np.asarray(np.divide(joint, totals[None, :], out=np.zeros(joint.shape), where=totals[None, :] > 0))


def inverse_noise_matrix(joint: npt.NDArray[Any]) -> Floats:
    """P(true label | given label), indexed (true, given): columns sum to 1; an empty column is all 0."""
    return noise_matrix(joint.T)


def _prune_counts(joint: Indices, least: int, share: float) -> Indices:
    """How many rows to prune for every (true, given), leaving ``least`` per given class and ``share`` of the noise."""
    counts = joint.T.astype(np.float64)
    diagonal = counts.diagonal()
    kept = np.maximum(diagonal, least)
    noisy = np.maximum(np.count_nonzero(counts, axis=0) - 1.0, 1.0)
    counts = np.maximum(counts - (kept - diagonal) / noisy, 0.0)
    np.fill_diagonal(counts, 0.0)
    return np.asarray(np.trunc(counts * share), dtype=np.int64)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _rows_by_class(labels: Any, starts: Any, rows: Any) -> None:
    at = starts.copy()
    for i in range(labels.shape[0]):
        rows[at[labels[i]]] = i
        at[labels[i]] += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _margins(p: Any, rows: Any, other: int, given: int, out: Any) -> None:
    for r in range(rows.shape[0]):
        out[r] = p[rows[r], other] - p[rows[r], given]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _flag_largest(margins: Any, limit: float, count: int, rows: Any, flags: Any) -> None:
    """Flag the ``count`` largest margins, ``limit`` being the smallest of them; equal ones in row order."""
    above = 0
    for r in range(rows.shape[0]):
        if margins[r] > limit:
            flags[rows[r]] = True
            above += 1
    for r in range(rows.shape[0]):
        if above == count:
            break
        if margins[r] == limit:
            flags[rows[r]] = True
            above += 1


def label_issues(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    joint: npt.NDArray[Any] | None = None,
    min_per_class: int = 1,
    noise_share: float = 1.0,
) -> npt.NDArray[np.bool_]:
    """Flags (n,): True where the given label is probably wrong.

    For every pair (given k, true j) as many rows labelled k as the confident joint counts there are flagged, those with
    the largest ``p_j - p_k``; a row whose given label is the most probable one is never flagged. ``joint`` replaces the
    calibrated confident joint; ``noise_share`` flags that part of the estimated noise; a class with at most
    ``min_per_class`` rows is left alone, and so many are always left.
    """
    y, p = checked(labels, probabilities)
    k = p.shape[1]
    if min_per_class < 0:
        raise ValueError(f"min_per_class is {min_per_class}; legal: 0 or more")
    if not 0.0 <= noise_share <= 1.0:
        raise ValueError(f"noise_share is {noise_share}; legal: 0 to 1")
    counted, _, doubtful = _confident_counts(y, p, None)
    if joint is None:
        np.fill_diagonal(counted, np.maximum(counted.diagonal(), 1))
        joint = calibrate(counted, y)
    elif np.asarray(joint).shape != (k, k):
        raise ValueError(f"joint must be ({k}, {k}), got shape {np.asarray(joint).shape}")
    prune = _prune_counts(np.asarray(joint), min_per_class, noise_share)
    sizes = np.bincount(y, minlength=k)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    rows = np.empty(y.size, np.int64)
    _rows_by_class(y, starts, rows)
    flags: npt.NDArray[np.bool_] = np.zeros(y.size, np.bool_)
    buffer = np.empty(int(sizes.max()), p.dtype)
    for given in range(k):
        # a class of one row is left alone even with min_per_class 0, as in cleanlab
        if sizes[given] <= max(min_per_class, 1):
            continue
        members = rows[starts[given] : starts[given + 1]]
        margins = buffer[: members.size]
        for other in np.flatnonzero(prune[:, given]):
            count = min(int(prune[other, given]), members.size)
            _margins(p, members, other, given, margins)
            limit = np.partition(margins, members.size - count)[members.size - count]
            _flag_largest(margins, limit, count, members, flags)
    flags &= doubtful
    return flags


def confident_disagreement(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Flags (n,) of the rows counted off the diagonal of the confident joint and not predicted as labelled."""
    y, p = checked(labels, probabilities)
    _, guess, doubtful = _confident_counts(y, p, None)
    return np.asarray((guess >= 0) & (guess != y) & doubtful, dtype=np.bool_)


def adjusted_probabilities(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """Probabilities less each class's threshold, shifted to be >= 0 and normalised per row, (n, K)."""
    y, p = checked(labels, probabilities)
    at = thresholds(y, p)
    shifted: Floats = p - at + at.max()
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


def self_confidence(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> npt.NDArray[Any]:
    """Probability of the given label, (n,) in [0, 1]. High: the label is probably right."""
    y, p = checked(labels, probabilities)
    return np.asarray(p[np.arange(y.size), y])


def normalized_margin(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> npt.NDArray[Any]:
    """``(p_given - max p_other + 1) / 2``, (n,) in [0, 1]. High: the label is probably right."""
    y, p = checked(labels, probabilities)
    others = p.copy()
    others[np.arange(y.size), y] = -np.inf
    return np.asarray((p[np.arange(y.size), y] - others.max(axis=1) + 1) / 2)


def confidence_weighted_entropy(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """``log(1 + r) / r`` with r = normalised entropy over self-confidence, (n,) in (0, 1]. High: probably right.

    r is kept at 1e-6 or more in the denominator, so a certain prediction of the given label scores 0 and not 1, as in
    cleanlab.
    """
    y, p = checked(labels, probabilities)
    own = np.maximum(p[np.arange(y.size), y].astype(np.float64), _TOLERANCE)
    logs = np.log(p, out=np.zeros(p.shape), where=p > 0)
    ratio = -(p * logs).sum(axis=1) / np.log(p.shape[1]) / own
    return np.asarray(np.log1p(ratio) / np.maximum(ratio, _TOLERANCE))
