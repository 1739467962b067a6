"""constraints.txt: the exact version of every package that an extra brings, and nothing about where it came from."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

HEAD = """\
# Exact versions that `make run` and `make test` install, made by `make lock`. Versions only: no index, no address, no
# build tag, so that a local CPU build of torch is taken where there is one.
"""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(start: str, extras: frozenset[str]) -> dict[str, str]:
    """Installed name -> version of everything that a distribution with these extras brings, itself left out."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(start, extras)]
    while todo:
        name, wanted = todo.pop()
        if (_plain(name), wanted) in seen:
            continue
        seen.add((_plain(name), wanted))
        try:
            dist = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here is not pinned
        if _plain(name) != _plain(start):
            found[_plain(name)] = dist.version.partition("+")[0]
        for line in dist.requires or ():
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in wanted or {""}):
                todo.append((need.name, frozenset(need.extras)))
    return dict(sorted(found.items()))


def text(start: str = "whence", extras: tuple[str, ...] = ("all", "dev", "bench", "docs")) -> str:
    """The lock file for what is installed now."""
    return HEAD + "".join(f"{name}=={version}\n" for name, version in closure(start, frozenset(extras)).items())


def write(root: Path) -> Path:
    path = root / "constraints.txt"
    path.write_text(text(), encoding="utf-8", newline="\n")
    return path
