"""Prototype distance: how far an embedding lies from the nearest k-means centroid.

Sorscher, Geirhos, Shekhar, Ganguli, Morcos: Beyond neural scaling laws (2022). K-means in the embedding space, cosine
distance to the nearest centroid; keep the far (hard) ones when data are many and the near ones when they are few. The paper
takes as many clusters as there are classes and finds the number matters little; so do we where there are labels.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class PrototypeDistance:
    """1 - cosine to the nearest of `clusters` centroids of the pool (of the reference, where there is one)."""

    clusters: int | None = param(None, "centroids; None: as many as classes, or 20 where there are no labels", ge=1)

    card: ClassVar[Card] = Card(
        line="Distance to the nearest k-means centroid.",
        papers=(Paper("Beyond neural scaling laws: beating power law scaling via data pruning",
                      "Sorscher, Geirhos, Shekhar, Ganguli, Morcos", 2022, "arXiv:2206.14486"),),
        needs=("embeddings",),
        cost="k-means: rows times clusters, a few dozen times",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.kmeans import assign, kmeans

        base = pool if reference is None else reference
        if len(base) == 0:
            raise BadInput("prototype-distance needs examples to make prototypes of", given=f"0 in '{base.name}'")
        classes = len(base.labels.names) if "label" in base.roles else 0
        k = self.clusters or classes or 20
        # rows go in by id, so that the start does not depend on the order of the file
        X = observer.embeddings(base)[np.argsort(np.array(base.ids))]
        centres, _, _ = kmeans(X, min(k, len(X)), ctx.rng("prototype-distance"), spherical=True)
        _, squared = assign(observer.embeddings(pool), centres)
        inputs = (pool.fingerprint, observer.fingerprint) + (() if reference is None else (reference.fingerprint,))
        return Scores.of("prototype-distance", pool, squared / 2.0, high="far from every prototype: unusual", unit="1 - cosine",
                         step=step_of(self, seed=ctx.seed, inputs=inputs))
