"""Self-influence: how much of the belief in an example's label comes from the example itself.

Koh, Liang (2017) for the quantity, Feldman, Zhang (2020) for reading it as memorisation, Pruthi et al. (2020) for finding
mislabelled examples with it. Here for the converged softmax head: the log-probability of the label with the example in
training less that without it, first order or by one Newton step without the example (`leave_one_out`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class SelfInfluence:
    """Log-probability of the example's label under the head with it, less that under the head without it, in nats."""

    form: str = param("leave_one_out", "one Newton step without the row, or the first order",
                      choices=("first_order", "leave_one_out"))

    card: ClassVar[Card] = Card(
        line="How much of the belief in a label comes from the example itself.",
        papers=(Paper("Understanding Black-box Predictions via Influence Functions", "Koh, Liang", 2017, "arXiv:1703.04730"),
                Paper("What Neural Networks Memorize and Why", "Feldman, Zhang", 2020, "arXiv:2008.03703"),
                Paper("Estimating Training Data Influence by Tracing Gradient Descent", "Pruthi, Liu, Sundararajan, Kale", 2020,
                      "arXiv:2002.08484")),
        needs=("labels", "embeddings", "head"),
        cost="one fit, and a factorisation of the head's curvature (by class where there are many)",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        y = observer.labelled(pool, "self-influence")
        head = observer.head(pool)
        values = own_effect(observer.embeddings(pool), y, head.W, head.b, head.C, leave_one_out=self.form == "leave_one_out")
        return Scores.of("self-influence", pool, values,
                         high="only the example itself speaks for its label: probably mislabelled, or unique",
                         unit="nats", step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def own_effect(X: NDArray[np.floating], y: NDArray[np.integer], W: NDArray[np.floating], b: NDArray[np.floating], C: float, *,
               leave_one_out: bool) -> NDArray[np.float64]:
    """Effect [n] of each row of X [n, d], y [n] on the log-probability of its own label under the head W [K, d], b [K]."""
    from whence.kernels.influence import curvature, self_influence

    curve = curvature(X, y, W, b, C=C)
    return np.asarray(self_influence(curve, "leave_one_out" if leave_one_out else "first_order"), dtype=np.float64)
