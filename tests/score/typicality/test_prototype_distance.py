from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.core.pool import Pool
from whence.score.typicality.prototype_distance import PrototypeDistance


def test_one_cluster_is_the_distance_to_the_mean_direction(pool_of) -> None:
    X = np.eye(3, dtype=np.float32)
    pool, observer, ctx = pool_of(X, None, "prototype")
    found = PrototypeDistance(clusters=1)(pool, observer, ctx).values
    np.testing.assert_allclose(found, 1 - 1 / np.sqrt(3), rtol=1e-6)


def test_a_cluster_for_each_row_leaves_no_distance_and_a_reference_replaces_the_pool(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(3, dtype=np.float32), None, "prototype")
    np.testing.assert_allclose(PrototypeDistance(clusters=3)(pool, observer, ctx).values, 0, atol=1e-7)
    only = pool_of(np.eye(3, dtype=np.float32)[:1], None, "prototype")[0]
    np.testing.assert_allclose(PrototypeDistance(clusters=1)(pool, observer, ctx, reference=only).values, [0, 1, 1], atol=1e-7)


def test_a_stray_point_is_farthest(make_world) -> None:
    world = make_world(n=120, wrong=0.0)
    found = PrototypeDistance()(world.pool, world.observer, world.ctx)  # as many clusters as classes
    X = world.observer.embeddings(world.pool)
    true = world.pool.labels.codes
    centres = np.stack([X[true == c].mean(axis=0) for c in range(3)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    np.testing.assert_allclose(found.values, 1 - (X @ centres.T).max(axis=1), atol=2e-3)


def test_an_empty_pool_is_refused(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(3, dtype=np.float32), None, "prototype")
    with pytest.raises(BadInput, match="make prototypes"):
        PrototypeDistance()(Pool(pool.table.slice(0, 0), pool.roles), observer, ctx)
