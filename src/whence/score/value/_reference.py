"""The check that every value score against a labelled reference starts with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool
from whence.models.observe import Observer


def labelled_reference(
    pool: Pool, reference: Pool | None, observer: Observer, name: str
) -> tuple[NDArray[np.int32], Pool, NDArray[np.int32]]:
    """Class codes [n] of the pool, the reference, and its codes [m] in the pool's numbering.

    Raises NotCapable without a reference or without labels on either, BadInput for a label that the pool does not have.
    """
    if reference is None or len(reference) == 0:
        raise NotCapable(f"{name} needs a labelled reference", do="pass validation examples as the reference (--reference FILE)")
    y = observer.labelled(pool, name)
    if "label" not in reference.roles:
        raise NotCapable(f"{name} needs labels on the reference", given=", ".join(reference.columns))
    yq = observer.codes(reference, pool.labels.names)
    if (yq < 0).any():
        raise BadInput(
            f"The reference example {reference.ids[int(np.flatnonzero(yq < 0)[0])]} has no label of '{pool.name}'",
            legal=pool.labels.names,
            do="label it, or leave it out",
        )
    return y, reference, yq
