from __future__ import annotations

import numpy as np

from whence.select.active.inlier_outlier import InlierOutlier, disagreement


def test_variation_ratio_by_hand() -> None:
    sure, a, b, out = [0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.1, 0.1, 0.8]
    p = np.array([[sure, a, out, b], [sure, a, out, b], [sure, b, out, a]])  # [3 members, 4 rows, 3 classes]
    ratio = disagreement(p, outlier=2)
    # row 1: means .5, .5 -> the first class wins, one of three votes against; row 3: .4, .6, one against
    np.testing.assert_allclose(np.floor(ratio * 3) / 3, [0, 1 / 3, 0, 1 / 3], atol=1e-9)
    assert ratio[2] == 0 and ratio[1] > ratio[3] > ratio[0] > 0, "entropy orders equal ratios"
    assert (disagreement(p, None)[[0, 1, 3]] < [1 / 3, 2 / 3, 2 / 3]).all()


def polluted(scene, blobs):
    """Two kinds of inliers, and outliers; 36 labels, a third of them 'outlier'."""
    X, _ = blobs(300, classes=3, spread=0.35)
    kinds = np.arange(300) % 3
    names = np.array(["a", "b", "outlier"])[kinds]
    return scene(X, [str(n) if i < 36 else None for i, n in enumerate(names)]), kinds


def test_outliers_are_not_bought(scene, blobs) -> None:
    at, kinds = polluted(scene, blobs)
    made = InlierOutlier()(at.pool, at.observer, at.ctx, budget=40)
    assert (kinds[at.rows(made.kept)] == 2).mean() < 0.15
    assert sum(r == "taken for 'outlier'" for r in made.dropped.values()) > 60


def test_without_an_outlier_class_nothing_is_passed_over(scene, blobs) -> None:
    at, kinds = polluted(scene, blobs)
    made = InlierOutlier(outlier="nothing")(at.pool, at.observer, at.ctx, budget=40)
    careful = InlierOutlier()(at.pool, at.observer, at.ctx, budget=40)
    assert (kinds[at.rows(made.kept)] == 2).sum() > (kinds[at.rows(careful.kept)] == 2).sum()
    assert not any(r.startswith("taken for") for r in made.dropped.values())


def test_seeds_draw_other_members(scene, blobs) -> None:
    at, _ = polluted(scene, blobs)
    one, two = (InlierOutlier()(at.pool, at.observer, at.ctx.with_seed(s), budget=20).kept for s in (0, 1))
    assert one != two
