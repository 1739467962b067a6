from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool
from whence.core.store import Store
from whence.models.observe import Observer
from whence.models.observe.dynamics import EPOCHS, SEEDS, batch_size, widened


@dataclass(frozen=True)
class Corners:
    """Says which letter a text starts with, and a little of its length."""

    dim: int = 4
    name: str = "corners"
    fingerprint: str = "corners"

    def encode(self, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
        X = np.array([[t[0] == "a", t[0] == "b", t[0] == "c", len(t) / 20] for t in texts], dtype=np.float32)
        return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def pool() -> Pool:
    rows = [{"text": "abc"[i % 3] + "x" * (i % 11) + str(i), "label": "ABC"[i % 3] if i % 10 else "B"} for i in range(150)]
    return Pool.from_rows(rows, roles={"text": "text", "label": "label"})


@pytest.fixture
def observer(tmp_path) -> Observer:
    return Observer(Corners(), Context(store=Store(tmp_path)))


def test_what_the_arrays_hold(pool: Pool, observer: Observer) -> None:
    d = observer.dynamics(pool)
    assert d.p_label.shape == (SEEDS, EPOCHS, 150) == (d.seeds, d.epochs, len(d.codes))
    np.testing.assert_allclose(d.loss, -np.log(d.p_label), rtol=1e-4, atol=1e-6)
    right = d.predicted == d.codes
    assert (right == (d.p_label > d.p_other))[np.abs(d.p_label - d.p_other) > 1e-6].all()
    # with three classes the error vector is (1 - p, p_other, the rest)
    gap = 1 - d.p_label
    np.testing.assert_allclose(d.error_norm, np.sqrt(gap**2 + d.p_other**2 + (gap - d.p_other) ** 2), atol=1e-5)
    assert right[:, -1].mean() > 0.85 and d.query_p is None
    assert np.mean(d.loss[:, 0]) > np.mean(d.loss[:, -1])


def test_the_order_of_the_file_and_a_second_look_change_nothing(pool: Pool, observer: Observer, tmp_path) -> None:
    rows = np.random.default_rng(0).permutation(150)
    there = observer.dynamics(pool)
    again = Observer(Corners(), Context(store=Store(tmp_path / "other"))).dynamics(Pool(pool.table.take(rows), pool.roles))
    np.testing.assert_array_equal(again.p_label, there.p_label[:, :, rows])
    cached = Observer(Corners(), observer.ctx).dynamics(pool)
    np.testing.assert_array_equal(cached.grad_norm, there.grad_norm)


def test_a_query_is_looked_at_and_not_trained_on(pool: Pool, observer: Observer) -> None:
    query = Pool.from_rows([{"text": "axxx", "label": "A"}, {"text": "axxx", "label": "C"}], roles=pool.roles)
    d = observer.dynamics(pool, query)
    assert d.query_p is not None and d.query_p.shape == (SEEDS, EPOCHS, 2)
    assert (d.query_p[:, -1, 0] > 0.6).all() and (d.query_p[:, -1, 1] < 0.2).all()
    np.testing.assert_array_equal(d.p_label, observer.dynamics(pool).p_label)


def test_what_is_refused(pool: Pool, observer: Observer) -> None:
    with pytest.raises(NotCapable, match="label"):
        observer.dynamics(Pool(pool.table, {"text": "text"}))
    foreign = Pool.from_rows([{"text": "a", "label": "Z"}], roles=pool.roles)
    with pytest.raises(BadInput, match="no label of"):
        observer.dynamics(pool, foreign)


def test_small_pools_take_small_batches() -> None:
    assert [batch_size(n) for n in (10, 1000, 5452, 10**6)] == [16, 31, 128, 128]
    np.testing.assert_allclose(np.linalg.norm(widened(np.eye(9, dtype=np.float32)), axis=1), 3.0)
