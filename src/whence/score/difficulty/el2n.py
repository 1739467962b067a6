"""EL2N: the norm of the error vector early in training, averaged over networks.

Paul, Ganguli, Dziugaite: Deep Learning on a Data Diet (2021). The score of (x, y) is the expectation over weights early in
training of ||p(x) - onehot(y)||_2. We train a small network on frozen embeddings instead of a whole one, for tens of epochs
instead of 200; the default looks after the second of sixteen, where the paper looks after epoch 20 of 200.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class EL2N:
    """Norm of (predicted probabilities - one-hot label) after `epoch` epochs, averaged over seeds: between 0 and sqrt(2)."""

    epoch: int = param(2, "epoch of training, counted from 1, after which errors are measured", ge=1)

    card: ClassVar[Card] = Card(
        line="Norm of the error vector early in training, averaged over networks.",
        papers=(Paper("Deep Learning on a Data Diet: Finding Important Examples Early in Training",
                      "Paul, Ganguli, Dziugaite", 2021, "arXiv:2107.07075"),),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
        presets={
            "data-diet": Preset({"epoch": 2}, "early in training, as on images"),
            "bert-data-diet": Preset(
                {"epoch": 1}, "after one full epoch: earlier steps were unreliable on text",
                Paper("BERT on a Data Diet: Finding Important Examples by Gradient-Based Pruning", "Fayyaz et al.", 2022,
                      "arXiv:2211.05610")),
        },
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        if self.epoch > d.epochs:
            raise BadInput("EL2N.epoch lies beyond the training", given=self.epoch, legal=f"1 to {d.epochs}")
        return Scores.of("el2n", pool, early_error(d.error_norm, self.epoch),
                         high="far from the label early in training: hard, or mislabelled", unit="L2 distance",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def early_error(error_norm: NDArray[np.floating], epoch: int) -> NDArray[np.float64]:
    """Mean over seeds of the error norms [seeds, epochs, n] after `epoch` epochs (counted from 1): [n]."""
    return np.asarray(error_norm[:, epoch - 1, :].mean(axis=0, dtype=np.float64))
