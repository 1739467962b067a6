"""Confidence: the mean probability of the given label over training, one axis of a data map.

Swayamdipta et al.: Dataset Cartography (2020). High is easy: the score is not turned round. The paper averages over the
epochs of one run; we average over seeds too.
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
class Confidence:
    """Mean over epochs and seeds of the probability of the given label. HIGH IS EASY; low is hard or mislabelled."""

    card: ClassVar[Card] = Card(
        line="Mean probability of the given label over training (high is easy).",
        papers=(Paper("Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics",
                      "Swayamdipta et al.", 2020, "arXiv:2009.10795"),),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        return Scores.of("confidence", pool, mean_probability(d.p_label), high="easy: the label was believed throughout training",
                         unit="probability", step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def mean_probability(p_label: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over seeds and epochs of p_label [seeds, epochs, n]: [n]."""
    return np.asarray(p_label.mean(axis=(0, 1), dtype=np.float64))
