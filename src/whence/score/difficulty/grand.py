"""GraNd: the norm of the loss gradient in all parameters, averaged over networks.

Paul, Ganguli, Dziugaite: Deep Learning on a Data Diet (2021). The network is one hidden layer on frozen embeddings, and
the gradient is in all of its parameters. The paper also scores at initialisation; Kirsch (2023) could not reproduce that and
found only the norm of the input there, which is the same for all unit embeddings, so the first score here is after one epoch.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class GraNd:
    """Norm of the example's loss gradient after `epoch` epochs, averaged over seeds."""

    epoch: int = param(2, "epoch of training, counted from 1, after which gradients are measured", ge=1)

    card: ClassVar[Card] = Card(
        line="Norm of the loss gradient early in training, averaged over networks.",
        papers=(Paper("Deep Learning on a Data Diet: Finding Important Examples Early in Training",
                      "Paul, Ganguli, Dziugaite", 2021, "arXiv:2107.07075"),
                Paper("Does 'Deep Learning on a Data Diet' reproduce? Overall yes, but GraNd at Initialization does not",
                      "Kirsch", 2023, "arXiv:2303.14753")),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        if self.epoch > d.epochs:
            raise BadInput("GraNd.epoch lies beyond the training", given=self.epoch, legal=f"1 to {d.epochs}")
        return Scores.of("grand", pool, early_gradient(d.grad_norm, self.epoch),
                         high="pulls hard on the weights early in training: hard, or mislabelled", unit="gradient norm",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def early_gradient(grad_norm: NDArray[np.floating], epoch: int) -> NDArray[np.float64]:
    """Mean over seeds of the gradient norms [seeds, epochs, n] after `epoch` epochs (counted from 1): [n]."""
    return np.asarray(grad_norm[:, epoch - 1, :].mean(axis=0, dtype=np.float64))
