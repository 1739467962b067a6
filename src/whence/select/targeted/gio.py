"""GIO: grow a set until it is as close to the target as it gets, in KL divergence.

Everaert and Potts 2024, "GIO: Gradient Information Optimization for Training Dataset Selection" (arXiv:2306.11670). As in the
paper, pool and target are quantised by k-means and whole clusters are taken. The paper's set ends where the estimate
rises; a budget may ask for more, and then the clusters nearest to a target point follow. The free point starts at a
random target each round (`jump`), because with the mean as start every round ends in the same place.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.errors import NotCapable
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


@method
class GIO:
    """Examples that bring the chosen set near the reference examples, in KL divergence."""

    card: ClassVar[Card] = Card(
        line="Examples that bring the chosen set near the target, in KL divergence of embeddings; needs no labels.",
        papers=(Paper("GIO: Gradient Information Optimization for Training Dataset Selection", "Everaert and Potts", 2024,
                      "arXiv:2306.11670"),),
        needs=("text", "embeddings", "reference"),
        cost="k-means of pool and target, then one descent per cluster chosen",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = True

    clusters: int = param(300, "k-means clusters of the pool, and of the target", ge=2)
    neighbors: int = param(5, "neighbours in the divergence estimate", ge=1)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        from whence.kernels.gio import gio_quantized

        k = checked(budget, pool)
        if reference is None or len(reference) <= self.neighbors:
            raise NotCapable("GIO needs reference examples that stand for the target",
                             given=None if reference is None else len(reference),
                             legal=f"more than {self.neighbors}", do="pass --reference")
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, reference.fingerprint, observer.fingerprint))
        if k == 0:
            return Selection.of(pool, [], step=step, reason="does not bring the set nearer to the target")
        by_id = np.argsort(np.array(pool.ids))
        X, T = observer.embeddings(pool)[by_id], observer.embeddings(reference)[np.argsort(np.array(reference.ids))]
        chosen, _, _ = gio_quantized(X, T, ctx.rng("select/gio"), pool_clusters=self.clusters, target_clusters=self.clusters,
                                     k=min(self.neighbors, len(T) - 1), start="jump", max_clusters=self.clusters, patience=3)
        rest = np.setdiff1d(np.arange(len(X)), chosen)
        blocks = [(X[rest[i : i + 4096]] @ T.T).max(axis=1) for i in range(0, len(rest), 4096)]
        nearest = np.concatenate([np.zeros(0), *blocks])
        rows = by_id[np.concatenate([chosen, rest[np.argsort(-nearest, kind="stable")]])[:k]]
        return Selection.of(pool, rows, step=step, reason="does not bring the set nearer to the target")
