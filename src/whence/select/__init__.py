"""Which k examples? Families: coreset, ranked, targeted, dynamic, active.

`from whence.select import KCenter` imports that method's file alone.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from whence.core.catalogue import lazy
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.pool import Pool
from whence.models.observe import Observer

__getattr__, __dir__ = lazy(__name__)


@runtime_checkable
class Selector(Protocol):
    """Every selector takes a pool, an observer and a budget, and returns that many kept ids in order of choice.

    `budget` is a number of examples, at most len(pool). Every example that is not kept is dropped with a reason.
    `reference` is a pool that stands for the target; a selector whose card needs it refuses without one. `nested` is
    true where the first j of a larger choice are the choice for a budget of j; `random` where the seed changes the
    choice for given observables.
    """

    nested: ClassVar[bool]
    random: ClassVar[bool]

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection: ...
