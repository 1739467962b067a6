from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.select.targeted.gio import GIO


def test_it_takes_from_where_the_target_lies(scene, blobs) -> None:
    X, y = blobs(150, spread=0.15)
    target = blobs(60, spread=0.15, seed=4)[0][1::3]  # of the second kind alone
    at = scene(X, y, reference=target)
    kept = at.rows(GIO(clusters=20)(at.pool, at.observer, at.ctx, budget=30, reference=at.reference).kept)
    assert np.mean([i % 3 == 1 for i in kept]) > 0.9


def test_a_larger_budget_adds_to_the_choice(scene, blobs) -> None:
    at = scene(blobs(60)[0], reference=blobs(24, seed=4)[0])
    whole = GIO(clusters=8)(at.pool, at.observer, at.ctx, budget=60, reference=at.reference).kept
    assert len(set(whole)) == 60
    for k in (1, 10, 30):
        assert GIO(clusters=8)(at.pool, at.observer, at.ctx, budget=k, reference=at.reference).kept == whole[:k]
    assert GIO(clusters=8)(at.permuted().pool, at.observer, at.ctx, budget=30, reference=at.reference).kept == whole[:30]


def test_too_small_a_target_is_refused(scene, blobs) -> None:
    at = scene(blobs(30)[0], reference=blobs(5)[0])
    for reference in (None, at.reference):
        with pytest.raises(NotCapable, match="more than 5"):
            GIO()(at.pool, at.observer, at.ctx, budget=3, reference=reference)
    assert len(GIO(neighbors=2, clusters=5)(at.pool, at.observer, at.ctx, budget=3, reference=at.reference).kept) == 3
