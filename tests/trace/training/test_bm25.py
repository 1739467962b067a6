"""BM25 by hand on three documents, and against another library where it is installed."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from whence.core.context import Context
from whence.core.pool import Pool
from whence.models import open_encoder
from whence.models.observe import Observer
from whence.trace import BM25
from whence.trace.training.bm25 import bm25_matrix

DOCUMENTS = ("the cat sat", "the dog sat on the dog", "a bird")


def test_by_hand() -> None:
    found = bm25_matrix(DOCUMENTS, ("Dog sat", "bird bird", "zebra"), 1.2, 0.75)
    mean = (3 + 6 + 2) / 3
    dog, sat, bird = log(1 + 2.5 / 1.5), log(1 + 1.5 / 2.5), log(1 + 2.5 / 1.5)

    def term(idf: float, count: int, length: int) -> float:
        return idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / mean))

    expected = [[term(sat, 1, 3), 0, 0], [term(dog, 2, 6) + term(sat, 1, 6), 0, 0], [0, 2 * term(bird, 1, 2), 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_limits() -> None:
    # k1 = 0: a word counts once; b = 0: length does not matter
    once = bm25_matrix(DOCUMENTS, ("dog",), 0.0, 0.75)
    np.testing.assert_allclose(once[1, 0], log(1 + 2.5 / 1.5))
    flat = bm25_matrix(("word", "word and many more of them"), ("word",), 1.2, 0.0)
    assert flat[0, 0] == flat[1, 0]
    assert bm25_matrix((), ("x",), 1.2, 0.75).shape == (0, 1)


def test_it_equals_bm25s() -> None:
    library: Any = pytest.importorskip("bm25s", reason="bm25s is not installed")
    rng = np.random.default_rng(0)
    documents = [" ".join(f"w{k}" for k in rng.zipf(1.5, rng.integers(3, 20)) % 50) for _ in range(60)]
    questions = [" ".join(f"w{k}" for k in rng.choice(50, 4, replace=False)) for _ in range(10)]
    index = library.BM25(method="lucene", k1=1.2, b=0.75)
    index.index([d.split() for d in documents], show_progress=False)
    theirs = np.array([index.get_scores(q.split()) for q in questions]).T
    # the method of Lucene leaves out the factor k1 + 1, which changes no order
    np.testing.assert_allclose(bm25_matrix(documents, questions, 1.2, 0.75), 2.2 * theirs, rtol=1e-5, atol=1e-6)


def test_links_point_at_the_documents_with_the_words(tmp_path: Any) -> None:
    pool = Pool.from_rows([{"text": d} for d in DOCUMENTS], roles={"text": "text"})
    asked = Pool.from_rows([{"text": "Dog sat"}], roles={"text": "text"})
    ctx = Context()
    links = BM25()(pool, asked, Observer(open_encoder("tfidf"), ctx), ctx)
    assert [tail for tail, _ in links.of_head(asked.ids[0])] == [pool.ids[1], pool.ids[0]]
    assert links.kind == "retrieved" and links.route == "text"
