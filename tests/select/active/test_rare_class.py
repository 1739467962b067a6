from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import UnknownName
from whence.select.active.rare_class import RareClass, rarest


def test_the_rarest_by_hand() -> None:
    assert rarest({"a": 5, "b": 2, "c": 9}) == "b"
    assert rarest({"b": 2, "a": 2}) == "a"


def planted(scene, blobs):
    """Class c0 is 5 % of the pool; 40 rows are labelled, 4 of them c0."""
    X, _ = blobs(600, classes=3, spread=0.35)
    kinds = np.arange(600) % 3
    take = np.sort(np.concatenate([np.flatnonzero(kinds == 0)[:24], np.flatnonzero(kinds > 0)]))
    X, kinds = X[take], kinds[take]
    known = np.concatenate([np.flatnonzero(kinds == 0)[:4], np.flatnonzero(kinds > 0)[:36]])
    labels = [f"c{k}" if i in set(known.tolist()) else None for i, k in enumerate(kinds)]
    return scene(X, labels), kinds


def test_it_finds_the_rare_ones(scene, blobs) -> None:
    at, kinds = planted(scene, blobs)
    kept = at.rows(RareClass()(at.pool, at.observer, at.ctx, budget=20).kept)
    assert (kinds[kept] == 0).sum() >= 17
    other = at.rows(RareClass(rare="c2")(at.pool, at.observer, at.ctx, budget=20).kept)
    assert (kinds[other] == 2).all()


def test_the_order_is_that_of_the_heads_probability(scene, blobs) -> None:
    from whence.core.decision import Selection
    from whence.core.step import Step

    at, _ = planted(scene, blobs)
    codes = at.pool.labels.codes
    taught = at.pool.take(Selection.of(at.pool, np.flatnonzero(codes >= 0), step=Step("t", {}), reason="open"))
    p = at.observer.head(taught).probs(at.observer.embeddings(at.pool))[:, 0]
    kept = at.rows(RareClass()(at.pool, at.observer, at.ctx, budget=30).kept)
    np.testing.assert_allclose(p[kept], np.sort(p[codes < 0])[::-1][:30], rtol=1e-3)


def test_a_class_without_a_label_is_unknown(scene, blobs) -> None:
    at, _ = planted(scene, blobs)
    with pytest.raises(UnknownName, match="c1"):
        RareClass(rare="c9")(at.pool, at.observer, at.ctx, budget=2)
