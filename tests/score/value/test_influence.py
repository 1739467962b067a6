from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool
from whence.kernels.softmax_head import fit, log_prob_of
from whence.score.value.influence import Influence


def test_it_is_what_retraining_without_the_row_gives(pool_of) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((70, 4)).astype(np.float32), rng.integers(0, 3, 70)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    pool, observer, ctx = pool_of(X, [f"c{c}" for c in y], "influence")
    pool, reference = (Pool(pool.table.take(rows), pool.roles, name=pool.name) for rows in np.split(np.arange(70), [50]))
    found = Influence(form="leave_one_out")(pool, observer, ctx, reference=reference).values
    full = fit(X[:50].astype(float), y[:50], 3, C=1.0, tol=1e-9)
    without = fit(X[:50].astype(float), y[:50], 3, C=1.0, tol=1e-9, subsets=[np.delete(np.arange(50), i) for i in range(50)])
    before = log_prob_of(full, X[50:].astype(float), y[50:]).mean()
    truth = before - log_prob_of(without, X[50:].astype(float), y[50:]).mean(axis=1)
    assert np.corrcoef(found, truth)[0, 1] > 0.995
    np.testing.assert_allclose(found, truth, atol=0.2 * np.abs(truth).max())


def test_a_wrong_label_hurts(world, make_world) -> None:
    clean = make_world(wrong=0.0)
    reference = Pool(clean.pool.table.take(np.arange(60)), clean.pool.roles, name="reference")
    found = Influence()(world.pool, world.observer, world.ctx, reference=reference).values
    assert found[world.wrong].mean() < 0 < found[~world.wrong].mean()


def test_what_is_refused(world) -> None:
    with pytest.raises(NotCapable, match="reference"):
        Influence()(world.pool, world.observer, world.ctx)
    other = Pool.from_rows([{"text": world.pool.texts[0], "label": "elsewhere"}], roles={"text": "text", "label": "label"})
    with pytest.raises(BadInput, match="no label of"):
        Influence()(world.pool, world.observer, world.ctx, reference=other)
