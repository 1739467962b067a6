from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from whence.core.card import Card
from whence.core.catalogue import build
from whence.core.errors import NotCapable
from whence.core.evidence import Scores
from whence.core.pool import Pool
from whence.core.step import Step
from whence.select.ranked.top_scores import TopScores, ranking


@dataclass(frozen=True)
class Given:
    """A scorer that says these values; None is an example it declines."""

    values: tuple[float | None, ...]
    card: ClassVar[Card] = Card(line="Values from outside.", status="baseline")

    def __call__(self, pool: Any, observer: Any, ctx: Any, *, reference: Any = None) -> Scores:
        by_id = {this: self.values[int(text.split()[-1])] for this, text in zip(pool.ids, pool.texts, strict=True)}
        said = {this: v for this, v in by_id.items() if v is not None}
        missing = {this: "too short" for this, v in by_id.items() if v is None}
        return Scores("given", tuple(said), np.array(list(said.values())), "more", "points", Step("given", {}), missing=missing)


VALUES = np.array([5.0, 1, 4, 2, 3])
ALL = np.ones(5, bool)


@pytest.mark.parametrize(
    ("want", "skip", "rows"),
    [
        ("high", 0.0, [0, 2, 4, 3, 1]),
        ("low", 0.0, [1, 3, 4, 2, 0]),
        ("middle", 0.0, [4, 2, 3, 0, 1]),
        ("high", 0.2, [2, 4, 3, 1, 0]),
        ("high", 0.4, [4, 3, 1, 0, 2]),
        ("low", 0.2, [3, 4, 2, 0, 1]),
    ],
)
def test_rankings_by_hand(want: str, skip: float, rows: list[int]) -> None:
    assert ranking(VALUES, ALL, want, skip).tolist() == rows


def test_what_has_no_value_comes_last_and_is_no_zero() -> None:
    known = np.array([True, False, True, True, True])
    assert ranking(VALUES, known, "high", 0.0).tolist() == [0, 2, 4, 3, 1]
    assert ranking(VALUES, known, "low", 0.25).tolist() == [4, 2, 0, 3, 1]
    assert ranking(VALUES, np.zeros(5, bool), "middle", 0.1).tolist() == [0, 1, 2, 3, 4]


def test_reasons_name_the_score_or_why_there_is_none(scene) -> None:
    at = scene(np.eye(4, dtype=np.float32))
    made = TopScores(scorer=Given((0.5, None, 2.0, 1.0)))(at.pool, at.observer, at.ctx, budget=2)
    assert at.rows(made.kept) == [2, 3]
    assert made.dropped[at.pool.ids[0]] == "given 0.5 is lower than that of the kept"
    assert made.dropped[at.pool.ids[1]] == "not scored: too short"
    assert TopScores(scorer=Given((0.5, None, 2.0, 1.0)), want="low")(at.pool, at.observer, at.ctx, budget=4).kept == tuple(
        at.pool.ids[i] for i in (0, 3, 2, 1))


def test_the_longest_are_the_longest(scene) -> None:
    at = scene(np.eye(2, dtype=np.float32))
    pool = Pool.from_rows([{"text": "word " * n} for n in (3, 9, 1, 7)], roles={"text": "text"})
    made = build("longest", verb="select")(pool, at.observer, at.ctx, budget=3)
    assert pool.positions(made.kept).tolist() == [1, 3, 0]


@pytest.mark.parametrize("name", ["el2n-hard", "el2n-trimmed", "grand-hard", "forgetting-hard", "prototypes-easy",
                                  "prototypes-hard", "influence-targeted"])
def test_presets_are_the_ranking_of_their_score(scene, blobs, name: str) -> None:
    X, y = blobs(90)
    Xr, yr = blobs(12, seed=3)
    at = scene(X, y, reference=Xr, reference_labels=yr)
    selector = build(name, verb="select")
    made = selector(at.pool, at.observer, at.ctx, budget=90, reference=at.reference)
    scores = build(selector.scorer, verb="score")(at.pool, at.observer, at.ctx, reference=at.reference)
    values, known = scores.aligned(at.pool.ids)
    found = values[at.rows(made.kept)]
    assert known.all()
    cut = round(selector.skip * 90)
    inside, outside = found[: 90 - cut], found[90 - cut :]
    falling = np.diff(inside) <= 0 if selector.want == "high" else np.diff(inside) >= 0
    assert falling.all() and (cut == 0 or outside.min() >= inside.max())


def test_a_score_that_needs_a_target_is_refused_without(scene, blobs) -> None:
    at = scene(*blobs(30))
    with pytest.raises(NotCapable):
        build("influence-targeted", verb="select")(at.pool, at.observer, at.ctx, budget=3)
