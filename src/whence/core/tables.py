"""Evidence as Arrow tables and back: what a run keeps in Parquet is what it had in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from whence.core.errors import BadInput
from whence.core.evidence import Links, Scores
from whence.core.pool import ID
from whence.core.step import Step

if TYPE_CHECKING:
    import pandas as pd


def scores_table(ids: Sequence[str], scores: Iterable[Scores]) -> pa.Table:
    """One row per id, one float64 column per score (null where missing), and `missing`: JSON of score -> reason, or null.

    What a score means travels in its column's metadata (`high`, `unit`, `step`).
    """
    columns: list[pa.Array] = [pa.array(list(ids), pa.string())]
    fields = [pa.field(ID, pa.string())]
    reasons: list[dict[str, str]] = [{} for _ in ids]
    for s in scores:
        values, known = s.aligned(ids)
        columns.append(pa.array(values, pa.float64(), mask=~known))
        meta = {"high": s.high, "unit": s.unit, "step": orjson.dumps(s.step.to_dict()).decode()}
        fields.append(pa.field(s.name, pa.float64(), metadata=meta))
        for i in np.flatnonzero(~known):
            reasons[i][s.name] = s.missing.get(ids[int(i)], "not scored")
    columns.append(pa.array([orjson.dumps(r, option=orjson.OPT_SORT_KEYS).decode() if r else None for r in reasons], pa.string()))
    fields.append(pa.field("missing", pa.string()))
    return pa.table(columns, schema=pa.schema(fields))


def scores_of(table: pa.Table) -> dict[str, Scores]:
    """The scores in a table written by `scores_table`, by name. Raises BadInput for another table."""
    if ID not in table.column_names or "missing" not in table.column_names:
        raise BadInput("This table does not hold scores", given=table.column_names, do="give scores.parquet of a run")
    ids = table.column(ID).to_pylist()
    reasons = [orjson.loads(r) if r else {} for r in table.column("missing").to_pylist()]
    out = {}
    for field in table.schema:
        if field.name in (ID, "missing"):
            continue
        meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        column = table.column(field.name)
        known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
        values = column.fill_null(0.0).to_numpy()[known]
        there = tuple(this for this, k in zip(ids, known, strict=True) if k)
        missing = {this: r.get(field.name, "not scored") for this, r, k in zip(ids, reasons, known, strict=True) if not k}
        step = Step.from_dict(orjson.loads(meta["step"])) if "step" in meta else Step(field.name)
        out[field.name] = Scores(field.name, there, values, meta.get("high", ""), meta.get("unit", ""), step, missing)
    return out


def links_of(table: pa.Table) -> Links:
    """The links in a table written by `Links.to_arrow` (all of one kind, route, unit and method)."""
    heads, head = _coded(table.column("head"))
    tails, tail = _coded(table.column("tail"))
    first: dict[str, Any] = {c: table.column(c)[0].as_py() if table.num_rows else "" for c in ("kind", "route", "unit", "method")}
    notes = table.column("note").to_pylist()
    return Links(
        heads,
        tails,
        head,
        tail,
        table.column("weight").to_numpy(),
        first["kind"] or "near",
        first["route"] or "text",
        "",
        first["unit"],
        Step(first["method"]),
        tuple(notes) if any(n is not None for n in notes) else None,
    )


def _coded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    return tuple(coded.dictionary.to_pylist()), coded.indices.to_numpy().astype(np.int32)


def frame(table: pa.Table) -> pd.DataFrame:
    """A table as a data frame. Raises MissingExtra where pandas is not installed."""
    from importlib.util import find_spec

    if find_spec("pandas") is None:
        from whence.core.errors import MissingExtra

        raise MissingExtra("pandas", "hf", "to_pandas")
    return table.to_pandas()
