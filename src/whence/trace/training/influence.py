"""Influence functions: the effect of each training example on each answer of the head, by its inverse curvature.

Koh and Liang 2017, "Understanding Black-box Predictions via Influence Functions" (arXiv:1703.04730). The head is convex,
so the inverse Hessian is exact by Cholesky where it fits and by preconditioned conjugate gradients beyond; the paper's
damping and stochastic recursion are not needed. The sign is turned: the paper gives the effect of upweighting on the
loss; here a positive weight means that the example being there raises the log-probability of the question's label.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import inputs_of, known_labels, linked


@method
class Influence:
    """Effect of each training example on the log-probability of each question's label, in nats."""

    card: ClassVar[Card] = Card(
        line="Effect of each training example on each answer of a convex head, by its inverse curvature.",
        papers=(Paper("Understanding Black-box Predictions via Influence Functions", "Koh and Liang", 2017, "arXiv:1703.04730"),),
        needs=("text", "labels", "embeddings", "head"),
        cost="one factorisation of the head's Hessian (seconds up to 8,000 parameters), conjugate gradients beyond",
        status="stable",
    )

    form: str = param("first_order", "first_order sums over examples; leave_one_out corrects for the example's own leverage",
                      choices=("first_order", "leave_one_out"))

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.influence import influence_on

        curve = observer.curvature(pool)
        yq = known_labels(queries, observer.head(pool).names, observer)
        Xq = observer.embeddings(queries).astype(curve.rows.dtype)
        effects = influence_on(curve, Xq, yq, form=self.form)  # type: ignore[arg-type]
        return linked(pool, queries, effects, top=top, step=step_of(self, inputs=inputs_of(pool, queries, observer)),
                      high="the example being there makes the question's label more probable", unit="nats")
