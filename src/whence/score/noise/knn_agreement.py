"""Neighbours' disagreement: the share of an example's nearest neighbours that carry another label.

Gao, Yang, Zhou: On the Resistance of Nearest Neighbor to Random Noisy Labels (2018) say when neighbours outvote noise; the
score itself is older than any paper. Neighbours are by cosine; each counts once.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class KNNAgreement:
    """Share of the `k` nearest neighbours whose label differs from the example's."""

    k: int = param(20, "neighbours", ge=1)

    card: ClassVar[Card] = Card(
        line="Share of nearest neighbours with another label.",
        papers=(Paper("On the Resistance of Nearest Neighbor to Random Noisy Labels", "Gao, Yang, Zhou", 2018,
                      "arXiv:1607.07526"),),
        needs=("labels", "embeddings"),
        cost="one comparison of all pairs",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.neighbors import label_agreement, nearest

        y = observer.labelled(pool, "knn-agreement")
        rows, _ = nearest(observer.embeddings(pool), observer.embeddings(pool), min(self.k, len(pool) - 1), exclude_self=True)
        return Scores.of("knn-agreement", pool, 1.0 - label_agreement(rows, y),
                         high="the neighbours carry other labels: probably mislabelled", unit="share of neighbours",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))
