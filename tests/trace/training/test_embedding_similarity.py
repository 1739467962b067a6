"""Cosines by hand, and their sign by label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.trace import EmbeddingSimilarity


def test_by_hand(make_world: Any) -> None:
    first, second = np.array([1.0, 0, 0, 0, 0, 0]), np.array([0.6, 0.8, 0, 0, 0, 0])
    world = make_world(n=6, extra=[(first, 0), (second, 1)])
    found = world.trace(EmbeddingSimilarity())
    np.testing.assert_allclose(found[-2], world.Xq[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found[-1], 0.6 * world.Xq[:, 0] + 0.8 * world.Xq[:, 1], rtol=1e-5)


def test_signed_is_negative_for_another_label(world: Any) -> None:
    plain, signed = world.trace(EmbeddingSimilarity()), world.trace(EmbeddingSimilarity(signed=True))
    same = world.y[:, None] == world.yq[None]
    np.testing.assert_allclose(signed, np.where(same, plain, -plain), rtol=1e-6)


def test_two_unknown_labels_are_not_the_same_label(world: Any) -> None:
    unlabelled = world.asked([None] * len(world.queries))
    assert len(EmbeddingSimilarity()(world.pool, unlabelled, world.observer, world.ctx))
    with pytest.raises(NotCapable, match="never shows"):
        EmbeddingSimilarity(signed=True)(world.pool, unlabelled, world.observer, world.ctx)
