"""k-means: scikit-learn from the same start, brute-force assignment, planted clusters."""

import numpy as np
import pytest

from whence.kernels.kmeans import assign, kmeans, plus_plus, prototype_distances


def planted(seed=0, n=400):
    rng = np.random.default_rng(seed)
    centers = np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 8.0], [-8.0, 0.0, 0.0]])
    truth = rng.integers(4, size=n)
    return centers[truth] + 0.5 * rng.standard_normal((n, 3)), truth


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_assign_equals_brute_force(dtype):
    rng = np.random.default_rng(1)
    x, centers = (rng.standard_normal((700, 9)) + 100).astype(dtype), rng.standard_normal((40, 9)) + 100
    owner, squared = assign(x, centers)
    exact = ((x[:, None].astype(np.float64) - centers[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(owner, exact.argmin(axis=1))
    np.testing.assert_allclose(squared, exact.min(axis=1), rtol=1e-12)


def test_ties_go_to_the_lowest_centroid():
    owner, squared = assign(np.array([[0.0], [2.0]]), np.array([[1.0], [-1.0], [3.0], [1.0]]))
    assert owner.tolist() == [0, 0]
    assert squared.tolist() == [1.0, 1.0]


def test_same_as_scikit_learn_from_the_same_start():
    sklearn = pytest.importorskip("sklearn.cluster", reason="scikit-learn is not installed")
    x = np.random.default_rng(2).standard_normal((300, 5))
    start = plus_plus(x, 8, np.random.default_rng(5))
    centers, owner, squared = kmeans(x, 8, np.random.default_rng(5), max_iterations=300, tolerance=0.0)
    theirs = sklearn.KMeans(8, init=x[start], n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(x)
    np.testing.assert_array_equal(owner, theirs.labels_)
    np.testing.assert_allclose(centers, theirs.cluster_centers_, rtol=1e-9)
    assert squared.sum() == pytest.approx(theirs.inertia_)


def test_finds_planted_clusters_and_repeats():
    x, truth = planted()
    centers, owner, _ = kmeans(x, 4, np.random.default_rng(0))
    assert len({(a, b) for a, b in zip(owner, truth, strict=True)}) == 4
    again = kmeans(x, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(centers, again[0])


def test_weights_are_copies():
    x = np.random.default_rng(3).standard_normal((60, 2))
    counts = np.random.default_rng(4).integers(1, 4, 60)
    start = np.random.default_rng(9)
    centers, owner, _ = kmeans(x, 1, start, weights=counts)
    np.testing.assert_allclose(centers[0], np.repeat(x, counts, axis=0).mean(axis=0))
    assert (owner == 0).all()


def test_spherical_uses_directions_only():
    x, truth = planted(1)
    stretched = x * np.random.default_rng(0).uniform(0.1, 10, (len(x), 1))
    centers, owner, squared = kmeans(stretched, 4, np.random.default_rng(0), spherical=True)
    assert len({(a, b) for a, b in zip(owner, truth, strict=True)}) == 4
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1.0)
    unit = stretched / np.linalg.norm(stretched, axis=1, keepdims=True)
    np.testing.assert_allclose(squared, 2 - 2 * (unit @ centers.T).max(axis=1), atol=1e-9)


def test_more_centroids_than_different_rows():
    x = np.repeat(np.array([[0.0], [1.0]]), 5, axis=0)
    centers, _, squared = kmeans(x, 4, np.random.default_rng(0))
    assert np.isfinite(centers).all() and squared.max() == 0.0
    assert np.unique(plus_plus(x, 10, np.random.default_rng(0))).size == 10


def test_plus_plus_draws_by_squared_distance():
    x = np.array([[0.0], [1.0], [3.0]])
    seconds = [plus_plus(x, 2, np.random.default_rng(s)) for s in range(4000)]
    from_zero = [int(b) for a, b in seconds if a == 0]
    assert np.mean(np.array(from_zero) == 2) == pytest.approx(0.9, abs=0.03)


def test_prototype_distance_of_planted_outlier_is_highest():
    x, _ = planted(2)
    x[7] = [5.0, 5.0, 5.0]
    assert int(np.argmax(prototype_distances(x, 4, np.random.default_rng(0)))) == 7
    assert int(np.argmax(prototype_distances(x, 4, np.random.default_rng(0), spherical=False))) == 7


def test_refuses():
    with pytest.raises(ValueError, match="k is 4"):
        kmeans(np.eye(3), 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="weights"):
        kmeans(np.eye(3), 1, np.random.default_rng(0), weights=[0, 0, 0])
    with pytest.raises(ValueError, match="centers"):
        assign(np.eye(3), np.eye(2))
