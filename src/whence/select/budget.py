"""The check of a budget that every selector starts with."""

from __future__ import annotations

from whence.core.errors import BadInput
from whence.core.pool import Pool


def checked(budget: object, pool: Pool) -> int:
    """The budget, when it is a whole number from 0 to the size of the pool. Raises BadInput."""
    if isinstance(budget, bool) or not isinstance(budget, int) or not 0 <= budget <= len(pool):
        raise BadInput("The budget does not fit the pool", given=repr(budget), legal=f"a whole number from 0 to {len(pool)}")
    return budget
