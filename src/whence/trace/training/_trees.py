"""The boosted trees that tree tracers take apart, grown once per pool and setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whence.core.errors import NotCapable, OverBudget
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import by_id, known_labels

if TYPE_CHECKING:
    from whence.kernels.tree_influence import Forest

LEAST = 10
MOST = 60_000_000  # examples x rounds x classes: three numbers are kept of each, 1.5 GB


class Grown(NamedTuple):
    """A forest on the pool's rows in the order of `rows`; leaves [m, T, K] and labels [m] of the questions."""

    forest: Forest
    rows: NDArray[np.int64]
    y: NDArray[np.int32]
    leaves: NDArray[np.int64]
    asked: NDArray[np.int32]
    classes: int

    def back(self, effects: NDArray[np.float64]) -> NDArray[np.float64]:
        """Effects [n, m] of the forest's rows, in the order of the pool."""
        out = np.empty_like(effects)
        out[self.rows] = effects
        return out


def grown(pool: Pool, queries: Pool, observer: Observer, rounds: int, depth: int, rate: float) -> Grown:
    """Trees on the embeddings of a labelled pool, and where the questions fall in them. Raises NotCapable without labels."""
    from whence.kernels.tree_influence import boost

    y = observer.labelled(pool, "a tree ensemble")
    if len(y) < LEAST:
        raise NotCapable("Boosted trees need examples to split", given=len(y), legal=f"{LEAST} or more")
    names = pool.labels.names
    if len(y) * rounds * len(names) > MOST:
        raise OverBudget("So many trees on so many examples do not fit in memory", given=f"{len(y):,} x {rounds} x {len(names)}",
                         legal=f"examples x rounds x classes of {MOST:,} or less", do="take fewer rounds or fewer examples")
    asked = known_labels(queries, names, observer)
    # by id, so that neither splits nor sums depend on the order of the file
    rows = by_id(pool)
    forest: Forest = observer.remember(
        ("trees", pool.fingerprint, rounds, depth, rate),
        lambda: boost(observer.embeddings(pool)[rows], y[rows], len(names), rounds=rounds, depth=depth, rate=rate,
                      rng=observer.ctx.rng("trees")),
    )
    return Grown(forest, rows, y[rows], forest.leaves_of(observer.embeddings(queries)), asked, len(names))
