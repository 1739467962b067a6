"""The solver against scikit-learn, finite differences and a case solved by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from whence.kernels import softmax_head as sh


def cloud(n: int, d: int, n_classes: int, seed: int = 0, dtype: Any = np.float64) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_classes, d))
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    X = 0.7 * centres[y] + rng.standard_normal((n, d)) + 0.5
    return X.astype(dtype), y


def objective(X: Any, y: Any, w: Any, W: Any, b: Any, C: float) -> float:
    z = X @ W.T + b
    z = z - z.max(axis=1, keepdims=True)
    loss = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
    return float((w * loss).sum() + (W**2).sum() / (2 * C))


def sklearn_probs(X: Any, y: Any, w: Any, C: float, Xq: Any) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, tol=1e-9, max_iter=5000).fit(X, y, sample_weight=w)
    return np.asarray(model.predict_proba(Xq))


@pytest.mark.parametrize(("n", "d", "n_classes", "C"), [(200, 5, 3, 1.0), (300, 20, 6, 0.1), (80, 100, 4, 10.0)])
def test_equals_scikit_learn(n: int, d: int, n_classes: int, C: float) -> None:
    X, y = cloud(n, d, n_classes)
    w = np.random.default_rng(1).uniform(0.1, 3, (2, n))
    heads = sh.fit(X, y, n_classes, weights=w, C=C, tol=1e-9)
    assert heads.converged.all()
    for k in range(2):
        expected = sklearn_probs(X, y, w[k], C, X)
        np.testing.assert_allclose(sh.predict_proba(heads, X)[k], expected, atol=2e-6)


def test_single_precision_default_tolerance_is_within_a_thousandth() -> None:
    X, y = cloud(400, 30, 5, dtype=np.float32)
    heads = sh.fit(X, y, 5)
    expected = sklearn_probs(X.astype(np.float64), y, None, 1.0, X)
    assert np.abs(sh.predict_proba(heads, X)[0] - expected).max() < 1e-3
    assert heads.converged.all()
    assert heads.W.dtype == np.float32


def test_two_classes_are_scikit_learn_at_twice_c() -> None:
    X, y = cloud(150, 4, 2)
    heads = sh.fit(X, y, 2, C=0.5, tol=1e-9)
    np.testing.assert_allclose(sh.predict_proba(heads, X)[0], sklearn_probs(X, y, None, 1.0, X), atol=2e-6)


def test_gradient_vanishes_and_loss_is_the_objective() -> None:
    X, y = cloud(60, 3, 3)
    heads = sh.fit(X, y, 3, tol=1e-10)
    W, b = heads.W[0], heads.b[0]
    w = np.ones(60)
    assert heads.loss[0] == pytest.approx(objective(X, y, w, W, b, 1.0), rel=1e-12)
    h = 1e-5
    for at in [(0, 0), (2, 1)]:
        bump = np.zeros_like(W)
        bump[at] = h
        slope = (objective(X, y, w, W + bump, b, 1.0) - objective(X, y, w, W - bump, b, 1.0)) / (2 * h)
        assert abs(slope) < 1e-7
    bump_b = np.array([h, 0, 0])
    assert abs(objective(X, y, w, W, b + bump_b, 1.0) - objective(X, y, w, W, b - bump_b, 1.0)) / (2 * h) < 1e-7


def test_by_hand_one_feature_two_points() -> None:
    # x = -1, +1 with labels 0, 1: by symmetry W = (-v, v), b = 0 and stationarity is 2 * sigma(-2v) = v / C... at C=1
    X = np.array([[-1.0], [1.0]])
    heads = sh.fit(X, np.array([0, 1]), 2, C=1.0, tol=1e-12)
    v = heads.W[0, 1, 0]
    assert heads.W[0, 0, 0] == pytest.approx(-v, abs=1e-9)
    assert 2 / (1 + np.exp(2 * v)) == pytest.approx(v, abs=1e-9)
    np.testing.assert_allclose(heads.b, 0, atol=1e-9)


def test_constant_feature_gives_the_class_shares() -> None:
    y = np.array([0, 0, 0, 1, 2, 2])
    heads = sh.fit(np.ones((6, 1)), y, 3, tol=1e-10)
    np.testing.assert_allclose(sh.predict_proba(heads, np.ones((1, 1)))[0, 0], [0.5, 1 / 6, 1 / 3], atol=1e-8)


def test_fit_does_not_depend_on_its_company() -> None:
    X, y = cloud(200, 10, 4, dtype=np.float64)
    rng = np.random.default_rng(3)
    sizes = [8, 20, 60, 100, 150, 199, 200, 100, 100, 100]  # below and above the joint pass, and the shared Hessian
    subsets = [np.sort(rng.permutation(200)[:s]) for s in sizes]
    together = sh.fit(X, y, 4, subsets=subsets, tol=1e-9)
    assert together.converged.all()
    for k, subset in enumerate(subsets):
        alone = sh.fit(X, y, 4, subsets=[subset], tol=1e-9)
        np.testing.assert_allclose(sh.predict_proba(together.take(k), X), sh.predict_proba(alone, X), atol=1e-7)
        cut = sh.fit(X[subset], y[subset], 4, tol=1e-9)
        np.testing.assert_allclose(sh.predict_proba(cut, X), sh.predict_proba(alone, X), atol=1e-7)


def test_order_of_rows_and_repeated_rows() -> None:
    X, y = cloud(120, 6, 3)
    order = np.random.default_rng(5).permutation(120)
    a, b = sh.fit(X, y, 3, tol=1e-10), sh.fit(X[order], y[order], 3, tol=1e-10)
    np.testing.assert_allclose(a.W, b.W, atol=1e-8)
    twice = sh.fit(X, y, 3, subsets=[np.concatenate([np.arange(120), [7, 7]])], tol=1e-10)
    w = np.ones((1, 120))
    w[0, 7] = 3
    np.testing.assert_allclose(twice.W, sh.fit(X, y, 3, weights=w, tol=1e-10).W, atol=1e-8)


def test_absent_class_is_left_out_and_finite() -> None:
    X, y = cloud(90, 5, 4)
    subset = np.flatnonzero(y != 2)
    heads = sh.fit(X, y, 4, subsets=[subset] * 9, tol=1e-10)  # nine: through the shared Hessian as well
    expected = sklearn_probs(X[subset], y[subset], None, 1.0, X)
    for k in (0, 8):
        probs = sh.predict_proba(heads, X)[k]
        np.testing.assert_allclose(probs[:, [0, 1, 3]], expected, atol=1e-5)
        assert (probs[:, 2] < 1e-5).all()
        assert (probs[:, 2] > 0).all()
        assert (heads.W[k, 2] == 0).all()
        assert heads.b[k, 2] == pytest.approx(heads.b[k, [0, 1, 3]].min() - sh.ABSENT_GAP)
        assert not heads.present[k, 2]


def test_one_class_only_is_certain() -> None:
    X, y = cloud(20, 3, 3)
    heads = sh.fit(X, y, 3, subsets=[np.flatnonzero(y == 1)])
    assert (sh.predict(heads, X)[0] == 1).all()
    assert np.isfinite(heads.W).all()


def test_start_changes_nothing_but_the_work() -> None:
    X, y = cloud(200, 8, 3)
    cold = sh.fit(X, y, 3, tol=1e-9)
    warm = sh.fit(X, y, 3, tol=1e-9, start=cold)
    np.testing.assert_allclose(warm.W, cold.W, atol=1e-8)
    assert warm.iterations[0] <= 1


def test_outputs_agree_with_probabilities() -> None:
    X, y = cloud(50, 4, 3)
    heads = sh.fit(X, y, 3, subsets=[np.arange(30), np.arange(50)])
    p = sh.predict_proba(heads, X)[:, np.arange(50), y]
    np.testing.assert_allclose(sh.log_prob_of(heads, X, y), np.log(p), atol=1e-10)
    np.testing.assert_allclose(sh.margin_of(heads, X, y), np.log(p / (1 - p)), atol=1e-9)
    np.testing.assert_array_equal(sh.predict(heads, X), sh.predict_proba(heads, X).argmax(axis=2))


def test_cross_validation_judges_each_row_by_heads_that_never_saw_it() -> None:
    X, y = cloud(100, 4, 3)
    probs = sh.cross_val_probs(X, y, 3, folds=4, rng=np.random.default_rng(2), tol=1e-9)
    fold = sh.stratified_folds(y, 4, np.random.default_rng(2))
    for f in range(4):
        kept, held = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        np.testing.assert_allclose(probs[held], sklearn_probs(X[kept], y[kept], None, 1.0, X[held]), atol=1e-5)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-12)


def test_folds_are_balanced() -> None:
    y = np.array([0] * 10 + [1] * 7 + [2] * 3)
    fold = sh.stratified_folds(y, 5, np.random.default_rng(0))
    assert np.bincount(fold).tolist() == [4] * 5
    for c, (low, high) in enumerate([(2, 2), (1, 2), (0, 1)]):
        counts = np.bincount(fold[y == c], minlength=5)
        assert low <= counts.min() <= counts.max() <= high


def test_many_separable_classes_in_single_precision_converge() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(40), 8)
    X = (np.eye(40)[y] * 30 + rng.standard_normal((320, 40))).astype(np.float32)
    heads = sh.fit(X, y, 40)
    assert heads.converged.all()
    assert (sh.predict(heads, X)[0] == y).all()


def many_classes(dtype: Any = np.float64) -> tuple[Any, Any, int]:
    """4,500 rows of 50 classes: enough for one-class blocks and for a start from a quarter of the rows."""
    X, y = cloud(4500, 30, 50, seed=4, dtype=dtype)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y, 50


def by_diagonal(monkeypatch: pytest.MonkeyPatch, *args: Any, **options: Any) -> sh.Heads:
    with monkeypatch.context() as patch:
        patch.setattr(sh, "_BLOCK_ROWS", 10**9)  # neither blocks nor a start from fewer rows
        return sh.fit(*args, **options)


@pytest.mark.parametrize(("dtype", "tol"), [(np.float64, 1e-7), (np.float32, 1e-3)])
def test_one_class_blocks_reach_the_minimiser_of_the_diagonal(monkeypatch: pytest.MonkeyPatch, dtype: Any,
                                                              tol: float) -> None:
    X, y, n_classes = many_classes(dtype)
    rng = np.random.default_rng(6)
    w = rng.uniform(0.2, 4, (3, len(y))).astype(dtype)
    w[1] *= y != 7  # absent in one fit
    w[2] *= rng.random(len(y)) < 0.5
    built: list[int] = []
    original = sh._Blocks.__init__

    def counted(self: Any, *args: Any) -> None:
        built.append(len(args[0].X))
        original(self, *args)

    monkeypatch.setattr(sh._Blocks, "__init__", counted)
    heads = sh.fit(X, y, n_classes, weights=w, C=10, tol=tol)
    assert 4500 in built  # the blocks and the start from fewer rows were both at work
    assert min(built) < 1500
    built.clear()
    plain = by_diagonal(monkeypatch, X, y, n_classes, weights=w, C=10, tol=tol)
    assert built == []
    assert heads.converged.all() and plain.converged.all()
    assert not heads.present[1, 7]
    np.testing.assert_allclose(sh.predict_proba(heads, X), sh.predict_proba(plain, X), atol=10 * tol)
    np.testing.assert_allclose(heads.loss, plain.loss, rtol=1e-4 if dtype == np.float32 else 1e-12)


def test_many_subsets_of_many_classes_reach_the_minimiser_of_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, n_classes = many_classes()
    rng = np.random.default_rng(8)
    subsets = [sh.random_subsets(len(y), size, 1, rng)[0] for size in (300, 1200, 2250, 2250, 3000, 4050, 4050)]
    subsets.append(np.flatnonzero(y != 3))
    heads = sh.fit(X, y, n_classes, subsets=subsets, C=10, tol=1e-6)
    plain = by_diagonal(monkeypatch, X, y, n_classes, subsets=subsets, C=10, tol=1e-6)
    assert heads.converged.all()
    np.testing.assert_allclose(sh.predict_proba(heads, X), sh.predict_proba(plain, X), atol=1e-5)


def test_inverse_of_one_class_blocks_is_exact_when_every_row_enters() -> None:
    rng = np.random.default_rng(9)
    X, y = cloud(60, 5, 4)
    rows = sh.basis_of(X).rows
    w = rng.uniform(0.5, 2, (60, 1))
    problem = sh._Problem(rows, y, w, np.ones((1, 4), bool), 0.3)
    _, P, _ = problem.evaluate(rng.standard_normal((6, 1, 4)))
    M = sh._Blocks(problem, P, rows**2, 60)
    r = rng.standard_normal((6, 1, 4))
    common = r[:, 0].mean(axis=1)
    common[-1] = 0
    even = r[:, 0] - r[:, 0].mean(axis=1, keepdims=True)
    expected = np.empty((6, 4))
    for c in range(4):
        block = rows.T @ (rows * (w[:, 0] * P[:, 0, c] * (1 - P[:, 0, c]))[:, None]) + 0.3 * np.eye(6)
        expected[:, c] = np.linalg.solve(block, even[:, c])
    expected += (common / 0.3 - expected.mean(axis=1))[:, None]  # along the common direction only the ridge
    np.testing.assert_allclose(M(r)[:, 0], expected, atol=1e-10)


@pytest.mark.parametrize(("change", "message"), [
    ({"y": np.array([0, 1, 5])}, "labels"),
    ({"y": np.array([0, 1])}, "integers"),
    ({"C": 0.0}, "positive"),
    ({"X": np.array([[1.0], [np.nan], [2.0]])}, "finite"),
    ({"subsets": [np.array([0, 3])]}, "row 3 of 3"),
    ({"subsets": [np.array([], dtype=int)]}, "no rows"),
    ({"weights": np.array([[1.0, -1.0, 1.0]])}, "negative"),
    ({"weights": np.ones((1, 3)), "subsets": [np.arange(3)]}, "not both"),
])
def test_bad_arguments(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"X": np.array([[1.0], [2.0], [3.0]]), "y": np.array([0, 1, 1]), "n_classes": 2}
    given.update(change)
    with pytest.raises(ValueError, match=message):
        sh.fit(**given)
