"""What should be in the pool? Families: dedup (pairs that say the same), filter (rows that should not be here).

`from whence.curate import NearDuplicates` imports that method's file alone.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from whence.core.catalogue import lazy
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.evidence import Links
from whence.core.pool import Pool
from whence.models.observe import Observer

__getattr__, __dir__ = lazy(__name__)


@runtime_checkable
class PairFinder(Protocol):
    """Every duplicate finder takes a pool (and another, `against`) and returns links of kind `near`.

    Within one pool a pair stands once, the earlier row as head. With `against`, heads are examples of the pool and
    tails of the other. `observer` is needed only by finders that compare meaning.
    """

    def __call__(
        self, pool: Pool, ctx: Context, *, observer: Observer | None = None, against: Pool | None = None
    ) -> Links: ...


@runtime_checkable
class Filter(Protocol):
    """Every filter takes a pool and returns a selection: what is kept, and a reason for each row that is not."""

    def __call__(self, pool: Pool, ctx: Context) -> Selection: ...
