"""Margin: by how much the given label was ahead of the best other class, averaged over training.

Pleiss et al.: Identifying Mislabeled Data using the Area Under the Margin Ranking (2020). The paper takes the difference of
logits; we take that of probabilities, which is bounded and comparable across pools, and average over seeds too.
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
class Margin:
    """Mean over epochs and seeds of p(label) - max p(other): between -1 and 1. HIGH IS EASY; low is hard or mislabelled."""

    card: ClassVar[Card] = Card(
        line="Area under the margin: how far the label led over training (high is easy).",
        papers=(Paper("Identifying Mislabeled Data using the Area Under the Margin Ranking",
                      "Pleiss, Zhang, Elenberg, Weinberger", 2020, "arXiv:2001.10528"),),
        needs=("labels", "embeddings", "dynamics"),
        cost="one short training per seed, shared by all methods that look at dynamics",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        d = observer.dynamics(pool)
        return Scores.of("margin", pool, area_under_margin(d.p_label, d.p_other),
                         high="easy: the label led by far throughout training",
                         unit="probability", step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def area_under_margin(p_label: NDArray[np.floating], p_other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean over seeds and epochs of p_label - p_other (both [seeds, epochs, n]): [n]."""
    return np.asarray((p_label.astype(np.float64) - p_other).mean(axis=(0, 1)))
