"""Built-in data: `stdlib:docstrings`, made on the spot from the documentation of the Python that runs.

Text is a documentation string of the standard library, label is the top-level module it stands in. The modules are read,
never imported. The result depends on the Python version alone.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from whence.core.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from whence.core.read.rows import Found, Settings

NAMES = ("stdlib:docstrings",)
#: A module with fewer documentation strings is no class; of a larger one, this many are kept, chosen by content.
LEAST, MOST, CLASSES = 40, 200, 30
#: Shorter strings say nothing of their module.
SHORTEST = 20
#: Trees that are not the library: its tests, installed packages, and machinery for other machinery.
_NOT_LIBRARY = frozenset({
    "test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "ensurepip", "turtledemo", "__pycache__",
    "lib-dynload", "pydoc_data", "idle_test", "_pyrepl", "__phello__",
})


def read_builtin(name: str, settings: Settings) -> Found:
    """The built-in data set of that name, as a reader hands it back. Raises UnknownName."""
    from whence.core.read.rows import Rows
    from whence.core.read.stream import Source

    if name not in NAMES:
        raise UnknownName("built-in data set", name, NAMES)
    rows = Rows(Source(name, name, memory=True), settings, kind="documentation strings")
    sources = []
    for row in docstrings():
        if rows.full:
            break
        rows.add(row["line"], {k: row[k] for k in ("text", "label", "name")})
        sources.append(f"{row['file']}:{row['line']}")
    found = rows.found()
    import pyarrow as pa

    from whence.core.read.rows import Found

    return Found(found.table, pa.array(sources, pa.string()), (), (f"made from Python {sys.version.split()[0]}",))


def docstrings(root: Path | None = None) -> list[dict[str, Any]]:
    """Rows `text`, `label`, `name`, `file`, `line` in the order of files; `file` is relative to the standard library.

    Modules with at least 40 documentation strings are classes, the 30 largest of them; of each, at most 200 rows are kept,
    chosen by a hash of file and name, so that one more string moves no other. Equal texts are kept: they are real duplicates.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    if not root.is_dir():
        raise BadInput("This Python has its standard library in no folder", given=root, do="use a file of your own")
    by_module: dict[str, list[dict[str, Any]]] = {}
    for path in _files(root):
        parts = path.relative_to(root).parts
        module = parts[0].removesuffix(".py")
        # _pydecimal.py is the decimal module, _collections_abc.py belongs to collections
        module = module.removeprefix("_py") if module.startswith("_py") else module
        if module.startswith("_") and module != "__future__":
            module = module.lstrip("_").split("_")[0]
        for name, text, line in _of_file(path):
            by_module.setdefault(module, []).append(
                {"text": text, "label": module, "name": _dotted(parts, name), "file": "/".join(parts), "line": line})
    large = sorted((m for m, rows in by_module.items() if len(rows) >= LEAST), key=lambda m: (-len(by_module[m]), m))[:CLASSES]
    kept: list[dict[str, Any]] = []
    for module in sorted(large):
        rows = by_module[module]
        chosen = sorted(range(len(rows)), key=lambda i: _order(rows[i]))[:MOST]
        kept.extend(rows[i] for i in sorted(chosen))
    return kept


def _files(root: Path) -> list[Path]:
    """The library's own .py files, sorted by their path below `root`."""
    found: list[Path] = []
    for folder, below, names in os.walk(root):
        below[:] = [b for b in below if b not in _NOT_LIBRARY and not b.startswith((".", "config-"))]
        found.extend(Path(folder, n) for n in names if n.endswith(".py") and not n.startswith("_sysconfigdata"))
    return sorted(found, key=lambda p: p.relative_to(root).as_posix())


def _dotted(parts: tuple[str, ...], name: str) -> str:
    path = [p.removesuffix(".py") for p in parts if p != "__init__.py"]
    return ".".join([*path, name] if name else path)


def _of_file(path: Path) -> Iterator[tuple[str, str, int]]:
    """(qualified name, text, line) of every documentation string of a file, in the order they stand."""
    try:
        source = path.read_bytes()
        if b'"""' not in source and b"'''" not in source:
            return
        import warnings

        with warnings.catch_warnings():  # old escapes in the library's own strings
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    found: list[tuple[str, str, int]] = []
    while pending:
        name, node = pending.pop()
        body = getattr(node, "body", [])
        first = body[0] if body and not isinstance(node, ast.If | ast.Try) else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            text = inspect.cleandoc(first.value.value).strip()
            if len(text) >= SHORTEST and "\x00" not in text:
                found.append((name, text.encode("utf-8", "replace").decode(), first.lineno))
        for child in (*body, *getattr(node, "orelse", ()), *getattr(node, "handlers", ()), *getattr(node, "finalbody", ())):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                pending.append((f"{name}.{child.name}" if name else child.name, child))
            elif isinstance(child, ast.If | ast.Try):
                pending.append((name, child))
            elif isinstance(child, ast.ExceptHandler):
                pending.extend((name, c) for c in [ast.If(ast.Constant(True), child.body, [])])
    yield from sorted(found, key=lambda f: (f[2], f[0]))


def _order(row: dict[str, Any]) -> tuple[int, int]:
    return xxhash.xxh3_64_intdigest(f"{row['file']}:{row['name']}".encode()), row["line"]
