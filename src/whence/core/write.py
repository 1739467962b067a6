"""Writers: a pool as JSON Lines, Parquet or CSV. Whole or not at all, and the same bytes for the same pool.

JSON Lines and Parquet keep ids through a round trip. CSV does for columns of text, numbers and true/false: text stands in
quotes, so that "1" stays text and 1 a number; lists, objects and dates become text there.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from whence.core.errors import BadInput
from whence.core.pool import PARENTS, SOURCE, Pool
from whence.core.store import disk_error

_CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
BATCH = 8192


def write(pool: Pool, path: str | Path) -> Path:
    """Write a pool in the format that the suffix names (.jsonl, .parquet, .csv, .tsv; text formats also .gz, .zst, .bz2)."""
    path = Path(path)
    names = [s.lower() for s in path.suffixes]
    kind = next((s for s in reversed(names) if s not in _CODECS), "")
    writers: dict[str, Callable[[Pool, Path], Path]] = {
        ".jsonl": write_jsonl, ".ndjson": write_jsonl, ".parquet": write_parquet, ".pq": write_parquet,
        ".csv": write_csv, ".tsv": write_csv,
    }
    if kind not in writers:
        raise BadInput("The suffix names no format that can be written", path=path, given=kind or "no suffix",
                       legal=sorted(writers))
    return writers[kind](pool, path)


def write_jsonl(pool: Pool, path: str | Path) -> Path:
    """One object per line: the user's columns as they came, then `whence_id`, `whence_source` and `whence_parents` (where
    there are any). Raises BadInput when the place cannot be written."""
    path = Path(path)
    with _whole(path, packed=True) as put:
        for batch in pool.table.to_batches(max_chunksize=BATCH):
            out = []
            for row in batch.to_pylist():
                for own in (SOURCE, PARENTS):
                    if row.get(own) is None:
                        row.pop(own, None)
                out.append(orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE, default=_plain))
            put(b"".join(out))
    return path


def write_parquet(pool: Pool, path: str | Path) -> Path:
    """One Parquet file (zstd inside) with the roles in its metadata, so that `load` need not guess them again."""
    import pyarrow.parquet as pq

    path = Path(path)
    meta = {b"whence": orjson.dumps({"roles": dict(pool.roles), "name": pool.name}, option=orjson.OPT_SORT_KEYS)}
    table = pool.table.replace_schema_metadata(meta)
    for at, name in enumerate(table.column_names):
        if _empty_object(table.schema.field(name).type):  # Parquet has no form for an object without keys
            values = [None if v is None else orjson.dumps(v, default=_plain).decode() for v in table.column(name).to_pylist()]
            table = table.set_column(at, name, pa.array(values, pa.string()))
    with _whole(path, packed=False) as put:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", row_group_size=65_536)
        put(sink.getvalue())
    return path


def write_csv(pool: Pool, path: str | Path) -> Path:
    """Comma-separated (tab for .tsv), UTF-8, `\\n` line ends, a header. Null is an empty field, the empty text is `""`.

    Raises BadInput for text with a zero byte, which CSV cannot hold.
    """
    path = Path(path)
    sign = "\t" if ".tsv" in [s.lower() for s in path.suffixes] else ","
    with _whole(path, packed=True) as put:
        put((sign.join(_quoted(n) for n in pool.table.column_names) + "\n").encode())
        for batch in pool.table.to_batches(max_chunksize=BATCH):
            columns = [[_cell(v) for v in batch.column(i).to_pylist()] for i in range(batch.num_columns)]
            text = "".join(sign.join(row) + "\n" for row in zip(*columns, strict=True))
            if "\x00" in text:
                raise BadInput("CSV cannot hold a zero byte", path=path, do="write .jsonl or .parquet")
            put(text.encode())
    return path


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    if isinstance(value, str):
        return _quoted(value)
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=_plain).decode()
    return _quoted(orjson.loads(text) if text.startswith('"') else text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _plain(value: object) -> object:
    # as ids are computed: bytes as hex, anything else as its text
    return value.hex() if isinstance(value, bytes) else str(value)


def _empty_object(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_empty_object(kind.field(i).type) for i in range(kind.num_fields))
    return pa.types.is_list(kind) and _empty_object(kind.value_type)


@contextmanager
def _whole(path: Path, *, packed: bool) -> Iterator[Callable[[Any], None]]:
    """A function that appends bytes to a hidden file beside `path`, which takes its place when all went well."""
    if path.is_dir():
        raise BadInput("This is a folder", path=path, do="name a file in it")
    codec = _CODECS.get(path.suffix.lower()) if packed else None
    tmp = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(tmp, "wb") as file:
            if codec is None:
                yield file.write  # type: ignore[misc]
            else:
                with pa.CompressedOutputStream(pa.PythonFile(file, mode="w"), codec) as stream:
                    yield stream.write
                    stream.flush()
                    # closing the stream closes the file under it, which must be on the disk before it is renamed
            if not file.closed:
                file.flush()
                os.fsync(file.fileno())
        _sync(tmp)
        os.replace(tmp, path)
    except OSError as error:
        with suppress(OSError):
            tmp.unlink(missing_ok=True)
        raise disk_error(error, path) from None
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
