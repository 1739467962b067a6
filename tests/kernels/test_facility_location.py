"""Facility location against plain float64 greedy, apricot-select and hand-worked cases."""

import itertools

import numpy as np
import pytest

from whence.kernels.facility_location import (
    METRICS,
    assign_to_medoids,
    facility_location,
    facility_location_by_class,
    facility_location_precomputed,
    proportional_budgets,
)


def similarities(x, metric):
    x = np.asarray(x, dtype=np.float64)
    if metric == "euclidean":
        squared = ((x[:, None, :] - x[None, :, :]) ** 2).sum(-1)
        return squared.max() - squared
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    cosine = unit @ unit.T
    return 1 + cosine if metric == "cosine" else cosine**2


def plain_greedy(similarity, k, weights=None):
    w = np.ones(len(similarity)) if weights is None else weights
    best, order, gains = np.zeros(len(similarity)), [], []
    for _ in range(k):
        gain = w @ np.maximum(similarity - best[:, None], 0)
        gain[order] = -1
        tied = np.flatnonzero(gain >= gain.max() - 1e-9 * max(1.0, abs(gain.max())))
        order.append(int(tied[0]))
        gains.append(gain[tied[0]])
        best = np.maximum(best, similarity[:, tied[0]])
    return np.array(order), np.array(gains)


def clustered(rng, n, d):
    centers = rng.standard_normal((7, d)) * 2
    return centers[rng.integers(7, size=n)] + rng.standard_normal((n, d)) * rng.gamma(2.0, 0.4, (n, 1))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_greedy(metric, dtype, seed):
    rng = np.random.default_rng(seed)
    x = (clustered(rng, 700, 24) if seed else rng.standard_normal((300, 8))).astype(dtype)
    weights = rng.random(len(x)) if seed == 2 else None
    order, gains = facility_location(x, 60, metric=metric, weights=weights)
    expected, expected_gains = plain_greedy(similarities(x, metric), 60, weights)
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_allclose(gains, expected_gains, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_first_gain_alone(metric):
    x = np.random.default_rng(5).standard_normal((50, 4))
    _, one = facility_location(x, 1, metric=metric)
    _, two = facility_location(x, 2, metric=metric)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-12)


def test_hand_worked():
    similarity = np.array([[4.0, 1.0, 0.0], [3.0, 3.0, 0.0], [0.0, 1.0, 2.0]])
    order, gains = facility_location_precomputed(similarity, 3)
    assert order.tolist() == [0, 2, 1]  # 7, then 2 against 1, then nothing left to gain
    assert gains.tolist() == [7.0, 2.0, 0.0]


def test_more_targets_than_candidates_and_weights():
    rng = np.random.default_rng(0)
    similarity, weights = rng.random((40, 12)), rng.random(40)
    order, gains = facility_location_precomputed(similarity, 6, weights=weights)
    best, total = np.zeros(40), 0.0
    for j, gain in zip(order, gains, strict=True):
        every = weights @ np.maximum(similarity - best[:, None], 0)
        assert gain == pytest.approx(every.max())
        best = np.maximum(best, similarity[:, j])
        total += gain
    assert total == pytest.approx(weights @ similarity[:, order].max(axis=1))


def test_greedy_reaches_its_guarantee():
    x = np.random.default_rng(3).standard_normal((12, 3))
    similarity = similarities(x, "euclidean")
    best = max(similarity[:, list(s)].max(axis=1).sum() for s in itertools.combinations(range(12), 3))
    _, gains = facility_location(x, 3, metric="euclidean")
    assert gains.sum() >= (1 - 1 / np.e) * best


@pytest.mark.parametrize("metric", METRICS)
def test_copies_go_by_row_number(metric):
    x = np.random.default_rng(1).standard_normal((90, 16)).astype(np.float32)
    doubled = np.concatenate([x, x])
    order, gains = facility_location(doubled, 100, metric=metric)
    assert (order[:90] < 90).all()
    assert gains[90:].max() == 0.0
    assert order[90:].tolist() == list(range(90, 100))


def test_outlier_does_not_disturb():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 6))
    x[17] *= 1e4
    order, _ = facility_location(x.astype(np.float32), 20, metric="euclidean")
    expected, _ = plain_greedy(similarities(x.astype(np.float32), "euclidean"), 20)
    np.testing.assert_array_equal(order, expected)


def test_row_of_zeros_has_no_direction():
    x = np.zeros((5, 3))
    x[1:] = np.random.default_rng(0).standard_normal((4, 3))
    order, _ = facility_location(x, 5)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]


def test_stochastic_is_seeded_and_close():
    x = clustered(np.random.default_rng(0), 600, 12)
    _, exact = facility_location(x, 40)
    first = facility_location(x, 40, sample_error=0.1, rng=np.random.default_rng(7))
    again = facility_location(x, 40, sample_error=0.1, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(first[0], again[0])
    assert np.unique(first[0]).size == 40
    assert 0.95 * exact.sum() <= first[1].sum() <= exact.sum()
    value = similarities(x, "cosine")[:, first[0]].max(axis=1).sum()
    assert first[1].sum() == pytest.approx(value)


def test_by_class_and_budgets():
    rng = np.random.default_rng(4)
    x, classes = rng.standard_normal((200, 5)), rng.integers(3, size=200)
    budgets = proportional_budgets(classes, 20)
    assert budgets.sum() == 20
    order, gains = facility_location_by_class(x, classes, budgets, metric="euclidean")
    at = 0
    for c, budget in enumerate(budgets):
        rows = np.flatnonzero(classes == c)
        inside, gain = facility_location(x[rows], int(budget), metric="euclidean")
        np.testing.assert_array_equal(order[at : at + budget], rows[inside])
        np.testing.assert_array_equal(gains[at : at + budget], gain)
        at += budget


def test_budgets_by_hand():
    assert proportional_budgets(np.repeat([0, 1, 2], [90, 9, 1]), 10).tolist() == [8, 1, 1]
    assert proportional_budgets(np.repeat([0, 2], [5, 5]), 3).tolist() == [2, 0, 1]
    assert proportional_budgets(np.repeat([0, 1, 2], [1, 1, 8]), 10).tolist() == [1, 1, 8]


def test_medoid_weights():
    x = np.array([[0.0], [1.0], [10.0], [11.0], [12.0]])
    owner, sizes = assign_to_medoids(x, np.array([3, 0]), metric="euclidean", weights=[1, 1, 1, 1, 2])
    assert owner.tolist() == [1, 1, 0, 0, 0]
    assert sizes.tolist() == [4.0, 2.0]


@pytest.mark.parametrize("metric", ["euclidean", "squared_cosine"])
def test_same_subset_as_apricot(metric):
    apricot = pytest.importorskip("apricot", reason="apricot-select is not installed")
    x = clustered(np.random.default_rng(11), 500, 32).astype(np.float32)
    order, gains = facility_location(x, 40, metric=metric)
    name = "cosine" if metric == "squared_cosine" else metric  # what apricot calls cosine is the square
    theirs = apricot.FacilityLocationSelection(40, metric=name).fit(x.astype(np.float64))
    np.testing.assert_allclose(gains, theirs.gains, rtol=1e-9)
    # Where a row's similarity to itself is the same for all, lone pairs tie on paper; apricot lets rounding decide.
    similarity = similarities(x, metric)
    for t in np.flatnonzero(order != theirs.ranking):
        best = similarity[:, theirs.ranking[:t]].max(axis=1)
        mine, its = (np.maximum(similarity[:, o[t]] - best, 0).sum() for o in (order, theirs.ranking))
        assert mine == pytest.approx(its, rel=1e-9)
    assert metric != "euclidean" or (order == theirs.ranking).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 11}, "k is 11"),
        ({"metric": "manhattan"}, "legal: cosine"),
        ({"weights": [1.0]}, "weights"),
        ({"sample_error": 0.1}, "given together"),
        ({"memory_limit": 10}, "memory_limit"),
    ],
)
def test_refuses(arguments, message):
    x = np.eye(10)
    with pytest.raises(ValueError, match=message):
        facility_location(x, **{"k": 3, **arguments})
    with pytest.raises(ValueError, match="finite"):
        facility_location(np.full((3, 2), np.nan), 1)
    with pytest.raises(ValueError, match=">= 0"):
        facility_location_precomputed(-np.ones((3, 3)), 1)


@pytest.mark.parametrize("metric", METRICS)
def test_row_order_and_threads_do_not_matter(metric):
    threads = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    x = clustered(np.random.default_rng(8), 900, 40).astype(np.float32)
    shuffle = np.random.default_rng(9).permutation(len(x))
    order, gains = facility_location(x, 50, metric=metric)
    moved, moved_gains = facility_location(x[shuffle], 50, metric=metric)
    np.testing.assert_allclose(moved_gains, gains, rtol=1e-9)
    if metric == "euclidean":  # elsewhere lone pairs tie on paper, and ties go by row number
        np.testing.assert_array_equal(shuffle[moved], order)
    for count in (1, 2):
        with threads.threadpool_limits(count):
            again = facility_location(x, 50, metric=metric)
        np.testing.assert_array_equal(again[0], order)
        np.testing.assert_array_equal(again[1], gains)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_but_copies(metric):
    x = np.tile(np.random.default_rng(0).standard_normal((1, 7)).astype(np.float32), (400, 1))
    order, gains = facility_location(x, 30, metric=metric)
    assert order.tolist() == list(range(30))
    np.testing.assert_allclose(gains[1:], 0.0, atol=1e-9)
