"""Cut a pool into parts that never mix: by label, without tearing duplicates apart, and stable when rows are added."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import xxhash

from whence.core.decision import Selection
from whence.core.errors import BadInput
from whence.core.pool import Pool
from whence.core.step import Step


def split(
    pool: Pool,
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    *,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> tuple[Pool, ...]:
    """One pool per share, in the order of the shares; each keeps the pool's order.

    Each class is divided by the shares as evenly as whole rows allow, and a class always has a row in the largest part.
    Rows of one group (`groups` [n], cluster numbers for instance) and rows of equal content stay together. Which part a row
    goes to follows from a hash of its id and the seed, so a row that is added moves at most a row per class across each
    border. Raises BadInput for shares that are not positive or do not add up to 1, and where a part would be empty.
    """
    parts = [float(s) for s in shares]
    if len(parts) < 2 or not all(math.isfinite(s) and s > 0 for s in parts) or abs(sum(parts) - 1) > 1e-6:
        raise BadInput("The shares of a split must be positive and add up to 1", given=list(shares),
                       legal="for instance 0.7, 0.15, 0.15")
    if groups is not None and len(groups) != len(pool):
        raise BadInput("A split needs one group per row", given=len(groups), legal=len(pool))
    if len(pool) < len(parts):
        raise BadInput(f"'{pool.name}' has too few rows to split", given=len(pool), legal=f"{len(parts)} or more")
    codes = pool.labels.codes.tolist() if "label" in pool.roles else [0] * len(pool)
    names = pool.labels.names if "label" in pool.roles else ("",)
    strata: dict[str, list[list[int]]] = {}
    for rows in _together(pool.ids, groups):
        votes = [codes[r] for r in rows]
        code = min(set(votes), key=lambda c: (-votes.count(c), c))
        strata.setdefault(names[code] if code >= 0 else "\x00none", []).append(rows)
    chosen: list[list[int]] = [[] for _ in parts]
    for stratum, members in sorted(strata.items()):
        members.sort(key=lambda rows: min((_position(pool.ids[r], seed), pool.ids[r]) for r in rows))
        borders = _borders(sum(map(len, members)), parts, _position(f"class {stratum}", seed))
        at = 0
        for rows in members:
            middle = at + len(rows) / 2
            part = next(p for p, end in enumerate(borders) if middle < end or p == len(parts) - 1)
            chosen[part].extend(rows)
            at += len(rows)
    empty = [p for p, rows in enumerate(chosen) if not rows]
    if empty:
        raise BadInput(f"Part {empty[0] + 1} of the split of '{pool.name}' would be empty",
                       given=f"{len(pool):,} rows, shares {parts}",
                       do="give more rows or larger shares; rows that are duplicates of each other stay together")
    step = Step("split", {"shares": parts, "groups": groups is not None}, seed, (pool.fingerprint,))
    return tuple(pool.take(Selection.of(pool, sorted(rows), step=step, reason="in another part of the split")) for rows in chosen)


def _position(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on the key and the seed alone."""
    return xxhash.xxh3_64_intdigest(key.split("~")[0].encode(), seed=seed & 0xFFFFFFFFFFFFFFFF) / 2.0**64


def _borders(count: int, shares: Sequence[float], phase: float) -> list[int]:
    """Where the parts of `count` rows end. What whole rows cannot divide goes by systematic sampling from `phase` in [0, 1),
    so that small classes fill all parts by their shares on average."""
    exact = [count * s for s in shares]
    sizes = [math.floor(e + 1e-9) for e in exact]
    before = phase
    for p, e in enumerate(exact):
        after = before + max(0.0, e - sizes[p])
        sizes[p] += math.floor(after + 1e-9) - math.floor(before + 1e-9)
        before = after
    largest = max(range(len(shares)), key=lambda p: shares[p])
    sizes[largest] += count - sum(sizes)  # rounding of the sum, if any
    if sizes[largest] == 0:
        other = max(range(len(sizes)), key=lambda p: sizes[p])
        sizes[other], sizes[largest] = sizes[other] - 1, 1
    return [sum(sizes[: p + 1]) for p in range(len(sizes))]


def _together(ids: Sequence[str], groups: Sequence[Hashable] | None) -> list[list[int]]:
    """Rows that must stay in one part: those of one group, and those of equal content (ids that differ in `~2` only)."""
    parent = list(range(len(ids)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, Hashable], int] = {}
    for i, this in enumerate(ids):
        for key in (("content", this.split("~")[0]), *((("group", groups[i]),) if groups is not None else ())):
            j = first.setdefault(key, i)
            a, b = find(i), find(j)
            parent[max(a, b)] = min(a, b)
    out: dict[int, list[int]] = {}
    for i in range(len(ids)):
        out.setdefault(find(i), []).append(i)
    return list(out.values())
