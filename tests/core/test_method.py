"""Parameters carry their legal set, and the error is written from it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from whence.core.card import Card, Paper
from whence.core.errors import BadInput, UnknownName
from whence.core.method import Method, from_params, legal_text, method, method_id, param, params_of, step_of


@method
class Inner:
    card: ClassVar[Card] = Card("inner")
    k: int = param(3, "how many", ge=1)


@method
class Outer:
    card: ClassVar[Card] = Card("outer", (Paper("A paper", "Someone", 2020, "1234.5678"),))
    share: float = param(0.5, "share of rows", gt=0, le=1)
    mode: str = param("fast", "how", choices=("fast", "slow"))
    flag: bool = param(False, "whether")
    most: int | None = param(None, "at most", ge=2)
    inner: Inner = param(Inner(), "what")


@pytest.mark.parametrize(("given", "words"), [
    ({"share": 0}, r"Outer.share is out of range. Given: 0. Legal: above 0 and 1 or less"),
    ({"share": 1.5}, "out of range"), ({"share": float("nan")}, "out of range"), ({"share": "x"}, "must be a number"),
    ({"share": True}, "must be a number"), ({"mode": "fats"}, "did you mean 'fast'"), ({"flag": 1}, "true or false"),
    ({"most": 1}, "2 or more"), ({"most": 2.5}, "whole number"), ({"share": None}, "is None"),
])  # fmt: skip
def test_illegal_parameters(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Outer(**given)


def test_shape() -> None:
    made = Outer(most=None, share=1)
    assert isinstance(made, Method) and made == Outer(share=1) and repr(made).startswith("Outer(share=1")
    with pytest.raises(AttributeError):
        made.share = 2  # type: ignore[misc]
    assert legal_text({"choices": ("a", 1)}) == "one of 'a', 1" and legal_text({"ge": 0, "lt": 1}) == "0 or more and below 1"


def test_parameters_and_steps() -> None:
    told = params_of(Outer())
    assert told["inner"]["params"] == {"k": 3} and told["share"] == 0.5
    assert step_of(Outer(), seed=1).key == step_of(Outer(), seed=1).key != step_of(Outer(share=0.4), seed=1).key
    assert method_id(Inner).endswith("test_method")
    assert from_params(Outer, {"share": 0.2}).share == 0.2
    with pytest.raises(UnknownName, match="did you mean 'share'"):
        from_params(Outer, {"shares": 0.2})


def test_paper_in_words() -> None:
    assert str(Outer.card.papers[0]) == "A paper (Someone, 2020, 1234.5678)" and str(Paper("Alone")) == "Alone"
