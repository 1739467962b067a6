"""Outliers that were labelled as such are a class of their own; label next what an ensemble disagrees on, unless it says outlier.

Stojnic, Laskar and Tolias 2024, "Training Ensembles with Inliers and Outliers for Semi-supervised Active Learning"
(arXiv:2307.03741). Inliers and outliers train one classifier; what all members of the ensemble say of an unlabelled example
teaches it too; acquisition is by variation ratio, where members' votes differ from the ensemble's, and 0 for what
the ensemble takes for an outlier. The paper's members differ by their random start; a convex head has one optimum, so ours
are fitted on bootstrap samples of the labelled examples. Variation ratios tie often: ties go to the higher entropy over the
inlier classes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.active._queue import queue
from whence.select.active.uncertainty import doubt


def disagreement(p: NDArray[np.float64], outlier: int | None) -> NDArray[np.float64]:
    """Variation ratio [m] of an ensemble's probabilities p [B, m, C]: share of members that vote against the mean.

    0 where the mean says `outlier`. Entropy over the other classes, scaled below one vote, orders what is equal.
    """
    mean = p.mean(axis=0)
    winner = mean.argmax(axis=1)
    ratio = (p.argmax(axis=2) != winner).mean(axis=0)
    inside = mean if outlier is None else np.delete(mean, outlier, axis=1)
    entropy = doubt(inside / np.maximum(inside.sum(axis=1, keepdims=True), 1e-300), "entropy")
    found = ratio + entropy / (np.log(max(2, inside.shape[1])) * 2 * len(p))
    return np.asarray(np.where(winner == outlier, 0.0, found) if outlier is not None else found)


@method
class InlierOutlier:
    """What an ensemble of heads, taught inliers, outliers and its own agreed guesses, disagrees on."""

    card: ClassVar[Card] = Card(
        line="Label next what an ensemble disagrees on, and pass over what it takes for an outlier.",
        papers=(Paper("Training Ensembles with Inliers and Outliers for Semi-supervised Active Learning",
                      "Stojnic, Laskar and Tolias", 2024, "arXiv:2307.03741"),),
        needs=("text", "some_labels", "embeddings"),
        cost="twice as many fits of the head as the ensemble has members",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = True

    outlier: str = param("outlier", "the label that marks outliers; none may have been found yet")
    members: int = param(5, "heads in the ensemble", ge=2)
    guessed: float = param(0.1, "weight of a guess that all members share, against a label; 0 for none", ge=0)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        at = queue(pool, observer, budget, "an ensemble")
        rng = ctx.rng("select/inlier-outlier")
        weights = np.zeros((self.members, len(at.y)))
        for row in weights:
            # half the weight is everyone's, half is drawn, so that no member loses a class
            row[at.known] = 0.5 + 0.5 * np.bincount(rng.integers(len(at.known), size=len(at.known)), minlength=len(at.known))
        p = at.probs(weights, at.y)
        votes = p.argmax(axis=2)
        agreed = (votes == votes[0]).all(axis=0)
        if self.guessed and agreed.any():
            y, rows = at.y.copy(), at.open[agreed]
            y[rows] = votes[0][agreed]
            weights[:, rows] = self.guessed
            p = at.probs(weights, y)
        code = at.names.index(self.outlier) if self.outlier in at.names else None
        wanted = disagreement(p, code)
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint))

        def reason(value: float) -> str:
            return f"taken for '{self.outlier}'" if value == 0 and code is not None else "the heads agree more than on the chosen"

        return at.first(wanted, step, reason)
