"""The context of a piece of work: seed, cache, device, threads, progress and cancellation. No global state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash

from whence.core.errors import BadInput
from whence.core.store import Store


class Progress(Protocol):
    """Who is told how far long work has come."""

    def start(self, what: str, total: int | None) -> Any: ...
    def advance(self, task: Any, by: int) -> None: ...
    def done(self, task: Any) -> None: ...


class Quiet:
    """Tells nobody."""

    def start(self, what: str, total: int | None) -> None:
        return None

    def advance(self, task: Any, by: int) -> None:
        return None

    def done(self, task: Any) -> None:
        return None


def cache_folder() -> Path:
    """`WHENCE_CACHE`, else the user's cache folder."""
    own = os.environ.get("WHENCE_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whence"


@dataclass(frozen=True)
class Context:
    """What every method is given beside its data.

    `seed` decides everything random: `ctx.rng("name")` is a stream of its own for each name, so adding a method does
    not change another's draw. `store` keeps computed arrays on disk by content. `device` is `cpu`, `cuda` or `auto`.
    """

    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    store: Store = field(default_factory=lambda: Store(cache_folder()))
    progress: Progress = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise BadInput("The seed must be a whole number of 0 or more", given=repr(self.seed))

    def rng(self, name: str) -> np.random.Generator:
        """A generator that depends on the seed and this name alone."""
        return np.random.default_rng([self.seed, xxhash.xxh3_64_intdigest(name.encode())])

    def with_seed(self, seed: int) -> Context:
        return replace(self, seed=seed)

    @property
    def cores(self) -> int:
        return self.threads or os.cpu_count() or 1

    @contextmanager
    def task(self, what: str, total: int | None = None) -> Iterator[Any]:
        """Tell progress about a piece of work: `with ctx.task("embed", n) as advance: advance(32)`."""
        task = self.progress.start(what, total)
        try:
            yield lambda by=1: self.progress.advance(task, by)
        finally:
            self.progress.done(task)
