from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.select.budget import checked


def test_a_budget_is_a_count_up_to_the_pool(scene) -> None:
    pool = scene(np.eye(3, dtype=np.float32)).pool
    assert [checked(k, pool) for k in (0, 1, 3)] == [0, 1, 3]


@pytest.mark.parametrize("budget", [-1, 4, 1.0, 0.5, True, None, "2"])
def test_anything_else_is_refused_with_what_is_legal(scene, budget: object) -> None:
    with pytest.raises(BadInput, match="from 0 to 3"):
        checked(budget, scene(np.eye(3, dtype=np.float32)).pool)
