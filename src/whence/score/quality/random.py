"""Random numbers: what a score is when it knows nothing.

Each example's number depends on its id and the seed alone, so it stays the same when other examples come or go.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class Random:
    """A number drawn uniformly between 0 and 1 for each id."""

    card: ClassVar[Card] = Card(line="A random number for each example: the baseline of baselines.", cost="linear",
                                status="baseline")

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        values = np.array([ctx.rng(f"score/random/{this}").random() for this in pool.ids], dtype=np.float64)
        return Scores.of("random", pool, values, high="nothing: a random number", unit="uniform in [0, 1)",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint,)))
