"""Variability: the spread of the label's probability over training, the other axis of a data map.

Swayamdipta et al.: Dataset Cartography (2020): the standard deviation over epochs, divided by the number of epochs and not
one less. Averaged over seeds here.
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
class Variability:
    """Standard deviation over epochs of the probability of the given label, mean over seeds: between 0 and 0.5."""

    card: ClassVar[Card] = Card(
        line="Standard deviation of the label's probability over training.",
        papers=(Paper("Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics",
                      "Swayamdipta et al.", 2020, "arXiv:2009.10795"),),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        return Scores.of("variability", pool, spread(d.p_label), high="ambiguous: the network changed its mind",
                         unit="probability",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def spread(p_label: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over seeds of the standard deviation along epochs of p_label [seeds, epochs, n]: [n]."""
    return np.asarray(p_label.std(axis=1, dtype=np.float64).mean(axis=0))
