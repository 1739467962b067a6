"""Inner products of loss gradients of the head: what one gradient step on an example does to a question.

First-order effect of one gradient step: the inner product of the two loss gradients (TracIn with one checkpoint, Pruthi et
al. 2020, arXiv:2002.08484), without the inverse curvature. With `normalised` it is divided by the norms of both (gradient
cosine), so that examples with large gradients do not head every list.
A baseline here: on a convex head it costs as much as influence and lacks the curvature.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import inputs_of, linked, residuals


@method
class GradientDot:
    """Inner products of loss gradients of the head: what one gradient step on an example does to a question."""

    card: ClassVar[Card] = Card(
        line="Inner products of loss gradients of the head: what one gradient step on an example does to a question.",
        papers=(Paper("Estimating Training Data Influence by Tracing Gradient Descent", "Pruthi et al.", 2020,
                      "arXiv:2002.08484"),),
        needs=("text", "labels", "embeddings", "head"),
        cost="one matrix product",
        status="baseline",
        presets={"gradient-cosine": Preset({"normalised": True}, "Cosines of the gradients: inner products without the sizes.")},
    )

    normalised: bool = param(False, "divide by the norms of both gradients: the cosine")

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.influence import gradient_cosine, gradient_dot

        X, r, Xq, rq, _ = residuals(pool, queries, observer)
        step = step_of(self, inputs=inputs_of(pool, queries, observer))
        values = gradient_cosine(X, r, Xq, rq) if self.normalised else gradient_dot(X, r, Xq, rq)
        return linked(pool, queries, values, top=top, step=step,
                      high="a step on the example makes the question's label more probable",
                      unit="cosine of gradients" if self.normalised else "inner product of gradients")
