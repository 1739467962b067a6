"""Representer terms add up to the logit less its intercept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.trace import Representer


@pytest.mark.parametrize("head_c", [0.3, 1.0, 10.0])
def test_terms_add_up_to_the_logit(make_world: Any, head_c: float) -> None:
    world = make_world(head_c=head_c)
    head = world.observer.head(world.pool)
    terms = world.trace(Representer())
    rows = np.arange(len(world.yq))
    logit = (head.logits(world.Xq.astype(np.float32)) - head.b)[rows, world.yq]
    np.testing.assert_allclose(terms.sum(axis=0), logit, rtol=2e-3, atol=2e-3)


def test_a_row_of_the_label_pulls_towards_itself_and_of_another_away(world: Any) -> None:
    terms, inner = world.trace(Representer()), world.X @ world.Xq.T
    same = world.y[:, None] == world.yq[None]
    assert (np.sign(terms) == np.where(same, 1, -1) * np.sign(inner)).all()
