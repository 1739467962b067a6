"""The curvature of the fitted head: what is needed to multiply by its inverse Hessian, made once per pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from whence.core.pool import Pool

if TYPE_CHECKING:
    from whence.kernels.influence import Curvature
    from whence.models.observe.observer import Observer

_EXACT = 8000  # parameters up to which the inverse is computed outright


def curvature(pool: Pool, observer: Observer) -> Curvature:
    """Curvature of the head that `observer.head(pool)` fits. Raises NotCapable without labels."""
    from whence.kernels import influence

    head = observer.head(pool)
    X: Any = observer.embeddings(pool)
    exact = (len(head.names) - 1) * (X.shape[1] + 1) <= _EXACT
    # the exact inverse is computed in double precision; beyond that, single precision doubles the speed
    dtype = np.float64 if exact else np.float32
    return influence.curvature(
        X.astype(dtype),
        observer.codes(pool, head.names),
        head.W.astype(dtype),
        head.b.astype(dtype),
        C=head.C,
        max_parameters=_EXACT,
    )
