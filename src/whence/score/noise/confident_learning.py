"""Confident learning: flags by the estimated joint of given and true labels, and a score that agrees with them.

Northcutt, Jiang, Chuang: Confident Learning (2021). The kernel estimates how many labels of each kind are wrong and flags that
many (prune by noise rate). The paper ranks within its flags by self-confidence or margin; as one number per example we give
(flag + normalised margin) / 2, so that 0.5 or more is exactly flagged, and the margin orders both sides.
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
class ConfidentLearning:
    """(flag + margin) / 2 in [0, 1], margin = (max p(other) - p(given) + 1) / 2: 0.5 or more is flagged as mislabelled."""

    noise_share: float = param(1.0, "share of the estimated number of wrong labels that is flagged", ge=0, le=1)

    card: ClassVar[Card] = Card(
        line="Flags as many labels as are estimated to be wrong, of each kind of mistake.",
        papers=(Paper("Confident Learning: Estimating Uncertainty in Dataset Labels", "Northcutt, Jiang, Chuang", 2021,
                      "arXiv:1911.00068"),),
        needs=("labels", "embeddings", "class_probs"),
        cost="ten fits of a softmax head, shared by all methods that look at class probabilities",
    )

    def flags(self, pool: Pool, observer: Observer) -> NDArray[np.bool_]:
        """[n] in pool order: True where the label is estimated to be wrong."""
        from whence.kernels.confident_learning import label_issues

        seen = observer.class_probs(pool)
        return label_issues(seen.codes, seen.probs, noise_share=self.noise_share)

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.confident_learning import normalized_margin

        seen = observer.class_probs(pool)
        margin = 1.0 - normalized_margin(seen.codes, seen.probs).astype(np.float64)
        return Scores.of("confident-learning", pool, flagged_margin(self.flags(pool, observer), margin),
                         high="0.5 or more: among the labels estimated to be wrong", unit="half flag, half margin",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def flagged_margin(flags: NDArray[np.bool_], margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(flags + margin) / 2 [n]; a flagged row lies in [0.5, 1], another in [0, 0.5) (a margin of 1 is taken just below)."""
    below = np.minimum(margin, np.nextafter(1.0, 0.0))
    return np.where(flags, (1.0 + margin) / 2.0, below / 2.0)
