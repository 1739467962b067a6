from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.ranking import auroc
from whence.score.noise.map_d import KINDS, MapD, make_probes, nearest_kinds


def test_shares_by_hand() -> None:
    probes, kind = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.0, 5.1]]), np.array([0, 1, 2, 2])
    shares = nearest_kinds(np.array([[0.0, 0.01], [5.0, 5.0]]), probes, kind, 2)
    assert shares.tolist() == [[0.5, 0.5, 0, 0, 0], [0, 0, 1, 0, 0]]


def test_probes_are_what_their_kind_says() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 6)).astype(np.float32), rng.integers(0, 3, 300)
    believed = np.full((300, 3), 0.1)
    believed[np.arange(300), y] = np.linspace(0.4, 0.8, 300)
    free = np.ones(300, bool)
    free[:20] = False
    made = make_probes(X, y, 3, believed, 10, free, rng)
    assert np.bincount(made.kind + 1).tolist() == [250, 10, 10, 10, 10, 10]
    assert (made.kind[:20] == -1).all()
    same_x, same_y = (made.X == X).all(axis=1), made.y == y
    assert (same_x & same_y)[made.kind < 2].all()
    assert (same_x & ~same_y)[made.kind == 2].all()
    assert (~same_x & same_y)[made.kind == 3].all() and (made.X == X)[made.kind == 3].any()
    assert not (made.X == X)[made.kind == 4].any()
    assert set(np.flatnonzero(made.kind == 1)) == set(range(20, 30))  # the least believed of those that are free


def test_flips_come_first_and_are_called_by_their_name(make_world) -> None:
    world = make_world(n=600)
    scores = MapD()(world.pool, world.observer, world.ctx)
    assert auroc(world.wrong, scores.values) > 0.95
    kinds = MapD().kinds(world.pool, world.observer)
    named = np.array([kinds[i] == "mislabelled" for i in world.pool.ids])
    assert set(kinds.values()) <= set(KINDS)
    assert named[world.wrong].mean() > 0.8 and named[~world.wrong].mean() < 0.1


def test_a_small_pool_is_refused(make_world) -> None:
    world = make_world(n=60)
    with pytest.raises(NotCapable, match="200 or more"):
        MapD()(world.pool, world.observer, world.ctx)
