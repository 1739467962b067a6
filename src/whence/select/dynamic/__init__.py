"""Every method here takes a labelled pool, a budget per round and questions, and returns a small model's answers to them.

The Protocol is `Schedule`: unlike a coreset, the subset changes while training goes on, so the choice cannot be
told apart from the training and the method trains the small model itself. Axes: what is drawn (random, hard, mini-batch
coreset) x when it is chosen again x whether the chooser needs a forward pass.

Start with `RepeatedRandom`, which is hard to beat; `FixedRandom` is what a schedule must beat at all. Use `RescoredEL2N` when
easy rows abound and labels are clean, `MultistageFiltering` where backward passes are dear, `ProxyMining` with many classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.pool import Pool
from whence.core.step import Step
from whence.models.observe import Observer


@dataclass(frozen=True, eq=False)
class Trained:
    """What a schedule leaves behind.

    `log_probs` float32 [m, C]: the last round's class log-probabilities of the questions, classes as in
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
    """Trains a small model on `budget` examples a round, and answers the questions, whose labels it never reads.

    A method whose card says so starts with rounds on everything; `Trained.backward` counts what was really done.
    """

    nested: ClassVar[bool]
    random: ClassVar[bool]

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, queries: Pool, reference: Pool | None = None
    ) -> Trained: ...
