"""k-center against a plain float64 run, its guarantee, and hand-worked cases."""

import itertools

import numpy as np
import pytest

from whence.kernels.kcenter import kcenter


def plain(x, k, initial=None, skip=0):
    x = x.astype(np.float64)
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    chosen = list(initial or [])
    order, radii = [], []
    for t in range(k):
        if t == 0 and not chosen:
            j = int(np.argmin(((x - x.mean(axis=0)) ** 2).sum(axis=1)))
        else:
            nearest = distances[:, chosen].min(axis=1)
            nearest[chosen] = -1
            j = int(np.lexsort((np.arange(len(x)), -nearest))[0])
            if skip:
                limit = np.sort(nearest)[::-1][min(skip, len(x) - len(chosen) - 1)]
                j = int(np.flatnonzero(nearest == limit)[0])
        chosen.append(j)
        order.append(j)
        radii.append(np.sort(distances[:, chosen].min(axis=1))[::-1][skip])
    return np.array(order), np.array(radii)


@pytest.mark.parametrize("skip", [0, 15])
@pytest.mark.parametrize("initial", [None, [3, 40]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_plain(dtype, initial, skip):
    x = np.random.default_rng(0).standard_normal((300, 12)).astype(dtype)
    order, radii = kcenter(x, 80, initial=initial, outlier_share=skip / 300)
    expected, expected_radii = plain(x, 80, initial, skip)
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_allclose(radii, expected_radii, rtol=1e-9)


def test_cosine_is_euclidean_on_unit_rows():
    x = np.random.default_rng(1).standard_normal((200, 6))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_array_equal(kcenter(x, 30, metric="cosine")[0], kcenter(unit, 30)[0])


def test_hand_worked_line():
    order, radii = kcenter(np.array([[0.0], [4.0], [5.0], [6.0], [10.0]]), 3)
    assert order.tolist() == [2, 0, 4]
    assert radii.tolist() == [5.0, 5.0, 1.0]


def test_at_most_twice_the_best_radius():
    x = np.random.default_rng(2).standard_normal((14, 2))
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    best = min(distances[:, list(s)].min(axis=1).max() for s in itertools.combinations(range(14), 4))
    assert kcenter(x, 4)[1][-1] <= 2 * best + 1e-12


def test_outliers_are_passed_over():
    x = np.random.default_rng(3).standard_normal((200, 2))
    x[:4] += 1000
    assert kcenter(x, 5)[0][1] < 4
    assert (kcenter(x, 5, outlier_share=0.02)[0] >= 4).all()


def test_all_rows_and_copies():
    x = np.repeat(np.arange(5.0), 3)[:, None]
    order, radii = kcenter(x, 15)
    assert sorted(order.tolist()) == list(range(15))
    assert radii[5:].max() == 0.0
    assert order[5:].tolist() == sorted(order[5:].tolist())


def test_shift_does_not_matter():
    x = np.random.default_rng(4).integers(0, 50, (150, 5)).astype(np.float64)
    np.testing.assert_array_equal(kcenter(x, 40)[0], kcenter(x + 1000.0, 40)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 5, "initial": [1]}, "k is 5"),
        ({"k": 1, "initial": [7]}, "initial"),
        ({"k": 1, "outlier_share": 1.0}, "outlier_share"),
        ({"k": 1, "metric": "dot"}, "legal: euclidean"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        kcenter(np.eye(5), **arguments)
