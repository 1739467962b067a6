"""Generated pages, the template of a method, the lock file."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from whence.app.dev import generate, lock, new
from whence.app.dev.__main__ import main
from whence.core.catalogue import entries
from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.pool import Pool


def test_pages_are_written_and_then_current(tmp_path: Path) -> None:
    (tmp_path / "reasons").mkdir()
    (tmp_path / "reasons" / "a.md").write_text("# Why a\n\nBecause.\n", encoding="utf-8")
    assert "papers.md" in generate.write(tmp_path)
    assert generate.differences(tmp_path) == []
    assert "[Why a](a.md)" in (tmp_path / "reasons" / "README.md").read_text(encoding="utf-8")


def test_an_edited_a_missing_and_a_stale_page_differ(tmp_path: Path) -> None:
    generate.write(tmp_path)
    first = entries()[0].id
    (tmp_path / "papers.md").write_text("by hand", encoding="utf-8")
    (tmp_path / "methods" / f"{first}.md").unlink()
    stale = tmp_path / "methods" / "score" / "gone.md"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("# gone", encoding="utf-8")
    expected = sorted(["papers.md", f"methods/{first}.md", "methods/score/gone.md"])
    assert generate.differences(tmp_path) == expected
    assert generate.write(tmp_path) == expected
    assert generate.differences(tmp_path) == [] and not stale.exists()


def test_every_method_has_its_page_and_its_papers() -> None:
    made = generate.pages()
    for entry in entries():
        page = made[f"methods/{entry.id}.md"]
        assert entry.card.line in page
        assert f"[{entry.name}]({entry.id}.md)" in made["methods/index.md"]
        for paper in entry.card.papers:
            assert generate._cell(paper.title) in made["papers.md"]


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert generate._table(("a", "b"), [("x | y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x \\| y | two lines |\n"


@pytest.mark.parametrize("verb", ["score", "select", "trace"])
def test_a_new_method_is_clean_and_runs(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = new.write(tmp_path, f"{verb}/fresh/vector-length")
    source = tmp_path / "src" / "whence" / verb / "fresh" / "vector_length.py"
    assert source in written and tmp_path / "tests" / verb / "fresh" / "test_vector_length.py" in written
    config = Path(__file__).resolve().parents[3] / "pyproject.toml"
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--config", str(config), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    spec = importlib.util.spec_from_file_location(f"whence.{verb}.fresh.vector_length", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    pool = Pool.from_rows([{"text": "a"}, {"text": "b"}, {"text": "c"}], roles={"text": "text"})

    class Eyes:
        def embeddings(self, pool: Pool) -> np.ndarray:  # type: ignore[type-arg]
            return np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 6.0]], dtype=np.float32)[: len(pool)]

    made, ctx = module.VectorLength(), Context()
    if verb == "score":
        assert made(pool, Eyes(), ctx).values.tolist() == [5.0, 1.0, 6.0]
    elif verb == "select":
        assert made(pool, Eyes(), ctx, budget=2).kept == (pool.ids[2], pool.ids[0])
    else:
        assert made(pool, pool, Eyes(), ctx, top=1).of_head(pool.ids[0]) == [(pool.ids[2], 6.0)]


@pytest.mark.parametrize("wanted", ["el2n", "score/el2n", "score/a/b/c", "score/difficulty/2nd", "nowhere/a/b", "../score/x"])
def test_a_bad_id_is_refused(wanted: str) -> None:
    with pytest.raises(BadInput):
        new.plan(wanted)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new.write(tmp_path, "score/fresh/one")
    with pytest.raises(BadInput, match="already"):
        new.write(tmp_path, "score/fresh/one")


def test_a_bad_id_is_one_line_and_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "nonsense"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_lock_holds_what_an_installed_package_brings() -> None:
    found = lock.closure("pytest", frozenset())
    assert {"pluggy", "iniconfig", "packaging"} <= set(found) and "pytest" not in found
    assert all("+" not in version for version in found.values())
