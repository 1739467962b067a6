"""Parquet, Arrow and tables in memory. Class codes of Hugging Face features become their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from whence.core.errors import BadInput
from whence.core.read.rows import Found, Settings, row_numbers
from whence.core.read.stream import Source, unpacked_buffer

_BROKEN = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError, ValueError)


def read_parquet(source: Source, settings: Settings) -> Found:
    """Read a Parquet file batch by batch, so that `limit` reads no more than it must."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(unpacked_buffer(source))
        batches: Iterable[pa.RecordBatch] = file.iter_batches(batch_size=65_536)
        return _from_batches(source, settings, file.schema_arrow, batches)
    except _BROKEN as error:
        raise _damaged(source, "Parquet", error) from None


def read_arrow(source: Source, settings: Settings) -> Found:
    """Read an Arrow IPC file, a Feather V2 file or an Arrow stream."""
    try:
        buffer = unpacked_buffer(source)
        is_file = source.head(6) == b"ARROW1"
        if is_file:
            reader = pa.ipc.open_file(buffer)
            return _from_batches(source, settings, reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches)))
        stream = pa.ipc.open_stream(buffer)
        return _from_batches(source, settings, stream.schema, stream)
    except _BROKEN as error:
        raise _damaged(source, "Arrow", error) from None


def _damaged(source: Source, kind: str, error: Exception) -> BadInput:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return BadInput(f"The {kind} file cannot be read: {why[:160]}", path=source.given,
                    do="the file may be cut short or be another format: fetch or write it again")


def _from_batches(source: Source, settings: Settings, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Found:
    kept, count = [], 0
    for batch in batches:
        if settings.limit is not None:
            batch = batch.slice(0, settings.limit - count)
        kept.append(batch)
        count += batch.num_rows
        if settings.progress is not None:
            settings.progress(batch.num_rows)
        if settings.limit is not None and count >= settings.limit:
            break
    return from_table(pa.Table.from_batches(kept, schema), source.label, source.given)


def from_table(table: pa.Table, label: str, given: str, features: Mapping[str, Any] | None = None) -> Found:
    """Make a table of any origin ours: class names for codes, plain columns for dictionaries, no index columns.

    `features` are those of a Hugging Face data set; without them, those in the table's own metadata. Raises BadInput for
    a column name that stands twice, and for a class code without a name.
    """
    notes: list[str] = []
    names = table.column_names
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise BadInput(f"The column '{twice[0]}' stands twice in the table", path=given, given=names, legal="each column once",
                       do="rename one of them")
    if features is None:
        features = _features(table.schema.metadata)
    classes = {name: kinds for name, kind in features.items() if (kinds := _class_names(kind)) and name in names}
    for at, name in enumerate(names):
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if isinstance(column.type, pa.ExtensionType):
            column = pa.chunked_array([c.storage for c in column.chunks], type=column.type.storage_type)
        if name in classes and pa.types.is_integer(column.type):
            column = _named(column, classes[name], name, given)
            notes.append(f"column '{name}': codes read as the names of {len(classes[name])} classes")
        table = table.set_column(at, name, column)
    index = [n for n in names if n.startswith("__index_level_")]
    if index:
        notes.append(f"column '{index[0]}' (a pandas index) left out")
        table = table.drop_columns(index)
    kept = {k: v for k, v in (table.schema.metadata or {}).items() if k == b"whence"}
    return Found(table.replace_schema_metadata(kept or None), row_numbers(label, table.num_rows), (), tuple(notes))


def _features(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Features from the `huggingface` entry of an Arrow schema's metadata."""
    try:
        found = orjson.loads((metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
        return features if isinstance(features, dict) else {}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}


def _class_names(kind: Any) -> list[str] | None:
    """The names of a ClassLabel, given as JSON or as the object of the `datasets` package."""
    if isinstance(kind, Mapping):
        names = kind.get("names") if kind.get("_type") == "ClassLabel" else None
    else:
        names = getattr(kind, "names", None) if type(kind).__name__ == "ClassLabel" else None
    return [str(n) for n in names] if names else None


def _named(codes: pa.ChunkedArray, names: list[str], column: str, given: str) -> pa.ChunkedArray:
    # -1 is how Hugging Face data sets say "no label"
    known = pc.if_else(pc.equal(codes, -1), pa.scalar(None, codes.type), codes)
    highest, lowest = pc.max(known).as_py(), pc.min(known).as_py()
    if highest is not None and (highest >= len(names) or lowest < 0):
        raise BadInput(f"The column '{column}' has a class code without a name", path=given,
                       given=highest if highest >= len(names) else lowest, legal=f"0 to {len(names) - 1}, or -1 for none",
                       do="mend the features of the data set")
    return pa.array(names, pa.string()).take(known.combine_chunks().cast(pa.int64())) if len(known) else known.cast(pa.string())
