"""Scores, links and findings: finite, named, and never silently wrong."""

from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.core.evidence import Finding, Links, Scores
from whence.core.pool import Pool
from whence.core.step import Step

STEP = Step("score/test")
POOL = Pool.from_rows([{"text": t} for t in "abcd"], roles={"text": "text"})
A, B, C, D = POOL.ids


def scores(values: object = (3.0, 1.0, 2.0, 2.0), **given: object) -> Scores:
    return Scores.of("test", POOL, values, high="odd", unit="nats", step=STEP, **given)  # type: ignore[arg-type]


def test_scores() -> None:
    made = scores()
    assert made[A] == 3.0 and B in made and len(made) == 4 and made.values.dtype == np.float64
    assert made.top(3) == [A, C, D] and made.top(2, highest=False) == [B, C], "ties go to the earlier example"
    values, known = made.aligned([D, "other", B])
    assert values.tolist() == [2.0, 0.0, 1.0] and known.tolist() == [True, False, True]


def test_missing_is_told_and_left_out() -> None:
    made = scores((3.0, np.nan, 2.0, 1.0), missing={B: "no words"})
    assert B not in made and made.missing == {B: "no words"} and made.top(9) == [A, C, D]
    with pytest.raises(KeyError):
        made[B]
    table = made.to_arrow().to_pylist()
    assert table[-1] == {"whence_id": B, "value": None, "missing": "no words"} and table[0]["value"] == 3.0


@pytest.mark.parametrize("make", [
    lambda: scores((1.0, np.nan, 2.0, 3.0)), lambda: scores((1.0, np.inf, 2.0, 3.0)),
    lambda: Scores("x", (A,), np.zeros(2), "h", "u", STEP), lambda: Scores("x", (A, A), np.zeros(2), "h", "u", STEP),
    lambda: Scores("x", (A,), np.zeros(1), "h", "u", STEP, {A: "also missing"}),
])  # fmt: skip
def test_scores_refuse(make: object) -> None:
    with pytest.raises(BadInput):
        make()  # type: ignore[operator]


def links(weight: tuple[float, ...] = (0.5, -0.9, 0.5), **given: object) -> Links:
    return Links.between(
        POOL, POOL, [0, 0, 1], [1, 2, 3], weight, kind="near", route="text", high="alike", unit="Jaccard", step=STEP, **given
    )  # type: ignore[arg-type]


def test_links() -> None:
    made = links(notes=("x", "y", "z"))
    assert made.of_head(A) == [(C, -0.9), (B, 0.5)], "strongest by absolute weight first"
    assert made.of_head(A, 1) == [(C, -0.9)] and made.of_tail(D) == [(B, 0.5)] and made.of_head("other") == []
    kept = made.where(made.weight > 0)
    assert len(kept) == 2 and kept.notes == ("x", "z") and "near by text" in repr(kept)
    assert made.to_arrow().to_pylist()[1] == {
        "head": A,
        "tail": C,
        "weight": -0.9,
        "kind": "near",
        "route": "text",
        "unit": "Jaccard",
        "method": "score/test",
        "note": "y",
    }
    assert len(made.where(np.zeros(3, bool))) == 0


def test_links_refuse() -> None:
    for make in (lambda: links((1.0, np.nan, 1.0)), lambda: links((1.0, 1.0)), lambda: links(notes=("only one",))):
        with pytest.raises(BadInput):
            make()


def test_finding() -> None:
    made = Finding("leaks", 0.25, (0.1, 0.4), "share of test rows", "some test rows were trained on", STEP, (A,))
    assert made.to_dict()["evidence"] == [A] and made.to_dict()["step"]["method"] == "score/test"
