"""Examples that the target makes more likely than the pool does: importance weights by KLIEP, largest first.

Xu, Hospedales and Gong 2016, "Multi-Task Zero-Shot Action Recognition with Prioritised Data Augmentation"
(arXiv:1611.08663), weigh auxiliary data so; the weights are those of Sugiyama et al. 2008, "Direct Importance Estimation with
Model Selection and Its Application to Covariate Shift Adaptation": w(x) = sum_l alpha_l exp(-|x - c_l|^2 / 2 s^2), alpha >= 0,
chosen so that the target's mean log weight is largest while the pool's mean weight is 1, s by likelihood
cross-validation on the target. The paper trains with the weights; a selector takes the examples with the largest.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.errors import NotCapable
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked

Floats = NDArray[np.float64]
#: Kernel widths tried, as multiples of the median distance between target examples.
_WIDTHS = (0.3, 0.5, 0.8, 1.2, 2.0)
_FOLDS = 5


def squared_distances(a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """Squared Euclidean distances [n, m] between rows of a [n, d] and b [m, d]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    out: Floats = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0)
    return out


def kliep(target: Floats, mean: Floats, *, most: int = 500) -> Floats:
    """alpha [l] >= 0 with mean . alpha = 1 that makes the mean log of target @ alpha largest.

    target [m, l]: kernel values of the target examples; mean [l]: mean kernel values of the pool. Gradient ascent with a
    step that starts large and falls tenfold whenever it no longer helps; the problem is concave.
    """

    def feasible(alpha: Floats) -> Floats:
        alpha = np.maximum(alpha + (1 - mean @ alpha) * mean / (mean @ mean), 0)
        return np.asarray(alpha / (mean @ alpha))

    def gain(alpha: Floats) -> float:
        return float(np.log(np.maximum(target @ alpha, 1e-300)).mean())

    alpha = feasible(np.ones(target.shape[1]))
    best = gain(alpha)
    for step in 10.0 ** np.arange(3, -4, -1):
        for _ in range(most):
            tried = feasible(alpha + step * target.T @ (1 / np.maximum(target @ alpha, 1e-300)) / len(target))
            found = gain(tried)
            if found <= best + 1e-9:
                break
            alpha, best = tried, found
    return alpha


def importance(pool: NDArray[Any], target: NDArray[Any], centers: NDArray[Any]) -> tuple[Floats, float]:
    """Density ratios target / pool [n] of the pool's rows, mean 1, and the kernel width that cross-validation chose."""
    near, far = squared_distances(target, centers), squared_distances(pool, centers)
    median = float(np.sqrt(np.median(near[near > 1e-12]))) if (near > 1e-12).any() else 1.0
    folds = np.arange(len(target)) % min(_FOLDS, len(target))
    best_width, best = median, -np.inf
    for width in (w * median for w in _WIDTHS):
        K = np.exp(-near / (2 * width**2))
        mean = np.exp(-far / (2 * width**2)).mean(axis=0)
        if not (mean > 0).all():
            continue
        scores = [np.log(np.maximum(K[folds == f] @ kliep(K[folds != f], mean), 1e-300)).mean() for f in range(folds.max() + 1)]
        if np.mean(scores) > best + 1e-12:
            best_width, best = width, float(np.mean(scores))
    K, P = np.exp(-near / (2 * best_width**2)), np.exp(-far / (2 * best_width**2))
    return P @ kliep(K, np.maximum(P.mean(axis=0), 1e-300)), best_width


@method
class DensityRatio:
    """The examples that are most over-represented in the target."""

    card: ClassVar[Card] = Card(
        line="Examples that the target makes more likely than the pool does, by estimated density ratio.",
        papers=(Paper("Multi-Task Zero-Shot Action Recognition with Prioritised Data Augmentation",
                      "Xu, Hospedales and Gong", 2016, "arXiv:1611.08663"),
                Paper("Direct Importance Estimation with Model Selection and Its Application to Covariate Shift Adaptation",
                      "Sugiyama et al.", 2008, "NeurIPS 2007")),
        needs=("text", "embeddings", "reference"),
        cost="distances of every example to the centres, and a few dozen small concave problems",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = True

    centers: int = param(100, "target examples that carry a kernel, drawn at random", ge=1)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        k = checked(budget, pool)
        if reference is None or len(reference) < 2:
            raise NotCapable("A density ratio needs examples of the target", given=None if reference is None else len(reference),
                             legal="2 or more", do="pass --reference")
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, reference.fingerprint, observer.fingerprint))
        if not len(pool):
            return Selection.of(pool, [], step=step, reason="")
        by_id = np.argsort(np.array(pool.ids))
        T = observer.embeddings(reference)[np.argsort(np.array(reference.ids))]
        drawn = np.sort(ctx.rng("select/density-ratio").permutation(len(T))[: self.centers])
        ratio, _ = importance(observer.embeddings(pool)[by_id], T, T[drawn])
        value = dict(zip(by_id.tolist(), ratio.tolist(), strict=True))
        return Selection.of(pool, by_id[np.argsort(-ratio, kind="stable")[:k]], step=step,
                            reason=lambda this: f"density ratio {value[pool.position(this)]:.4g} is lower than that of the kept")
