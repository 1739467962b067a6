"""One JSON document that holds the whole data: rows, columns, or splits of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from whence.core.errors import BadInput
from whence.core.read.jsonl import parse
from whence.core.read.rows import Found, Rows, Settings
from whence.core.read.splits import choose
from whence.core.read.stream import Source, whole


def read_json(source: Source, settings: Settings, split: str | None) -> Found:
    """Read a JSON document. It is held in memory while it is read; JSON Lines is the format for large data.

    Legal are: an array of objects; an array of arrays, all of one length; an array of strings; an object of columns (arrays
    of one length, or pandas' object of objects by row number); an object of splits, each any of these; an object of rows
    by key (the key becomes the column `key`).
    """
    data = whole(source)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value, problem = parse(data.decode())
        if problem is not None:
            line = data.count(b"\n", 0, len(data.decode()[: error.pos].encode())) + 1
            raise BadInput(f"The JSON is broken: {error.msg}", path=source.given, line=line,
                           do="repair it there; a file with one object per line is called .jsonl") from None
    return read_value(source, settings, value, split)


def read_value(source: Source, settings: Settings, value: Any, split: str | None) -> Found:
    """Rows of a value that has one of the shapes named in `read_json`."""
    if isinstance(value, Mapping) and value:
        splits = {str(k): v for k, v in value.items() if _is_table(v)}
        only = len(splits) == 1 and not any(isinstance(v, list | dict) and v for k, v in value.items() if str(k) not in splits)
        if only and split is None:
            return read_value(source, settings, next(iter(splits.values())), None)
        inner = next((value[k] for k in ("data", "rows", "examples", "records") if isinstance(value.get(k), Mapping)), None)
        if inner and not splits and all(isinstance(v, Mapping) for v in inner.values()):  # rows by key, beside a description
            return read_value(source, settings, inner, split)
        if splits and (len(splits) == len(value) or not _columns(value)):
            return read_value(source, settings, splits[choose(splits, split, source.given)], None)
    if split is not None:
        raise BadInput("The document has no splits", path=source.given, given=f"split '{split}'", do="leave the split out")
    rows = Rows(source, settings, kind="rows")
    named = True
    if isinstance(value, list):
        named = _from_list(rows, value)
    elif isinstance(value, Mapping) and value:
        columns = _columns(value)
        if columns is not None:
            for number, cells in enumerate(zip(*columns.values(), strict=True), 1):
                if rows.full:
                    break
                rows.add(number, dict(zip(columns, cells, strict=True)))
        elif all(isinstance(v, Mapping) for v in value.values()):
            for number, (key, row) in enumerate(value.items(), 1):
                if rows.full:
                    break
                rows.add(number, {"key": str(key), **row})
        elif any(isinstance(v, str) for v in value.values()):
            rows.add(1, value)
        else:
            raise _shapeless(source, value)
    else:
        raise _shapeless(source, value)
    return rows.found(named=named)


def _shapeless(source: Source, value: Any) -> BadInput:
    given = f"an object with the keys {', '.join(map(str, list(value)[:8]))}" if isinstance(value, Mapping) else f"{value!r:.60}"
    if isinstance(value, list | Mapping) and not value:
        return BadInput("There are no rows in this document", path=source.given, do="give a file with examples")
    return BadInput("The document is not a table", path=source.given, given=given,
                    legal="an array of objects, an object of columns of one length, an object of splits",
                    do="write one object per line")


def _from_list(rows: Rows, value: Sequence[Any]) -> bool:
    """Add the rows of an array; false when they have no column names."""
    from collections import Counter

    widths = Counter(len(v) for v in value if isinstance(v, list))
    if widths and sum(widths.values()) * 2 > len(value):
        width = widths.most_common(1)[0][0]
        for number, row in enumerate(value, 1):
            if rows.full:
                break
            if isinstance(row, list) and len(row) == width and width:
                rows.add(number, {f"column_{i + 1}": v for i, v in enumerate(row)})
            else:
                rows.reject(number, f"the row does not have {width} cells", str(row))
        return False
    texts = value and all(isinstance(v, str) for v in value)
    for number, row in enumerate(value, 1):
        if rows.full:
            break
        if texts:
            rows.add(number, {"text": row})
        elif isinstance(row, Mapping) and row:
            rows.add(number, row)
        else:
            rows.reject(number, "the row is not an object with values", f"{row!r:.200}")
    return True


def _is_table(value: Any) -> bool:
    """Whether a value is a table by itself: an array of objects or of equal arrays, or an object of columns."""
    if isinstance(value, list):
        sample = value[:100]
        return bool(sample) and (all(isinstance(v, Mapping) for v in sample) or (
            all(isinstance(v, list) and v and not isinstance(v[0], list | dict) for v in sample)
            and len({len(v) for v in sample}) == 1))
    return isinstance(value, Mapping) and bool(value) and _columns(value) is not None and not all(
        isinstance(v, Mapping) for v in value.values())


def _columns(value: Mapping[str, Any]) -> dict[str, Sequence[Any]] | None:
    """An object of columns as lists, or None where it is not one."""
    if all(isinstance(v, list) for v in value.values()) and len({len(v) for v in value.values()}) == 1:
        return {str(k): v for k, v in value.items()}
    if all(isinstance(v, Mapping) and v for v in value.values()):
        keys = [list(v) for v in value.values()]
        if all(k == keys[0] for k in keys) and keys[0] == [str(i) for i in range(len(keys[0]))]:
            return {str(k): list(v.values()) for k, v in value.items()}
    return None
