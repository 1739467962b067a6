"""Herding against plain float64 runs and hand-worked cases."""

import numpy as np
import pytest

from whence.kernels.herding import herding, kernel_herding


def plain(x, k, objective, target=None, replace=False):
    x = x.astype(np.float64)
    aim = x.mean(axis=0) if target is None else target
    free, chosen = np.ones(len(x), bool), []
    for t in range(k):
        total = x[chosen].sum(axis=0) if chosen else np.zeros(x.shape[1])
        if objective == "herding":
            value = x @ (aim - total / (t + 1))
        else:
            value = -np.linalg.norm(aim - (total + x) / (t + 1), axis=1)
        value = np.where(free, value, -np.inf)
        j = int(np.flatnonzero(value >= value.max() - 1e-13)[0])
        chosen.append(j)
        free[j] = replace
    distances = [np.linalg.norm(x[chosen[: t + 1]].mean(axis=0) - aim) for t in range(k)]
    return np.array(chosen), np.array(distances)


@pytest.mark.parametrize("objective", ["herding", "nearest_mean"])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_plain(objective, replace, dtype):
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((250, 10)).astype(dtype) + 5, 5 + 0.3 * rng.standard_normal(10)
    order, distances = herding(x, 60, objective=objective, target=target, replace=replace)
    expected, expected_distances = plain(x, 60, objective, target, replace)
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_allclose(distances, expected_distances, atol=1e-10)


def test_hand_worked():
    x = np.array([[0.0], [1.0], [2.0], [9.0]])  # mean 3
    order, distances = herding(x, 3, objective="nearest_mean")
    assert order.tolist() == [2, 1, 3]  # 2; then (2+1)/2 is 1.5 off against 2.5; then (2+1+9)/3 = 4 against 1
    np.testing.assert_allclose(distances, [1.0, 1.5, 1.0])


def test_every_row_gives_the_mean_and_beats_chance():
    x = np.random.default_rng(1).standard_normal((120, 6))
    order, distances = herding(x, 120)
    assert sorted(order.tolist()) == list(range(120))
    assert distances[-1] == pytest.approx(0.0, abs=1e-12)
    chance = [np.linalg.norm(x[np.random.default_rng(s).choice(120, 20)].mean(0) - x.mean(0)) for s in range(30)]
    assert herding(x, 20, objective="nearest_mean")[1][-1] < 0.5 * np.mean(chance)


def test_copies_go_by_row_number():
    x = np.tile(np.random.default_rng(2).standard_normal((10, 4)), (3, 1))
    order, _ = herding(x, 30, objective="nearest_mean")
    for row in range(10):
        same = [j for j in order.tolist() if j % 10 == row]
        assert same == sorted(same)


def test_kernel_herding_equals_plain():
    x = np.random.default_rng(3).standard_normal((90, 3))
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * 0.8**2))
    chosen = []
    for t in range(25):
        value = kernel.mean(axis=1) - kernel[:, chosen].sum(axis=1) / (t + 1)
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
    np.testing.assert_array_equal(kernel_herding(x, 25, bandwidth=0.8), chosen)


def test_refuses():
    x = np.eye(4)
    with pytest.raises(ValueError, match="k is 5"):
        herding(x, 5)
    with pytest.raises(ValueError, match="legal: herding, nearest_mean"):
        herding(x, 1, objective="mean")
    with pytest.raises(ValueError, match="target"):
        herding(x, 1, target=[1.0])
    with pytest.raises(ValueError, match="bandwidth"):
        kernel_herding(x, 1, bandwidth=0.0)
