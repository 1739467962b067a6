"""Agreement: the share of networks that classify an example rightly, over training.

Hacohen, Choshen, Weinshall: Let's Agree to Agree (2020) define the true-positive agreement of an example at an epoch as the
share of networks that are right, and find that networks learn in a common order. The score is its mean over epochs (the
paper's accessibility); `true_positive_agreement` gives the curve, and `agreement_bimodality` the paper's sign that the
networks go together: at an epoch most examples are right in all networks or in none.
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
class Agreement:
    """Share of (network, epoch) pairs in which the example is right. HIGH IS EASY."""

    card: ClassVar[Card] = Card(
        line="Share of networks that are right, averaged over training (high is easy).",
        papers=(Paper("Let's Agree to Agree: Neural Networks Share Classification Order on Real Datasets",
                      "Hacohen, Choshen, Weinshall", 2020, "arXiv:1905.10854"),),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        return Scores.of("agreement", pool, true_positive_agreement(d.predicted == d.codes).mean(axis=0),
                         high="easy: all networks were right from early on", unit="share of networks",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def true_positive_agreement(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of networks that are right, from `right` [networks, epochs, n]: [epochs, n]."""
    return np.asarray(right.mean(axis=0, dtype=np.float64))


def agreement_bimodality(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pearson's bimodality index of the agreement at each epoch: kurtosis - skewness^2, 1 for two points, about 3 for one heap.

    From `right` [networks, epochs, n]: [epochs]. An epoch at which all examples agree equally has no index: raises ValueError.
    """
    share = true_positive_agreement(right)
    centred = share - share.mean(axis=1, keepdims=True)
    variance = (centred**2).mean(axis=1)
    if (variance <= 0).any():
        raise ValueError(f"agreement does not vary at epoch {int(np.flatnonzero(variance <= 0)[0]) + 1}")
    skewness = (centred**3).mean(axis=1) / variance**1.5
    kurtosis = (centred**4).mean(axis=1) / variance**2
    return np.asarray(kurtosis - skewness**2)
