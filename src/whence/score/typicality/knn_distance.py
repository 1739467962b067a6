"""Distance to the k-th nearest neighbour: sparse surroundings.

Sun, Ming, Zhu, Li: Out-of-Distribution Detection with Deep Nearest Neighbors (2022) take the distance from a normalised
feature to its k-th nearest training feature, as here; the idea goes back to Ramaswamy, Rastogi, Shim (2000). The paper's k of 50
to 1000 is for training sets of 50,000 and more; ours is 10.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class KNNDistance:
    """Euclidean distance between unit embeddings to the `k`-th nearest other example of the pool, or example of the reference."""

    k: int = param(10, "which neighbour", ge=1)

    card: ClassVar[Card] = Card(
        line="Distance to the k-th nearest neighbour.",
        papers=(Paper("Out-of-Distribution Detection with Deep Nearest Neighbors", "Sun, Ming, Zhu, Li", 2022,
                      "arXiv:2204.06507"),),
        needs=("embeddings",),
        cost="one comparison of all pairs",
        status="baseline",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.neighbors import nearest

        base = pool if reference is None else reference
        available = len(base) - (reference is None)
        if available < 1:
            raise BadInput("knn-distance needs another example to measure the distance to", given=f"{len(base)} in '{base.name}'")
        _, distance = nearest(observer.embeddings(pool), observer.embeddings(base), min(self.k, available), metric="euclidean",
                              exclude_self=reference is None)
        inputs = (pool.fingerprint, observer.fingerprint) + (() if reference is None else (reference.fingerprint,))
        return Scores.of("knn-distance", pool, distance[:, -1], high="in sparse surroundings: unusual", unit="L2 distance",
                         step=step_of(self, seed=ctx.seed, inputs=inputs))
