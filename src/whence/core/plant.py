"""Plant known problems in a pool, so that what finds them can be held against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from whence.core.context import Context
from whence.core.errors import BadInput, NotCapable, UnknownName
from whence.core.pool import ID, OWN_COLUMNS, PARENTS, SOURCE, Pool
from whence.core.step import Step
from whence.core.store import write_atomic

#: What can be planted: key of the specification -> kind in the truth.
KINDS = {"label-flips": "label-flip", "duplicates": "duplicate", "leaks": "leak"}


@dataclass(frozen=True)
class Planted:
    """The truth about what was planted.

    `kinds` maps the id of a planted row to `label-flip`, `duplicate` or `leak`; `true_labels` a flipped id to the label that
    it had; `made_from` a planted id to the id that it was made from (for a leak, of the test row).
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    true_labels: Mapping[str, str] = field(default_factory=dict)
    made_from: Mapping[str, str] = field(default_factory=dict)
    spec: str = ""
    seed: int = 0

    def ids(self, kind: str) -> frozenset[str]:
        """Ids of one kind. Raises UnknownName."""
        if kind not in KINDS.values():
            raise UnknownName("planted kind", kind, KINDS.values())
        return frozenset(i for i, k in self.kinds.items() if k == kind)

    def to_dict(self) -> dict[str, Any]:
        return {"kinds": dict(self.kinds), "true_labels": dict(self.true_labels), "made_from": dict(self.made_from),
                "spec": self.spec, "seed": self.seed}

    def save(self, path: str | Path) -> None:
        write_atomic(Path(path), orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: str | Path) -> Planted:
        """The truth that `save` wrote. Raises BadInput."""
        try:
            data = orjson.loads(Path(path).read_bytes())
            return cls(data["kinds"], data["true_labels"], data["made_from"], data["spec"], data["seed"])
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BadInput(f"This is no record of planted problems: {error}", path=path, do="plant again") from None


def parse(spec: str) -> dict[str, float]:
    """`label-flips=0.05,duplicates=0.02,leaks=20` as a mapping. Below 1 is a share of the rows, from 1 on a count.

    Raises BadInput (UnknownName for an unknown kind).
    """
    out: dict[str, float] = {}
    for item in filter(None, (p.strip() for p in spec.split(","))):
        key, sign, text = item.partition("=")
        key = key.strip().lower().replace("_", "-")
        key = next((k for k, kind in KINDS.items() if key == kind), key)
        if key not in KINDS:
            raise UnknownName("problem to plant", key, KINDS)
        legal = "a share above 0 and below 1, or a whole number of rows"
        try:
            value = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
        except ValueError:
            value = math.nan
        if not sign or not math.isfinite(value) or value <= 0 or (value >= 1 and not value.is_integer()):
            raise BadInput(f"How much of '{key}' to plant cannot be read", given=item, legal=legal,
                           do=f"write {key}=0.05 or {key}=20")
        if key in out:
            raise BadInput(f"'{key}' is to be planted twice", given=spec, legal="each once")
        out[key] = value
    if not out:
        raise BadInput("Nothing is to be planted", given=repr(spec), legal=list(KINDS),
                       do="write label-flips=0.05,duplicates=0.02,leaks=20")
    return out


def plant(pool: Pool, spec: str, *, seed: int = 0, test: Pool | None = None) -> tuple[Pool, Pool | None, Planted]:
    """The pool with problems planted, the test pool as it was, and the truth.

    A flipped row stands where the row stood, with another class drawn evenly from the others. Duplicates (lightly edited
    copies of rows that were not flipped, under the same label) and leaks (copies of test rows, every other one lightly
    edited) stand at random places. Planted rows have the row they were made from as parent and its source; no other column
    tells them from the rest. The same seed plants the same. Raises BadInput for a specification that cannot be met.
    """
    wanted = parse(spec)
    ctx = Context(seed=seed)
    n = len(pool)
    rows: list[dict[str, Any]] = []
    kinds: list[str | None] = [None] * n
    true: dict[int, str] = {}
    table = pool.table
    flipped: set[int] = set()
    if "label-flips" in wanted:
        table, true = _flip(pool, wanted["label-flips"], ctx)
        flipped = set(true)
        for changed in true:
            kinds[changed] = "label-flip"
    column = _edited_column(pool) if {"duplicates", "leaks"} & set(wanted) else ""
    if "duplicates" in wanted:
        count = _count("duplicates", wanted["duplicates"], n, n - len(flipped))
        rng = ctx.rng("plant/duplicates")
        clean = np.array([i for i in range(n) if i not in flipped])
        for i in rng.permutation(clean)[:count]:
            row = table.slice(int(i), 1).to_pylist()[0]
            row[column] = edit(str(row[column] or ""), rng)
            rows.append(_made(row, pool.ids[int(i)]))
            kinds.append("duplicate")
    if "leaks" in wanted:
        if test is None:
            raise BadInput("Leaks are copies of test rows, and there is no test data", given=spec,
                           do="give test data, or leave leaks out")
        count = _count("leaks", wanted["leaks"], len(test), len(test))
        rng = ctx.rng("plant/leaks")
        for at, i in enumerate(rng.permutation(len(test))[:count]):
            row = _like(pool, test, int(i))
            if at % 2:
                row[column] = edit(str(row[column] or ""), rng)
            rows.append(_made(row, test.ids[int(i)]))
            kinds.append("leak")
    _fresh_ids(pool, rows)
    extra = _table(rows, table.schema)
    full = pa.concat_tables([table, extra]) if rows else table
    order = np.argsort(np.concatenate([np.arange(n), ctx.rng("plant/places").uniform(0, n, len(rows))]), kind="stable")
    step = Step("plant", {"spec": spec}, seed, (pool.fingerprint, *(() if test is None else (test.fingerprint,))))
    made = Pool.from_arrow(full.take(pa.array(order)).replace_schema_metadata(None), roles=pool.roles, name=pool.name,
                           lineage=(*pool.lineage, step))
    made = replace(made, table=made.table.replace_schema_metadata(pool.table.schema.metadata), quarantined=pool.quarantined)
    truth: dict[str, str] = {}
    labels: dict[str, str] = {}
    made_from: dict[str, str] = {}
    parents = made.table.column(PARENTS).to_pylist()
    for this, before, old in zip(made.ids, parents, order.tolist(), strict=True):
        kind = kinds[old]
        if kind is not None:
            truth[this] = kind
            made_from[this] = before[0]
            if old in true:
                labels[this] = true[old]
    return made, test, Planted(truth, labels, made_from, spec, seed)


def edit(text: str, rng: np.random.Generator) -> str:
    """A light edit that keeps nearly all words: one token in about 25 is dropped or swapped with the next, or changes case.

    Short texts (under 12 words) change in case, spaces or the final stop only. The result differs from `text`.
    """
    words = text.split(" ")
    done = text
    if len(words) >= 12:
        for _ in range(max(1, len(words) // 25)):
            at = int(rng.integers(1, len(words) - 1))
            how = int(rng.integers(3))
            if how == 0:
                words.pop(at)
            elif how == 1:
                words[at], words[at + 1] = words[at + 1], words[at]
            else:
                words[at] = words[at].swapcase()
        done = " ".join(words)
    else:
        how = int(rng.integers(3))
        if how == 0:
            done = text[:1].swapcase() + text[1:]
        elif how == 1:
            done = text.rstrip(" .!?") + (" ." if text.endswith(".") and not text.endswith(" .") else ".")
        elif len(words) > 1:
            at = int(rng.integers(1, len(words)))
            done = " ".join(words[:at]) + "  " + " ".join(words[at:])
    return done if done != text and done.strip() else text + " ."


def _count(key: str, value: float, n: int, most: int) -> int:
    count = round(value * n) if value < 1 else int(value)
    if not 1 <= count <= most:
        raise BadInput(f"{count:,} {key} cannot be planted", given=f"{key}={value:g}", legal=f"1 to {most:,} rows here",
                       do="give another share or count")
    return count


def _flip(pool: Pool, value: float, ctx: Context) -> tuple[pa.Table, dict[int, str]]:
    """The table with flipped labels, and row -> true label."""
    labels = pool.labels
    if len(labels.names) < 2:
        raise BadInput("Labels cannot be flipped where there is one class", given=list(labels.names), legal="two classes or more")
    labelled = np.flatnonzero(labels.codes >= 0)
    count = _count("label-flips", value, len(labelled), len(labelled))
    rng = ctx.rng("plant/label-flips")
    chosen = np.sort(rng.permutation(labelled)[:count])
    shift = rng.integers(1, len(labels.names), size=count)
    column = pool.roles["label"]
    values = pool.column("label")
    # class code -> the value that the column has for it (a label may be a number)
    value_of = {int(c): values[int(r)] for r, c in reversed(list(enumerate(labels.codes))) if c >= 0}
    true: dict[int, str] = {}
    for row, by in zip(chosen.tolist(), shift.tolist(), strict=True):
        code = int(labels.codes[row])
        true[row] = labels.names[code]
        values[row] = value_of[(code + by) % len(labels.names)]
    at = pool.table.column_names.index(column)
    kind = pool.table.column(column).type
    return pool.table.set_column(at, pa.field(column, kind), pa.array(values, kind)), true


def _edited_column(pool: Pool) -> str:
    role = next((r for r in ("text", "response", "prompt") if r in pool.roles), None)
    if role is None or not pa.types.is_string(pool.table.column(pool.roles[role]).type):
        raise NotCapable(f"'{pool.name}' has no text that could be copied with light edits", given=f"roles {dict(pool.roles)}",
                         legal="a column of strings for the role text, prompt or response", do="plant label-flips only")
    return pool.roles[role]


def _made(row: dict[str, Any], parent: str) -> dict[str, Any]:
    return {**row, ID: None, PARENTS: [parent]}


def _like(pool: Pool, test: Pool, i: int) -> dict[str, Any]:
    """Row `i` of the test pool under the columns of the pool: by role first, then by name."""
    row = test.table.slice(i, 1).to_pylist()[0]
    out = {c: row.get(c) for c in pool.table.column_names}
    for role, column in pool.roles.items():
        if role in test.roles:
            out[column] = row[test.roles[role]]
    if SOURCE in row:
        out[SOURCE] = row[SOURCE]
    return out


def _fresh_ids(pool: Pool, rows: list[dict[str, Any]]) -> None:
    """The user's own ids stay unique: a planted row gets one that nobody has."""
    if "id" not in pool.roles or not rows:
        return
    column = pool.roles["id"]
    taken = {v for v in pool.table.column(column).to_pylist() if v is not None}
    number = max([v for v in taken if isinstance(v, int)], default=0)
    for row in rows:
        number += 1
        text = str(row[column])
        while not isinstance(row[column], int) and f"{text}-{number}" in taken:
            number += 1
        row[column] = number if pa.types.is_integer(pool.table.column(column).type) else f"{text}-{number}"


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadInput("The test data has other types than the training data, so its rows cannot be leaked",
                       given=str(error).splitlines()[0],
                       legal=[f"{c}: {schema.field(c).type}" for c in schema.names if c not in OWN_COLUMNS],
                       do="make the columns one type, or leave leaks out") from None
