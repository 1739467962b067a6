from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.select.targeted.density_ratio import DensityRatio, importance, kliep, squared_distances


def test_squared_distances_by_hand() -> None:
    found = squared_distances(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0], [0, 4]]))
    np.testing.assert_allclose(found, [[0, 16], [25, 9]])


def test_one_kernel_has_one_answer() -> None:
    """A single alpha is fixed by the constraint: mean * alpha = 1."""
    np.testing.assert_allclose(kliep(np.array([[0.5], [0.2]]), np.array([0.25])), [4.0])


def test_two_kernels_as_a_solver_finds_them() -> None:
    rng = np.random.default_rng(0)
    target, mean = rng.random((30, 2)), np.array([0.4, 0.7])
    alpha = kliep(target, mean)
    assert (alpha >= 0).all() and mean @ alpha == pytest.approx(1)
    # the feasible set is a segment: try it end to end
    first = np.linspace(0, 1 / mean[0], 20_001)
    grid = np.stack([first, (1 - mean[0] * first) / mean[1]])
    best = np.log(np.maximum(target @ grid, 1e-300)).mean(axis=0).max()
    assert np.log(target @ alpha).mean() == pytest.approx(best, abs=1e-4)


def test_the_ratio_of_two_gaussians() -> None:
    """Pool N(0, 1), target N(1, 0.5^2): the true ratio has its peak at 4/3 and falls to both sides."""
    rng = np.random.default_rng(0)
    pool, target = rng.standard_normal((1500, 1)), 1 + 0.5 * rng.standard_normal((400, 1))
    ratio, _ = importance(pool, target, target[:100])
    assert ratio.mean() == pytest.approx(1)
    x = pool[:, 0]
    truth = 2 * np.exp(-((x - 1) ** 2) / 0.5 + x**2 / 2)
    inside = np.abs(x) < 2
    assert np.corrcoef(ratio[inside], truth[inside])[0, 1] > 0.95


def test_it_takes_what_the_target_is_made_of(scene, blobs) -> None:
    X, _ = blobs(150, spread=0.2)
    at = scene(X, reference=blobs(60, spread=0.2, seed=4)[0][2::3])
    made = DensityRatio()(at.pool, at.observer, at.ctx, budget=40, reference=at.reference)
    assert all(i % 3 == 2 for i in at.rows(made.kept))
    assert DensityRatio()(at.permuted().pool, at.observer, at.ctx, budget=10, reference=at.reference).kept == made.kept[:10]
    assert all(reason.startswith("density ratio ") for reason in made.dropped.values())


def test_a_target_of_one_is_refused(scene, blobs) -> None:
    at = scene(blobs(30)[0])
    for reference in (None, at.reference):
        with pytest.raises(NotCapable):
            DensityRatio()(at.pool, at.observer, at.ctx, budget=3, reference=reference)
