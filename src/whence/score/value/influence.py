"""Influence on a reference: does training on the example make the reference's labels more probable?

Koh, Liang: Understanding Black-box Predictions via Influence Functions (2017). The effect of the example's being in training on
the mean log-probability of the reference's labels under the softmax head, by the inverse Hessian, to first order. The
paper's influence is of up-weighting on the loss; ours has the sign and size of "with the example less without it".
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.score.value._reference import labelled_reference


@method
class Influence:
    """Effect of the example on the mean log-probability of the reference's labels, in nats; negative: it hurts."""

    form: str = param(
        "first_order", "the first order, or one Newton step without the row", choices=("first_order", "leave_one_out")
    )

    card: ClassVar[Card] = Card(
        line="Effect of an example on the log-probability of the reference's labels.",
        papers=(Paper("Understanding Black-box Predictions via Influence Functions", "Koh, Liang", 2017, "arXiv:1703.04730"),),
        needs=("labels", "embeddings", "head", "reference"),
        cost="one fit and one linear system, whatever the size of the reference",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.influence import curvature, influence_on_mean

        y, reference, yq = labelled_reference(pool, reference, observer, "influence")
        head = observer.head(pool)
        curve = curvature(observer.embeddings(pool), y, head.W, head.b, C=head.C)
        values, _ = influence_on_mean(
            curve, observer.embeddings(reference), yq, form="leave_one_out" if self.form == "leave_one_out" else "first_order"
        )
        return Scores.of(
            "influence",
            pool,
            values,
            high="training on it makes the reference's labels more probable",
            unit="nats",
            step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint, reference.fingerprint)),
        )
