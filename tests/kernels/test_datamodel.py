"""Datamodels: the lasso and ridge against scikit-learn by value, and a planted linear truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.kernels import datamodel as dm


def problem(S: int = 120, n: int = 60, m: int = 5, noise: float = 0.3, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    masks = rng.random((S, n)) < 0.5
    truth = np.where(rng.random((n, m)) < 0.1, rng.standard_normal((n, m)), 0.0)
    return masks, masks @ truth + 3.0 + noise * rng.standard_normal((S, m)), truth


@pytest.mark.parametrize("share", [0.9, 0.3, 0.05])
def test_lasso_equals_scikit_learn(share: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    masks, Y, _ = problem()
    X, R = masks - masks.mean(axis=0), Y - Y.mean(axis=0)
    penalty = share * np.abs(X.T @ R).max(axis=0) / len(Y)
    found = dm.lasso(masks, Y, penalty)
    for q in range(Y.shape[1]):
        twin = linear.Lasso(alpha=penalty[q], tol=1e-12, max_iter=200_000).fit(masks.astype(float), Y[:, q])
        np.testing.assert_allclose(found.weights[:, q], twin.coef_, atol=2e-6)
        np.testing.assert_allclose(found.intercept[q], twin.intercept_, atol=1e-5)


@pytest.mark.parametrize("S", [120, 40])
def test_lasso_meets_its_optimality_conditions(S: int) -> None:
    masks, Y, _ = problem(S=S)
    X, R = masks - masks.mean(axis=0), Y - Y.mean(axis=0)
    penalty = 0.2 * np.abs(X.T @ R).max(axis=0) / len(Y)
    found = dm.lasso(masks, Y, penalty)
    pull = X.T @ (R - X @ found.weights) / len(Y)
    assert (np.abs(pull) <= penalty * (1 + 1e-5)).all()
    held = found.weights != 0
    np.testing.assert_allclose(pull[held], (np.sign(found.weights) * penalty)[held], rtol=1e-5)


def test_the_highest_penalty_leaves_nothing() -> None:
    masks, Y, _ = problem()
    X, R = masks - masks.mean(axis=0), Y - Y.mean(axis=0)
    highest = np.abs(X.T @ R).max(axis=0) / len(Y)
    assert not dm.lasso(masks, Y, highest * 1.0001).weights.any()
    assert dm.lasso(masks, Y, highest * 0.99).weights.any(axis=0).all()


def test_ridge_equals_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    masks, Y, _ = problem()
    penalty = np.array([0.1, 1.0, 10.0, 100.0, 1000.0])
    found = dm.ridge(masks, Y, penalty)
    for q in range(Y.shape[1]):
        twin = linear.Ridge(alpha=penalty[q]).fit(masks.astype(float), Y[:, q])
        np.testing.assert_allclose(found.weights[:, q], twin.coef_, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found.intercept[q], twin.intercept_, rtol=1e-7)


@pytest.mark.parametrize(("estimator", "least"), [("lasso", 0.97), ("ridge", 0.9)])
def test_a_planted_truth_is_found(estimator: dm.Estimator, least: float) -> None:
    masks, Y, truth = problem(S=300)
    found = dm.fit(masks, Y, rng=np.random.default_rng(1), estimator=estimator)
    assert np.corrcoef(found.weights.ravel(), truth.ravel())[0, 1] > least
    fresh, outputs, _ = problem(S=300, noise=0.0)
    assert dm.correlations(found.predict(fresh), outputs).min() > least
    if estimator == "lasso":
        assert (found.weights[truth == 0] == 0).mean() > 0.5


def test_nothing_to_find_gives_almost_no_weight() -> None:
    rng = np.random.default_rng(0)
    masks, Y = rng.random((200, 80)) < 0.5, rng.standard_normal((200, 20))
    found = dm.fit(masks, Y, rng=rng)
    assert np.abs(found.weights).mean() < 0.02


def test_targets_do_not_touch_each_other() -> None:
    masks, Y, _ = problem()
    whole = dm.fit(masks, Y, rng=np.random.default_rng(1))
    alone = dm.fit(masks, Y[:, 2:3], rng=np.random.default_rng(1))
    np.testing.assert_allclose(whole.weights[:, 2], alone.weights[:, 0], rtol=1e-9, atol=1e-12)


def test_limits() -> None:
    masks, Y, _ = problem(S=30)
    # a row that is always there, and an output that never moves
    masks = masks.copy()
    masks[:, 0] = True
    Y = Y.copy()
    Y[:, 1] = 2.5
    found = dm.fit(masks, Y, rng=np.random.default_rng(0))
    assert not found.weights[0].any() and not found.weights[:, 1].any()
    assert found.intercept[1] == 2.5
    assert dm.correlations(Y, Y)[1] == 0.0
    with pytest.raises(ValueError, match="do not agree"):
        dm.lasso(masks, Y[:10], np.ones(5))
    with pytest.raises(ValueError, match="folds"):
        dm.fit(masks[:3], Y[:3], rng=np.random.default_rng(0))
