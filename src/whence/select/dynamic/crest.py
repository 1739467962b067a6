"""Mini-batches that stand for random subsets, chosen again when the loss leaves its quadratic model.

Yang, Kang and Mirzasoleiman 2023, "Towards Sustainable Learning: Coresets for Data-efficient Deep Learning" (CREST,
arXiv:2306.01244). From each of several random subsets a mini-batch is chosen by greedy facility location on the gradients,
each row weighted by how many of the subset it stands for. At each choice the loss around the weights is modelled by its
gradient and the diagonal of its Hessian; every T1 steps the model is compared with the loss on the subsets, and when they
differ by more than `tolerance` of the loss, new mini-batches are chosen. T1 and the number of mini-batches grow as
curvature falls. Examples whose loss stays low are left out.

Where we differ: the small model is only a last layer, so distances are between whole gradients and not last-layer ones; its
Hessian diagonal is exact, so it is not smoothed over choices; subsets are drawn uniformly (the code draws as many of
each class); an example is left out after `patience` low losses in a row, whenever it happens to be looked at.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.dynamic import Trained
from whence.select.dynamic._head import LEAST, RATE, ROUNDS, batch_size, setting
from whence.select.dynamic._linear import Floats, Linear, cosine


def gradient_distances(X: Floats, r: Floats) -> NDArray[np.float64]:
    """Euclidean distances [n, n] between the loss gradients of rows X [n, d] with residuals r [n, C] (intercept included)."""
    G = (r.astype(np.float64) @ r.T) * (X.astype(np.float64) @ X.T + 1)
    own = np.diag(G)
    return np.sqrt(np.maximum(own[:, None] + own - 2 * G, 0))


def standing_for(distances: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """k rows chosen by greedy facility location, and how many rows each is nearest to (ties: the one chosen first)."""
    from whence.kernels.facility_location import facility_location_precomputed

    chosen = facility_location_precomputed(distances.max() - distances, k)[0]
    owner = distances[:, chosen].argmin(axis=1)
    return chosen, np.bincount(owner, minlength=k).astype(np.float64)


class Quadratic:
    """The mean loss of some rows near the weights as they stand: value, gradient, diagonal of the Hessian."""

    def __init__(self, head: Linear, X: Floats, y: NDArray[np.int32]) -> None:
        self.start = head.W.copy(), head.b.copy()
        p, r = np.exp(head.log_probs(X)), head.residuals(X, y)
        spread = p * (1 - p)
        self.value = float(head.losses(X, y).mean())
        self.gradient = X.T @ r / len(X), r.mean(axis=0)
        self.curvature = (X * X).T @ spread / len(X), spread.mean(axis=0)

    @property
    def sharpness(self) -> float:
        return float(np.sqrt(sum(float((h * h).sum()) for h in self.curvature)))

    def predict(self, head: Linear) -> float:
        """What the model says of the loss at the head's present weights."""
        total = self.value
        for now, then, g, h in zip((head.W, head.b), self.start, self.gradient, self.curvature, strict=True):
            delta = (now - then).astype(np.float64)
            total += float((g * delta).sum() + 0.5 * (h * delta * delta).sum())
        return total


@method
class CREST:
    """Mini-batch coresets, valid as long as the loss is as they foresee."""

    card: ClassVar[Card] = Card(
        line="Train on weighted mini-batches that stand for random subsets, chosen anew when the loss leaves its forecast.",
        papers=(Paper("Towards Sustainable Learning: Coresets for Data-efficient Deep Learning",
                      "Yang, Kang and Mirzasoleiman", 2023, "arXiv:2306.01244"),),
        needs=("text", "labels", "embeddings"),
        cost="rounds times the budget backward; `subset` times as much forward, and all pairs within each subset",
    )
    nested: ClassVar[bool] = False
    random: ClassVar[bool] = True

    rounds: int = param(ROUNDS, "rounds of training, each of as many steps as the budget fills", ge=1)
    rate: float = param(RATE, "how far the first steps of Adam move a logit, in nats", gt=0)
    subset: int = param(4, "rows of a random subset per row of the mini-batch that stands for it", ge=1)
    tolerance: float = param(0.05, "difference between model and loss, as a share of the loss, that calls for a new choice", gt=0)
    check: int = param(2, "steps between two comparisons at the start", ge=1)
    coresets: int = param(5, "mini-batches chosen at once, per step between comparisons", ge=1)
    learned: float = param(0.1, "loss in nats under which an example counts as learned", ge=0)
    patience: int = param(3, "times in a row it must be seen so to be left out", ge=1)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained:
        from threadpoolctl import threadpool_limits

        at = setting(pool, observer, budget, queries, "training on mini-batch coresets")
        start, draw = ctx.rng("select/crest").spawn(2)
        head = Linear(at.X.shape[1], at.n_classes, start)
        n, size = len(pool), min(batch_size(at.k), at.k)
        steps = self.rounds * at.k // size
        drawn, low = np.zeros(n, np.int64), np.zeros(n, np.int64)
        forward, every, many, sharp = 0, self.check, self.check * self.coresets, 0.0
        batches: list[tuple[NDArray[np.int64], Floats]] = []
        union, model, since = np.zeros(0, np.int64), None, 0

        with threadpool_limits(1, user_api="blas"), ctx.task("train on mini-batch coresets", None):
            for taken in range(steps):
                if model is not None and since >= every and since % every == 0:
                    truth = float(head.losses(at.X[union], at.y[union]).mean())
                    forward += len(union)
                    if abs(model.predict(head) - truth) > self.tolerance * truth:
                        model = None
                if model is None:
                    active = np.flatnonzero(low < self.patience)
                    wide = min(n, self.subset * size)
                    if len(active) < wide:
                        active = np.arange(n)
                    sets = [draw.permutation(active)[:wide] for _ in range(min(many, steps - taken))]
                    union = np.unique(np.concatenate(sets))
                    losses = head.losses(at.X[union], at.y[union])
                    forward += len(union)
                    low[union] = np.where(losses < self.learned, low[union] + 1, 0)
                    batches = []
                    for rows in sets:
                        apart = gradient_distances(at.X[rows], head.residuals(at.X[rows], at.y[rows]))
                        chosen, stands = standing_for(apart, size)
                        batches.append((rows[chosen], stands.astype(np.float32)))
                    model, since = Quadratic(head, at.X[union], at.y[union]), 0
                    sharp = sharp or model.sharpness
                    if model.sharpness > 0:
                        every = max(1, min(steps, int(np.ceil(self.check * sharp / model.sharpness))))
                        many = max(1, min(every * self.coresets, -(-at.k // size)))
                rows, weights = batches[since % len(batches)]
                head.step(at.X[rows], at.y[rows], self.rate / at.X.shape[1] * cosine(taken / steps), weights)
                np.add.at(drawn, rows, 1)
                since += 1
            answers = np.maximum(head.log_probs(at.Xq), np.float32(np.log(LEAST)))
        backward = int(drawn.sum())
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, queries.fingerprint, observer.fingerprint))
        return Trained(answers, at.in_pool_order(drawn), forward + backward, backward, step)
