from __future__ import annotations

import numpy as np

from whence.score.typicality.class_centroid import ClassCentroid, centroid_distance


def test_by_hand_without_the_row_itself() -> None:
    X = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [6.0, 8.0]])
    values, alone = centroid_distance(X, np.array([0, 0, 1, 0]), 2)
    # row 0 against (4.5, 6), row 1 against (3, 4), row 3 against (1.5, 2)
    np.testing.assert_allclose(values, [7.5, 0.0, 0.0, 7.5])
    assert alone.tolist() == [False, False, True, False]


def test_the_only_one_of_its_class_is_missing(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(3, dtype=np.float32), ["a", "a", "b"], "centroid")
    scores = ClassCentroid()(pool, observer, ctx)
    np.testing.assert_allclose(scores.values, [np.sqrt(2), np.sqrt(2)], rtol=1e-6)
    assert scores.missing == {pool.ids[2]: "the only example of its class"}
