from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.kernels.softmax_head import fit, log_prob_of
from whence.score.noise.self_influence import SelfInfluence, own_effect


def test_it_is_what_retraining_without_the_row_gives() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 5)), rng.integers(0, 3, 60)
    everything = np.arange(60)
    full = fit(X, y, 3, C=1.0, tol=1e-8)
    without = fit(X, y, 3, C=1.0, tol=1e-8, subsets=[np.delete(everything, i) for i in range(60)])
    truth = log_prob_of(full, X, y)[0] - np.array([log_prob_of(without.take(i), X[i:i + 1], y[i:i + 1])[0, 0] for i in range(60)])
    one_step = own_effect(X, y, full.W[0], full.b[0], 1.0, leave_one_out=True)
    first = own_effect(X, y, full.W[0], full.b[0], 1.0, leave_one_out=False)
    # one Newton step falls short of the retrained head by a part that grows with the effect; the order is kept
    assert (one_step < truth).all() and (one_step > 0.8 * truth).all()
    assert np.corrcoef(one_step, truth)[0, 1] > 0.995 and np.corrcoef(first, truth)[0, 1] > 0.98


def test_planted_flips_come_first(world) -> None:
    assert auroc(world.wrong, SelfInfluence()(world.pool, world.observer, world.ctx).values) > 0.97
