"""Representer points: the terms by which each training example enters the logit of a question's label.

Yeh et al. 2018, "Representer Point Selection for Explaining Deep Neural Networks" (arXiv:1811.09720). At the optimum of an
L2-regularised head the logit is a sum over training examples, and these are its terms. The intercept is not penalised
here, so the terms add up to the logit less its intercept.
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
class Representer:
    """Each training example's term in the logit of the question's label."""

    card: ClassVar[Card] = Card(
        line="Each training example's term in the logit of the question's label.",
        papers=(Paper("Representer Point Selection for Explaining Deep Neural Networks", "Yeh et al.", 2018,
                      "arXiv:1811.09720"),),
        needs=("text", "labels", "embeddings", "head"),
        cost="one matrix product",
    )

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.influence import representer_values

        X, r, Xq, _, yq = residuals(pool, queries, observer)
        values = representer_values(X, r, Xq, yq, C=observer.head(pool).C)
        return linked(pool, queries, values, top=top, step=step_of(self, inputs=inputs_of(pool, queries, observer)),
                      high="the example's term raises the logit of the question's label", unit="logit")
