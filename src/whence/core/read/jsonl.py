"""JSON Lines: one object (or one array of cells) to a line."""

from __future__ import annotations

import json
from typing import Any

import orjson

from whence.core.read.rows import Found, Rows, Settings
from whence.core.read.stream import MAX_LINE, Source, lines


def read_jsonl(source: Source, settings: Settings, *, max_line: int = MAX_LINE) -> Found:
    """Blank lines are passed over; every other line that is no object is quarantined with its reason.

    `NaN`, which some writers put where a value is missing, is read as null.
    """
    rows = Rows(source, settings, kind="JSON objects")
    arrays = 0
    for line in lines(source, max_line=max_line):
        if rows.full:
            break
        if line.text is None:
            rows.reject(line.number, f"the line is longer than {max_line:,} bytes", line.start)
            continue
        text = line.text.strip("\r\n\t ")
        if not text:
            continue
        value, problem = parse(text)
        if problem is None and isinstance(value, list) and value and not any(isinstance(v, list | dict) for v in value):
            arrays += 1
            value = {f"column_{i + 1}": v for i, v in enumerate(value)}
        if problem is None and not isinstance(value, dict):
            problem = f"the line is {_called(value)}, not an object"
        if problem is None and not value:
            problem = "the object is empty"
        if problem is not None:
            rows.reject(line.number, problem, text)
        else:
            rows.add(line.number, value)
    return rows.found(named=arrays == 0)


def parse(text: str) -> tuple[Any, str | None]:
    """The value of a line of JSON, and None; or None and what is wrong with it."""
    try:
        return orjson.loads(text), None
    except orjson.JSONDecodeError as error:
        why = str(error).split(":")[0]
    except RecursionError:
        return None, "it is nested too deeply"
    if "NaN" in text or "Infinity" in text or "\\ud" in text.lower() or "number is infinity" in why:
        try:
            value = json.loads(text, parse_constant=_constant)
            orjson.dumps(value)  # half a surrogate pair has no UTF-8 form
        except RecursionError:
            return None, "it is nested too deeply"
        except (ValueError, TypeError) as error:
            return None, f"not JSON ({str(error).split(':')[0]})"
        return value, None
    return None, f"not JSON ({why})"


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name.replace("Infinity", "inf"))


def _called(value: Any) -> str:
    if value is None:
        return "null"
    names = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "an array"}
    return names.get(type(value), "a value")
