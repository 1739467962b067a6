"""Laws of `whence.select.dynamic.Schedule`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.catalogue import Entry, entries
from whence.core.errors import BadInput, NotCapable, WhenceError
from whence.core.pool import Pool
from whence.select.dynamic import Schedule, Trained

BUDGET = 60
every = pytest.mark.parametrize("entry", [pytest.param(e, id=e.id) for e in entries("select") if e.family == "select/dynamic"])


def run(
    entry: Entry, bench: Any, pool: Pool | None = None, *, budget: Any = BUDGET, queries: Pool | None = None, again: bool = False
) -> Trained:
    observer, ctx = (bench.again, bench.ctx_again) if again else (bench.observer, bench.ctx)
    return entry.cls()(  # type: ignore[no-any-return]
        bench.pool if pool is None else pool, observer, ctx, budget=budget, queries=bench.queries if queries is None else queries,
        reference=bench.reference_for(entry),
    )


@every
def test_answers_are_distributions_over_the_classes_of_the_pool(entry: Entry, bench: Any) -> None:
    made = run(entry, bench)
    assert isinstance(entry.cls(), Schedule)
    assert made.log_probs.shape == (len(bench.queries), len(bench.pool.labels.names)) and made.log_probs.dtype == np.float32
    np.testing.assert_allclose(np.exp(made.log_probs).sum(axis=1), 1, rtol=1e-4)
    assert made.step.method == entry.id


@every
def test_passes_are_counted(entry: Entry, bench: Any) -> None:
    made = run(entry, bench)
    assert made.drawn.shape == (len(bench.pool),) and made.drawn.min() >= 0
    assert made.drawn.sum() == made.backward <= made.forward


@every
def test_it_learns(entry: Entry, bench: Any) -> None:
    """Questions that are the pool itself are answered better than by the largest class (a third of the pool)."""
    made = run(entry, bench, queries=bench.pool)
    assert (made.log_probs.argmax(axis=1) == bench.pool.labels.codes).mean() > 0.6


@every
def test_labels_of_questions_are_not_read(entry: Entry, bench: Any) -> None:
    roles = {role: column for role, column in bench.queries.roles.items() if role != "label"}
    bare = Pool(bench.queries.table, roles, bench.queries.lineage, bench.queries.name)
    np.testing.assert_array_equal(run(entry, bench, queries=bare).log_probs, run(entry, bench).log_probs)


@every
def test_order_does_not_matter(entry: Entry, bench: Any) -> None:
    mixed = bench.permuted()
    one, two = run(entry, bench), run(entry, bench, mixed)
    np.testing.assert_array_equal(two.log_probs, one.log_probs)
    np.testing.assert_array_equal(two.drawn[mixed.positions(bench.pool.ids)], one.drawn)


@every
def test_the_seed_decides(entry: Entry, bench: Any) -> None:
    one, two = run(entry, bench), run(entry, bench, again=True)
    np.testing.assert_array_equal(one.log_probs, two.log_probs)
    assert one.step.key == two.step.key


@every
@pytest.mark.parametrize("budget", [-1, 0, 10_000, 1.5])
def test_an_impossible_budget_is_refused(entry: Entry, bench: Any, budget: Any) -> None:
    with pytest.raises(BadInput):
        run(entry, bench, budget=budget)


@every
def test_unlabelled_pools_are_refused(entry: Entry, bench: Any) -> None:
    with pytest.raises(NotCapable):
        run(entry, bench, bench.unlabelled())


@every
@pytest.mark.parametrize("size", [0, 1, 2])
def test_tiny_pools_work_or_are_refused(entry: Entry, bench: Any, size: int) -> None:
    try:
        made = run(entry, bench, bench.rows(range(size)), budget=1)
    except WhenceError as error:
        assert str(error)
    else:
        assert made.drawn.sum() >= 1


@every
def test_no_questions_no_answers(entry: Entry, bench: Any) -> None:
    assert run(entry, bench, queries=bench.queries.take(_none(bench.queries))).log_probs.shape == (0, 3)


def _none(pool: Pool) -> Any:
    from whence.core.decision import Selection
    from whence.core.step import Step

    return Selection.of(pool, [], step=Step("none", {}), reason="not asked")
