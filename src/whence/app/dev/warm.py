"""Compile the kernels now, so that the first run does not wait for it. The result is cached beside the source."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Iterator


def warm() -> Iterator[tuple[str, float]]:
    """Run each kernel module's own `warm()`; yields (module, seconds)."""
    import whence.kernels

    for found in sorted(pkgutil.iter_modules(whence.kernels.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"whence.kernels.{found.name}")
        run = getattr(module, "warm", None)
        if callable(run):
            start = time.perf_counter()
            run()
            yield found.name, time.perf_counter() - start
