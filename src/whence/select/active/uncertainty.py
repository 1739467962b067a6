"""Label next what the head is least sure of: the baseline of active learning, besides random choice.

Lewis and Gale 1994, "A Sequential Algorithm for Training Text Classifiers" (cmp-lg/9407020); the three measures are those
of Settles 2009, "Active Learning Literature Survey". A batch is the top of one ranking: nothing keeps its examples apart.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.active._queue import queue


def doubt(p: NDArray[np.float64], measure: str) -> NDArray[np.float64]:
    """How unsure probabilities p [m, C] are; high: unsure.

    `entropy` in nats, 0 to log C; `margin` 1 - (largest - second), `least-confident` 1 - largest, both 0 to 1.
    """
    if measure == "entropy":
        return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1))
    top = np.sort(p, axis=1)[:, ::-1]
    return np.asarray(1 - top[:, 0] + (top[:, 1] if measure == "margin" else 0))


@method
class Uncertainty:
    """The unlabelled examples that a head taught by the labelled ones is least sure of."""

    card: ClassVar[Card] = Card(
        line="Label next what the head is least sure of.",
        papers=(Paper("A Sequential Algorithm for Training Text Classifiers", "Lewis and Gale", 1994, "cmp-lg/9407020"),),
        needs=("text", "some_labels", "embeddings"),
        cost="one fit of the head",
        status="baseline",
        presets={"margin-queries": Preset({"measure": "margin"}, "The two likeliest classes are closest."),
                 "least-confident": Preset({"measure": "least-confident"}, "The likeliest class is least likely.")},
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    measure: str = param("entropy", "measure of doubt", choices=("entropy", "margin", "least-confident"))

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        at = queue(pool, observer, budget, "uncertainty")
        step = step_of(self, inputs=(pool.fingerprint, observer.fingerprint))
        wanted = doubt(at.probs()[0], self.measure)
        return at.first(wanted, step, lambda v: f"{self.measure} {v:.4g} is lower than that of the chosen")
