"""Learning order: the epoch from which an example stays right.

Toneva et al. (2019) call the first such moment the learning of an example; Hacohen, Choshen, Weinshall (2020) compare the
order across networks. Here: the first epoch after which the example is never wrong again, mean over seeds.
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
class LearningOrder:
    """Epoch, counted from 1, from which the example stays right; epochs + 1 where it is wrong at the end. Mean over seeds."""

    card: ClassVar[Card] = Card(
        line="The epoch from which an example stays right.",
        papers=(Paper("An Empirical Study of Example Forgetting during Deep Neural Network Learning",
                      "Toneva, Sordoni, Tachet des Combes, Trischler, Bengio, Gordon", 2019, "arXiv:1812.05159"),
                Paper("Let's Agree to Agree: Neural Networks Share Classification Order on Real Datasets",
                      "Hacohen, Choshen, Weinshall", 2020, "arXiv:1905.10854")),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        return Scores.of("learning-order", pool, learnt_at(d.predicted == d.codes).mean(axis=0),
                         high=f"learnt late; {d.epochs + 1} = wrong at the end", unit="epochs",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def learnt_at(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """First epoch (from 1) after which `right` [seeds, epochs, n] holds to the end; epochs + 1 where it does not: [seeds, n]."""
    stays = np.flip(np.logical_and.accumulate(np.flip(right, axis=1), axis=1), axis=1)
    return np.asarray(right.shape[1] + 1 - stays.sum(axis=1), dtype=np.float64)
