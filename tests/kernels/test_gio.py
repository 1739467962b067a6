"""Gradient Information Optimization: the estimate by its definition, the gradient by differences, planted choices."""

import numpy as np
import pytest

from whence.kernels.gio import _Divergence, gio, gio_quantized, knn_divergence


def by_definition(target, chosen, k, estimate):
    n, d = target.shape
    m = len(chosen)
    inside = np.sort(np.linalg.norm(target[:, None] - target[None], axis=2), axis=1)[:, k]
    outside = np.sort(np.linalg.norm(target[:, None] - chosen[None], axis=2), axis=1)
    if estimate == "kth":
        return d * np.mean(np.log(outside[:, k - 1] / inside)) + np.log(m / (n - 1))
    return np.mean(
        [d * np.mean(np.log(outside[:, rank - 1] / inside)) + np.log(k * m / (rank * (n - 1))) for rank in range(1, m + 1)]
    )


@pytest.mark.parametrize("estimate", ["all", "kth"])
def test_estimate_by_definition_and_running(estimate):
    rng = np.random.default_rng(0)
    target, chosen = rng.standard_normal((30, 4)), rng.standard_normal((12, 4)) + 1
    assert knn_divergence(target, chosen, k=3, estimate=estimate) == pytest.approx(by_definition(target, chosen, 3, estimate))
    running = _Divergence(target, chosen[:5], 3, estimate)
    for row in chosen[5:]:
        running.add(row)
    assert running.value() == pytest.approx(by_definition(target, chosen, 3, estimate))


@pytest.mark.parametrize("estimate", ["all", "kth"])
def test_gradient_by_differences(estimate):
    rng = np.random.default_rng(1)
    target, chosen, point = rng.standard_normal((25, 3)), rng.standard_normal((8, 3)), 0.2 * rng.standard_normal(3)
    gradient = _Divergence(target, chosen, 2, estimate).gradient(point)
    numeric = [
        (
            by_definition(target, np.vstack([chosen, point + step]), 2, estimate)
            - by_definition(target, np.vstack([chosen, point - step]), 2, estimate)
        )
        / 2e-6
        for step in 1e-6 * np.eye(3)
    ]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)
    assert np.linalg.norm(gradient) > 0


def test_kth_estimate_of_two_normals():
    rng = np.random.default_rng(2)
    target, chosen = rng.standard_normal((3000, 2)), rng.standard_normal((3000, 2)) + 1.0
    assert knn_divergence(target, chosen, estimate="kth") == pytest.approx(1.0, abs=0.12)  # |shift|^2 / 2


@pytest.mark.parametrize("start", ["mean", "previous", "jump"])
def test_takes_the_pool_rows_of_the_target(start):
    rng = np.random.default_rng(3)
    near, far = rng.standard_normal((60, 5)) * 0.3 + 2, rng.standard_normal((200, 5)) * 0.3 - 2
    target = rng.standard_normal((40, 5)) * 0.3 + 2
    order, estimates = gio(np.vstack([far, near]), target, rng=np.random.default_rng(0), start=start, max_rows=30)
    assert order.size == 30 and np.unique(order).size == 30
    assert (order >= 200).all()
    assert (np.diff(estimates) <= 0).all()
    assert estimates.size == 31


def test_stops_when_the_estimate_rises():
    rng = np.random.default_rng(4)
    target = rng.standard_normal((30, 3))
    far = rng.standard_normal((20, 3)) + 50
    order, estimates = gio(far, target, initial=target[:10] + 0.1, start="mean")
    assert order.size == 0 and estimates.size == 1


def test_first_estimates_are_those_of_the_sets():
    rng = np.random.default_rng(5)
    pool, target, first = rng.standard_normal((50, 3)), rng.standard_normal((20, 3)) * 0.5, rng.standard_normal((6, 3)) * 3
    order, estimates = gio(pool, target, initial=first, k=2, max_rows=5)
    for t in range(order.size + 1):
        assert estimates[t] == pytest.approx(by_definition(target, np.vstack([first, pool[order[:t]]]), 2, "all"))


def test_quantized_brings_whole_clusters():
    rng = np.random.default_rng(6)
    pool = np.vstack([rng.standard_normal((80, 4)) * 0.1 + c for c in (-3, 0, 3)])
    target = rng.standard_normal((30, 4)) * 0.1 + 3
    rows, cluster, _ = gio_quantized(pool, target, np.random.default_rng(0), pool_clusters=12, target_clusters=30, max_clusters=2)
    assert rows.size and (rows >= 160).all()
    assert rows.size == cluster.size and np.unique(rows).size == rows.size


def test_refuses():
    x = np.random.default_rng(0).standard_normal((10, 2))
    with pytest.raises(ValueError, match="rng is needed"):
        gio(x, x)
    with pytest.raises(ValueError, match="k is 10"):
        gio(x, x, initial=x, k=10)
    with pytest.raises(ValueError, match="legal: mean"):
        gio(x, x, initial=x, start="zero")
    with pytest.raises(ValueError, match="k-th neighbour estimate needs"):
        gio(x, x, initial=x[:2], k=3, estimate="kth")
