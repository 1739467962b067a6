"""Greedy k-centre cover: always the example farthest from everything chosen so far.

Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach" (arXiv:1708.00489). We
give the greedy 2-approximation; the paper's mixed-integer refinement that tolerates outliers is the parameter
`outliers`, which skips the farthest share of examples at each choice. The paper covers with the features of the current
model; we cover with the encoder's. With `from_labelled` the labelled examples of a pool are covered ground, and the choice is
made among the others, as in the paper's active learning.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


@method
class KCenter:
    """Examples whose largest distance to any other example is as small as greedy choice makes it."""

    card: ClassVar[Card] = Card(
        line="Cover all examples: always take the one farthest from what is chosen.",
        papers=(Paper("Active Learning for Convolutional Neural Networks: A Core-Set Approach", "Sener and Savarese", 2018,
                      "arXiv:1708.00489"),),
        needs=("text", "embeddings"),
        cost="one distance per example and choice",
        presets={"core-set": Preset({"from_labelled": True}, "What to label next: far from all that is labelled or chosen.",
                                    Paper("Active Learning for Convolutional Neural Networks: A Core-Set Approach",
                                          "Sener and Savarese", 2018, "arXiv:1708.00489"))},
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    outliers: float = param(0.0, "share of the farthest examples that is skipped at each choice", ge=0, lt=1)
    from_labelled: bool = param(False, "labelled examples count as chosen already, and come last")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        from whence.kernels.kcenter import kcenter

        k = checked(budget, pool)
        by_id = np.argsort(np.array(pool.ids))  # ties go to the smaller id, whatever the order of the file
        labelled = pool.labels.codes >= 0 if self.from_labelled and "label" in pool.roles else np.zeros(len(pool), bool)
        covered = np.flatnonzero(labelled[by_id])
        wanted = min(k, len(pool) - len(covered))
        X = observer.embeddings(pool)[by_id] if wanted else np.zeros((0, 0), np.float32)
        rows = by_id[kcenter(X, wanted, initial=covered, outlier_share=self.outliers)[0]] if wanted else by_id[:0]
        rows = np.concatenate([rows, by_id[covered][: k - wanted]])

        def reason(this: str) -> str:
            return "labelled already" if labelled[pool.position(this)] else "covered by a chosen example"

        return Selection.of(pool, rows, step=step_of(self, inputs=(pool.fingerprint, observer.fingerprint)), reason=reason)
