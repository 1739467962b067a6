"""Everything first, then only the examples with the largest errors, scored anew every few rounds.

Attendu and Corbeil 2023, "NLU on Data Diets: Dynamic Data Subset Selection for NLP Classification Tasks"
(arXiv:2306.03208). The score is EL2N, ||p - onehot(label)||_2 under the model as it stands; a dropped example is scored
with the rest and may return. The paper also joins token scores for slots; classification has none. The first rounds on
everything exceed the budget of a round (`Trained.backward` counts them), and every scoring is a forward pass of the whole
pool. Wrong labels have the largest errors of all: with noisy labels this keeps the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.dynamic import Trained
from whence.select.dynamic._head import RATE, ROUNDS, setting, train

_BLOCK = 4096


def error_norms(
    says: Callable[[NDArray[np.float32]], NDArray[np.float32]], X: NDArray[np.float32], y: NDArray[np.int32]
) -> NDArray[np.float64]:
    """EL2N [n] in [0, sqrt(2)] of rows X [n, d] with labels y [n] under a head; high: the head is wrong and sure."""
    out = np.empty(len(X))
    for b in range(0, len(X), _BLOCK):
        error = np.array(says(X[b : b + _BLOCK]), dtype=np.float64)
        error[np.arange(len(error)), y[b : b + _BLOCK]] -= 1
        out[b : b + _BLOCK] = np.sqrt((error**2).sum(axis=1))
    return out


@method
class RescoredEL2N:
    """The hardest share, scored anew every few rounds."""

    card: ClassVar[Card] = Card(
        line="Train on the examples with the largest errors, scored anew every few rounds.",
        papers=(Paper("NLU on Data Diets: Dynamic Data Subset Selection for NLP Classification Tasks", "Attendu and Corbeil",
                      2023, "arXiv:2306.03208"),),
        needs=("text", "labels", "embeddings"),
        cost="rounds times the budget, the first rounds on everything, and a forward pass of everything per scoring",
    )
    nested: ClassVar[bool] = False
    random: ClassVar[bool] = True

    rounds: int = param(ROUNDS, "rounds of training, the first ones included", ge=1)
    rate: float = param(RATE, "how far the first steps of Adam move a logit, in nats", gt=0)
    full: int = param(1, "rounds on everything at the start", ge=1)
    every: int = param(3, "rounds between two scorings", ge=1)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained:
        at = setting(pool, observer, budget, queries, "training on the largest errors")
        rows = np.arange(len(pool))
        scorings = 0

        def choose(
            epoch: int, rng: np.random.Generator, says: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None
        ) -> NDArray[np.int64]:
            nonlocal rows, scorings
            if epoch >= self.full and (epoch - self.full) % self.every == 0 and says is not None:
                rows = np.argsort(-error_norms(says, at.X, at.y), kind="stable")[: at.k]
                scorings += 1
            return rows

        answers, drawn = train(at, ctx, "select/rescored-el2n", self.rounds, self.rate, choose)
        backward = int(drawn.sum())
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, queries.fingerprint, observer.fingerprint))
        return Trained(answers, at.in_pool_order(drawn), backward + scorings * len(pool), backward, step)
