"""Random links: a draw per pair of ids, so that no order changes it, and nothing else does either."""

from __future__ import annotations

from typing import Any

import numpy as np

from whence.trace import RandomLinks


def test_no_order_changes_a_pair(world: Any) -> None:
    straight = world.trace(RandomLinks())
    np.testing.assert_array_equal(world.trace(RandomLinks(), world.permuted()), straight)
    links = RandomLinks()(world.pool, world.turned(), world.observer, world.ctx, top=None)
    np.testing.assert_array_equal(world.matrix(links), straight)


def test_it_is_standard_normal_and_follows_the_seed(world: Any) -> None:
    values = world.trace(RandomLinks())
    assert abs(values.mean()) < 0.1 and abs(values.std() - 1) < 0.1
    other = world.matrix(RandomLinks()(world.pool, world.queries, world.observer, world.ctx.with_seed(1), top=None))
    assert abs(np.corrcoef(values.ravel(), other.ravel())[0, 1]) < 0.15
