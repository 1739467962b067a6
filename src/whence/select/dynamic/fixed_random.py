"""One random subset for all rounds: the baseline of the schedules.

It trains the same small model in the same way as the others, so that what differs is the choice alone.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card
from whence.core.context import Context
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.dynamic import Trained
from whence.select.dynamic._head import RATE, ROUNDS, setting, train


@method
class FixedRandom:
    """One random subset, trained on in every round."""

    card: ClassVar[Card] = Card(
        line="Train on one random subset in every round.",
        needs=("text", "labels", "embeddings"),
        cost="rounds times the budget, in passes of a linear head",
        status="baseline",
    )
    nested: ClassVar[bool] = False
    random: ClassVar[bool] = True

    rounds: int = param(ROUNDS, "rounds of training", ge=1)
    rate: float = param(RATE, "how far the first steps of Adam move a logit, in nats", gt=0)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained:
        at = setting(pool, observer, budget, queries, "training on a random subset")
        rows = ctx.rng("select/fixed-random/rows").permutation(len(pool))[: at.k]

        def choose(epoch: int, rng: np.random.Generator, says: object) -> NDArray[np.int64]:
            return rows

        answers, drawn = train(at, ctx, "select/fixed-random", self.rounds, self.rate, choose)
        passes = self.rounds * at.k
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, queries.fingerprint, observer.fingerprint))
        return Trained(answers, at.in_pool_order(drawn), passes, passes, step)
