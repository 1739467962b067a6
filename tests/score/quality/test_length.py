from __future__ import annotations

import pytest

from whence.core.errors import NotCapable, UnknownName
from whence.core.pool import Pool
from whence.score.quality.length import Length


def test_words_and_characters(world) -> None:
    pool = Pool.from_rows([{"q": "one two", "a": "three"}, {"q": "", "a": "four  five"}], roles={"prompt": "q", "response": "a"})
    assert Length()(pool, world.observer, world.ctx).values.tolist() == [3, 2]
    assert Length(unit="characters")(pool, world.observer, world.ctx).values.tolist() == [14, 10]  # a blank line between
    assert Length(of="response")(pool, world.observer, world.ctx).values.tolist() == [1, 2]


def test_what_is_refused(world) -> None:
    with pytest.raises(UnknownName, match="words"):
        Length(unit="word")
    with pytest.raises(NotCapable, match="response"):
        Length(of="response")(world.pool, world.observer, world.ctx)
