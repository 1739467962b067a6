"""Label next what most likely belongs to the rare class (PRC).

Varadarajan et al. 2023, "Transfer and Active Learning for Dissonance Detection: Addressing the Rare-Class Challenge"
(arXiv:2305.02459): the plain rule that beat uncertainty and core-set choice at finding examples of a rare class. Their
transfer from related tasks for the first model is not part of this: the head starts from the labels that there are.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.errors import UnknownName
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.active._queue import queue


def rarest(counts: dict[str, int]) -> str:
    """The name with the smallest count; ties: the first by name."""
    return min(counts, key=lambda name: (counts[name], name))


@method
class RareClass:
    """The unlabelled examples with the highest probability of a rare class."""

    card: ClassVar[Card] = Card(
        line="Label next what most likely belongs to the rare class.",
        papers=(Paper("Transfer and Active Learning for Dissonance Detection: Addressing the Rare-Class Challenge",
                      "Varadarajan et al.", 2023, "arXiv:2305.02459"),),
        needs=("text", "some_labels", "embeddings"),
        cost="one fit of the head",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    rare: str | None = param(None, "name of the class to find; without it, the one with the fewest labels")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        at = queue(pool, observer, budget, "finding a rare class")
        name = rarest(pool.labels.counts) if self.rare is None else self.rare
        if name not in at.names:
            raise UnknownName("labelled class", name, at.names)
        step = step_of(self, inputs=(pool.fingerprint, observer.fingerprint))
        wanted = at.probs()[0][:, at.names.index(name)]
        return at.first(wanted, step, lambda v: f"its probability {v:.4g} of '{name}' is lower than that of the chosen")
