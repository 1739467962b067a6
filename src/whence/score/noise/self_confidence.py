"""Self-confidence: how little heads that never saw an example believe its label.

Northcutt, Jiang, Chuang: Confident Learning (2021) rank by the out-of-sample probability of the given label, low first. The
score here is one minus that probability, so that high means probably mislabelled as in the whole family.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class SelfConfidence:
    """1 - out-of-fold probability of the given label: the probability, by the heads, that the label is another one."""

    card: ClassVar[Card] = Card(
        line="One minus the out-of-fold probability of the given label.",
        papers=(Paper("Confident Learning: Estimating Uncertainty in Dataset Labels", "Northcutt, Jiang, Chuang", 2021,
                      "arXiv:1911.00068"),),
        needs=("labels", "embeddings", "class_probs"),
        cost="ten fits of a softmax head, shared by all methods that look at class probabilities",
        status="baseline",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.confident_learning import self_confidence

        seen = observer.class_probs(pool)
        return Scores.of("self-confidence", pool, 1.0 - self_confidence(seen.codes, seen.probs).astype("float64"),
                         high="heads that never saw the example do not believe its label: probably mislabelled",
                         unit="probability",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))
