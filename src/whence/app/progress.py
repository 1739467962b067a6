"""Progress bars on a terminal, with a rate and an estimate; silence elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from whence.core.context import Progress, Quiet


class Bars:
    """A `Progress` that draws with rich on standard error. Use as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._rich = Rich(TextColumn("{task.description:>26}"), BarColumn(), MofNCompleteColumn(), _rate_column(), TimeElapsedColumn(),
                          TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True))

    def __enter__(self) -> Bars:
        self._rich.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rich.stop()

    def start(self, what: str, total: int | None) -> Any:
        return self._rich.add_task(what, total=total)

    def advance(self, task: Any, by: int) -> None:
        self._rich.advance(task, by)

    def done(self, task: Any) -> None:
        self._rich.stop_task(task)


def _rate_column() -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if not task.speed else f"{task.speed:,.0f}/s" if task.speed >= 10 else f"{task.speed:.1f}/s")

    return Rate()


class Silent(Quiet):
    """A `Progress` that says nothing; a context manager like `Bars`."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def progress_for(quiet: bool) -> Bars | Silent:
    """Bars where a person looks on, silence elsewhere."""
    return Silent() if quiet or not sys.stderr.isatty() else Bars()


__all__ = ["Bars", "Progress", "Silent", "progress_for"]
