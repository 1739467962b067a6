"""RS2: a fresh random subset every round, and a learning-rate schedule as long as the shortened training.

Okanovic et al. 2023, "Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning" (arXiv:2305.18424). Without
replacement the rounds walk through one shuffled order of the pool and shuffle again at its end; with replacement (of
examples across rounds) every round draws anew. The paper trains deep networks and shrinks their step schedule to the
steps really taken; we train a linear head on embeddings, and its cosine falls to zero with the last round. Over its rounds
the method sees more labels than the budget of one round: compare it with a fixed coreset by work, not by labels bought.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.dynamic import Trained
from whence.select.dynamic._head import RATE, ROUNDS, setting, train

_RS2 = Paper("Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning", "Okanovic et al.", 2023,
             "arXiv:2305.18424")


def walk(n: int, k: int, rng: np.random.Generator) -> Callable[[], NDArray[np.int64]]:
    """A function that returns the next k of 0..n-1 in shuffled order each time; a row comes again only when all have come.

    Where the order ends within a draw, the rest comes from a new shuffle, without the rows that the draw already has.
    """
    queue = np.zeros(0, np.int64)

    def draw() -> NDArray[np.int64]:
        nonlocal queue
        if len(queue) >= k:
            taken, queue = queue[:k], queue[k:]
            return taken
        have = queue
        fresh = rng.permutation(n)
        more = fresh[~np.isin(fresh, have)][: k - len(have)]
        queue = fresh[~np.isin(fresh, more)]
        return np.concatenate([have, more])

    return draw


@method
class RepeatedRandom:
    """A fresh random subset in every round."""

    card: ClassVar[Card] = Card(
        line="Train on a fresh random subset in every round.",
        papers=(_RS2,),
        needs=("text", "labels", "embeddings"),
        cost="rounds times the budget, in passes of a linear head",
        presets={"repeated-random-replaced": Preset({"replace": True}, "Every round draws from everything.", _RS2)},
    )
    nested: ClassVar[bool] = False
    random: ClassVar[bool] = True

    rounds: int = param(ROUNDS, "rounds of training", ge=1)
    rate: float = param(RATE, "how far the first steps of Adam move a logit, in nats", gt=0)
    replace: bool = param(False, "draw every round from all examples, rather than come to each one before any comes again")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained:
        at = setting(pool, observer, budget, queries, "training on repeated random subsets")
        n = len(pool)
        draw: Callable[[], NDArray[np.int64]] | None = None

        def choose(epoch: int, rng: np.random.Generator, says: object) -> NDArray[np.int64]:
            nonlocal draw
            if self.replace:
                return rng.permutation(n)[: at.k]
            draw = draw or walk(n, at.k, rng)
            return draw()

        answers, drawn = train(at, ctx, "select/repeated-random", self.rounds, self.rate, choose)
        passes = self.rounds * at.k
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, queries.fingerprint, observer.fingerprint))
        return Trained(answers, at.in_pool_order(drawn), passes, passes, step)
