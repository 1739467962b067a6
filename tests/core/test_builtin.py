"""The built-in data: real, the same each time, and free of this machine's paths."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from whence.core.builtin import LEAST, MOST, docstrings
from whence.core.read import load


def test_docstrings_of_a_small_tree(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    body = '"""About the shop in a few words."""\n' + "".join(
        f'class C{i}:\n    """The class number {i} of the shop."""\n'
        f'    if True:\n        def m(self):\n            """The method of class {i}, at last."""\n'
        for i in range(30)
    )
    (tmp_path / "shop" / "__init__.py").write_text(body)
    (tmp_path / "few.py").write_text('"""A module with one documentation string."""\n')
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "t.py").write_text(body)
    rows = docstrings(tmp_path)
    assert len(rows) == 61 and {r["label"] for r in rows} == {"shop"}
    assert rows[0] == {
        "text": "About the shop in a few words.",
        "label": "shop",
        "name": "shop",
        "file": "shop/__init__.py",
        "line": 1,
    }
    assert rows[2]["name"] == "shop.C0.m"


def test_the_library_of_this_python() -> None:
    pool = load("stdlib:docstrings")
    counts = pool.labels.counts
    assert 2000 <= len(pool) <= 5000 and 15 <= len(counts) <= 30
    assert min(counts.values()) >= LEAST and max(counts.values()) <= MOST
    assert dict(pool.roles) == {"text": "text", "label": "label"}
    root = sysconfig.get_paths()["stdlib"]
    assert not any(root in str(v) for c in (*pool.columns, "whence_source") for v in pool.table.column(c).to_pylist())
    assert 20 < len(pool) - len(set(pool.texts)) < 500, "natural duplicates stay"
    assert pool.ids == load("stdlib:docstrings").ids
