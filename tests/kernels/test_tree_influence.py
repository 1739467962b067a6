"""Boosted trees taken apart: a tree by hand, trees by scikit-learn, derivatives by reweighting, terms struck out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.kernels import tree_influence as ti
from whence.kernels.softmax_head import log_softmax


def problem(n: int = 160, m: int = 12, classes: int = 3, dim: int = 5, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    y = np.arange(n + m) % classes
    X = np.eye(dim)[y] + 0.5 * rng.standard_normal((n + m, dim))
    return X[:n], y[:n], X[n:], y[n:]


def grow(X: Any, y: Any, classes: int = 3, rounds: int = 6, depth: int = 2, rate: float = 0.3, **more: Any) -> ti.Forest:
    return ti.boost(X, y, classes, rounds=rounds, depth=depth, rate=rate, rng=np.random.default_rng(0), **more)


def test_one_stump_by_hand() -> None:
    X, y = np.array([[0.0], [0.1], [0.9], [1.0]]), np.array([0, 0, 1, 1])
    forest = grow(X, y, classes=2, rounds=1, depth=1, rate=0.5, ridge=1.0, features=1.0)
    # all probabilities are 1/2: in the left leaf of class 0, g = -1/2 and h = 1/4 twice
    left = forest.leaves[0, 0, 0]
    assert forest.value[left] == pytest.approx(1.0 / (0.5 + 1.0))
    assert forest.mass[left] == pytest.approx(1.5) and forest.size[left] == 2
    np.testing.assert_allclose(forest.scores(forest.leaves)[0, 1], np.log(0.5) + 0.5 * np.array([1, -1]) / 1.5)
    # derivative of the leaf's value in one row's weight: -(g + h value) / mass
    np.testing.assert_allclose(ti.leaf_derivative(forest)[0, 0, 0], (0.5 - 0.25 / 1.5) / 1.5)
    # a query on the left of class 0 meets its two neighbours in both trees, each with slope 1/2 times rate times derivative
    effects = ti.boostin(forest, forest.leaves_of(np.array([[0.05]])), np.array([0]))
    part = 0.5 * 0.5 * (0.5 - 0.25 / 1.5) / 1.5
    np.testing.assert_allclose(effects[:, 0], [2 * part, 2 * part, 0, 0], atol=1e-15)


def test_derivatives_of_leaf_values_by_reweighting() -> None:
    X, y, _, _ = problem()
    forest = grow(X, y)
    rng = np.random.default_rng(1)
    found = ti.leaf_derivative(forest)
    for i, t, k in zip(rng.integers(0, len(X), 20), rng.integers(0, 6, 20), rng.integers(0, 3, 20), strict=True):
        inside = forest.leaves[:, t, k] == forest.leaves[i, t, k]

        def value(weight: float, i: Any = i, t: Any = t, k: Any = k, inside: Any = inside) -> float:
            w = np.where(np.arange(len(X)) == i, weight, 1.0) * inside
            return float(-(w @ forest.g[:, t, k]) / (w @ forest.h[:, t, k] + forest.ridge))

        assert value(1.0) == pytest.approx(forest.value[forest.leaves[i, t, k]], rel=1e-12)
        assert found[i, t, k] == pytest.approx((value(1 + 1e-5) - value(1 - 1e-5)) / 2e-5, rel=1e-6)


def test_boostin_is_the_sum_written_out() -> None:
    X, y, Xq, yq = problem(n=40, m=5)
    forest = grow(X, y, rounds=3)
    leaves_q = forest.leaves_of(Xq)
    derivative, scores = ti.leaf_derivative(forest), forest.scores(leaves_q)
    expected = np.zeros((len(X), len(Xq)))
    for i in range(len(X)):
        for q in range(len(Xq)):
            for t in range(3):
                p = np.exp(log_softmax(scores[q, t]))
                for k in range(3):
                    if forest.leaves[i, t, k] == leaves_q[q, t, k]:
                        expected[i, q] += (float(k == yq[q]) - p[k]) * 0.3 * derivative[i, t, k]
    np.testing.assert_allclose(ti.boostin(forest, leaves_q, yq), expected, rtol=1e-10, atol=1e-14)


def test_the_first_round_is_what_reweighting_does_to_the_answer() -> None:
    """With one round and a small rate, first order in rate is all there is."""
    X, y, Xq, yq = problem(n=60, m=6)
    forest = grow(X, y, rounds=1, rate=1e-3)
    leaves_q = forest.leaves_of(Xq)
    effects, rows = ti.boostin(forest, leaves_q, yq), np.arange(len(Xq))
    for i in (0, 7, 31):
        said = []
        for weight in (1.001, 0.999):
            w = np.where(np.arange(60) == i, weight, 1.0)
            value = np.zeros(len(forest.value))
            for k in range(3):
                leaf = forest.leaves[:, 0, k]
                g, h = (np.bincount(leaf, w * v[:, 0, k], len(value)) for v in (forest.g, forest.h))
                value += np.where(np.bincount(leaf, minlength=len(value)) > 0, -g / (h + forest.ridge), 0)
            said.append(log_softmax(forest.start + 1e-3 * value[leaves_q[:, 0]])[rows, yq])
        # the slope is taken before the round: what is left is of the order of the rate
        np.testing.assert_allclose(effects[i], (said[0] - said[1]) / 0.002, rtol=2e-3, atol=1e-9)


def test_trees_learn_and_follow_the_seed() -> None:
    X, y, Xq, yq = problem(n=300, m=90)
    one, two = grow(X, y, rounds=20), grow(X, y, rounds=20)
    np.testing.assert_array_equal(one.leaves, two.leaves)
    np.testing.assert_array_equal(one.value, two.value)
    assert (one.scores(one.leaves_of(Xq))[:, -1].argmax(axis=1) == yq).mean() > 0.8
    np.testing.assert_array_equal(one.leaves_of(X), one.leaves)


def test_trees_are_those_of_scikit_learn() -> None:
    """Its leaves of K classes are multiplied by (K - 1) / K, which a smaller rate makes up for."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    X, y, Xq, _ = problem(n=300, m=90)
    ours = grow(X, y, rounds=15, depth=3, rate=0.1 * 2 / 3, ridge=1e-9, min_leaf=5, features=1.0)
    theirs = ensemble.GradientBoostingClassifier(
        n_estimators=15, max_depth=3, learning_rate=0.1, min_samples_leaf=5, random_state=0
    ).fit(X, y)
    p = np.exp(log_softmax(ours.scores(ours.leaves_of(Xq))[:, -1]))
    np.testing.assert_allclose(p, theirs.predict_proba(Xq), atol=1e-6)


def test_kernel_by_counting() -> None:
    X, y, Xq, _ = problem(n=40, m=5)
    forest = grow(X, y, rounds=3)
    leaves_q = forest.leaves_of(Xq)
    expected = np.zeros((40, 5))
    for t in range(3):
        for k in range(3):
            a, b = forest.leaves[:, t, k], leaves_q[:, t, k]
            sizes = np.array([(a == leaf).sum() for leaf in a])
            expected += (a[:, None] == b[None]) / sizes[:, None]
    own = ti.leaf_kernel(forest, forest.leaves, forest.leaves)
    assert np.diag(own).mean() == pytest.approx(1.0)
    np.testing.assert_allclose(own, own.T, atol=1e-14)
    found = ti.leaf_kernel(forest, forest.leaves, leaves_q)
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-12)


@pytest.mark.parametrize("rounds", [2, 8])
def test_trex_terms_add_up_to_the_surrogate_and_are_struck_out_one_by_one(rounds: int) -> None:
    """With more rows than leaves, and with fewer."""
    linear = pytest.importorskip("sklearn.linear_model")
    X, y, Xq, yq = problem(n=60, m=6)
    forest = grow(X, y, rounds=rounds)
    assert (len(forest.size) < 60) == (rounds == 2)
    found = ti.trex(forest, forest.leaves_of(Xq), y, yq, 3, 2.0)
    # the same surrogate in explicit features: one column per leaf
    scale = (1 / forest.size[forest.leaves]).sum(axis=(1, 2)).mean()

    def features(leaves: Any) -> Any:
        out = np.zeros((len(leaves), len(forest.size)))
        np.put_along_axis(out, leaves.reshape(len(leaves), -1), 1.0, axis=1)
        return out / np.sqrt(forest.size * scale)

    twin = linear.LogisticRegression(C=2.0, tol=1e-12, max_iter=10_000).fit(features(forest.leaves), y)
    alpha = 2.0 * (np.eye(3)[y] - twin.predict_proba(features(forest.leaves)))
    K = features(forest.leaves) @ features(forest.leaves_of(Xq)).T
    whole = K.T @ alpha
    np.testing.assert_allclose(whole, features(forest.leaves_of(Xq)) @ twin.coef_.T, atol=1e-3)
    whole = whole + twin.intercept_
    expected = np.array(
        [[log_softmax(whole[q])[yq[q]] - log_softmax(whole[q] - K[i, q] * alpha[i])[yq[q]] for q in range(6)] for i in range(60)]
    )
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_refusals() -> None:
    with pytest.raises(ValueError, match="must agree"):
        grow(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(ValueError, match="must agree"):
        grow(np.zeros((3, 2)), np.array([0, 1, 3]))
