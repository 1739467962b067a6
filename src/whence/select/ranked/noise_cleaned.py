"""Random choice from what is left when the most suspicious labels are set aside.

The plainest use of a label-noise score: Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in
Dataset Labels" (arXiv:1911.00068), train on what remains. The suspicious examples come last, so that a large budget takes
them after everything else.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


@method
class NoiseCleaned:
    """A random subset of the examples whose labels look right."""

    card: ClassVar[Card] = Card(
        line="A random subset of the examples whose labels look right.",
        papers=(Paper("Confident Learning: Estimating Uncertainty in Dataset Labels", "Northcutt, Jiang and Chuang",
                      2021, "arXiv:1911.00068"),),
        needs=("text", "labels", "embeddings", "class_probs"),
        cost="that of the score",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = True

    scorer: Any = param("consensus", "a label-noise scorer whose high values are suspicious, or the name of one")
    share: float = param(0.1, "share of the examples that is set aside as suspicious", gt=0, lt=1)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        k = checked(budget, pool)
        scorer = build(self.scorer, verb="score") if isinstance(self.scorer, str) else self.scorer
        scores = scorer(pool, observer, ctx, reference=reference)
        values, known = scores.aligned(pool.ids)
        by_id = np.argsort(np.array(pool.ids))  # ties go to the smaller id, whatever the order of the file
        order = by_id[np.argsort(np.where(known, -values, np.inf)[by_id], kind="stable")]
        doubtful = np.zeros(len(pool), dtype=bool)
        doubtful[order[: round(self.share * len(pool))]] = True
        drawn = by_id[ctx.rng("select/noise-cleaned").permutation(len(pool))]
        rows = np.concatenate([drawn[~doubtful[drawn]], order[: int(doubtful.sum())][::-1]])[:k]

        def reason(this: str) -> str:
            i = pool.position(this)
            return f"its label looks wrong: {scores.name} {values[i]:.4g}" if doubtful[i] else "not drawn"

        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint))
        return Selection.of(pool, rows, step=step, reason=reason)
