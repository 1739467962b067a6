"""Decisions: what to keep, in which order, and why the rest left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whence.core.errors import BadInput
from whence.core.evidence import Scores
from whence.core.pool import Pool
from whence.core.step import Step


@dataclass(frozen=True)
class Selection:
    """Kept ids in order, and a reason for every id that was dropped. The only thing `Pool.take` accepts.

    `scores` is the evidence it was cut from, where there is one; `rethreshold` cuts it again elsewhere.
    """

    kept: tuple[str, ...]
    dropped: Mapping[str, str]
    step: Step
    scores: Scores | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(set(self.kept)) != len(self.kept) or not set(self.kept).isdisjoint(self.dropped):
            raise BadInput("A selection names an example twice", legal="each id once, kept or dropped")

    @classmethod
    def of(cls, pool: Pool, rows: Iterable[int], *, step: Step, reason: str | Callable[[str], str]) -> Selection:
        """Keep these rows of a pool, in this order; every other example is dropped for `reason` (a text, or id -> text)."""
        kept = tuple(pool.ids[int(r)] for r in rows)
        inside = set(kept)
        why = reason if callable(reason) else lambda _: str(reason)
        return cls(kept, {this: why(this) for this in pool.ids if this not in inside}, step)

    @classmethod
    def without(cls, pool: Pool, dropped: Mapping[str, str], *, step: Step) -> Selection:
        """Everything but `dropped` (id -> reason), in pool order."""
        pool.positions(dropped)
        return cls(tuple(this for this in pool.ids if this not in dropped), dict(dropped), step)

    @classmethod
    def cut(cls, pool: Pool, scores: Scores, *, at_most: float | None = None, at_least: float | None = None) -> Selection:
        """Keep the examples whose score lies in [at_least, at_most]; an example without a score is kept."""
        low, high = (-np.inf if at_least is None else at_least), (np.inf if at_most is None else at_most)
        dropped = {}
        for this, value in zip(scores.ids, scores.values, strict=True):
            if not low <= value <= high:
                side = f"above {high:g}" if value > high else f"below {low:g}"
                dropped[this] = f"{scores.name} {value:.4g} is {side} (high = {scores.high})"
        step = Step("cut", {"by": scores.step.to_dict(), "at_most": at_most, "at_least": at_least}, inputs=(pool.fingerprint,))
        made = cls.without(pool, dropped, step=step)
        return cls(made.kept, made.dropped, step, scores)

    def rethreshold(self, pool: Pool, *, at_most: float | None = None, at_least: float | None = None) -> Selection:
        """The same evidence, cut elsewhere. Raises BadInput when this selection was not cut from scores."""
        if self.scores is None:
            raise BadInput(
                "This selection was not cut from scores", given=self.step.method, do="use the method that made it again"
            )
        return Selection.cut(pool, self.scores, at_most=at_most, at_least=at_least)

    def restore(self, ids: Iterable[str]) -> Selection:
        """Bring dropped examples back, at the end. Raises BadInput for an id that was not dropped."""
        back = tuple(dict.fromkeys(ids))
        foreign = [this for this in back if this not in self.dropped]
        if foreign:
            raise BadInput(f"{foreign[0]} was not dropped", do="see dropped.jsonl for what was")
        return Selection(
            (*self.kept, *back),
            {k: v for k, v in self.dropped.items() if k not in set(back)},
            Step("restore", {"ids": list(back), "after": self.step.to_dict()}),
            self.scores,
        )

    def to_dict(self) -> dict[str, Any]:
        return {"kept": list(self.kept), "dropped": dict(self.dropped), "step": self.step.to_dict()}
