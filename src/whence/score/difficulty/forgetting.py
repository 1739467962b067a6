"""Forgetting: how often a training example goes from right to wrong.

Toneva et al.: An Empirical Study of Example Forgetting during Deep Neural Network Learning (2019). The paper counts events
over the visits of one run and gives an example that was never right an infinite count. Scores here are finite: an example
that was never right gets the number of epochs (at most half as many events are possible), and counts are averaged over seeds.
We look after each epoch and not when the example's batch passes.
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
class Forgetting:
    """Number of times the example was classified rightly after one epoch and wrongly after the next, mean over seeds.

    An example that was never right in a run counts as many events as the run has epochs.
    """

    card: ClassVar[Card] = Card(
        line="How often an example that was learnt is got wrong again.",
        papers=(Paper("An Empirical Study of Example Forgetting during Deep Neural Network Learning",
                      "Toneva, Sordoni, Tachet des Combes, Trischler, Bengio, Gordon", 2019, "arXiv:1812.05159"),),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        return Scores.of("forgetting", pool, forgetting_events(d.predicted == d.codes).mean(axis=0),
                         high=f"often forgotten; {d.epochs} = never right", unit="events per run",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def forgetting_events(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Right-to-wrong transitions along epochs of `right` [seeds, epochs, n]: [seeds, n]; never right gives `epochs`."""
    events = (right[:, :-1] & ~right[:, 1:]).sum(axis=1).astype(np.float64)
    return np.where(right.any(axis=1), events, float(right.shape[1]))
