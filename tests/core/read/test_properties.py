"""Readers against generated input: what is written comes back the same, and no bytes do worse than a clear error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whence.core.errors import WhenceError
from whence.core.pool import Pool
from whence.core.read import load
from whence.core.write import write_csv, write_jsonl, write_parquet

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

said = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30).map(lambda t: "x " + t)
scalars = st.one_of(st.none(), said)
numbers = st.one_of(st.none(), st.integers(-(2**53), 2**53))
shares = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
nested = st.one_of(st.none(), st.lists(st.integers(0, 9), max_size=3))


@st.composite
def pools(draw: Any, lists: bool = True) -> Pool:
    size = draw(st.integers(1, 12))
    columns: dict[str, Any] = {
        "text": said,
        "note": scalars,
        "n": numbers,
        "share": shares,
        "ok": st.one_of(st.none(), st.booleans()),
    }
    if lists:
        columns["nested"] = nested
    return Pool.from_rows([{k: draw(v) for k, v in columns.items()} for _ in range(size)], roles={"text": "text"})


@QUICK
@given(pool=pools())
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_jsonl_round_trip_keeps_ids(tmp_path: Path, pool: Pool, suffix: str) -> None:
    path = write_jsonl(pool, tmp_path / f"pool.jsonl{suffix}")
    assert load(path, roles={"text": "text", "label": "none"}).ids == pool.ids


@QUICK
@given(pool=pools())
def test_parquet_round_trip_keeps_everything(tmp_path: Path, pool: Pool) -> None:
    again = load(write_parquet(pool, tmp_path / "pool.parquet"), roles={"label": "none"})
    assert again.ids == pool.ids and again.fingerprint == pool.fingerprint and again.roles == pool.roles


@QUICK
@given(pool=pools(lists=False))
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv"])
def test_csv_round_trip_keeps_ids(tmp_path: Path, pool: Pool, suffix: str) -> None:
    if suffix == ".tsv" and any(
        "\n" in (v or "") or "\t" in (v or "") for c in ("text", "note") for v in pool.table.column(c).to_pylist()
    ):
        return  # a tab-separated line that is a row by itself is read as one; see read_delimited
    path = write_csv(pool, tmp_path / f"pool{suffix}")
    again = load(path, roles={"text": "text", "label": "none"})
    assert again.ids == pool.ids, (again.table.to_pylist(), pool.table.to_pylist())


@QUICK
@given(
    data=st.binary(max_size=400),
    suffix=st.sampled_from(
        [".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".jsonl.gz", ".csv.zst", ".dat", ""]
    ),
)
def test_random_bytes_are_a_pool_or_a_clear_error(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    try:
        assert len(load(path)) > 0
    except WhenceError as error:
        assert str(error)


@QUICK
@given(
    text=st.text(st.sampled_from('{}[]",:\n\t\r ab1;|\\é0.'), max_size=200),
    suffix=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt"]),
)
def test_nearly_data_is_a_pool_or_a_clear_error(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(text.encode())
    try:
        assert len(load(path)) > 0
    except WhenceError as error:
        assert str(error)


@QUICK
@given(cut=st.floats(0, 1), flip=st.integers(0, 255), kind=st.sampled_from(["jsonl.gz", "jsonl.zst", "parquet"]))
def test_damaged_exports_are_a_pool_or_a_clear_error(tmp_path: Path, cut: float, flip: int, kind: str) -> None:
    pool = load([{"text": f"row number {i}", "label": "ab"[i % 2]} for i in range(50)])
    path = tmp_path / f"x.{kind}"
    (write_parquet if kind == "parquet" else write_jsonl)(pool, path)
    data = bytearray(path.read_bytes())
    data[min(len(data) - 1, int(cut * len(data)))] ^= flip
    path.write_bytes(bytes(data[: max(1, math.ceil(len(data) * cut))]) if flip % 2 else bytes(data))
    try:
        assert len(load(path)) > 0
    except WhenceError as error:
        assert str(error)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(st.text(max_size=4), v, max_size=4)),
    max_leaves=12,
)


@QUICK
@given(rows=st.lists(st.dictionaries(st.sampled_from(["text", "label", "a", ""]), json_values, max_size=4), max_size=8))
def test_any_rows_are_a_pool_or_a_clear_error(rows: list[dict[str, Any]]) -> None:
    try:
        pool = load(rows)
        assert len(pool) + len(pool.quarantined) == len(rows)
        assert len(set(pool.ids)) == len(pool)
    except WhenceError as error:
        assert str(error)
