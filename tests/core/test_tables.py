import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.core.evidence import Links, Scores
from whence.core.pool import Pool
from whence.core.step import Step
from whence.core.tables import links_of, scores_of, scores_table


def pool(n: int) -> Pool:
    return Pool.from_rows([{"text": f"row {i}"} for i in range(n)], roles={"text": "text"})


def test_scores_come_back_with_values_meaning_and_reasons() -> None:
    p = pool(4)
    step = Step("score/x", {"a": 1}, 3, ("f",))
    one = Scores.of("one", p, [0.25, -1.0, 1e-300, 7.0], high="harder", unit="nats", step=step)
    two = Scores.of(
        "two",
        p,
        [1.0, 0.0, 2.0, 0.0],
        high="odder",
        unit="distance",
        step=step,
        missing={p.ids[1]: "too short", p.ids[3]: "no text"},
    )
    back = scores_of(scores_table(p.ids, [one, two]))
    assert list(back) == ["one", "two"]
    np.testing.assert_array_equal(back["one"].values, one.values)
    assert back["two"].ids == (p.ids[0], p.ids[2]) and dict(back["two"].missing) == dict(two.missing)
    assert (back["two"].high, back["two"].unit, back["two"].step) == ("odder", "distance", step)


def test_an_example_that_a_score_never_saw_is_missing_with_words() -> None:
    p = pool(3)
    part = Scores("part", p.ids[:2], np.array([1.0, 2.0]), "x", "y", Step("s"))
    back = scores_of(scores_table(p.ids, [part]))["part"]
    assert back.missing == {p.ids[2]: "not scored"}


def test_links_come_back_by_id() -> None:
    a, b = pool(3), pool(5)
    links = Links.between(
        a,
        b,
        [0, 2, 2],
        [4, 1, 0],
        [0.5, -2.0, 1.0],
        kind="attributed",
        route="weights",
        high="helps",
        unit="nats",
        step=Step("trace/x"),
        notes=["", "n", ""],
    )
    back = links_of(links.to_arrow())
    assert back.of_head(a.ids[2]) == [(b.ids[1], -2.0), (b.ids[0], 1.0)]
    assert (back.kind, back.route, back.unit, back.notes) == ("attributed", "weights", "nats", ("", "n", ""))
    empty = links_of(links.where(np.zeros(3, dtype=bool)).to_arrow())
    assert len(empty) == 0


def test_another_table_is_refused() -> None:
    with pytest.raises(BadInput, match="does not hold scores"):
        scores_of(pool(1).table)
