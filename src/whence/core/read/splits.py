"""Which split of a data set is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from whence.core.errors import BadInput, UnknownName

#: Names that files and people use, and the split they mean.
SAME = {
    "train": "train", "training": "train", "trn": "train", "test": "test", "testing": "test", "eval": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "development": "validation",
}


def choose(names: Iterable[str], wanted: str | None, given: str) -> str:
    """The split that `wanted` names (`dev`, `val` and `validation` are one); without it, `train`. Raises BadInput."""
    known = list(names)
    if wanted is not None:
        exact = [n for n in known if n == wanted] or [n for n in known if n.lower() == wanted.lower()]
        same = exact or [n for n in known if wanted.lower() in SAME and SAME.get(n.lower()) == SAME[wanted.lower()]]
        if not same:
            raise UnknownName(f"split in {given}", wanted, known)
        return same[0]
    if len(known) == 1:
        return known[0]
    train = [n for n in known if SAME.get(n.lower()) == "train"]
    if len(train) == 1:
        return train[0]
    raise BadInput(f"The data has {len(known)} splits and none is called train", path=given, legal=known,
                   do=f"say which one: split='{known[0]}', or {given}#{known[0]}")


def of_file(stem: str) -> str | None:
    """The split that a file name speaks of (`train-00000-of-00002`, `data.test`), or None."""
    for word in re.split(r"[^a-z]+", stem.lower()):
        if word in SAME:
            return SAME[word]
    return None
