"""What a method says of itself. Docs, command-line help, the catalogue and the paper index are generated from cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["trial", "stable", "retired", "baseline"]


@dataclass(frozen=True)
class Paper:
    """Where a method comes from. `ref` is an arXiv id, DOI or venue."""

    title: str
    authors: str = ""
    year: int | None = None
    ref: str = ""

    def __str__(self) -> str:
        tail = ", ".join(str(p) for p in (self.authors, self.year, self.ref) if p)
        return f"{self.title}{f' ({tail})' if tail else ''}"


@dataclass(frozen=True)
class Preset:
    """A paper that is only a setting of a method: parameters, and the paper they come from."""

    params: Mapping[str, Any]
    line: str
    paper: Paper | None = None


@dataclass(frozen=True)
class Card:
    """A method's card.

    `line` is one sentence; `needs` names the observables or capabilities it looks at (`labels`, `embeddings`,
    `class_probs`, `dynamics`, `reference`, ...); `cost` says how time grows; `status` is `baseline` for the honest
    baselines, `stable` once the method has beaten its family's baseline in the arena, `trial` until then.
    """

    line: str
    papers: tuple[Paper, ...] = ()
    needs: tuple[str, ...] = ()
    cost: str = ""
    status: Status = "trial"
    presets: Mapping[str, Preset] = field(default_factory=dict)
