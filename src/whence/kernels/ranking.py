"""How well a score ranks: area under the ROC curve, average precision, recall at an inspected share, correlations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def average_ranks(values: npt.ArrayLike) -> Floats:
    """Ranks 1..n, low to high; equal values share their mean rank."""
    v = np.asarray(values)
    if v.ndim != 1 or v.size == 0 or not np.isfinite(v).all():
        raise ValueError(f"values must be one row of finite numbers, got shape {v.shape}")
    order = np.argsort(v, kind="stable")
    fresh = np.concatenate(([True], v[order][1:] != v[order][:-1]))
    group = np.cumsum(fresh) - 1
    ends = np.concatenate((np.flatnonzero(fresh), [v.size]))
    ranks = np.empty(v.size)
    ranks[order] = ((ends[:-1] + ends[1:] + 1) / 2.0)[group]
    return ranks


def _positives(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.generic]]:
    y, s = np.asarray(labels), np.asarray(scores)
    if y.ndim != 1 or y.shape != s.shape:
        raise ValueError(f"labels and scores must be two rows of equal length, got shapes {y.shape} and {s.shape}")
    if y.dtype != np.bool_ and not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be true or false (1 or 0)")
    if not np.isfinite(s).all():
        raise ValueError("scores must be finite")
    return y.astype(np.bool_), s


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Probability that a positive scores above a negative, a tie counting half; 0.5 is chance, 1 perfect.

    Raises ValueError when there are no positives or no negatives (the area is not defined).
    """
    y, s = _positives(labels, scores)
    positives = int(y.sum())
    if positives in (0, y.size):
        raise ValueError(f"the area needs both classes; {positives} of {y.size} labels are positive")
    total = float(average_ranks(s)[y].sum()) - positives * (positives + 1) / 2.0
    return total / (positives * (y.size - positives))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Mean precision at the positives' ranks, equal scores entering together; chance is the share of positives."""
    y, s = _positives(labels, scores)
    if not y.any():
        raise ValueError("average precision needs at least one positive label")
    order = np.argsort(-s.astype(np.float64), kind="stable")
    last = np.concatenate((s[order][1:] != s[order][:-1], [True]))
    hits = np.cumsum(y[order])[last]
    seen = np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hits, prepend=0) * (hits / seen)) / y.sum())


def recall_at_share(labels: npt.ArrayLike, scores: npt.ArrayLike, share: float) -> float:
    """Share of positives found when the ``share`` of rows with the highest scores is inspected (rounded up).

    Rows that tie at the limit count by the part of them that fits, so that the order of rows does not matter.
    """
    y, s = _positives(labels, scores)
    if not y.any():
        raise ValueError("recall needs at least one positive label")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is {share}; legal: above 0, at most 1")
    count = int(np.ceil(share * y.size - 1e-9))
    limit = np.partition(s, y.size - count)[y.size - count]
    above, at = s > limit, s == limit
    part = (count - int(above.sum())) / int(at.sum())
    return float((y[above].sum() + part * y[at].sum()) / y.sum())


def pearson(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Linear correlation in [-1, 1]; ValueError when either is constant or shorter than 2."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 2:
        raise ValueError(f"two rows of equal length >= 2 are needed, got shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("values must be finite")
    if (x == x[0]).all() or (y == y[0]).all():
        raise ValueError("correlation is not defined for constant values")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Rank correlation in [-1, 1], ties at mean ranks; ValueError when either is constant."""
    return pearson(average_ranks(a), average_ranks(b))
