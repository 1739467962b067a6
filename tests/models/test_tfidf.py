"""TF-IDF with truncated SVD against scikit-learn and against the full decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from whence.core.context import Context
from whence.core.errors import BadInput
from whence.models import fitted
from whence.models.tfidf import Tfidf, directions

TEXTS = ["the cat sat on the mat", "a cat and a dog", "dogs chase cats", "the stock market fell", "markets rose and stocks fell"]


def test_inner_products_are_those_of_scikit_learn() -> None:
    ours = Tfidf(dim=3).encode(TEXTS, Context())
    table = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit_transform(TEXTS)
    theirs = TruncatedSVD(3, algorithm="arpack", random_state=0).fit_transform(table)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-4)


def test_all_directions_keep_all_inner_products() -> None:
    ours = Tfidf(dim=8).encode(TEXTS, Context())
    table = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit_transform(TEXTS)
    np.testing.assert_allclose(ours @ ours.T, (table @ table.T).toarray(), atol=1e-5)
    assert ours.shape == (5, 8) and not ours[:, 5:].any()


@pytest.mark.parametrize("shape", [(900, 700), (700, 900)])
def test_randomised_directions_are_those_of_the_full_decomposition(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.standard_normal((n, 12)))[0] for n in shape)
    table = sparse.csr_matrix(((left * 2.0 ** -np.arange(12)) @ right.T).astype(np.float32))
    ours = directions(table, 5, np.random.default_rng(0))
    assert np.abs((ours * right.T[:5]).sum(1)).min() > 0.9999
    assert (ours[np.arange(5), np.abs(ours).argmax(1)] > 0).all()
    assert directions(table, 40, np.random.default_rng(0)).shape[0] <= 12


def test_order_and_repeats_change_nothing_and_the_seed_names_the_fit() -> None:
    encoder, ctx = Tfidf(dim=4), Context()
    straight = encoder.encode(TEXTS, ctx)
    assert np.array_equal(encoder.encode(TEXTS[::-1], ctx)[::-1], straight)
    assert np.array_equal(encoder.encode(TEXTS * 2, ctx)[5:], straight)
    fitted = encoder.fit(TEXTS, ctx)
    assert fitted.fingerprint == encoder.fit(TEXTS[::-1], ctx).fingerprint
    others = [encoder.fit(TEXTS[1:], ctx), encoder.fit(TEXTS, ctx.with_seed(1))]
    assert len({fitted.fingerprint, *(other.fingerprint for other in others)}) == 3
    assert np.array_equal(fitted.encode(TEXTS[2:3], ctx), straight[2:3])


def test_texts_without_a_known_word_are_zero() -> None:
    fitted = Tfidf(dim=4).fit(TEXTS, Context())
    assert not fitted.encode(["", "zzz", "🙂"], Context()).any()
    assert not Tfidf(dim=4).encode(["", "!"], Context()).any()
    assert Tfidf(dim=4).encode([], Context()).shape == (0, 4)


def test_illegal_parameters() -> None:
    with pytest.raises(BadInput, match="1 or more"):
        Tfidf(dim=0)


def test_one_fit_serves_several_pools_and_learns_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = Context()
    shared = fitted(Tfidf(dim=4), TEXTS, ctx)
    assert np.array_equal(shared.encode(TEXTS[:2], ctx), Tfidf(dim=4).encode(TEXTS, ctx)[:2])
    assert fitted(shared, ["others"], ctx) is shared
    monkeypatch.setattr(TfidfVectorizer, "fit_transform", lambda *_: pytest.fail("learnt"))
    assert fitted(Tfidf(dim=4), TEXTS, ctx).fingerprint == shared.fingerprint
