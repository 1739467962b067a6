"""A number per example. Families: difficulty, noise, typicality, value, quality.

`from whence.score import EL2N` imports that method's file alone.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from whence.core.catalogue import lazy
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.pool import Pool
from whence.models.observe import Observer

__getattr__, __dir__ = lazy(__name__)


@runtime_checkable
class Scorer(Protocol):
    """Every scorer takes a pool and an observer and returns one number per example.

    `reference` is a small pool that stands for what the user cares about (validation examples, a target set); a scorer
    whose card needs `reference` refuses with NotCapable without one. In the family typicality it is the training data that
    examples are held against, and may be left out; scorers of other families whose card does not name it ignore it.
    """

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores: ...
