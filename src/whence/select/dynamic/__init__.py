"""Every method here takes a labelled pool, a budget per epoch and questions, and returns what a small model answers that was trained on a changing subset.

The Protocol is `Schedule`: unlike a coreset, the subset is chosen anew while training goes on, so the choice cannot be
told apart from the training and the method trains the small model itself. Axes: what is drawn (random, hard, mini-batch
coreset) x when it is chosen again x whether the chooser needs a forward pass.

Start with `RepeatedRandom`, which is hard to beat; use `RescoredEL2N` when easy rows abound and labels are clean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.pool import Pool
from whence.core.step import Step
from whence.models.observe import Observer


@dataclass(frozen=True, eq=False)
class Trained:
    """What a schedule leaves behind.

    `log_probs` float32 [m, C]: the last epoch's class log-probabilities of the questions, classes as in
    `pool.labels.names`. `drawn` int64 [n]: how often each example was trained on. `forward`, `backward`: examples that
    went through a forward and a backward pass.
    """

    log_probs: NDArray[np.float32]
    drawn: NDArray[np.int64]
    forward: int
    backward: int
    step: Step


@runtime_checkable
class Schedule(Protocol):
    """Trains a small model on at most `budget` examples an epoch, and answers the questions."""

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained: ...
