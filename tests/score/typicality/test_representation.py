from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.ranking import auroc
from whence.score.typicality.representation import METRICS, Representation, boundary_distance, ensemble_metrics, outlier_rank


def test_the_boundary_distance_is_where_the_classes_tie() -> None:
    rng = np.random.default_rng(0)
    X, W, b, y = rng.standard_normal((30, 4)), rng.standard_normal((3, 4)), rng.standard_normal(3), rng.integers(0, 3, 30)
    found = boundary_distance(X, y, W, b)
    for x, c, distance in zip(X, y, found, strict=True):
        z = W @ x + b
        rivals = [r for r in range(3) if r != c]
        steps = {r: (z[c] - z[r]) / np.linalg.norm(W[c] - W[r]) for r in rivals}
        nearest = min(steps, key=lambda r: steps[r])
        assert abs(distance - steps[nearest]) < 1e-9
        moved = x - distance * (W[c] - W[nearest]) / np.linalg.norm(W[c] - W[nearest])
        z = W @ moved + b
        assert abs(z[c] - z[nearest]) < 1e-9  # a tie at exactly this distance
    assert np.array_equal(found > 0, (X @ W.T + b).argmax(axis=1) == y)


def test_ensemble_metrics_by_hand() -> None:
    probs = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])  # two heads, one row; the first saw it
    found = ensemble_metrics(probs, np.array([[True], [False]]))
    assert found["confidence"][0] == pytest.approx(0.7)
    assert found["retrained"][0] == pytest.approx(0.4 * np.log(9 / 5) - 0.4 * np.log(1 / 5))
    mean = np.array([0.7, 0.3])
    shannon = np.mean([np.sum(p * np.log(p / mean)) for p in probs[:, 0]])
    assert found["agreement"][0] == pytest.approx(shannon)


def test_ranks_turn_distance_and_confidence_round() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert outlier_rank("retrained", values).tolist() == [1.0, 0.0, 0.5]
    assert outlier_rank("confidence", values).tolist() == [0.0, 1.0, 0.5]


def test_the_metrics_agree_as_in_the_paper(make_world) -> None:
    world = make_world(n=240, spread=0.4)
    found = {m: Representation(metric=m)(world.pool, world.observer, world.ctx).values for m in METRICS}
    table = np.corrcoef(list(found.values()))
    assert table.min() > 0.2
    combined = Representation()(world.pool, world.observer, world.ctx).values
    np.testing.assert_allclose(combined, np.mean(list(found.values()), axis=0))
    assert auroc(world.wrong, found["adversarial"]) > 0.9


def test_privacy_is_refused(world) -> None:
    with pytest.raises(NotCapable, match="differentially private"):
        Representation(metric="private")(world.pool, world.observer, world.ctx)
