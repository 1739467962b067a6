"""Every method here takes a pool and links between its duplicates, and returns a selection with one keeper per cluster.

The Protocol is `Keeper`. Axes: which links count (a threshold on their weight) x who of a cluster is kept.
Start with `OnePerCluster`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.evidence import Links
from whence.core.pool import Pool


@runtime_checkable
class Keeper(Protocol):
    """Takes a pool and links within it; every example outside a cluster is kept."""

    def __call__(self, pool: Pool, links: Links, ctx: Context) -> Selection: ...
