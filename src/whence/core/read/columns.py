"""Rows to Arrow columns in batches: late columns, nulls, and columns whose values are not of one type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa

BATCH = 8192
#: Objects with more keys than this between them are dictionaries, not records: they stay as JSON text.
MAX_KEYS = 64

_ARROW_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError)


class Columns:
    """Collects rows and makes a table of them; at most one batch is held as Python objects.

    A column whose values are of different kinds becomes text: strings stay, anything else becomes its JSON. Each such
    column is told in `notes`.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, list[pa.Array]] = {}
        self._types: dict[str, pa.DataType] = {}
        self._text: dict[str, str] = {}
        self._rows = 0
        self._pending: list[Mapping[str, Any]] = []

    def __len__(self) -> int:
        return self._rows + len(self._pending)

    def add(self, row: Mapping[str, Any]) -> None:
        self._pending.append(row)
        if len(self._pending) >= BATCH:
            self._flush()

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"column '{name}' {why}: kept as text" for name, why in self._text.items())

    def table(self) -> pa.Table:
        """Everything so far. Columns stand in the order in which they were first seen."""
        self._flush()
        arrays = []
        for name, chunks in self._chunks.items():
            made = [self._cast(name, chunk) for chunk in chunks]
            if name in self._text:  # a cast that failed on the way turned the column into text: cast again
                made = [_as_text(chunk) for chunk in chunks]
            arrays.append(pa.chunked_array(made, type=pa.string() if name in self._text else self._types[name]))
        return pa.table(arrays, names=list(self._chunks)) if arrays else pa.table({})

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        if not rows:
            return
        for row in rows:
            for key in row:
                if key not in self._chunks:
                    self._chunks[key] = [pa.nulls(self._rows)] if self._rows else []
                    self._types[key] = pa.null()
        for name, chunks in self._chunks.items():
            chunks.append(self._chunk(name, [row.get(name) for row in rows]))
        self._rows += len(rows)

    def _chunk(self, name: str, values: list[Any]) -> pa.Array:
        if name not in self._text:
            why = _mixed(values)
            if why is None:
                try:
                    made = pa.array(values)
                    return made if self._fits(name, made.type) else _as_text(made, values)
                except _ARROW_ERRORS:
                    why = "nests values of different types"
            self._text[name] = why
        return _as_text(None, values)

    def _fits(self, name: str, new: pa.DataType) -> bool:
        """Widen the column's type so that `new` fits; where it cannot, the column becomes text."""
        old = self._types[name]
        if new == old or pa.types.is_null(new):
            return True
        if pa.types.is_null(old):
            self._types[name] = new
            return True
        kinds = (_kind(old), _kind(new))
        if kinds[0] == kinds[1] or set(kinds) == {"whole number", "number"}:
            if set(kinds) == {"whole number", "number"}:
                self._types[name] = pa.float64()
                return True
            try:
                wide = pa.unify_schemas([pa.schema([("c", old)]), pa.schema([("c", new)])], promote_options="permissive")
            except _ARROW_ERRORS:
                self._text[name] = "nests values of different types"
                return False
            if _keys(wide.field(0).type) <= MAX_KEYS:
                self._types[name] = wide.field(0).type
                return True
            self._text[name] = f"holds objects with more than {MAX_KEYS} different keys"
            return False
        self._text[name] = f"mixes {kinds[0]} and {kinds[1]}"
        return False

    def _cast(self, name: str, chunk: pa.Array) -> pa.Array:
        if name in self._text:
            return _as_text(chunk)
        wanted = self._types[name]
        if chunk.type == wanted:
            return chunk
        try:
            return chunk.cast(wanted) if not pa.types.is_nested(wanted) else pa.array(chunk.to_pylist(), type=wanted)
        except _ARROW_ERRORS:
            self._text[name] = "holds numbers that have no common type"
            return _as_text(chunk)


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "true/false"
    if pa.types.is_integer(type_):
        return "whole number"
    if pa.types.is_floating(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "string"
    if pa.types.is_struct(type_):
        return "object"
    if pa.types.is_list(type_):
        return "list"
    return str(type_)


def _keys(type_: pa.DataType) -> int:
    if pa.types.is_struct(type_):
        return sum(max(1, _keys(type_.field(i).type)) for i in range(type_.num_fields))
    return _keys(type_.value_type) if pa.types.is_list(type_) else 0


_NAMES = {str: "string", bool: "true/false", int: "whole number", float: "number", dict: "object", list: "list"}


def _mixed(values: list[Any]) -> str | None:
    """Why a batch of values cannot be one column, or None."""
    kinds = {type(v) for v in values if v is not None}
    if len(kinds) > 1 and kinds != {int, float} and kinds & set(_NAMES):
        return "mixes " + " and ".join(sorted(_NAMES.get(k, k.__name__) for k in kinds))
    if dict in kinds:
        keys: set[str] = set()
        for value in values:
            keys.update(value or ())
            if len(keys) > MAX_KEYS:
                return f"holds objects with more than {MAX_KEYS} different keys"
        if not keys:
            return "holds empty objects"
    return None


def _as_text(chunk: pa.Array | None, values: list[Any] | None = None) -> pa.Array:
    if values is None:
        if chunk is not None and pa.types.is_string(chunk.type):
            return chunk
        values = chunk.to_pylist() if chunk is not None else []
    texts = [v if v is None or isinstance(v, str) else json_text(v) for v in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8 form
        return pa.array([None if t is None else t.encode("utf-8", "replace").decode() for t in texts], pa.string())


def json_text(value: Any) -> str:
    """JSON of a value; what JSON cannot say is written as its `str`."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY, default=str).decode()
    except (orjson.JSONEncodeError, RecursionError):
        return str(value)
