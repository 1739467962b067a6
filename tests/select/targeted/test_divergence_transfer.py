from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.core.pool import Pool
from whence.select.targeted.divergence_transfer import DivergenceTransfer, term_divergence


def test_by_hand() -> None:
    assert term_divergence(["a b"], ["B a a b"]) == pytest.approx(0, abs=1e-12)
    assert term_divergence(["a a"], ["b"]) == pytest.approx(np.log(2))
    # p = (1, 0), q = (1/2, 1/2), middle = (3/4, 1/4)
    assert term_divergence(["a"], ["a b"]) == pytest.approx((np.log(4 / 3) + 0.5 * np.log(2 / 3) + 0.5 * np.log(2)) / 2)
    assert term_divergence(["a"], ["a b"]) == pytest.approx(term_divergence(["b a"], ["A!"]))
    assert term_divergence(["..."], ["a"]) == pytest.approx(np.log(2))


def made_of(rows: list[tuple[str, str]]) -> Pool:
    return Pool.from_rows([{"text": t, "from": s} for t, s in rows], roles={"text": "text", "source": "from"})


NEAR, MIDDLE, FAR = ("the cat sat on the mat", "the dog sat on the cat", "the stock fell on tuesday")
TARGET = Pool.from_rows([{"text": "a cat on the mat"}, {"text": "the cat sat"}], roles={"text": "text"})


def test_sources_come_whole_and_nearest_first(scene) -> None:
    at = scene(np.eye(2, dtype=np.float32))
    pool = made_of([(f"{FAR} {i}", "far") for i in range(4)] + [(f"{NEAR} {i}", "near") for i in range(4)]
                   + [(f"{MIDDLE} {i}", "middle") for i in range(4)])
    made = DivergenceTransfer()(pool, at.observer, at.ctx, budget=10, reference=TARGET)
    names = np.array(pool.column("source"))[pool.positions(made.kept)]
    assert names.tolist() == ["near"] * 4 + ["middle"] * 4 + ["far"] * 2
    assert set(made.dropped.values()) == {"not drawn from its source"}
    few = DivergenceTransfer()(pool, at.observer, at.ctx, budget=4, reference=TARGET)
    assert few.kept == made.kept[:4]
    far = term_divergence([f"{FAR} {i}" for i in range(4)], TARGET.texts)
    assert few.dropped[pool.ids[0]] == f"its source 'far' diverges more: {far:.4g}"


def test_embeddings_measure_means(scene, blobs) -> None:
    X, y = blobs(90, spread=0.2)
    at = scene(X, reference=blobs(30, spread=0.2, seed=2)[0][1::3], columns={"group": y})
    made = DivergenceTransfer(measure="embeddings")(at.pool, at.observer, at.ctx, budget=30, reference=at.reference)
    assert all(i % 3 == 1 for i in at.rows(made.kept))


def test_a_row_without_a_source_is_a_source_of_its_own(scene) -> None:
    at = scene(np.eye(2, dtype=np.float32))
    pool = Pool.from_rows([{"text": NEAR, "from": None}, {"text": FAR, "from": "x"}], roles={"text": "text", "source": "from"})
    assert pool.positions(DivergenceTransfer()(pool, at.observer, at.ctx, budget=1, reference=TARGET).kept).tolist() == [0]


def test_without_sources_or_target_it_is_refused(scene) -> None:
    at = scene(np.eye(2, dtype=np.float32))
    with pytest.raises(NotCapable, match="source"):
        DivergenceTransfer()(at.pool, at.observer, at.ctx, budget=1, reference=at.reference)
    with pytest.raises(NotCapable, match="target"):
        DivergenceTransfer()(made_of([("a", "b")]), at.observer, at.ctx, budget=1)
