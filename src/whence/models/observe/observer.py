"""The observer: the one thing that scorers, selectors and tracers ask for arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool

if TYPE_CHECKING:
    from whence.kernels.influence import Curvature
    from whence.models.capabilities import Embeds
    from whence.models.observe.class_probs import ClassProbs
    from whence.models.observe.dynamics import Dynamics
    from whence.models.observe.head import Head


class Observer:
    """Looks at pools with one encoder and a softmax head on its embeddings, each look once.

    Every observable is a function of (pool, encoder, arguments, seed): asked again, it answers from memory, and in a
    later process from the cache on disk. `head_c` is the inverse strength of the head's L2 penalty in scikit-learn's
    convention; None chooses it on the pool by cross-validated log loss (see `Head`).
    """

    def __init__(self, encoder: Embeds, ctx: Context | None = None, *, head_c: float | None = None) -> None:
        if head_c is not None and not head_c > 0:
            raise BadInput("head_c must be a positive number", given=head_c, do="leave it out to choose it by cross-validation")
        self.encoder = encoder
        self.ctx = ctx or Context()
        self.head_c = head_c
        self._seen: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"Observer({self.encoder.name}, head_c={self.head_c}, seed={self.ctx.seed})"

    @property
    def fingerprint(self) -> str:
        """Names everything but the pool that an observable depends on."""
        return f"{self.encoder.fingerprint}|C={self.head_c}|seed={self.ctx.seed}"

    def remember(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """The value for a key, made once in this process."""
        if key not in self._seen:
            self._seen[key] = make()
        return self._seen[key]

    def embeddings(self, pool: Pool) -> NDArray[np.float32]:
        """Unit-length embeddings [n, d] of the pool's texts, in pool order."""
        from whence.models.observe.embeddings import embeddings

        made: NDArray[np.float32] = self.remember(
            ("embeddings", pool.fingerprint), lambda: embeddings(pool.texts, self.encoder, self.ctx)
        )
        return made

    def codes(self, pool: Pool, names: tuple[str, ...] | None = None) -> NDArray[np.int32]:
        """Class codes [n] of the pool's labels in the numbering of `names` (default: the pool's own), -1 where unknown."""
        labels = pool.labels
        if names is None or names == labels.names:
            return labels.codes
        at = {name: i for i, name in enumerate(names)}
        table = np.array([at.get(name, -1) for name in labels.names] + [-1], dtype=np.int32)
        return table[labels.codes]

    def class_probs(self, pool: Pool) -> ClassProbs:
        """Out-of-fold class probabilities of every example under heads that never saw it."""
        from whence.models.observe.class_probs import class_probs

        made: ClassProbs = self.remember(("class_probs", pool.fingerprint), lambda: class_probs(pool, self))
        return made

    def dynamics(self, pool: Pool, query: Pool | None = None) -> Dynamics:
        """How a small network's view of every example moved while it was trained on the pool, per seed and epoch."""
        from whence.models.observe.dynamics import dynamics

        made: Dynamics = self.remember(
            ("dynamics", pool.fingerprint, query.fingerprint if query else None), lambda: dynamics(pool, self, query)
        )
        return made

    def head(self, pool: Pool) -> Head:
        """The softmax head fitted on the pool's embeddings and labels (convex, to convergence)."""
        from whence.models.observe.head import head

        made: Head = self.remember(("head", pool.fingerprint), lambda: head(pool, self))
        return made

    def curvature(self, pool: Pool) -> Curvature:
        """Inverse curvature of the pool's head, for influence."""
        from whence.models.observe.curvature import curvature

        made: Curvature = self.remember(("curvature", pool.fingerprint), lambda: curvature(pool, self))
        return made

    def labelled(self, pool: Pool, why: str) -> NDArray[np.int32]:
        """Class codes [n] of a pool that must be labelled throughout, with two classes or more. Raises NotCapable."""
        if "label" not in pool.roles:
            raise NotCapable(
                f"{why} needs labels, and '{pool.name}' has no label column",
                given=", ".join(pool.columns),
                do="name the column with --label",
            )
        codes = pool.labels.codes
        if len(codes) == 0 or (codes < 0).any():
            raise NotCapable(
                f"{why} needs a label on every example",
                given=f"{int((codes < 0).sum())} of {len(codes)} without one",
                do="drop or label the unlabelled rows first",
            )
        if len(np.unique(codes)) < 2:
            raise NotCapable(f"{why} needs two classes or more", given=f"{len(np.unique(codes))} in '{pool.name}'")
        return codes
