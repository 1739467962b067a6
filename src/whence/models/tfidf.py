"""TF-IDF and truncated SVD (latent semantic analysis), fitted on the texts it is given: needs no network and no torch.

Deerwester et al. 1990, "Indexing by Latent Semantic Analysis"; the decomposition is randomised after Halko, Martinsson
and Tropp 2011 (arXiv:0909.4061) where the table is large, exact where it is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.errors import BadInput, MissingExtra
from whence.core.step import content_hash
from whence.models.batches import text_keys

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

EXACT = 400


@dataclass(frozen=True)
class Fitted:
    """TF-IDF weights and singular directions of some texts; its fingerprint names those texts."""

    vectorizer: Any
    directions: NDArray[np.float32]
    dim: int
    fingerprint: str
    name: str = "tfidf"

    def encode(self, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
        """Vectors [n, dim], also of texts it was not fitted on; a text without a known word is all 0."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        if self.vectorizer is None or not len(texts):
            return out
        table = self.vectorizer.transform([_clean(t, i) for i, t in enumerate(texts)])
        vectors = np.asarray(table @ self.directions.T)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        out[:, : vectors.shape[1]] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)
        return out


@dataclass(frozen=True)
class Tfidf:
    """Words and word pairs, sublinear TF-IDF, then `dim` singular directions; narrower pools are padded with zeros.

    Each distinct text counts once in the fit. `encode` fits on what it is given; `fit` first to encode other texts.
    """

    dim: int = 256
    ngrams: int = 2
    max_features: int = 200_000
    name: str = "tfidf"

    def __post_init__(self) -> None:
        if self.dim < 1 or self.max_features < 1:
            raise BadInput("Tfidf.dim and max_features must be 1 or more", given=f"{self.dim}, {self.max_features}")
        if self.ngrams not in (1, 2, 3):
            raise BadInput("Tfidf.ngrams is not legal", given=self.ngrams, legal="1, 2, 3")

    @property
    def fingerprint(self) -> str:
        return content_hash(["tfidf+svd, fitted on the texts it is given", 1, self.dim, self.ngrams, self.max_features])

    def fit(self, texts: Sequence[str], ctx: Context) -> Fitted:
        """Learn the weights and directions of these texts. Their order does not matter, and a repeat changes nothing."""
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError:
            raise MissingExtra("scikit-learn", "text", "the encoder 'tfidf'") from None
        keys, first = np.unique(text_keys(texts), return_index=True)
        own = content_hash([self.fingerprint, ctx.seed, keys.tobytes().hex()])
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, self.ngrams), max_features=self.max_features,
                                     min_df=2 if len(keys) >= 1000 else 1, dtype=np.float32)
        try:
            table = vectorizer.fit_transform([_clean(texts[i], int(i)) for i in first])
        except ValueError:  # no text holds a word
            return Fitted(None, np.zeros((0, 0), dtype=np.float32), self.dim, own)
        return Fitted(vectorizer, directions(table, self.dim, ctx.rng("models/tfidf")), self.dim, own)

    def encode(self, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
        if not len(texts):
            return np.zeros((0, self.dim), dtype=np.float32)
        return self.fit(texts, ctx).encode(texts, ctx)


def directions(table: csr_matrix, dim: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """The right singular vectors [k, columns] of the `dim` largest singular values above 0.

    The largest entry of each is positive, so that the signs are not left to the solver.
    """
    k = min(dim, *table.shape)
    if min(table.shape) <= EXACT:
        dense = table if table.shape[0] <= table.shape[1] else table.T
        # the small side's Gram matrix is enough, and never larger than EXACT x EXACT
        values, vectors = np.linalg.eigh((dense @ dense.T).toarray().astype(np.float64))
        values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
        live = values > max(values[0], 0.0) * 1e-10
        values, vectors = values[live], vectors[:, live]
        right = (dense.T @ vectors / np.sqrt(values)).T if table.shape[0] <= table.shape[1] else vectors.T
    else:
        right = _randomised(table, k, rng)
    peak = np.take_along_axis(right, np.abs(right).argmax(1)[:, None], axis=1)
    return np.ascontiguousarray(right * np.where(peak < 0, -1.0, 1.0), dtype=np.float32)


def _randomised(table: csr_matrix, k: int, rng: np.random.Generator, rounds: int = 4) -> NDArray[np.float64]:
    """Halko, Martinsson and Tropp's algorithm 4.4 and 5.1 with 16 spare columns and 4 power rounds; [k, columns]."""
    width = min(k + 16, *table.shape)
    basis = np.linalg.qr(table @ rng.standard_normal((table.shape[1], width), dtype=np.float32))[0]
    for _ in range(rounds):
        basis = np.linalg.qr(table @ np.linalg.qr(table.T @ basis)[0])[0]
    _, values, right = np.linalg.svd((table.T @ basis).T.astype(np.float64), full_matrices=False)
    return right[:k][values[:k] > values[0] * 1e-5]  # type: ignore[no-any-return]


def _clean(text: str, row: int, cap: int = 1 << 18) -> str:
    if not isinstance(text, str):
        raise BadInput(f"Text {row} is not a string", given=repr(text)[:80], legal="strings")
    return text[:cap]
