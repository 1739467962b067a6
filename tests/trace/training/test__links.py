"""What all tracers share: which links are kept, and refusals of questions that cannot be answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.catalogue import Entry, entries
from whence.core.errors import NotCapable, WhenceError
from whence.core.evidence import Links
from whence.core.method import step_of
from whence.trace import RandomLinks
from whence.trace.training._links import by_id, linked, strongest

LABELLED = [e for e in entries("trace") if e.id.startswith("trace/training/") and "labels" in e.card.needs]
labelled = pytest.mark.parametrize("entry", [pytest.param(e, id=e.name) for e in LABELLED])


def test_strongest_of_either_sign_by_hand() -> None:
    effects = np.array([[3.0, 0.0], [-1.0, 0.0], [5.0, 2.0], [0.0, 0.0], [-4.0, 0.0], [1.0, 0.0]])
    rows, columns = strongest(effects, 2)
    assert list(zip(columns.tolist(), rows.tolist(), strict=True)) == [(0, 2), (0, 0), (0, 4), (0, 1), (1, 2)]
    rows, columns = strongest(effects, 1)
    assert list(zip(columns.tolist(), rows.tolist(), strict=True)) == [(0, 2), (0, 4), (1, 2)]


@pytest.mark.parametrize("top", [None, 3, 50])
def test_all_entries_but_zeros_where_all_are_asked_for(top: int | None) -> None:
    effects = np.array([[3.0, 0.0], [-1.0, 0.0], [5.0, 2.0], [0.0, 0.0], [-4.0, 0.0], [1.0, 0.0]])
    rows, columns = strongest(effects, top)
    assert list(zip(columns.tolist(), rows.tolist(), strict=True)) == [(0, 0), (0, 1), (0, 2), (0, 4), (0, 5), (1, 2)]


def test_ties_go_to_the_earlier_row_of_the_highest() -> None:
    rows, _ = strongest(np.array([[1.0], [2.0], [2.0], [2.0], [1.0]]), 2)
    assert rows.tolist() == [1, 2]


def test_nothing_asked_gives_nothing() -> None:
    rows, columns = strongest(np.zeros((9, 0)), 2)
    assert len(rows) == len(columns) == 0


def test_links_carry_pairs_and_weights(world: Any) -> None:
    effects = np.zeros((len(world.pool), len(world.queries)))
    effects[7, 2], effects[4, 2] = 0.5, -2.0
    links = linked(world.pool, world.queries, effects, top=3, step=step_of(RandomLinks()), high="h", unit="u")
    assert isinstance(links, Links) and len(links) == 2
    assert links.of_head(world.queries.ids[2]) == [(world.pool.ids[4], -2.0), (world.pool.ids[7], 0.5)]


def test_by_id_is_one_order_for_all_orders_of_the_file(world: Any) -> None:
    other = world.permuted()
    assert [world.pool.ids[i] for i in by_id(world.pool)] == [other.ids[i] for i in by_id(other)] == sorted(world.pool.ids)


@labelled
def test_a_question_of_an_unknown_class_is_refused(entry: Entry, world: Any) -> None:
    queries = world.asked(["c0"] * (len(world.queries) - 1) + ["never seen"])
    with pytest.raises(NotCapable, match="never shows"):
        entry.cls()(world.pool, queries, world.observer, world.ctx)


@labelled
def test_a_question_without_a_label_is_refused(entry: Entry, world: Any) -> None:
    with pytest.raises(NotCapable):
        entry.cls()(world.pool, world.asked(["c0"] * (len(world.queries) - 1) + [None]), world.observer, world.ctx)
    with pytest.raises(WhenceError):
        entry.cls()(world.pool, world.asked(None), world.observer, world.ctx)


@labelled
def test_the_order_of_questions_does_not_matter(entry: Entry, world: Any) -> None:
    straight = world.trace(entry.cls())
    other = world.matrix(entry.cls()(world.pool, world.turned(), world.observer, world.ctx, top=None))
    np.testing.assert_allclose(other, straight, rtol=1e-4, atol=1e-6 * np.abs(straight).max())
