"""Laws of `whence.select.Selector`."""

from __future__ import annotations

from typing import Any

import pytest

from whence.core.catalogue import Entry, entries
from whence.core.decision import Selection
from whence.core.errors import BadInput, NotCapable, WhenceError
from whence.core.pool import Pool

BUDGET = 18
#: schedules give answers, not a choice; active methods choose among the unlabelled: both have laws of their own
SELECTORS = [e for e in entries("select") if e.family not in ("select/dynamic", "select/active")]
every = pytest.mark.parametrize("entry", [pytest.param(e, id=e.id) for e in SELECTORS])


def run(entry: Entry, bench: Any, pool: Pool | None = None, *, budget: int = BUDGET, again: bool = False) -> Selection:
    observer, ctx = (bench.again, bench.ctx_again) if again else (bench.observer, bench.ctx)
    return entry.cls()(  # type: ignore[no-any-return]
        bench.pool if pool is None else pool, observer, ctx, budget=budget, reference=bench.reference_for(entry)
    )


@every
def test_every_example_is_kept_or_dropped_for_a_reason(entry: Entry, bench: Any) -> None:
    made = run(entry, bench)
    assert len(made.kept) == BUDGET
    assert set(made.kept) | set(made.dropped) == set(bench.pool.ids)
    assert all(reason.strip() for reason in made.dropped.values())
    assert made.step.method == entry.id
    assert len(bench.pool.take(made)) == BUDGET


@every
def test_the_whole_pool_is_a_budget(entry: Entry, bench: Any) -> None:
    made = run(entry, bench, budget=len(bench.pool))
    assert set(made.kept) == set(bench.pool.ids)


@every
@pytest.mark.parametrize("budget", [-1, 10_000, 1.5])
def test_an_impossible_budget_is_refused(entry: Entry, bench: Any, budget: Any) -> None:
    with pytest.raises(BadInput):
        run(entry, bench, budget=budget)


@every
def test_the_pool_is_untouched(entry: Entry, bench: Any) -> None:
    before = Pool(bench.pool.table, bench.pool.roles).fingerprint
    run(entry, bench)
    assert Pool(bench.pool.table, bench.pool.roles).fingerprint == before


@every
def test_order_does_not_matter(entry: Entry, bench: Any) -> None:
    assert set(run(entry, bench).kept) == set(run(entry, bench, bench.permuted()).kept)


@every
def test_the_seed_decides(entry: Entry, bench: Any) -> None:
    one, two = run(entry, bench), run(entry, bench, again=True)
    assert one.kept == two.kept and one.step.key == two.step.key


@every
@pytest.mark.parametrize("size", [0, 1, 2])
def test_tiny_pools_work_or_are_refused(entry: Entry, bench: Any, size: int) -> None:
    pool = bench.rows(range(size))
    try:
        made = run(entry, bench, pool, budget=min(1, size))
    except WhenceError as error:
        assert str(error)
    else:
        assert set(made.kept) | set(made.dropped) == set(pool.ids)


@every
def test_unlabelled_pools_work_or_are_refused(entry: Entry, bench: Any) -> None:
    if bench.labels_needed(entry):
        with pytest.raises((NotCapable, BadInput)):
            run(entry, bench, bench.unlabelled())
    else:
        assert len(run(entry, bench, bench.unlabelled()).kept) == BUDGET


@every
def test_a_missing_reference_is_refused(entry: Entry, bench: Any) -> None:
    if "reference" in entry.card.needs:
        with pytest.raises(NotCapable):
            entry.cls()(bench.pool, bench.observer, bench.ctx, budget=BUDGET, reference=None)
