"""SAS: examples whose augmentations are most like those of the rest of their class, for contrastive pre-training.

Joshi and Mirzasoleiman 2023, "Data-Efficient Contrastive Self-supervised Learning: Most Beneficial Examples for
Supervised Learning Contribute the Least" (arXiv:2302.09195). Inside each approximate class, greedy choice of the S that
maximises the summed expected similarity between augmentations of S and of the examples left out (the authors' code leaves
negative similarities out of the sum; we do not). Here an augmentation drops words, the proxy is the
encoder, and the expected inner product of two examples' augmentations is that of their mean augmented embeddings, so no
matrix of pairs is held. Approximate classes are k-means clusters, or the labels. What it keeps is meant for contrastive
training: it favours the easy middle, which supervised learning needs least. As pairs within S do not count, a budget
beyond about half of a class brings its outliers in.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


def dropped_words(text: str, share: float, rng: np.random.Generator) -> str:
    """The text without about `share` of its words; one word stays at least."""
    words = text.split()
    if not words:
        return text
    stays = rng.random(len(words)) >= share
    stays[int(rng.integers(len(words)))] = True
    return " ".join(w for w, s in zip(words, stays, strict=True) if s)


def greedy_cut(M: NDArray[Any], k: int) -> NDArray[np.int64]:
    """k rows of M [n, d], greedily, for the largest sum of inner products between chosen and unchosen rows; ties: first row.

    The gain of row j is its sum over the other unchosen rows less its sum over the chosen ones; it may be negative.
    """
    M = M.astype(np.float64)
    gain = M @ M.sum(axis=0) - (M * M).sum(axis=1)
    out = np.empty(k, np.int64)
    for t in range(k):
        out[t] = gain.argmax()
        gain -= 2 * (M @ M[out[t]])
        gain[out[: t + 1]] = -np.inf
    return out


@method
class ContrastiveSAS:
    """Examples most alike, under augmentation, to the rest of their approximate class."""

    card: ClassVar[Card] = Card(
        line="For contrastive pre-training: examples whose augmentations are most like those of the rest of their class.",
        papers=(Paper("Data-Efficient Contrastive Self-supervised Learning: Most Beneficial Examples for Supervised Learning "
                      "Contribute the Least", "Joshi and Mirzasoleiman", 2023, "arXiv:2302.09195"),),
        needs=("text", "embeddings"),
        cost="`views` further embeddings of every text, and one product per example and choice",
    )
    nested: ClassVar[bool] = False
    random: ClassVar[bool] = True

    views: int = param(2, "augmentations of each text", ge=1)
    drop: float = param(0.2, "share of the words that an augmentation leaves out", ge=0, lt=1)
    clusters: int = param(10, "approximate classes, found by k-means", ge=1)
    by_label: bool = param(False, "use the labels as classes instead")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        from whence.kernels.facility_location import proportional_budgets
        from whence.kernels.kmeans import kmeans
        from whence.models.observe.embeddings import embeddings

        k = checked(budget, pool)
        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint))
        if k == 0:
            return Selection.of(pool, [], step=step, reason="less like the rest of its class")
        by_id = np.argsort(np.array(pool.ids))
        if self.by_label:
            codes = observer.labelled(pool, "SAS by label")[by_id].astype(np.int64)
        else:
            X = observer.embeddings(pool)[by_id]
            codes = kmeans(X, min(self.clusters, len(X)), ctx.rng("select/contrastive-sas/clusters"))[1]
        codes = np.unique(codes, return_inverse=True)[1]
        texts = [
            dropped_words(pool.texts[i], self.drop, ctx.rng(f"select/contrastive-sas/{pool.ids[i]}/{v}"))
            for v in range(self.views) for i in by_id
        ]
        M = embeddings(texts, observer.encoder, ctx).reshape(self.views, len(pool), -1).mean(axis=0)
        shares = proportional_budgets(codes, k)
        chosen = [by_id[np.flatnonzero(codes == c)[greedy_cut(M[codes == c], int(share))]] for c, share in enumerate(shares)]
        # turn by turn, so that the first ones are of every class
        rows = [int(of[t]) for t in range(max(len(of) for of in chosen)) for of in chosen if t < len(of)]
        return Selection.of(pool, rows, step=step, reason="less like the rest of its class")
