from __future__ import annotations

import numpy as np
import pytest

from whence.kernels.ranking import auroc
from whence.score.difficulty.agreement import Agreement, agreement_bimodality, true_positive_agreement


def test_shares_by_hand() -> None:
    right = np.array([[[1, 0], [1, 1]], [[0, 0], [1, 1]]], dtype=bool)  # [2 networks, 2 epochs, 2 rows]
    assert true_positive_agreement(right).tolist() == [[0.5, 0.0], [1.0, 1.0]]


def test_networks_that_go_together_have_index_one() -> None:
    together = np.repeat((np.arange(10) % 3 == 0)[None, None, :], 4, axis=0)
    np.testing.assert_allclose(agreement_bimodality(together), [1.0])
    apart = np.random.default_rng(0).random((200, 1, 400)) < 0.5  # shares are close to normal: kurtosis 3
    assert abs(agreement_bimodality(apart)[0] - 3.0) < 0.7
    with pytest.raises(ValueError, match="epoch 1"):
        agreement_bimodality(np.ones((2, 1, 3), dtype=bool))


def test_high_is_easy(world) -> None:
    assert auroc(~world.wrong, Agreement()(world.pool, world.observer, world.ctx).values) > 0.97
