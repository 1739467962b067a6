"""Cosines of loss gradients of the head: gradient dot without the sizes.

The inner product of the two loss gradients divided by their norms, so that examples with large gradients do not head every list.
A baseline here: on a convex head it costs as much as influence and lacks the curvature.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import inputs_of, linked, residuals


@method
class GradientCosine:
    """Cosines of loss gradients of the head: gradient dot without the sizes."""

    card: ClassVar[Card] = Card(
        line="Cosines of loss gradients of the head: gradient dot without the sizes.",
        papers=(Paper("Estimating Training Data Influence by Tracing Gradient Descent", "Pruthi et al.", 2020,
                      "arXiv:2002.08484"),),
        needs=("text", "labels", "embeddings", "head"),
        cost="one matrix product",
        status="baseline",
    )

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.influence import gradient_cosine

        X, r, Xq, rq, _ = residuals(pool, queries, observer)
        step = step_of(self, inputs=inputs_of(pool, queries, observer))
        return linked(pool, queries, gradient_cosine(X, r, Xq, rq), top=top, step=step,
                      high="a step on the example makes the question's label more probable", unit="cosine of gradients")
