"""Out-of-fold class probabilities: what heads that never saw an example say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whence.core.pool import Pool
from whence.models.observe.head import LARGE, chosen_c

if TYPE_CHECKING:
    from whence.models.observe.observer import Observer

FOLDS, REPEATS = 5, 2


@dataclass(frozen=True)
class ClassProbs:
    """`probs` float32 [n, C] in pool order; `codes` int32 [n] the given labels; `names` the classes."""

    probs: NDArray[np.float32]
    codes: NDArray[np.int32]
    names: tuple[str, ...]


def class_probs(pool: Pool, observer: Observer) -> ClassProbs:
    """Stratified cross-validation of the head on the pool: 5 folds, 2 repeats averaged (1 where there are very many classes).

    Raises NotCapable without labels.
    """
    y = observer.labelled(pool, "out-of-fold probabilities")
    c = chosen_c(pool, observer)
    names = pool.labels.names
    large = float(len(y)) * observer.embeddings(pool).shape[1] * len(names) > LARGE
    repeats, tol = (1, 1e-2) if large else (REPEATS, 1e-3)

    def make() -> dict[str, NDArray[np.float32]]:
        from whence.kernels.softmax_head import cross_val_probs

        # rows are put in the order of their ids, so that the folds do not depend on the order of the file
        order = np.argsort(np.array(pool.ids))
        rng = observer.ctx.rng("class_probs/folds")
        folds = min(FOLDS, len(y))
        found = cross_val_probs(observer.embeddings(pool)[order], y[order], len(names), folds, repeats, rng=rng, C=c, tol=tol)
        probs = np.empty_like(found)
        probs[order] = found
        return {"probs": probs.astype(np.float32)}

    key = {"observable": "class_probs", "version": 1, "pool": pool.fingerprint, "by": observer.fingerprint, "C": c,
           "folds": FOLDS, "repeats": repeats}
    return ClassProbs(np.asarray(observer.ctx.store.once(key, make)["probs"]), y, names)
