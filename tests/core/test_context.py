"""The context: one stream per name, decided by the seed alone."""

from __future__ import annotations

import pytest

from whence.core.context import Context
from whence.core.errors import BadInput


def test_a_stream_depends_on_the_seed_and_its_name_alone() -> None:
    draw = Context(seed=3).rng("a").random(4).tolist()
    assert Context(seed=3, threads=1).rng("a").random(4).tolist() == draw
    assert Context(seed=3).rng("b").random(4).tolist() != draw
    assert Context(seed=4).rng("a").random(4).tolist() != draw
    assert Context(seed=4).with_seed(3).rng("a").random(4).tolist() == draw


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0"])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(BadInput, match="seed"):
        Context(seed=seed)  # type: ignore[arg-type]
