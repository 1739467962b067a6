"""Progress on a terminal: one bar per piece of work, however often and however deep work is begun."""

from __future__ import annotations

import io

import pytest

from whence.app.progress import Bars, Silent, progress_for
from whence.core.context import Context


def test_bars_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with Bars() as bars:
        ctx = Context(progress=bars)
        for _ in range(3):
            with ctx.task("signals", 4) as advance:
                for _ in range(4):
                    with ctx.task("train", None) as inner:
                        inner()
                    advance()
        with ctx.task("prove", 2) as advance:
            advance(2)
        left = [(t.description, t.completed, t.total) for t in bars._rich.tasks]
    assert left == [("signals", 4, 4), ("prove", 2, 2)]
    assert "signals" in shown.getvalue() and "4/4" in shown.getvalue()


def test_a_piece_that_fails_is_done_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with Bars() as bars:
        ctx = Context(progress=bars)
        with pytest.raises(ZeroDivisionError), ctx.task("outer", 2), ctx.task("inner", 2):
            raise ZeroDivisionError
        assert [t.description for t in bars._rich.tasks] == ["outer"]


def test_silence_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_for(False), Silent) and isinstance(progress_for(True), Silent)
