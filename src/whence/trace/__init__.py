"""Whence did this answer come? Family: training (examples that reached it through the weights).

`from whence.trace import Influence` imports that method's file alone.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from whence.core.catalogue import lazy
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.pool import Pool
from whence.models.observe import Observer

__getattr__, __dir__ = lazy(__name__)


@runtime_checkable
class Tracer(Protocol):
    """Every tracer takes the training pool and the questions asked of the model trained on it, and returns links.

    A link's head is a question (an example of `queries`), its tail a training example, and its weight the effect of
    the training example being there on the question's target (see each method for the unit). At most `top` links of
    either sign are kept per question, the strongest; None keeps all pairs.
    """

    def __call__(
        self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20
    ) -> Links: ...
