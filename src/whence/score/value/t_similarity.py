"""T-similarity: do heads that were trained to disagree where there are no labels agree on this example all the same?

Odonnat, Feofanov, Redko: Leveraging Ensemble Diversity for Robust Self-Training in the Presence of Sample Selection Bias
(2024). M linear heads fit the labelled part while the mean inner product of their softmax outputs on the unlabelled part is
pushed down (weight gamma); that mean inner product is the score, a confidence for choosing pseudo-labels. Where we differ:
the shared projection is the frozen embedding, and where every example has a label the whole pool plays both parts.
"""

from __future__ import annotations

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

_BATCH = 256


@method
class TSimilarity:
    """Mean pairwise inner product of the heads' softmax outputs, between 0 and 1."""

    heads: int = param(5, "linear heads", ge=2)
    gamma: float = param(1.0, "weight of the disagreement on unlabelled examples", ge=0)
    steps: int = param(600, "steps of Adam, 256 labelled and 256 unlabelled examples each", ge=1)
    rate: float = param(0.01, "step size of Adam", gt=0)

    card: ClassVar[Card] = Card(
        line="Agreement of heads that were trained to disagree on unlabelled examples.",
        papers=(Paper("Leveraging Ensemble Diversity for Robust Self-Training in the Presence of Sample Selection Bias",
                      "Odonnat, Feofanov, Redko", 2024, "arXiv:2310.14814"),),
        needs=("labels", "embeddings"),
        cost="one short training of a few linear heads",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        if "label" not in pool.roles:
            raise NotCapable("t-similarity needs labels on a part of the pool", given=", ".join(pool.columns),
                             do="name the column with --label")
        y = pool.labels.codes
        if len(np.unique(y[y >= 0])) < 2:
            raise NotCapable("t-similarity needs two classes or more among the labelled examples", given=pool.labels.counts)

        def make() -> dict[str, NDArray[np.float64]]:
            order = np.argsort(np.array(pool.ids))
            X = observer.embeddings(pool)
            W, b = diverse_heads(X[order], y[order], len(pool.labels.names), self.heads, self.gamma, self.steps, self.rate,
                                 observer.ctx.rng("t-similarity"))
            return {"similarity": pairwise_agreement(head_probs(X, W, b))}

        key = {"observable": "t-similarity", "version": 1, "pool": pool.fingerprint, "by": observer.fingerprint,
               "plan": [self.heads, self.gamma, self.steps, self.rate]}
        return Scores.of("t-similarity", pool, observer.ctx.store.once(key, make)["similarity"],
                         high="heads agree though they were told not to: a guess to be trusted",
                         unit="inner product of distributions",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def head_probs(X: NDArray[np.float32], W: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax outputs [M, n, C] of heads W [M, C, d], b [M, C] on X [n, d] times sqrt(d)."""
    z = np.einsum("nd,mcd->mnc", X * np.float32(X.shape[1] ** 0.5), W, optimize=True) + b[:, None, :]
    z = z.astype(np.float64)
    z = np.exp(z - z.max(axis=2, keepdims=True))
    return np.asarray(z / z.sum(axis=2, keepdims=True))


def pairwise_agreement(P: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over pairs of different heads of the inner product of their outputs P [M, n, C]: [n]."""
    total = P.sum(axis=0)
    m = len(P)
    return np.asarray(((total**2).sum(axis=1) - (P**2).sum(axis=(0, 2))) / (m * (m - 1)), dtype=np.float64)


def loss_gradient(P: NDArray[np.float64], Pu: NDArray[np.float64], y: NDArray[np.integer], gamma: float
                  ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradients in the logits of mean cross-entropy (over heads and rows) + gamma * mean `pairwise_agreement`.

    P [M, n, C] on labelled rows with labels y [n], Pu [M, u, C] on unlabelled ones; returns arrays of the same shapes.
    """
    m, n, _ = P.shape
    labelled = P.copy()
    labelled[:, np.arange(n), y] -= 1
    labelled /= m * n
    inner = 2.0 * (Pu.sum(axis=0)[None] - Pu) / (m * (m - 1) * Pu.shape[1])
    return labelled, gamma * Pu * (inner - (Pu * inner).sum(axis=2, keepdims=True))


def diverse_heads(X: NDArray[np.float32], y: NDArray[np.integer], n_classes: int, heads: int, gamma: float, steps: int,
                  rate: float,
                  rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Train heads W [M, C, d], b [M, C] by Adam on rows of X [n, d] with y >= 0, disagreeing on those with y < 0 (or on all)."""
    labelled, free = np.flatnonzero(y >= 0), np.flatnonzero(y < 0)
    free = free if len(free) else labelled
    d = X.shape[1]
    rows = X * np.float32(d**0.5)
    bound = d**-0.5
    params = [rng.uniform(-bound, bound, (heads, n_classes, d)).astype(np.float32), np.zeros((heads, n_classes), np.float32)]
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    for step in range(1, steps + 1):
        a = labelled[rng.integers(0, len(labelled), min(_BATCH, len(labelled)))]
        u = free[rng.integers(0, len(free), min(_BATCH, len(free)))]
        ga, gu = loss_gradient(head_probs(X[a], *params), head_probs(X[u], *params), y[a], gamma)
        ga, gu = ga.astype(np.float32), gu.astype(np.float32)
        gradients = (np.einsum("mnc,nd->mcd", ga, rows[a], optimize=True) + np.einsum("mnc,nd->mcd", gu, rows[u], optimize=True),
                     ga.sum(axis=1) + gu.sum(axis=1))
        now = rate * 0.5 * (1 + np.cos(np.pi * step / steps)) / d**0.5  # inputs are sqrt(d) long, steps that much shorter
        for i, g in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g * g
            move = (first[i] / (1 - 0.9**step)) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
            params[i] = (params[i] - np.float32(now) * move).astype(np.float32)
    return params[0], params[1]
