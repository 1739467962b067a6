"""KNN-Shapley: an example's fair share of the accuracy that nearest neighbours reach on a reference.

Jia et al.: Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms (2019), exactly, by their recursion. Distances
are Euclidean between unit embeddings.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.score.value._reference import labelled_reference


@method
class KNNShapley:
    """Mean over the reference of the example's Shapley value in "share of right labels among the `k` nearest"."""

    k: int = param(5, "neighbours of the classifier", ge=1)

    card: ClassVar[Card] = Card(
        line="Shapley value for a nearest-neighbour classifier on the reference, exactly.",
        papers=(
            Paper(
                "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms", "Jia et al.", 2019, "arXiv:1908.08619"
            ),
        ),
        needs=("labels", "embeddings", "reference"),
        cost="n log n for each reference example",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.knn_shapley import knn_shapley

        y, reference, yq = labelled_reference(pool, reference, observer, "knn-shapley")
        # ties in distance go to the lower row: rows go in by id, so that the order of the file does not matter
        order = np.argsort(np.array(pool.ids))
        values = np.empty(len(y))
        values[order] = knn_shapley(observer.embeddings(pool)[order], y[order], observer.embeddings(reference), yq, self.k)
        return Scores.of(
            "knn-shapley",
            pool,
            values,
            high="it makes the reference's labels come out right",
            unit="share of accuracy",
            step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint, reference.fingerprint)),
        )
