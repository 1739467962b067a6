"""Laws of the active selectors: they choose among the unlabelled examples of a partly labelled pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from whence.core.catalogue import Entry, entries
from whence.core.decision import Selection
from whence.core.errors import BadInput, NotCapable, WhenceError
from whence.core.pool import Pool
from whence.select import Selector

BUDGET = 18
every = pytest.mark.parametrize("entry", [pytest.param(e, id=e.id) for e in entries("select") if e.family == "select/active"])


@pytest.fixture(scope="module")
def partly(one_bench: Any) -> Pool:
    """The laws' pool with the labels of two rows in three taken away."""
    labels = [label if i % 3 == 0 else None for i, label in enumerate(one_bench.pool.column("label"))]
    rows = [{"text": text, "label": label} for text, label in zip(one_bench.pool.texts, labels, strict=True)]
    return Pool.from_rows(rows, roles={"text": "text", "label": "label"}, name="partly")


def rows(pool: Pool, which: Any) -> Pool:
    return Pool(pool.table.take(pa.array(np.asarray(which, np.int64))), pool.roles, pool.lineage, pool.name)


def run(entry: Entry, bench: Any, pool: Pool, *, budget: Any = BUDGET, again: bool = False) -> Selection:
    observer, ctx = (bench.again, bench.ctx_again) if again else (bench.observer, bench.ctx)
    return entry.cls()(pool, observer, ctx, budget=budget, reference=None)  # type: ignore[no-any-return]


@every
def test_only_unlabelled_examples_are_chosen(entry: Entry, bench: Any, partly: Pool) -> None:
    assert isinstance(entry.cls(), Selector)
    made = run(entry, bench, partly)
    codes = partly.labels.codes
    assert len(made.kept) == BUDGET and (codes[partly.positions(made.kept)] < 0).all()
    assert set(made.kept) | set(made.dropped) == set(partly.ids)
    assert {made.dropped[this] for this, c in zip(partly.ids, codes, strict=True) if c >= 0} == {"labelled already"}
    assert all(reason.strip() for reason in made.dropped.values()) and made.step.method == entry.id


@every
def test_a_smaller_budget_is_a_prefix(entry: Entry, bench: Any, partly: Pool) -> None:
    assert entry.cls.nested  # type: ignore[attr-defined]
    assert run(entry, bench, partly, budget=5).kept == run(entry, bench, partly).kept[:5]
    everything = run(entry, bench, partly, budget=int((partly.labels.codes < 0).sum()))
    assert set(everything.dropped.values()) == {"labelled already"}


@every
@pytest.mark.parametrize("budget", [-1, 1.5, 200, 10_000])
def test_more_than_the_unlabelled_is_refused(entry: Entry, bench: Any, partly: Pool, budget: Any) -> None:
    with pytest.raises(BadInput):
        run(entry, bench, partly, budget=budget)


@every
def test_order_does_not_matter(entry: Entry, bench: Any, partly: Pool) -> None:
    mixed = rows(partly, np.random.default_rng(7).permutation(len(partly)))
    assert run(entry, bench, mixed).kept == run(entry, bench, partly).kept


@every
def test_the_seed_decides(entry: Entry, bench: Any, partly: Pool) -> None:
    one, two = run(entry, bench, partly), run(entry, bench, partly, again=True)
    assert one.kept == two.kept and one.step.key == two.step.key


@every
def test_nothing_to_choose_or_to_learn_from_is_refused(entry: Entry, bench: Any, partly: Pool) -> None:
    for pool in (bench.pool, bench.unlabelled(), rows(partly, np.flatnonzero(partly.labels.codes < 0)),
                 rows(partly, np.flatnonzero(partly.labels.codes < 1))):
        with pytest.raises(NotCapable):
            run(entry, bench, pool)


@every
@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_tiny_pools_work_or_are_refused(entry: Entry, bench: Any, partly: Pool, size: int) -> None:
    try:
        made = run(entry, bench, rows(partly, range(size)), budget=min(1, size))
    except WhenceError as error:
        assert str(error)
    else:
        assert len(made.kept) == min(1, size)
