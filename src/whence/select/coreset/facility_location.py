"""Facility location: every example should have a chosen one that is like it.

Greedy maximisation of sum_i max_{j chosen} similarity(i, j), with the usual 1 - 1/e guarantee (Nemhauser, Wolsey and Fisher
1978); for data subsets see Wei, Iyer and Bilmes 2015, "Submodularity in Data Subset Selection and Active Learning". The
choice is the exact greedy one; similarity is 1 + cosine, so that it is never negative. With `by_class` the budget is
shared out over the classes by size and each is covered for itself, as in Mirzasoleiman et al. 2020 (CRAIG,
arXiv:1906.01827), there with gradients in place of embeddings.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.errors import OverBudget
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked

_MOST = 46_000  # rows whose pairs fit the kernel's 4 GiB


@method
class FacilityLocation:
    """Examples that together are like everything."""

    card: ClassVar[Card] = Card(
        line="Represent all examples: each should have a chosen one that is like it.",
        papers=(Paper("Submodularity in Data Subset Selection and Active Learning", "Wei, Iyer and Bilmes", 2015, "ICML 2015"),),
        needs=("text", "embeddings"),
        cost="about one pass of all pairs of examples (seconds at 20,000)",
        presets={
            "facility-location-by-class": Preset(
                {"by_class": True}, "Each class is covered for itself, in proportion to its size.",
                Paper("Coresets for Data-efficient Training of Machine Learning Models", "Mirzasoleiman et al.", 2020,
                      "arXiv:1906.01827"),
            ),
        },
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    by_class: bool = param(False, "share the budget over the classes by size and cover each for itself (not nested then)")

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        from whence.kernels.facility_location import facility_location, facility_location_by_class, proportional_budgets

        k = checked(budget, pool)
        by_id = np.argsort(np.array(pool.ids))  # ties go to the smaller id, whatever the order of the file
        X = observer.embeddings(pool)[by_id] if k else np.zeros((0, 0), np.float32)
        if k == 0:
            rows = np.zeros(0, np.int64)
        elif self.by_class:
            codes = observer.labelled(pool, "facility location by class")[by_id]
            rows, gains = facility_location_by_class(X, codes, proportional_budgets(codes, k))
            rows = rows[np.argsort(-gains, kind="stable")]
        else:
            if len(pool) > _MOST:
                raise OverBudget(f"All pairs of {len(pool):,} examples would take {2 * len(pool) ** 2 / 1e9:.0f} GB",
                                 legal=f"up to {_MOST:,} examples", do="use by_class=True, or k-center")
            rows = facility_location(X, k)[0]
        return Selection.of(pool, by_id[rows], step=step_of(self, inputs=(pool.fingerprint, observer.fingerprint)),
                            reason="represented by a chosen example")
