"""Progress bars on a terminal, with a rate and an estimate; silence elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from whence.core.context import Progress, Quiet


class Bars:
    """A `Progress` that draws with rich on standard error. Use as a context manager.

    One bar per piece of work: a piece within another has a bar for as long as it lasts, and one of a name that was there
    before takes its bar over.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._rich = Rich(TextColumn("{task.description:>26}"), BarColumn(), MofNCompleteColumn(), _rate_column(),
                          TimeElapsedColumn(),
                          TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True))
        self._open: list[Any] = []
        self._finished: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        self._rich.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rich.stop()

    def start(self, what: str, total: int | None) -> Any:
        task = self._finished.pop(what, None)
        if task is None:
            task = self._rich.add_task(what, total=total)
        else:
            self._rich.reset(task, total=total)
        self._open.append(task)
        return task

    def advance(self, task: Any, by: int) -> None:
        self._rich.advance(task, by)

    def done(self, task: Any) -> None:
        self._open.remove(task)
        if self._open:
            self._rich.remove_task(task)
        else:
            self._rich.stop_task(task)
            self._finished[next(t.description for t in self._rich.tasks if t.id == task)] = task


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
