from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.difficulty.margin import Margin, area_under_margin


def test_by_hand() -> None:
    label, other = np.array([[[0.9, 0.1], [0.5, 0.3]]]), np.array([[[0.1, 0.6], [0.3, 0.7]]])
    np.testing.assert_allclose(area_under_margin(label, other), [0.5, -0.45])


def test_high_is_easy(world) -> None:
    values = Margin()(world.pool, world.observer, world.ctx).values
    assert values.min() >= -1 and values.max() <= 1
    assert auroc(~world.wrong, values) > 0.97
