"""SAGE: three ways of being unlike the training data, each as an empirical probability, combined.

Schreyer et al.: Generalization is not a universal guarantee: Estimating similarity to training data with an ensemble
out-of-distribution metric (2025). Neighbours' distance in a latent space, reconstruction error and the head's output each
become the share of training values at least as bad. Where we differ: the supervised autoencoder is a principal-component
reconstruction of the frozen embedding with a softmax head beside it; training values are out of fold; the three shares are
combined by their geometric mean, and the score is one minus it, so that high means unlike the training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer

_FOLDS = 5


@method
class Sage:
    """1 - geometric mean of empirical probabilities of neighbour distance, reconstruction error and the head's doubt."""

    k: int = param(10, "neighbours whose mean distance is taken", ge=1)
    components: int = param(32, "principal components of the latent space", ge=1)

    card: ClassVar[Card] = Card(
        line="Neighbour distance, reconstruction error and the head's doubt as empirical probabilities, combined.",
        papers=(Paper("Generalization is not a universal guarantee: Estimating similarity to training data with an ensemble "
                      "out-of-distribution metric", "Schreyer et al.", 2025, "arXiv:2502.16329"),),
        needs=("labels", "embeddings", "class_probs"),
        status="stable",
        cost="a few decompositions, one comparison of all pairs, and the fits of the head",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.neighbors import nearest

        base = pool if reference is None else reference
        observer.labelled(base, "sage")
        n = len(base)
        if n < 2 * _FOLDS:
            raise NotCapable("sage needs training values to compare with", given=f"{n} examples", legal=f"{2 * _FOLDS} or more")
        X = observer.embeddings(base)
        order = np.argsort(np.array(base.ids))
        fold = np.empty(n, dtype=np.int64)
        fold[order] = observer.ctx.rng("sage").permutation(n) % _FOLDS
        rank = min(self.components, n - n // _FOLDS - 2, X.shape[1])
        axes = principal(X, rank)
        latent = (X - axes[0]) @ axes[1].T
        known = [
            nearest(latent, latent, min(self.k, n - 1), metric="euclidean", exclude_self=True)[1].mean(axis=1),
            residual_out_of_fold(X, fold, rank),
            1.0 - observer.class_probs(base).probs.max(axis=1).astype(np.float64),
        ]
        asked = known
        if reference is not None:
            own = observer.embeddings(pool)
            asked = [
                nearest((own - axes[0]) @ axes[1].T, latent, min(self.k, n), metric="euclidean")[1].mean(axis=1),
                residual(own, *axes),
                1.0 - observer.head(base).probs(own).max(axis=1).astype(np.float64),
            ]
        inputs = (pool.fingerprint, observer.fingerprint) + (() if reference is None else (reference.fingerprint,))
        return Scores.of("sage", pool, 1.0 - combined_probability(known, asked), high="unlike the training data",
                         unit="1 - empirical probability", step=step_of(self, seed=ctx.seed, inputs=inputs))


def principal(X: NDArray[np.floating], rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [d] and the first `rank` principal directions [rank, d] of X [n, d]."""
    rows = X.astype(np.float64)
    mean = rows.mean(axis=0)
    _, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean))
    return mean, np.ascontiguousarray(vectors[:, ::-1][:, :rank].T)


def residual(X: NDArray[np.floating], mean: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance [n] of each row of X [n, d] to its reconstruction from the directions `axes` [rank, d]."""
    centred = X.astype(np.float64) - mean
    return np.asarray(np.linalg.norm(centred - (centred @ axes.T) @ axes, axis=1))


def residual_out_of_fold(X: NDArray[np.floating], fold: NDArray[np.int64], rank: int) -> NDArray[np.float64]:
    """`residual` of each row by directions of the rows in other folds: [n]."""
    out = np.empty(len(X))
    for f in np.unique(fold):
        out[fold == f] = residual(X[fold == f], *principal(X[fold != f], rank))
    return out


def empirical_probability(known: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of `known` [n] at least as large as each of `asked` [m], one counted more on both sides (never 0): [m]."""
    above = len(known) - np.searchsorted(np.sort(known), asked, side="left")
    return np.asarray((above + 1.0) / (len(known) + 1.0), dtype=np.float64)


def combined_probability(known: Sequence[NDArray[np.float64]], asked: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Geometric mean over the quantities of their empirical probabilities: [m]."""
    logs = [np.log(empirical_probability(k, a)) for k, a in zip(known, asked, strict=True)]
    return np.asarray(np.exp(np.mean(logs, axis=0)))
