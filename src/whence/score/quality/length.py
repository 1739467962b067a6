"""Length of the text: the baseline that learnt quality scores are held against.

Zhao et al.: Long Is More for Alignment (2024) find that choosing the longest responses rivals learnt selectors on instruction
data.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


@method
class Length:
    """Words or characters (Unicode code points) of the example's text, or of its response alone."""

    unit: str = param("words", "what is counted", choices=("words", "characters"))
    of: str = param("all", "the whole text, or the response alone", choices=("all", "response"))

    card: ClassVar[Card] = Card(
        line="Number of words or characters.",
        papers=(Paper("Long Is More for Alignment: A Simple but Tough-to-Beat Baseline for Instruction Fine-Tuning",
                      "Zhao, Andriushchenko, Croce, Flammarion", 2024, "arXiv:2402.04833"),),
        needs=("text",),
        cost="linear in the text",
        status="baseline",
        presets={},
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        texts = pool.texts if self.of == "all" else ["" if t is None else str(t) for t in pool.column("response")]
        return Scores.of("length", pool, [count(t, self.unit) for t in texts], high="long", unit=self.unit,
                         step=step_of(self, inputs=(pool.fingerprint,)))


def count(text: str, unit: str) -> int:
    """Number of whitespace-separated words, or of characters."""
    return len(text.split()) if unit == "words" else len(text)
