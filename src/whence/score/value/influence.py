"""Influence on a reference: does training on the example make the reference's labels more probable?

Koh, Liang: Understanding Black-box Predictions via Influence Functions (2017). The effect of the example's being in training on
the mean log-probability of the reference's labels under the softmax head, by the inverse Hessian, to first order. The
paper's influence is of up-weighting on the loss; ours has the sign and size of "with the example less without it".
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import BadInput, NotCapable
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


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

        if reference is None or len(reference) == 0:
            raise NotCapable(
                "influence needs a labelled reference", do="pass validation examples as the reference (--reference FILE)"
            )
        y = observer.labelled(pool, "influence")
        if "label" not in reference.roles:
            raise NotCapable("influence needs labels on the reference", given=", ".join(reference.columns))
        yq = observer.codes(reference, pool.labels.names)
        if (yq < 0).any():
            raise BadInput(
                f"The reference example {reference.ids[int(np.flatnonzero(yq < 0)[0])]} has no label of '{pool.name}'",
                legal=pool.labels.names,
                do="label it, or leave it out",
            )
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
