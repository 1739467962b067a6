from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.noise.knn_agreement import KNNAgreement


def test_four_points_by_hand(pool_of) -> None:
    angles = np.deg2rad([0, 10, 25, 90])
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    pool, observer, ctx = pool_of(X, ["a", "b", "a", "a"], "knn")
    # nearest of each: 1, 0, 1, 2; two nearest: {1, 2}, {0, 2}, {1, 0}, {2, 1}
    assert KNNAgreement(k=1)(pool, observer, ctx).values.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert KNNAgreement(k=2)(pool, observer, ctx).values.tolist() == [0.5, 1.0, 0.5, 0.5]
    np.testing.assert_allclose(KNNAgreement(k=99)(pool, observer, ctx).values, [1 / 3, 1.0, 1 / 3, 1 / 3])


def test_planted_flips_come_first(world) -> None:
    assert auroc(world.wrong, KNNAgreement()(world.pool, world.observer, world.ctx).values) > 0.97
