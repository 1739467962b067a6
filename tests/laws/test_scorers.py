"""Laws of `whence.score.Scorer`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from whence.core.catalogue import Entry, entries
from whence.core.errors import BadInput, NotCapable, WhenceError
from whence.core.evidence import Scores
from whence.core.pool import Pool

every = pytest.mark.parametrize("entry", [pytest.param(e, id=e.id) for e in entries("score")])


def run(entry: Entry, bench: Any, pool: Pool | None = None, *, again: bool = False) -> Scores:
    scorer = entry.cls()
    observer, ctx = (bench.again, bench.ctx_again) if again else (bench.observer, bench.ctx)
    return scorer(bench.pool if pool is None else pool, observer, ctx, reference=bench.reference_for(entry))  # type: ignore[no-any-return]


@every
def test_every_example_is_accounted_for(entry: Entry, bench: Any) -> None:
    scores = run(entry, bench)
    assert list(scores.ids) == [i for i in bench.pool.ids if i not in scores.missing], "in pool order"
    assert set(scores.ids) | set(scores.missing) == set(bench.pool.ids)
    assert np.isfinite(scores.values).all()
    assert all(reason.strip() for reason in scores.missing.values())
    assert scores.ids, "real text with labels gets a score"


@every
def test_it_says_what_it_is(entry: Entry, bench: Any) -> None:
    scores = run(entry, bench)
    assert scores.high.strip() and scores.unit.strip()
    assert scores.step.method == entry.id
    assert bench.pool.fingerprint in scores.step.inputs
    assert set(scores.step.params) == set(vars(entry.cls()))


@every
def test_the_pool_is_untouched(entry: Entry, bench: Any) -> None:
    table, print_ = bench.pool.table, Pool(bench.pool.table, bench.pool.roles).fingerprint
    run(entry, bench)
    assert bench.pool.table is table
    assert Pool(bench.pool.table, bench.pool.roles).fingerprint == print_


@every
def test_order_does_not_matter(entry: Entry, bench: Any) -> None:
    straight, mixed = run(entry, bench), run(entry, bench, bench.permuted())
    assert set(straight.ids) == set(mixed.ids)
    values, known = mixed.aligned(straight.ids)
    assert known.all()
    np.testing.assert_allclose(values, straight.values, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(straight.values).max())))


@every
def test_the_seed_decides(entry: Entry, bench: Any) -> None:
    one, two = run(entry, bench), run(entry, bench, again=True)
    assert one.ids == two.ids
    np.testing.assert_array_equal(one.values, two.values)
    assert one.step.key == two.step.key


@every
@pytest.mark.parametrize("size", [0, 1, 2])
def test_tiny_pools_work_or_are_refused(entry: Entry, bench: Any, size: int) -> None:
    pool = bench.rows(range(size))
    try:
        scores = run(entry, bench, pool)
    except WhenceError as error:
        assert str(error)
    else:
        assert set(scores.ids) | set(scores.missing) == set(pool.ids)


@every
def test_unlabelled_pools_work_or_are_refused(entry: Entry, bench: Any) -> None:
    if bench.labels_needed(entry):
        with pytest.raises((NotCapable, BadInput)):
            run(entry, bench, bench.unlabelled())
    else:
        assert len(run(entry, bench, bench.unlabelled()).ids)


@every
def test_a_missing_reference_is_refused(entry: Entry, bench: Any) -> None:
    if "reference" in entry.card.needs:
        with pytest.raises(NotCapable):
            entry.cls()(bench.pool, bench.observer, bench.ctx, reference=None)
