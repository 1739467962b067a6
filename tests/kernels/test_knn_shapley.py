"""KNN-Shapley against Shapley values summed over all coalitions."""

import itertools
from math import factorial

import numpy as np
import pytest

from whence.kernels.knn_shapley import knn_shapley, knn_shapley_from_order


def shapley(n, value):
    out = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for s in itertools.combinations(others, size):
                out[i] += weight * (value((*s, i)) - value(s))
    return out


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("n", [1, 4, 8])
def test_equals_all_coalitions(n, k, metric):
    rng = np.random.default_rng(n * 10 + k)
    train, test = rng.standard_normal((n, 3)), rng.standard_normal((4, 3))
    y, t = rng.integers(2, size=n), rng.integers(2, size=4)
    a, b = train, test
    if metric == "cosine":
        a, b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (train, test))
    distances = np.linalg.norm(b[:, None] - a[None], axis=2)

    def value(s):
        total = 0.0
        for i in range(4):
            near = sorted(s, key=lambda j: distances[i, j])[:k]
            total += sum(y[j] == t[i] for j in near) / k
        return total / 4

    values = knn_shapley(train, y, test, t, k, metric=metric)
    np.testing.assert_allclose(values, shapley(n, value), atol=1e-12)


def test_values_sum_to_the_share_of_right_neighbours():
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((200, 5)), rng.standard_normal((30, 5))
    y, t = rng.integers(3, size=200), rng.integers(3, size=30)
    near = np.argsort(np.linalg.norm(test[:, None] - train[None], axis=2), axis=1)[:, :7]
    assert knn_shapley(train, y, test, t, 7).sum() == pytest.approx((y[near] == t[:, None]).mean())


def test_hand_worked():
    # three rows, near to far right, wrong, right; K = 1: s3 = 1/3, s2 = 1/3 - 1/2, s1 = s2 + 1
    values = knn_shapley_from_order(np.array([2, 0, 1]), np.array([0, 1, 1]), 1)
    np.testing.assert_allclose(values, [-1 / 6, 1 / 3, 5 / 6])


def test_flipped_label_has_the_lowest_value():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 40)
    x = rng.standard_normal((80, 2)) * 0.3 + 3 * y[:, None]
    noisy = y.copy()
    noisy[5] = 1
    values = knn_shapley(x, noisy, x[::2] + 0.01, y[::2], 5)
    assert int(np.argmin(values)) == 5


def test_text_labels_and_ties_by_row():
    x = np.zeros((3, 1))
    np.testing.assert_allclose(knn_shapley(x, ["a", "b", "a"], x[:1], ["a"], 1), [5 / 6, -1 / 6, 1 / 3])


def test_refuses():
    x = np.eye(3)
    with pytest.raises(ValueError, match="k is 0"):
        knn_shapley(x, [0, 1, 2], x, [0, 1, 2], 0)
    with pytest.raises(ValueError, match="one label per row"):
        knn_shapley(x, [0, 1], x, [0, 1, 2], 1)
