"""Herding: the chosen examples should have the mean of all.

Welling 2009, "Herding Dynamical Weights to Learn"; as kernel herding, Chen, Welling and Smola 2010 (arXiv:1203.3472), here
with the linear kernel on embeddings and without repeats. With `by_class` each class is herded to its own mean, as
iCaRL does (Rebuffi et al. 2017, arXiv:1611.07725).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


@method
class Herding:
    """Examples whose running mean stays close to the mean of all."""

    card: ClassVar[Card] = Card(
        line="Keep the average: the chosen examples have the mean embedding of all.",
        papers=(Paper("Super-Samples from Kernel Herding", "Chen, Welling and Smola", 2010, "arXiv:1203.3472"),
                Paper("iCaRL: Incremental Classifier and Representation Learning", "Rebuffi et al.", 2017, "arXiv:1611.07725")),
        needs=("text", "embeddings"),
        cost="one product per example and choice",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    by_class: bool = param(False, "herd each class to its own mean, in turn")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        from whence.kernels.herding import herding

        k = checked(budget, pool)
        step = step_of(self, inputs=(pool.fingerprint, observer.fingerprint))
        if k == 0:
            return Selection.of(pool, [], step=step, reason="not needed for the mean")
        by_id = np.argsort(np.array(pool.ids))  # ties go to the smaller id, whatever the order of the file
        X = observer.embeddings(pool)[by_id]
        if not self.by_class:
            rows = herding(X, k)[0]
        else:
            codes = observer.labelled(pool, "herding by class")[by_id]
            orders = [np.flatnonzero(codes == c)[herding(X[codes == c], int((codes == c).sum()))[0]] for c in np.unique(codes)]
            # round robin over classes, so that every prefix is balanced
            depth = max(len(o) for o in orders)
            rows = np.array([o[i] for i in range(depth) for o in orders if i < len(o)])[:k]
        return Selection.of(pool, by_id[rows], step=step, reason="not needed for the mean")
