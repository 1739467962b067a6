"""Distance to the class centroid: how far an example lies from the middle of its own class.

The nearest-mean classifier's distance; Snell, Swersky, Zemel (2017) call the mean a class's prototype. The example itself is
left out of the mean it is held against, or small classes would seem tight.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class ClassCentroid:
    """Euclidean distance between the embedding and the mean of the other examples of its class."""

    card: ClassVar[Card] = Card(
        line="Distance to the mean of the example's own class.",
        papers=(Paper("Prototypical Networks for Few-shot Learning", "Snell, Swersky, Zemel", 2017, "arXiv:1703.05175"),),
        needs=("labels", "embeddings"),
        cost="linear",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        y = observer.labelled(pool, "class-centroid")
        values, alone = centroid_distance(observer.embeddings(pool), y, len(pool.labels.names))
        missing = {pool.ids[i]: "the only example of its class" for i in np.flatnonzero(alone)}
        return Scores.of("class-centroid", pool, values, high="far from the middle of its class: unusual, or mislabelled",
                         unit="L2 distance",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)), missing=missing)


def centroid_distance(X: NDArray[np.floating], y: NDArray[np.integer], n_classes: int) -> tuple[NDArray[np.float64],
                                                                                                NDArray[np.bool_]]:
    """Distance [n] of each row of X [n, d] to the mean of the other rows of its class y [n]; where there is no other
    (0.0 there)."""
    rows = X.astype(np.float64)
    count = np.bincount(y, minlength=n_classes)[y]
    sums = np.zeros((n_classes, X.shape[1]))
    np.add.at(sums, y, rows)
    alone = count < 2
    others = (sums[y] - rows) / np.maximum(count - 1, 1)[:, None]
    return np.where(alone, 0.0, np.linalg.norm(rows - others, axis=1)), alone
