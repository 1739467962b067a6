"""Maximum softmax probability: how unsure the head is, whatever the label.

Hendrycks, Gimpel (2017) for the score; Averly, Chao: Unified Out-Of-Distribution Detection: A Model-Specific Perspective (2023)
for what it is held against: every input that the deployed classifier gets wrong counts as out of distribution, whether its
meaning or its manner is foreign. The score is 1 - max probability, out of fold on the pool itself, or by a head fitted on
the reference.
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
class MSP:
    """1 - largest class probability under heads that never saw the example."""

    card: ClassVar[Card] = Card(
        line="One minus the head's largest class probability.",
        papers=(Paper("Unified Out-Of-Distribution Detection: A Model-Specific Perspective", "Averly, Chao", 2023,
                      "arXiv:2304.06813"),
                Paper("A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks",
                      "Hendrycks, Gimpel", 2017, "arXiv:1610.02136")),
        needs=("labels", "embeddings", "class_probs"),
        cost="ten fits of a softmax head, or one on a reference",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        if reference is None:
            probs = observer.class_probs(pool).probs
        else:
            probs = observer.head(reference).probs(observer.embeddings(pool))
        inputs = (pool.fingerprint, observer.fingerprint) + (() if reference is None else (reference.fingerprint,))
        return Scores.of("msp", pool, doubt(probs), high="the head is unsure: likely to be got wrong", unit="probability",
                         step=step_of(self, seed=ctx.seed, inputs=inputs))


def doubt(probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 - max over classes of probs [n, C]: [n]."""
    return np.asarray(1.0 - probs.max(axis=1), dtype=np.float64)
