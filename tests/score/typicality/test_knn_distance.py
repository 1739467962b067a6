from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.score.typicality.knn_distance import KNNDistance


def test_against_brute_force(make_world) -> None:
    world = make_world(n=90)
    X = world.observer.embeddings(world.pool).astype(float)
    D = np.sort(np.linalg.norm(X[:, None] - X[None], axis=2), axis=1)  # column 0 is the row itself
    for k in (1, 7):
        np.testing.assert_allclose(KNNDistance(k=k)(world.pool, world.observer, world.ctx).values, D[:, k], atol=1e-5)


def test_a_reference_may_hold_the_example_itself(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(3, dtype=np.float32), None, "knn-distance")
    np.testing.assert_allclose(KNNDistance(k=1)(pool, observer, ctx).values, np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(KNNDistance(k=1)(pool, observer, ctx, reference=pool).values, 0, atol=1e-6)


def test_alone_there_is_no_distance(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(3, dtype=np.float32)[:1], None, "alone")
    with pytest.raises(BadInput, match="another example"):
        KNNDistance()(pool, observer, ctx)
