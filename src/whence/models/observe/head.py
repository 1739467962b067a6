"""The head: an L2-regularised softmax regression on frozen embeddings, fitted to convergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whence.core.pool import Pool

if TYPE_CHECKING:
    from whence.models.observe.observer import Observer

#: Inverse penalties tried, in scikit-learn's convention.
GRID = (0.3, 1.0, 3.0, 10.0, 30.0)
_GRID_ROWS = 4000  # rows that the choice of C looks at
#: Rows x features x classes beyond which fits are looser, and repeated less often.
LARGE = 3e8


@dataclass(frozen=True)
class Head:
    """A fitted head. `W` [C, d], `b` [C]; `names` the classes; `C` the inverse penalty."""

    W: NDArray[np.float32]
    b: NDArray[np.float32]
    names: tuple[str, ...]
    C: float

    def logits(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, d] -> [n, C]."""
        out: NDArray[np.float32] = X @ self.W.T + self.b
        return out

    def probs(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities [n, C]."""
        z = self.logits(X)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z


def chosen_c(pool: Pool, observer: Observer) -> float:
    """The inverse penalty: the observer's, or the one of `GRID` with the least cross-validated log loss on the pool."""
    if observer.head_c is not None:
        return observer.head_c

    def choose() -> float:
        from whence.kernels.softmax_head import cross_val_probs

        y = observer.labelled(pool, "the head")
        X = observer.embeddings(pool)
        rng = observer.ctx.rng("head/rows")
        if len(y) > _GRID_ROWS:
            # enough rows for the choice; every class keeps at least its share
            rows = np.sort(rng.permutation(len(y))[:_GRID_ROWS])
            X, y = X[rows], y[rows]
        seen, codes = np.unique(y, return_inverse=True)
        y = codes.astype(np.int32)
        folds = min(3, len(y))
        if len(seen) < 2 or folds < 2:
            return 1.0
        best, best_loss = 1.0, np.inf
        for c in GRID:
            probs = cross_val_probs(X, y, len(seen), folds, rng=observer.ctx.rng("head/folds"), C=c, tol=1e-2)
            loss = float(-np.log(np.maximum(probs[np.arange(len(y)), y], 1e-12)).mean())
            if loss < best_loss:
                best, best_loss = c, loss
        return best

    key = {"observable": "head/c", "version": 1, "pool": pool.fingerprint, "by": observer.fingerprint}

    def load() -> float:
        return float(observer.ctx.store.once(key, lambda: {"c": np.array([choose()])})["c"][0])

    c: float = observer.remember(("head/c", pool.fingerprint), load)
    return c


def head(pool: Pool, observer: Observer) -> Head:
    """Fit the head on a labelled pool. Raises NotCapable without labels or with a single class."""
    y = observer.labelled(pool, "the head")
    c = chosen_c(pool, observer)

    def make() -> dict[str, NDArray[np.float32]]:
        from whence.kernels.softmax_head import fit

        X = observer.embeddings(pool)
        # influence assumes the optimum, so as tight as the time allows
        tol = 1e-5 if float(X.size) * len(pool.labels.names) <= LARGE else 1e-3
        heads = fit(X, y, len(pool.labels.names), C=c, tol=tol)
        return {"W": heads.W[0].astype(np.float32), "b": heads.b[0].astype(np.float32)}

    key = {"observable": "head", "version": 1, "pool": pool.fingerprint, "by": observer.fingerprint, "C": c}
    arrays = observer.ctx.store.once(key, make)
    return Head(np.asarray(arrays["W"]), np.asarray(arrays["b"]), pool.labels.names, c)
