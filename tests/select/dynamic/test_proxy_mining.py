from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput, NotCapable
from whence.select.dynamic.proxy_mining import ProxyMining, alike, contrastive, unit


def test_two_pairs_by_hand() -> None:
    """Two classes at right angles, two equal rows each, heat 1: each row gives its partner e / (e + 2)."""
    Z = np.array([[1.0, 0], [2, 0], [0, 1], [0, 3]])
    loss, _ = contrastive(Z, np.array([0, 0, 1, 1]), 1.0)
    assert loss == pytest.approx(-np.log(np.e / (np.e + 2)))
    assert contrastive(Z, np.arange(4), 1.0)[0] == 0


def test_the_gradient_is_the_derivative() -> None:
    rng = np.random.default_rng(0)
    Z, y = rng.standard_normal((7, 3)), np.array([0, 0, 1, 1, 1, 2, 3])
    gradient = contrastive(Z, y, 0.5)[1]
    numeric = np.zeros_like(Z)
    for i, j in np.ndindex(*Z.shape):
        for sign in (1, -1):
            moved = Z.copy()
            moved[i, j] += sign * 1e-5
            numeric[i, j] += sign * contrastive(moved, y, 0.5)[0] / 2e-5
    np.testing.assert_allclose(gradient, numeric, atol=1e-8)


def test_batches_hold_classes_that_look_alike() -> None:
    """Six classes on a circle in three close pairs: every batch of two is a pair, and each class comes once."""
    angles = np.array([0.0, 120, 240, 5, 125, 245]) * np.pi / 180
    proxies = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for seed in range(5):
        groups = alike(proxies, 2, np.random.default_rng(seed))
        assert sorted(tuple(sorted(g.tolist())) for g in groups) == [(0, 3), (1, 4), (2, 5)]
    seven = unit(np.random.default_rng(0).standard_normal((7, 3)))
    assert [len(g) for g in alike(seven, 3, np.random.default_rng(0))] == [3, 3, 1]


@pytest.mark.parametrize("mined", [True, False])
def test_many_classes_are_learnt(scene, blobs, mined: bool) -> None:
    Xq, yq = blobs(64, classes=8, spread=0.15, seed=2)
    at = scene(*blobs(320, classes=8, spread=0.15), queries=Xq)
    made = ProxyMining(mined=mined, width=8)(at.pool, at.observer, at.ctx, budget=96, queries=at.queries)
    assert (made.log_probs.argmax(1) == [int(c[1]) for c in yq]).mean() > 0.9
    assert made.backward == 20 * 96


def test_what_has_nothing_to_mine_is_refused(scene, blobs) -> None:
    two = scene(*blobs(40, classes=2))
    with pytest.raises(NotCapable, match="three classes"):
        ProxyMining()(two.pool, two.observer, two.ctx, budget=20, queries=two.queries)
    many = scene(*blobs(40, classes=4))
    with pytest.raises(BadInput, match="8 or more"):
        ProxyMining()(many.pool, many.observer, many.ctx, budget=7, queries=many.queries)
