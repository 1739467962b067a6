"""Random links: what an attribution that knows nothing looks like."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import linked


@method
class RandomLinks:
    """Independent standard normal weights."""

    card: ClassVar[Card] = Card(line="Random weights: the line that chance draws.", needs=("text",), cost="none",
                                status="baseline")

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        # one stream per question and example order by id, so that neither order changes a pair's weight
        by_id = np.argsort(np.array(pool.ids))
        effects = np.empty((len(pool), len(queries)))
        for q, this in enumerate(queries.ids):
            effects[by_id, q] = ctx.rng(f"random-links/{this}").normal(size=len(pool))
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, queries.fingerprint))
        return linked(pool, queries, effects, top=top, step=step, high="nothing", unit="random")
