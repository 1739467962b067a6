"""Selections: everything is kept or dropped with a reason, and can be brought back."""

from __future__ import annotations

import pytest

from whence.core.decision import Selection
from whence.core.errors import BadInput
from whence.core.evidence import Scores
from whence.core.pool import Pool
from whence.core.step import Step

STEP = Step("select/test")
POOL = Pool.from_rows([{"text": t} for t in "abcd"], roles={"text": "text"})
A, B, C, D = POOL.ids


def test_of_and_without() -> None:
    made = Selection.of(POOL, [2, 0], step=STEP, reason=lambda i: f"{i[:4]} is too far")
    assert made.kept == (C, A) and dict(made.dropped) == {B: f"{B[:4]} is too far", D: f"{D[:4]} is too far"}
    made = Selection.without(POOL, {B: "a duplicate"}, step=STEP)
    assert made.kept == (A, C, D) and POOL.take(made).texts == ("a", "c", "d")
    with pytest.raises(BadInput):
        Selection.without(POOL, {"other": "?"}, step=STEP)
    with pytest.raises(BadInput, match="twice"):
        Selection((A,), {A: "both"}, STEP)


def test_cut_and_cut_again() -> None:
    scores = Scores.of(
        "noise", POOL, [0.9, 0.1, 0.5, 0.0], high="wrong label", unit="probability", step=STEP, missing={D: "no label"}
    )
    made = Selection.cut(POOL, scores, at_most=0.6)
    assert made.kept == (B, C, D), "an example without a score is kept"
    assert dict(made.dropped) == {A: "noise 0.9 is above 0.6 (high = wrong label)"}
    assert made.rethreshold(POOL, at_most=0.2).kept == (B, D)
    assert dict(made.rethreshold(POOL, at_least=0.3).dropped) == {B: "noise 0.1 is below 0.3 (high = wrong label)"}
    with pytest.raises(BadInput, match="not cut from scores"):
        Selection.without(POOL, {}, step=STEP).rethreshold(POOL, at_most=1)


def test_restore() -> None:
    made = Selection.without(POOL, {B: "x", C: "y"}, step=STEP).restore([C, C])
    assert made.kept == (A, D, C) and dict(made.dropped) == {B: "x"} and made.step.method == "restore"
    with pytest.raises(BadInput, match="was not dropped"):
        made.restore([A])
    assert made.to_dict()["kept"] == [A, D, C]
