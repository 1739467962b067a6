from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.select.targeted.nearest import Nearest


def test_by_brute_force(scene, blobs) -> None:
    X, T = blobs(80)[0], blobs(9, seed=2)[0]
    at = scene(X, reference=T)
    made = Nearest()(at.pool, at.observer, at.ctx, budget=20, reference=at.reference)
    best = (X.astype(float) @ T.T.astype(float)).max(axis=1)
    assert at.rows(made.kept) == np.argsort(-best)[:20].tolist()
    last = int(best.argmin())
    assert made.dropped[at.pool.ids[last]] == f"similarity {best[last]:.4g} to the target is lower than that of the kept"


def test_without_a_target_it_is_refused(scene, blobs) -> None:
    at = scene(blobs(10)[0])
    with pytest.raises(NotCapable):
        Nearest()(at.pool, at.observer, at.ctx, budget=2)
