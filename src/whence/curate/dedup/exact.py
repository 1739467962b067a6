"""Exact duplicates: texts that are equal after normalisation.

Normalisation: Unicode NFKC, case folding, white space collapsed. Weight 1 for every pair. A group of k equal texts is
given as k - 1 pairs with its first example, not as all k(k-1)/2.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer


def normalised(text: str) -> str:
    """The form in which two texts are compared."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold().split())


def equal_pairs(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(first, later) row numbers of texts that are equal; every later one is paired with the first of its group."""
    seen: dict[str, int] = {}
    first, later = [], []
    for i, text in enumerate(texts):
        if not text:
            continue
        at = seen.setdefault(text, i)
        if at != i:
            first.append(at)
            later.append(i)
    return np.array(first, np.int32), np.array(later, np.int32)


@method
class Exact:
    """Pairs of examples whose texts are equal after normalisation."""

    card: ClassVar[Card] = Card(
        line="Pairs whose texts are equal after Unicode, case and white-space normalisation.",
        needs=("text",),
        cost="one pass over the text",
        status="baseline",
    )

    normalise: bool = param(True, "compare NFKC, case-folded, white-space-collapsed text instead of the bytes")

    def __call__(
        self, pool: Pool, ctx: Context, *, observer: Observer | None = None, against: Pool | None = None
    ) -> Links:
        texts = [normalised(t) if self.normalise else t for t in pool.texts]
        other = pool
        if against is None:
            head, tail = equal_pairs(texts)
        else:
            other = against
            theirs = [normalised(t) if self.normalise else t for t in against.texts]
            rows: dict[str, list[int]] = {}
            for i, text in enumerate(texts):
                rows.setdefault(text, []).append(i)
            found = [(i, j) for j, text in enumerate(theirs) if text for i in rows.get(text, ())]
            pairs = np.array(sorted(found), np.int32).reshape(-1, 2)
            head, tail = pairs[:, 0], pairs[:, 1]
        step = step_of(self, inputs=(pool.fingerprint, other.fingerprint))
        return Links.between(pool, other, head, tail, np.ones(len(head)), kind="near", route="text",
                             high="equal", unit="1 = equal", step=step)
