"""Connected groups of an undirected edge list by union-find (Tarjan 1975; path halving, union towards the smaller)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _union(n: int, a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int32]:
    parent = np.arange(n).astype(np.int32)
    for edge in range(len(a)):
        x, y = a[edge], b[edge]
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        while parent[y] != y:
            parent[y] = parent[parent[y]]
            y = parent[y]
        # a root is always the smallest member, so labels need no second pass over members
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y
    for node in range(n):
        parent[node] = parent[parent[node]]
    return parent


def clusters(n: int, a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int32]:
    """int32[n] labels of the connected groups under edges `a[i]`-`b[i]`; a label is the group's smallest member.

    Raises ValueError where the edge arrays differ in length or name a node outside 0..n-1.
    """
    a = np.ascontiguousarray(a, dtype=np.int32)
    b = np.ascontiguousarray(b, dtype=np.int32)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"edge arrays must be flat and of one length, got {a.shape} and {b.shape}")
    if len(a) and (min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n):
        raise ValueError(f"edges name nodes outside 0..{n - 1}")
    labels: NDArray[np.int32] = _union(n, a, b)
    return labels
