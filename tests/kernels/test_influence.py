"""Influence against brute-force retraining, finite differences and the other way of computing it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.kernels import influence as inf
from whence.kernels import softmax_head as sh


def problem(n: int, m: int, d: int, n_classes: int, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Unit-length rows around class centres, as sentence embeddings are."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n + m - n_classes)])
    X = 0.8 * rng.standard_normal((n_classes, d))[y] + rng.standard_normal((n + m, d)) + 0.3
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X[:n], y[:n], X[n:], y[n:]


def prepared(n: int = 120, C: float = 1.0, method: inf.Method = "exact", tol: float = 1e-10,
             weights: Any = None) -> tuple[Any, Any, Any, Any, sh.Heads, inf.Curvature]:
    X, y, Xq, yq = problem(n, 15, 8, 4)
    heads = sh.fit(X, y, 4, C=C, tol=1e-12, weights=None if weights is None else weights[None])
    curve = inf.curvature(X, y, heads.W[0], heads.b[0], C=C, method=method, tol=tol, weights=weights)
    return X, y, Xq, yq, heads, curve


def retrained(X: Any, y: Any, Xq: Any, yq: Any, C: float, output: str = "log_prob") -> Any:
    of = sh.log_prob_of if output == "log_prob" else sh.margin_of
    full = sh.fit(X, y, 4, C=C, tol=1e-12)
    without = sh.fit(X, y, 4, C=C, tol=1e-12, subsets=[np.delete(np.arange(len(X)), i) for i in range(len(X))])
    assert without.converged.all()
    return of(full, Xq, yq) - of(without, Xq, yq)


def distance(a: Any, b: Any) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("output", ["log_prob", "margin"])
def test_leave_one_out_equals_brute_force(output: inf.Output) -> None:
    X, y, Xq, yq, _, curve = prepared()
    truth = retrained(X, y, Xq, yq, 1.0, output)
    got = inf.leave_one_out(curve, Xq, yq, output=output)
    assert distance(got.effects, truth) < 1e-5
    assert not got.refitted.any()


def test_rows_whose_newton_steps_do_not_settle_are_refitted() -> None:
    X, y, Xq, yq = problem(60, 10, 8, 4)
    X, Xq = 12 * X, 12 * Xq  # almost separable: removing a row is not a small change
    heads = sh.fit(X, y, 4, tol=1e-12)
    curve = inf.curvature(X, y, heads.W[0], heads.b[0], method="exact")
    got = inf.leave_one_out(curve, Xq, yq)
    assert got.refitted.any()
    assert not got.refitted.all()
    assert distance(got.effects, retrained(X, y, Xq, yq, 1.0)) < 1e-4


def test_first_order_is_the_derivative_in_the_weight() -> None:
    X, y, Xq, yq, _, curve = prepared()
    got = inf.influence_on(curve, Xq, yq)
    h = 1e-4
    for i in (0, 17, 80):
        w = np.ones((2, len(X)))
        w[:, i] += (h, -h)
        up, down = sh.log_prob_of(sh.fit(X, y, 4, weights=w, tol=1e-13), Xq, yq)
        np.testing.assert_allclose(got[i], (up - down) / (2 * h), rtol=1e-4, atol=1e-7)


def test_influence_equals_leave_one_out_within_a_thousandth_when_one_row_is_a_small_change() -> None:
    # one Newton step errs by the square of the change: below a thousandth from about 1,000 rows at C = 0.02
    X, y, Xq, yq = problem(1000, 15, 8, 4)
    full = sh.fit(X, y, 4, C=0.02, tol=1e-12)
    curve = inf.curvature(X, y, full.W[0], full.b[0], C=0.02)
    some = np.arange(40)
    without = sh.fit(X, y, 4, C=0.02, tol=1e-12, subsets=[np.delete(np.arange(1000), i) for i in some])
    truth = sh.margin_of(full, Xq, yq) - sh.margin_of(without, Xq, yq)
    corrected = distance(inf.influence_on(curve, Xq, yq, output="margin", form="leave_one_out")[some], truth)
    plain = distance(inf.influence_on(curve, Xq, yq, output="margin")[some], truth)
    assert corrected < 1e-3
    assert corrected < plain < 1e-2


def test_corrected_form_is_nearer_to_leave_one_out() -> None:
    X, y, Xq, yq, _, curve = prepared()
    truth = retrained(X, y, Xq, yq, 1.0, "margin")
    plain = distance(inf.influence_on(curve, Xq, yq, output="margin"), truth)
    corrected = distance(inf.influence_on(curve, Xq, yq, output="margin", form="leave_one_out"), truth)
    assert corrected < 0.02
    assert plain > 3 * corrected


def test_sign_a_copy_helps_and_a_mislabelled_copy_hurts() -> None:
    X, y, Xq, yq, _, _ = prepared()
    X2 = np.concatenate([X, Xq[:1], Xq[:1]])
    y2 = np.concatenate([y, [yq[0], (yq[0] + 1) % 4]])
    heads = sh.fit(X2, y2, 4, tol=1e-10)
    curve = inf.curvature(X2, y2, heads.W[0], heads.b[0])
    for output in ("log_prob", "margin", "logit"):
        for form in ("first_order", "leave_one_out"):
            values = inf.influence_on(curve, Xq[:1], yq[:1], output=output, form=form)[:, 0]  # type: ignore[arg-type]
            assert values[-2] > 0 > values[-1]


@pytest.mark.parametrize("output", ["log_prob", "margin", "logit"])
def test_output_gradients_by_finite_differences(output: inf.Output) -> None:
    rng = np.random.default_rng(0)
    z, y = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    got = inf.output_gradient(np.exp(sh.log_softmax(z)), y, output)
    h = 1e-6
    for c in range(4):
        bump = np.zeros(4)
        bump[c] = h
        slope = (inf._outputs(z + bump, y, output) - inf._outputs(z - bump, y, output)) / (2 * h)
        np.testing.assert_allclose(got[:, c], slope, atol=1e-8)


def test_conjugate_gradients_equal_the_exact_inverse() -> None:
    weights = np.random.default_rng(4).uniform(0.5, 2, 120)
    _, _, Xq, yq, _, exact = prepared(weights=weights)
    _, _, _, _, _, cg = prepared(weights=weights, method="cg")
    assert (exact.method, cg.method) == ("exact", "cg")
    a = inf.influence_on(exact, Xq, yq)
    np.testing.assert_allclose(inf.influence_on(cg, Xq, yq), a, atol=1e-8 * np.abs(a).max())
    mean, solution = inf.influence_on_mean(cg, Xq, yq)
    np.testing.assert_allclose(mean, a.mean(axis=1), atol=1e-8 * np.abs(a).max())
    assert solution.residual.max() <= 1e-10
    assert 1 <= solution.iterations.max() <= 100
    own = inf.self_influence(exact)
    approximate = inf.self_influence(cg)
    assert np.corrcoef(own, approximate)[0, 1] > 0.98


def test_leverage_of_blocks_is_the_quadratic_form_and_survives_single_precision() -> None:
    X, y, _, _ = problem(400, 1, 8, 4)
    heads = sh.fit(X, y, 4, C=1000, tol=1e-10)  # weakly penalised, so that the head is sure of many rows
    double, single = (inf.curvature(X.astype(t), y, heads.W[0].astype(t), heads.b[0].astype(t), C=1000, method="cg")
                      for t in (np.float64, np.float32))
    assert double.blocks is not None
    expected = np.einsum("id,cde,ie->ic", double.rows, double.blocks, double.rows)
    np.testing.assert_allclose(inf._block_leverage(double), expected, rtol=1e-10)
    for form in ("first_order", "leave_one_out"):
        a, b = inf.self_influence(double, form), inf.self_influence(single, form)
        np.testing.assert_allclose(b, a, rtol=5e-3, atol=1e-5 * np.abs(a).max())


def test_self_influence_is_the_diagonal() -> None:
    X, y, _, _, _, curve = prepared()
    for form in ("first_order", "leave_one_out"):
        table = inf.influence_on(curve, X, y, form=form)  # type: ignore[arg-type]
        np.testing.assert_allclose(inf.self_influence(curve, form), np.diag(table), rtol=1e-8)  # type: ignore[arg-type]
    assert (inf.self_influence(curve) > 0).all()


def test_queries_in_blocks_or_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, Xq, yq, _, curve = prepared()
    whole = inf.influence_on(curve, Xq, yq)
    loo = inf.leave_one_out(curve, Xq, yq).effects
    monkeypatch.setattr(inf, "_CELLS", 2000)
    assert len(list(inf.influence_blocks(curve, Xq, yq))) > 2
    np.testing.assert_allclose(inf.influence_on(curve, Xq, yq), whole, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(inf.leave_one_out(curve, Xq, yq).effects, loo, rtol=1e-6, atol=1e-12)


def test_class_never_seen_in_training() -> None:
    X, y, Xq, yq = problem(100, 5, 6, 3)
    heads = sh.fit(X, y, 5, tol=1e-12)
    curve = inf.curvature(X, y, heads.W[0], heads.b[0])
    three = sh.fit(X, y, 3, tol=1e-12)
    plain = inf.curvature(X, y, three.W[0], three.b[0])
    np.testing.assert_allclose(inf.influence_on(curve, Xq, yq), inf.influence_on(plain, Xq, yq), atol=1e-6)


def test_contrast_scores_by_hand() -> None:
    X, r = np.array([[1.0, 2.0]]), np.array([[0.5, -0.5]])
    Xq, rq = np.array([[3.0, 0.0]]), np.array([[-0.2, 0.2]])
    assert inf.gradient_dot(X, r, Xq, rq)[0, 0] == pytest.approx((3 + 1) * -0.2)
    assert inf.gradient_cosine(X, r, X, r)[0, 0] == pytest.approx(1)
    assert inf.gradient_cosine(X, 0 * r, Xq, rq)[0, 0] == 0
    assert inf.tracin(X, r[None], Xq, rq[None], np.array([0.1]))[0, 0] == pytest.approx(0.1 * 4 * -0.2)
    assert inf.representer_values(X, r, Xq, np.array([1]), C=2.0)[0, 0] == pytest.approx(-2 * 3 * -0.5)
    np.testing.assert_allclose(inf.relative_influence(np.array([[2.0], [3.0]]), np.array([4.0, 0.0])), [[1], [0]])


def test_representer_values_add_up_to_the_logit() -> None:
    X, _, Xq, yq, heads, curve = prepared()
    total = inf.representer_values(X, curve.residual, Xq, yq).sum(axis=0)
    np.testing.assert_allclose(total, (Xq @ heads.W[0].T)[np.arange(len(yq)), yq], atol=1e-8)


def test_lds_of_an_additive_world_is_one_and_of_its_opposite_minus_one() -> None:
    rng = np.random.default_rng(0)
    effects, masks = rng.standard_normal((30, 5)), rng.random((40, 30)) < 0.5
    outputs = np.exp(masks @ effects)  # any increasing function
    got = inf.lds(effects, masks, outputs, rng=rng)
    assert got.mean == pytest.approx(1)
    assert got.interval == (pytest.approx(1), pytest.approx(1))
    assert inf.lds(-effects, masks, outputs, rng=rng).mean == pytest.approx(-1)
    outputs[:, 2] = 7.0
    assert inf.lds(effects, masks, outputs, rng=rng).undefined == 1
    with pytest.raises(ValueError, match="undefined"):
        inf.lds(effects, masks, np.ones_like(outputs), rng=rng)


def test_lds_per_query_is_spearman() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    effects, masks, outputs = rng.standard_normal((20, 3)), rng.random((25, 20)) < 0.5, rng.standard_normal((25, 3))
    got = inf.lds(effects, masks, outputs, rng=rng)
    for j in range(3):
        assert got.per_query[j] == pytest.approx(spearmanr(masks @ effects[:, j], outputs[:, j]).statistic)


def test_digits_linear_datamodeling_score() -> None:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    X, y = X[order] / 16, y[order]
    subsets = sh.random_subsets(1000, 500, 100, rng)
    heads = sh.fit(X[:1000].astype(np.float32), y[:1000], 10, subsets=subsets)
    full = sh.fit(X[:1000], y[:1000], 10, tol=1e-8)
    curve = inf.curvature(X[:1000], y[:1000], full.W[0], full.b[0])
    Xq, yq = X[1000:1200], y[1000:1200]
    outputs = sh.margin_of(heads, Xq.astype(np.float32), yq)
    masks = sh.masks_of(subsets, 1000)
    score = inf.lds(inf.influence_on(curve, Xq, yq, output="margin"), masks, outputs, rng=rng)
    assert score.mean >= 0.9
    rq = inf.probabilities(curve, Xq) - np.eye(10)[yq]
    dot = inf.lds(inf.gradient_dot(X[:1000], curve.residual, Xq, rq), masks, outputs, rng=rng)
    assert dot.mean < 0.6


def test_bad_arguments() -> None:
    X, y, Xq, yq, heads, curve = prepared()
    with pytest.raises(ValueError, match="belong together"):
        inf.curvature(X[:, :3], y, heads.W[0], heads.b[0])
    with pytest.raises(ValueError, match="output must be"):
        inf.influence_on(curve, Xq, yq, output="accuracy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="form must be"):
        inf.influence_on(curve, Xq, yq, form="second")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 3"):
        inf.lds(np.ones((4, 2)), np.ones((2, 4), bool), np.ones((2, 2)), rng=np.random.default_rng(0))
