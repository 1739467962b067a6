"""Representation: how well represented an example is, measured in four ways that should agree.

Carlini, Erlingsson, Papernot: Distribution Density, Tails, and Outliers in Machine Learning: Metrics and Applications (2019).
The paper's five metrics are: distance to the decision boundary (adv), change of the model's view after training on other data
(ret), agreement of an ensemble (agr), confidence of an ensemble (conf), and the strictest privacy budget at which the example
is still learnt (priv). Here on softmax heads over frozen embeddings: the distance is exact, because the boundary is flat, and
signed by whether the label's side is right; `retrained` is the divergence between heads that saw the example and heads that
did not; the ensemble are heads on random halves of the pool. `private` is refused, for it needs many differentially private
trainings. Each metric is turned to a rank from 0 (prototype) to 1 (outlier); `combined` is the mean of the four.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer

METRICS = ("adversarial", "retrained", "agreement", "confidence")


@method
class Representation:
    """Rank among the pool from 0 (prototype) to 1 (outlier) by one metric, or the mean rank over the four."""

    metric: str = param("combined", "which metric", choices=("combined", *METRICS, "private"))
    heads: int = param(10, "heads of the ensemble, each on a random half; an even number", ge=4)

    card: ClassVar[Card] = Card(
        line="Ranks examples from prototypes to outliers by boundary distance, retraining, agreement and confidence.",
        papers=(Paper("Distribution Density, Tails, and Outliers in Machine Learning: Metrics and Applications",
                      "Carlini, Erlingsson, Papernot", 2019, "arXiv:1910.13427"),),
        needs=("labels", "embeddings", "head"),
        cost="eleven fits of a softmax head",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        if self.metric == "private":
            raise NotCapable("representation by privacy needs many differentially private trainings, which are not done here",
                             legal=("combined", *METRICS))
        y = observer.labelled(pool, "representation")
        n_classes = len(pool.labels.names)
        if len(y) < 4:
            raise NotCapable("representation needs four examples or more", given=len(y))
        head = observer.head(pool)

        def make() -> dict[str, NDArray[np.float64]]:
            from whence.kernels.softmax_head import fit, predict_proba

            order = np.argsort(np.array(pool.ids))
            X = observer.embeddings(pool)[order]
            rng = observer.ctx.rng("representation")
            inside = np.zeros((self.heads // 2 * 2, len(y)), dtype=bool)
            for pair in range(self.heads // 2):  # complementary halves: every row is seen by half of the heads
                half = rng.permutation(len(y))[: len(y) // 2]
                inside[2 * pair, half] = True
                inside[2 * pair + 1] = ~inside[2 * pair]
            heads = fit(X, y[order], n_classes, subsets=[np.flatnonzero(row) for row in inside], C=head.C, tol=1e-3)
            probs = np.stack([predict_proba(heads.take(i), X)[0] for i in range(len(heads))])
            found = ensemble_metrics(probs, inside)
            back = np.argsort(order)
            return {name: values[back] for name, values in found.items()}

        key = {"observable": "representation", "version": 1, "pool": pool.fingerprint, "by": observer.fingerprint, "C": head.C,
               "heads": self.heads}
        found = dict(observer.ctx.store.once(key, make))
        found["adversarial"] = boundary_distance(observer.embeddings(pool), y, head.W, head.b)
        wanted = METRICS if self.metric == "combined" else (self.metric,)
        return Scores.of("representation", pool, np.mean([outlier_rank(name, found[name]) for name in wanted], axis=0),
                         high="badly represented: an outlier, an exception or a wrong label", unit="rank, 0 to 1",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))


def boundary_distance(X: NDArray[np.floating], y: NDArray[np.integer], W: NDArray[np.floating], b: NDArray[np.floating]
                      ) -> NDArray[np.float64]:
    """Least distance [n] by which a row of X [n, d] must move for class y [n] to lose the head W [C, d], b [C].

    The smallest over other classes c of (z_y - z_c) / ||W_y - W_c||; negative where y has lost already. Classes with equal
    weights never meet and are passed over; where all are equal the distance is 0.
    """
    z = (X @ W.T + b).astype(np.float64)
    G = W.astype(np.float64) @ W.T.astype(np.float64)
    gaps = np.sqrt(np.maximum(np.diag(G)[:, None] + np.diag(G)[None] - 2 * G, 0.0))
    gap = gaps[y]
    lead = z[np.arange(len(y)), y][:, None] - z
    distance = np.divide(lead, gap, out=np.full_like(lead, np.inf), where=gap > 1e-9)
    distance[np.arange(len(y)), y] = np.inf
    least = distance.min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)


def ensemble_metrics(probs: NDArray[np.floating], inside: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """From probs [heads, n, C] and who saw what, `inside` [heads, n]: three metrics [n] each.

    `retrained`: symmetric KL divergence (nats) between the mean view of heads that saw the row and of those that did not;
    `agreement`: mean over heads of the KL divergence from the ensemble's mean (the Jensen-Shannon divergence: high is
    disagreement); `confidence`: mean largest probability.
    """
    P = np.maximum(probs.astype(np.float64), 1e-12)
    count = inside.sum(axis=0)
    with_row = (P * inside[:, :, None]).sum(axis=0) / count[:, None]
    without = (P * ~inside[:, :, None]).sum(axis=0) / (len(P) - count)[:, None]
    mean = P.mean(axis=0)
    return {
        "retrained": ((with_row - without) * (np.log(with_row) - np.log(without))).sum(axis=1),
        "agreement": (P * (np.log(P) - np.log(mean))).sum(axis=2).mean(axis=0),
        "confidence": P.max(axis=2).mean(axis=0),
    }


def outlier_rank(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks [n] from 0 (prototype) to 1 (outlier); ties share theirs. Distance and confidence are small for outliers."""
    from whence.kernels.ranking import average_ranks

    share = (average_ranks(values) - 1.0) / max(len(values) - 1, 1)
    return 1.0 - share if metric in ("adversarial", "confidence") else share
