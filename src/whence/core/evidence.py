"""Evidence: scores of examples, links between examples, findings of audits. Evidence never changes a pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from whence.core.errors import BadInput
from whence.core.pool import Pool
from whence.core.step import Step

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["near", "retrieved", "attributed", "cited"]
Route = Literal["weights", "context", "text"]


@dataclass(frozen=True, eq=False)
class Scores:
    """One finite number per example.

    `ids` and `values` (float64 [n]) run in parallel; `high` says in words what a high value means; `unit` is the unit
    (nats, probability, L2 distance, ...); `missing` maps the id of an example the method declined to the reason.
    Values are never negated and never NaN: unknown is `missing`. Raises BadInput when that is broken.
    """

    name: str
    ids: tuple[str, ...]
    values: NDArray[np.float64]
    high: str
    unit: str
    step: Step
    missing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))
        if self.values.shape != (len(self.ids),):
            raise BadInput(f"'{self.name}' has {self.values.shape} values for {len(self.ids)} examples", legal="one per example")
        bad = np.flatnonzero(~np.isfinite(self.values))
        if len(bad):
            raise BadInput(
                f"'{self.name}' is not finite for example {self.ids[bad[0]]}",
                given=self.values[bad[0]],
                do="put the example under missing with a reason",
            )
        if len(set(self.ids)) != len(self.ids) or not set(self.ids).isdisjoint(self.missing):
            raise BadInput(f"'{self.name}' names an example twice", legal="each id once, in ids or in missing")

    @classmethod
    def of(
        cls,
        name: str,
        pool: Pool,
        values: ArrayLike,
        *,
        high: str,
        unit: str,
        step: Step,
        missing: Mapping[str, str] | None = None,
    ) -> Scores:
        """Scores of a whole pool: `values` [len(pool)] in pool order; entries of `missing` ids are left out."""
        array = np.asarray(values, dtype=np.float64)
        gone = dict(missing or {})
        keep = np.array([this not in gone for this in pool.ids], dtype=bool)
        ids = tuple(this for this, k in zip(pool.ids, keep, strict=True) if k)
        return cls(name, ids, array[keep], high, unit, step, gone)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Scores('{self.name}', {len(self):,} examples, high = {self.high}, missing {len(self.missing):,})"

    @cached_property
    def _at(self) -> dict[str, int]:
        return {this: i for i, this in enumerate(self.ids)}

    def __getitem__(self, key: str) -> float:
        """The value of an id. Raises KeyError when the example is missing (see `missing`)."""
        return float(self.values[self._at[key]])

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def aligned(self, ids: Iterable[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values in the order of `ids`, and where there is one (0.0 stands where there is none)."""
        at = [self._at.get(this, -1) for this in ids]
        where = np.array(at, dtype=np.int64)
        known = where >= 0
        return np.where(known, self.values[where] if len(self.values) else 0.0, 0.0), known

    def top(self, k: int, *, highest: bool = True) -> list[str]:
        """The `k` ids with the highest (or lowest) values; ties go to the earlier example."""
        order = np.argsort(-self.values if highest else self.values, kind="stable")
        return [self.ids[i] for i in order[:k]]

    def to_arrow(self) -> pa.Table:
        """Columns `whence_id`, `value`, `missing` (reason, null where there is a value)."""
        return pa.table(
            {
                "whence_id": pa.array([*self.ids, *self.missing], pa.string()),
                "value": pa.array([*self.values.tolist(), *[None] * len(self.missing)], pa.float64()),
                "missing": pa.array([*[None] * len(self.ids), *self.missing.values()], pa.string()),
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """`to_arrow` as a data frame. Raises MissingExtra where pandas is not installed."""
        from whence.core.tables import frame

        return frame(self.to_arrow())


@dataclass(frozen=True, eq=False)
class Links:
    """Weighted pairs head -> tail: the ledger.

    Duplicates, retrieval hits, attributions and citations are all of this type. `heads` and `tails` are the ids that
    can occur; `head`, `tail` (int32 [m]) index them; `weight` (float64 [m]) is finite. `kind` says what the pair is
    (near, retrieved, attributed, cited), `route` how the tail reaches the head (weights, context, text), `high` what a
    high weight means. `notes` may carry one short text per pair (matching spans, for instance).
    """

    heads: tuple[str, ...]
    tails: tuple[str, ...]
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    weight: NDArray[np.float64]
    kind: Kind
    route: Route
    high: str
    unit: str
    step: Step
    notes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", np.asarray(self.head, dtype=np.int32))
        object.__setattr__(self, "tail", np.asarray(self.tail, dtype=np.int32))
        object.__setattr__(self, "weight", np.asarray(self.weight, dtype=np.float64))
        if not (self.head.shape == self.tail.shape == self.weight.shape) or self.head.ndim != 1:
            raise BadInput(
                "Links need head, tail and weight of one length", given=(self.head.shape, self.tail.shape, self.weight.shape)
            )
        if len(self.weight) and not np.isfinite(self.weight).all():
            raise BadInput("A link's weight is not finite", do="leave out pairs that could not be weighed")
        if self.notes is not None and len(self.notes) != len(self.weight):
            raise BadInput("Links need one note per pair, or none", given=len(self.notes), legal=len(self.weight))

    @classmethod
    def between(
        cls,
        heads: Pool,
        tails: Pool,
        head: ArrayLike,
        tail: ArrayLike,
        weight: ArrayLike,
        *,
        kind: Kind,
        route: Route,
        high: str,
        unit: str,
        step: Step,
        notes: Iterable[str] | None = None,
    ) -> Links:
        """Links by row numbers of two pools."""
        return cls(
            heads.ids,
            tails.ids,
            np.asarray(head, np.int32),
            np.asarray(tail, np.int32),
            np.asarray(weight, np.float64),
            kind,
            route,
            high,
            unit,
            step,
            None if notes is None else tuple(notes),
        )

    def __len__(self) -> int:
        return len(self.weight)

    def __repr__(self) -> str:
        return f"Links({self.kind} by {self.route}, {len(self):,} pairs, high = {self.high}, from {self.step.method})"

    def of_head(self, key: str, k: int | None = None) -> list[tuple[str, float]]:
        """(tail id, weight) of one head, strongest (largest absolute weight) first."""
        return self._partners(key, self.heads, self.head, self.tails, self.tail, k)

    def of_tail(self, key: str, k: int | None = None) -> list[tuple[str, float]]:
        """(head id, weight) of one tail, strongest first."""
        return self._partners(key, self.tails, self.tail, self.heads, self.head, k)

    def _partners(
        self,
        key: str,
        mine: tuple[str, ...],
        at: NDArray[np.int32],
        theirs: tuple[str, ...],
        other: NDArray[np.int32],
        k: int | None,
    ) -> list[tuple[str, float]]:
        if key not in mine:
            return []
        rows = np.flatnonzero(at == mine.index(key))
        rows = rows[np.argsort(-np.abs(self.weight[rows]), kind="stable")][:k]
        return [(theirs[other[r]], float(self.weight[r])) for r in rows]

    def where(self, mask: NDArray[np.bool_]) -> Links:
        """The links under a mask [m]."""
        notes = None if self.notes is None else tuple(n for n, m in zip(self.notes, mask, strict=True) if m)
        return Links(
            self.heads,
            self.tails,
            self.head[mask],
            self.tail[mask],
            self.weight[mask],
            self.kind,
            self.route,
            self.high,
            self.unit,
            self.step,
            notes,
        )

    def to_arrow(self) -> pa.Table:
        """Columns head, tail (ids), weight, kind, route, unit, method, note."""
        m = len(self)

        def same(value: str) -> pa.Array:
            return pa.DictionaryArray.from_arrays(pa.array(np.zeros(m, np.int8)), pa.array([value], pa.string()))

        return pa.table(
            {
                "head": pa.array(np.array(self.heads, dtype=object)[self.head] if m else [], pa.string()),
                "tail": pa.array(np.array(self.tails, dtype=object)[self.tail] if m else [], pa.string()),
                "weight": pa.array(self.weight),
                "kind": same(self.kind),
                "route": same(self.route),
                "unit": same(self.unit),
                "method": same(self.step.method),
                "note": pa.array(self.notes if self.notes is not None else [None] * m, pa.string()),
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """`to_arrow` as a data frame. Raises MissingExtra where pandas is not installed."""
        from whence.core.tables import frame

        return frame(self.to_arrow())


@dataclass(frozen=True)
class Finding:
    """One audit result: what was checked, the figure with its interval, the examples that show it, and the verdict in words."""

    check: str
    figure: float
    interval: tuple[float, float] | None
    unit: str
    verdict: str
    step: Step
    evidence: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "figure": self.figure,
            "interval": self.interval,
            "unit": self.unit,
            "verdict": self.verdict,
            "evidence": list(self.evidence),
            "step": self.step.to_dict(),
        }
