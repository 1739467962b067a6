"""Normalised margin: by how much heads that never saw an example prefer another label.

Northcutt, Jiang, Chuang: Confident Learning (2021); the ranking their package offers as `normalized_margin`, turned so that
high means probably mislabelled: (max p(other) - p(given) + 1) / 2. It asks for a better label and not only for doubt.
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
class NormalizedMargin:
    """(max p(other) - p(given) + 1) / 2 out of fold, between 0 and 1; above 0.5 another label is more probable."""

    card: ClassVar[Card] = Card(
        line="How far another label leads the given one, out of fold.",
        papers=(Paper("Confident Learning: Estimating Uncertainty in Dataset Labels", "Northcutt, Jiang, Chuang", 2021,
                      "arXiv:1911.00068"),),
        needs=("labels", "embeddings", "class_probs"),
        cost="ten fits of a softmax head, shared by all methods that look at class probabilities",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        from whence.kernels.confident_learning import normalized_margin

        seen = observer.class_probs(pool)
        return Scores.of("normalized-margin", pool, 1.0 - normalized_margin(seen.codes, seen.probs).astype("float64"),
                         high="another label leads the given one out of fold: probably mislabelled",
                         unit="half the difference of probabilities",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))
