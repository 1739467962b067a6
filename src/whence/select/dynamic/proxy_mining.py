"""Mini-batches of classes that look alike, so that a pairwise loss always sees hard negatives.

Ali-bey, Chaib-draa and Giguere 2022, "Global Proxy-based Hard Mining for Visual Place Recognition" (GPM, arXiv:2302.14217).
After each pass over the classes every one has one proxy, the mean of its examples' compact vectors in that pass; a batch is
a random class and those with the nearest proxies, a few examples of each, and no class comes twice before all have come. On
CLINC150 this gains one point over batches of random classes (0.926 to 0.917 at 5 % a round). The paper learns
the compact vectors in a branch of their own beside large descriptors; here the small model is the compact
projection, so the branch is the model. The loss is supervised contrastive (Khosla et al. 2020, arXiv:2004.11362), one of
the pair losses it can serve. Questions are answered by their similarity to the proxies. Meant for many classes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import BadInput, NotCapable
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.dynamic import Trained
from whence.select.dynamic._head import LEAST, ROUNDS, setting
from whence.select.dynamic._linear import cosine


def unit(Z: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rows of length one."""
    return np.asarray(Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12))


def contrastive(Z: NDArray[np.floating], y: NDArray[np.integer], heat: float) -> tuple[float, NDArray[np.floating]]:
    """Supervised contrastive loss of rows Z [m, h] (any length; cosines are taken) with classes y, and its gradient in Z.

    Mean over rows that share a class with another; 0 and no gradient where there is none.
    """
    U, m = unit(Z), len(Z)
    same = (y[:, None] == y) & ~np.eye(m, dtype=bool)
    anchors = same.any(axis=1)
    if not anchors.any():
        return 0.0, np.zeros_like(Z)
    s = U @ U.T / heat
    np.fill_diagonal(s, -np.inf)
    s = s - s.max(axis=1, keepdims=True)
    log_p = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
    share = same / np.maximum(same.sum(axis=1, keepdims=True), 1)
    loss = -(share * np.where(same, log_p, 0.0)).sum(axis=1)[anchors].mean()
    pull = (np.exp(log_p) - share) * anchors[:, None] / (anchors.sum() * heat)
    G = (pull + pull.T) @ U
    G = (G - U * (G * U).sum(axis=1, keepdims=True)) / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    return float(loss), G.astype(Z.dtype)


def alike(proxies: NDArray[np.floating], together: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Groups of classes from proxies [C, h] of length one: a random class left and the nearest ones left, until none is."""
    left = np.arange(len(proxies))
    groups = []
    while len(left):
        seed = left[rng.integers(len(left))]
        group = left[np.argsort(-(proxies[left] @ proxies[seed]), kind="stable")[:together]]
        groups.append(group)
        left = np.setdiff1d(left, group)
    return groups


@method
class ProxyMining:
    """A contrastive projection trained on batches of classes that look alike."""

    card: ClassVar[Card] = Card(
        line="Train a contrastive projection on mini-batches of classes whose proxies are near each other.",
        papers=(Paper("Global Proxy-based Hard Mining for Visual Place Recognition", "Ali-bey, Chaib-draa and Giguere", 2022,
                      "arXiv:2302.14217"),),
        needs=("text", "labels", "embeddings"),
        cost="rounds times the budget, in passes of a projection",
    )
    nested: ClassVar[bool] = False
    random: ClassVar[bool] = True

    rounds: int = param(ROUNDS, "rounds of training", ge=1)
    rate: float = param(1.2, "step size of Adam at the start, times the width of the embedding", gt=0)
    width: int = param(64, "width of the projection", ge=2)
    together: int = param(16, "classes in a batch; half of them at most", ge=2)
    each: int = param(4, "examples of each class in a batch", ge=2)
    heat: float = param(0.1, "temperature of the similarities", gt=0)
    mined: bool = param(True, "batches of classes that look alike, rather than of random ones")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained:
        from threadpoolctl import threadpool_limits

        at = setting(pool, observer, budget, queries, "contrastive training")
        C, d = at.n_classes, at.X.shape[1]
        if C < 3:
            raise NotCapable("Mining batches of classes needs three classes or more", given=C, do="use repeated-random")
        if at.k < 2 * self.each:
            raise BadInput("A round must hold one batch of two classes", given=at.k, legal=f"{2 * self.each} or more")
        together = min(self.together, max(2, -(-C // 2)))
        start, draw = ctx.rng("select/proxy-mining").spawn(2)
        P = (start.standard_normal((d, self.width)) * d**-0.5).astype(np.float32)
        m, v = np.zeros_like(P), np.zeros_like(P)
        members = [np.flatnonzero(at.y == c) for c in range(C)]
        drawn, taken = np.zeros(len(pool), np.int64), 0
        allowed = left = self.rounds * at.k
        # one pass over all classes may take several rounds of a small budget; proxies are renewed when it is over
        sums, waiting = np.zeros((C, self.width), np.float32), list[NDArray[np.int64]]()
        with threadpool_limits(1, user_api="blas"), ctx.task("train a projection", None):
            while left >= 2 * self.each:
                if not waiting:
                    guide = unit(sums) if taken and self.mined else unit(draw.standard_normal((C, 2)))
                    waiting, sums = alike(guide, together, draw), np.zeros_like(sums)
                rows = np.concatenate([draw.permutation(members[c])[: self.each] for c in waiting.pop(0)])[:left]
                X, y = at.X[rows], at.y[rows]
                Z = X @ P
                np.add.at(sums, y, unit(Z).astype(np.float32))
                gradient = X.T @ contrastive(Z, y, self.heat)[1]
                np.add.at(drawn, rows, 1)
                taken, left = taken + 1, left - len(rows)
                m += np.float32(0.1) * (gradient - m)
                v += np.float32(0.001) * (gradient * gradient - v)
                step_size = self.rate / d * cosine(1 - left / allowed) / (1 - 0.9**taken)
                P -= np.float32(step_size) * m / (np.sqrt(v / np.float32(1 - 0.999**taken)) + np.float32(1e-8))
            # proxies for the answers: the classes' examples that were trained on, as the projection sees them at the end
            used = np.flatnonzero(drawn)
            sums = np.zeros((C, self.width), np.float32)
            np.add.at(sums, at.y[used], unit(at.X[used] @ P).astype(np.float32))
            z = unit(at.Xq @ P) @ unit(sums).T / self.heat
            z -= z.max(axis=1, keepdims=True, initial=-np.inf)
            answers = np.maximum(z - np.log(np.exp(z).sum(axis=1, keepdims=True)), np.log(LEAST)).astype(np.float32)
        backward = int(drawn.sum())
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, queries.fingerprint, observer.fingerprint))
        return Trained(answers, at.in_pool_order(drawn), backward + len(used), backward, step)
