"""Influence against really retraining without each row, and against signs that are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.kernels.softmax_head import fit, log_prob_of
from whence.trace import Influence


def without_each(world: Any, rows: Any, C: float) -> np.ndarray[Any, Any]:
    """Log-probability of each question with all rows less that without row i, [rows, m], by brute force."""
    everything = np.arange(len(world.X))
    full = fit(world.X, world.y, 3, C=C, tol=1e-11)
    less = fit(world.X, world.y, 3, C=C, tol=1e-11, subsets=[np.delete(everything, i) for i in rows])
    return log_prob_of(full, world.Xq, world.yq) - log_prob_of(less, world.Xq, world.yq)


def off(found: Any, truth: Any) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def test_leave_one_out_form_is_what_retraining_gives_where_one_row_counts_for_little(make_world: Any) -> None:
    world = make_world(n=3000, m=5, head_c=0.01)
    rows = np.arange(0, 3000, 60)
    truth = without_each(world, rows, 0.01)
    assert off(world.trace(Influence("leave_one_out"))[rows], truth) < 1e-3


def test_what_is_left_out_is_of_second_order(make_world: Any) -> None:
    """One Newton step and a linear output: the error falls with the share that one row has in the fit."""
    small, large = make_world(n=60, m=5), make_world(n=960, m=5)
    errors = []
    for world in (small, large):
        rows = np.arange(0, len(world.X), len(world.X) // 60)
        truth = without_each(world, rows, 1.0)
        first, corrected = off(world.trace(Influence())[rows], truth), off(world.trace(Influence("leave_one_out"))[rows], truth)
        assert corrected < first
        errors.append(corrected)
    assert errors[0] < 0.1 and errors[1] < 0.5 * errors[0]


def test_a_planted_copy_of_the_question_with_another_label_hurts_most(make_world: Any) -> None:
    plain = make_world()
    world = make_world(extra=[(plain.Xq[0], int(plain.yq[0] + 1) % 3), (plain.Xq[0], int(plain.yq[0]))])
    effects = world.trace(Influence())[:, 0]
    assert effects.argmin() == len(effects) - 2 and effects[-2] < 0
    # the right copy helps, if less: the head already half believes it
    assert effects[-1] > 0 and effects[-1] > np.quantile(effects, 0.9)


@pytest.mark.parametrize("form", ["first_order", "leave_one_out"])
def test_order_of_the_pool_does_not_matter(world: Any, form: str) -> None:
    np.testing.assert_allclose(world.trace(Influence(form), world.permuted()), world.trace(Influence(form)), atol=1e-6)
