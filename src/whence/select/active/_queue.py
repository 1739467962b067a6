"""What is labelled, what is not, and the head that the labelled examples teach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whence.core.decision import Selection
from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool
from whence.core.step import Step
from whence.models.observe import Observer
from whence.models.observe.head import chosen_c
from whence.select.budget import checked

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Queue:
    """A partly labelled pool in the order of ids, so that ties and draws do not depend on the order of the file.

    `X` [n, d], `y` [n] codes with -1 where there is no label, `names` of the classes; `known` and `open` row numbers of
    the labelled and the unlabelled in `X`; `by_id` [n] their row numbers in the pool; `k` the budget; `C` the head's
    inverse penalty, chosen on the labelled examples.
    """

    pool: Pool
    X: Floats
    y: NDArray[np.int32]
    names: tuple[str, ...]
    known: Rows
    open: Rows
    by_id: Rows
    k: int
    C: float

    def probs(self, weights: NDArray[np.float64] | None = None, y: NDArray[np.int32] | None = None) -> NDArray[np.float64]:
        """Class probabilities [B, open, C] of heads fitted on the labelled rows, or with `weights` [B, n] on labels `y` [n]."""
        from whence.kernels.softmax_head import fit, predict_proba

        if weights is None or y is None:
            heads = fit(self.X[self.known], self.y[self.known], len(self.names), C=self.C)
        else:
            heads = fit(self.X, np.maximum(y, 0), len(self.names), weights=weights, C=self.C)
        found: NDArray[np.float64] = predict_proba(heads, self.X[self.open]).astype(np.float64)
        return found

    def first(self, wanted: NDArray[np.float64], step: Step, reason: Callable[[float], str]) -> Selection:
        """The k unlabelled rows with the largest value of `wanted` [open]; `reason` words the value of one not chosen."""
        ranked = self.open[np.argsort(-wanted, kind="stable")]
        value = dict(zip(self.by_id[self.open].tolist(), wanted.tolist(), strict=True))

        def why(this: str) -> str:
            i = self.pool.position(this)
            return reason(value[i]) if i in value else "labelled already"

        return Selection.of(self.pool, self.by_id[ranked[: self.k]], step=step, reason=why)


def queue(pool: Pool, observer: Observer, budget: object, why: str) -> Queue:
    """Look at a partly labelled pool. Raises NotCapable without an unlabelled example or two labelled classes, and BadInput for
    a budget beyond the unlabelled."""
    k = checked(budget, pool)
    if "label" not in pool.roles:
        raise NotCapable(f"{why} needs some labels, and '{pool.name}' has no label column", given=", ".join(pool.columns),
                         do="label a few examples first: the preset core-set says which")
    by_id = np.argsort(np.array(pool.ids))
    y = pool.labels.codes[by_id]
    known, left = np.flatnonzero(y >= 0), np.flatnonzero(y < 0)
    if not len(left):
        raise NotCapable(f"{why} chooses among unlabelled examples, and every example of '{pool.name}' has a label",
                         given=len(pool), do="leave the labels empty (null) of what is to be labelled")
    if k > len(left):
        raise BadInput("There are fewer unlabelled examples than that", given=k, legal=f"up to {len(left)}")
    if len(pool.labels.names) < 2:
        raise NotCapable(f"{why} needs labelled examples of two classes or more", given=list(pool.labels.names) or "none",
                         do="label a few examples first: the preset core-set says which")
    step = Step("labelled", {}, inputs=(pool.fingerprint,))
    taught = pool.take(Selection.of(pool, by_id[known], step=step, reason="not labelled"))
    return Queue(pool, observer.embeddings(pool)[by_id], y, pool.labels.names, known, left, by_id, k, chosen_c(taught, observer))
