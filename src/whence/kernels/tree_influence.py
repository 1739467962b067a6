"""Gradient-boosted trees whose leaves can be taken apart: leaf values, their derivatives in a row's weight, leaf kernels.

The trees are grown by scikit-learn's `DecisionTreeRegressor` on the gradients of the softmax loss, one tree per round and
class; the leaf values are ours, so that nothing about them is guessed: with g = p - onehot and h = p (1 - p) of the rows
in the leaf, value = -sum w g / (sum w h + ridge), one Newton step. A class's score is its log frequency plus `rate` times
the values of its leaves (Friedman 2001; the regularised leaf is that of Chen and Guestrin 2016, arXiv:1603.02754).

Leaves are numbered over the whole ensemble, so that a matrix [rows, leaves] with one entry per tree says it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.kernels.softmax_head import log_softmax

Floats = NDArray[Any]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Forest:
    """T rounds of one tree per class (K): `trees[t][k]`, fitted on n rows.

    `leaves` int64 [n, T, K] the leaf of each training row; `g`, `h` [n, T, K] its gradient and curvature before round t;
    `value`, `mass` [L] of each leaf: its value and sum of h plus `ridge`; `size` [L] training rows in it; `start` [K] the
    scores before the first round; `number` maps the nodes of each tree to leaves.
    """

    trees: tuple[tuple[Any, ...], ...]
    number: tuple[tuple[NDArray[np.int64], ...], ...]
    leaves: NDArray[np.int64]
    g: Floats
    h: Floats
    value: Floats
    mass: Floats
    size: NDArray[np.int64]
    start: Floats
    rate: float
    ridge: float

    def leaves_of(self, X: Floats) -> NDArray[np.int64]:
        """Leaf of other rows [m, d] in every tree, [m, T, K]."""
        rows = np.ascontiguousarray(X, dtype=np.float32)
        out = np.empty((len(rows), len(self.trees), len(self.start)), np.int64)
        for t, (trees, numbers) in enumerate(zip(self.trees, self.number, strict=True)):
            for k, (tree, number) in enumerate(zip(trees, numbers, strict=True)):
                out[:, t, k] = number[tree.apply(rows)]
        return out

    def scores(self, leaves: NDArray[np.int64]) -> Floats:
        """Class scores [m, T + 1, K] before the first round and after every round, of rows by their leaves [m, T, K]."""
        gained = np.cumsum(self.rate * self.value[leaves], axis=1)
        out: Floats = self.start + np.concatenate([np.zeros_like(gained[:, :1]), gained], axis=1)
        return out


def boost(X: Floats, y: Ints, n_classes: int, *, rounds: int, depth: int, rate: float, rng: np.random.Generator,
          ridge: float = 1.0, min_leaf: int = 2, features: float | str = "sqrt") -> Forest:
    """Boost trees on X [n, d], y [n]; `features` of the columns are tried at each split. Raises ValueError without rows."""
    from sklearn.tree import DecisionTreeRegressor

    n = len(X)
    if n == 0 or y.shape != (n,) or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"X {X.shape} and y {y.shape} must agree, with labels in 0..{n_classes - 1}")
    rows = np.ascontiguousarray(X, dtype=np.float32)
    onehot = np.eye(n_classes)[y]
    start = np.log(np.maximum(onehot.mean(axis=0), 0.5 / n))  # a class without a row is improbable, not impossible
    score = np.repeat(start[None], n, axis=0)
    leaves = np.empty((n, rounds, n_classes), np.int64)
    g, h = np.empty(leaves.shape), np.empty(leaves.shape)
    values: list[Floats] = []
    masses: list[Floats] = []
    sizes: list[NDArray[np.int64]] = []
    trees, numbers, taken = [], [], 0
    for t in range(rounds):
        p = np.exp(log_softmax(score))
        g[:, t], h[:, t] = p - onehot, p * (1 - p)
        grown, mapped = [], []
        for k in range(n_classes):
            tree = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=min(min_leaf, n), max_features=features,
                                         random_state=int(rng.integers(2**31)))
            tree.fit(rows, -g[:, t, k])
            ends = np.flatnonzero(tree.tree_.children_left < 0)
            number = np.full(tree.tree_.node_count, -1, np.int64)
            number[ends] = taken + np.arange(len(ends))
            leaf = number[tree.apply(rows)]
            at = leaf - taken
            mass = np.bincount(at, h[:, t, k], len(ends)) + ridge
            value = -np.bincount(at, g[:, t, k], len(ends)) / mass
            score[:, k] += rate * value[at]
            leaves[:, t, k] = leaf
            values.append(value)
            masses.append(mass)
            sizes.append(np.bincount(at, minlength=len(ends)))
            grown.append(tree)
            mapped.append(number)
            taken += len(ends)
        trees.append(tuple(grown))
        numbers.append(tuple(mapped))
    return Forest(tuple(trees), tuple(numbers), leaves, g, h, np.concatenate(values), np.concatenate(masses),
                  np.concatenate(sizes), start, rate, ridge)


def leaf_derivative(forest: Forest) -> Floats:
    """Derivative [n, T, K] of the value of a row's own leaf in the weight of that row, the structure held fixed.

    value = -sum w g / (sum w h + ridge), so it is -(g_i + h_i value) / mass: 0 for a row that agrees with its leaf.
    """
    out: Floats = -(forest.g + forest.h * forest.value[forest.leaves]) / forest.mass[forest.leaves]
    return out


def _spread(leaves: NDArray[np.int64], entries: Floats, width: int) -> Any:
    """Sparse [rows, leaves] with `entries` [rows, T, K] at each row's leaves."""
    import scipy.sparse as sparse

    n, per_row = len(leaves), int(np.prod(leaves.shape[1:]))
    return sparse.csr_matrix((entries.reshape(-1), leaves.reshape(-1), np.arange(n + 1) * per_row), shape=(n, width))


def boostin(forest: Forest, leaves_q: NDArray[np.int64], yq: Ints) -> NDArray[np.float64]:
    """Effects [n, m] of each training row on the log-probability of the query's label, in nats to first order.

    Sum over rounds and classes whose tree puts both in one leaf: the slope of the query's log-probability in the class's
    score before that round, times rate, times the derivative of the leaf value in the row's weight. What a change of one
    round does to the gradients of later rounds, and to the splits, is left out, as in TracIn.
    """
    p = np.exp(log_softmax(forest.scores(leaves_q)[:, :-1]))
    slope = -p
    slope[np.arange(len(yq)), :, yq] += 1
    width = len(forest.value)
    product = _spread(forest.leaves, forest.rate * leaf_derivative(forest), width) @ _spread(leaves_q, slope, width).T
    return np.asarray(product.todense(), dtype=np.float64)


def leaf_kernel(forest: Forest, leaves_a: NDArray[np.int64], leaves_b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Kernel [a, b]: sum over trees with a shared leaf of 1 / (training rows in it), scaled so that training rows have mean 1.

    The weighted leaf path of Brophy et al. 2023: company in a small leaf says more than company in a large one.
    """
    return np.asarray((_leaf_features(forest, leaves_a) @ _leaf_features(forest, leaves_b).T).todense(), dtype=np.float64)


def _leaf_features(forest: Forest, leaves: NDArray[np.int64]) -> Any:
    """Sparse features [rows, leaves] whose inner products are the leaf kernel."""
    weight = 1.0 / np.maximum(forest.size, 1)
    scale = weight[forest.leaves].sum(axis=(1, 2)).mean()
    return _spread(leaves, np.sqrt(weight / scale)[leaves], len(weight))


def trex(forest: Forest, leaves_q: NDArray[np.int64], y: Ints, yq: Ints, n_classes: int, C: float) -> NDArray[np.float64]:
    """Effects [n, m] on the log-probability of the query's label when a row's term is struck out of a kernel surrogate.

    The surrogate is a softmax regression on the features of the leaf kernel k, for training rows with labels y [n]; at its
    optimum the score of class c is b_c + sum_i C (onehot - p)_ic k(i, q), one term per row. Costs a decomposition of as many
    rows as there are training rows or leaves, whichever is fewer.
    """
    from whence.kernels.softmax_head import fit, predict_proba

    features = _leaf_features(forest, forest.leaves)
    n, width = features.shape
    if n <= width:
        # fewer rows than leaves: the same kernel in n coordinates
        values, vectors = np.linalg.eigh(np.asarray((features @ features.T).todense()))
        keep = values > 1e-9 * values[-1]
        X = np.ascontiguousarray(vectors[:, keep] * np.sqrt(values[keep]))
    else:
        X = np.ascontiguousarray(features.toarray())
    heads = fit(X, y, n_classes, C=C, tol=1e-7)
    kernel_q = leaf_kernel(forest, forest.leaves, leaves_q)
    alpha = -C * predict_proba(heads, X)[0]
    alpha[np.arange(len(y)), y] += C
    whole = kernel_q.T @ alpha + heads.b[0]
    rows = np.arange(len(yq))
    sure = log_softmax(whole)[rows, yq]
    out = np.empty((n, len(yq)))
    for q in rows:
        out[:, q] = sure[q] - log_softmax(whole[q] - kernel_q[:, q, None] * alpha)[:, yq[q]]
    return out
