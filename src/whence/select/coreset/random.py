"""Random choice: the baseline of every selector.

The draw depends on the seed and the ids, not on the order of the file.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


@method
class Random:
    """A uniform draw without replacement."""

    card: ClassVar[Card] = Card(line="A uniform random subset.", needs=("text",), cost="none", status="baseline")
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        k = checked(budget, pool)
        by_id = np.argsort(np.array(pool.ids))
        rows = by_id[ctx.rng("select/random").permutation(len(pool))][:k]
        return Selection.of(pool, rows, step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint,)), reason="not drawn")
