"""Local structure: does an output contain a small piece of a tree that the training outputs never contain?

Bogin, Gupta, Berant: Unobserved Local Structures Make Compositional Generalization Hard (2022). An output is parsed to a
tree, its small connected pieces are listed (parent and child, neighbouring siblings, and larger ones), and it is called hard
when some piece never occurs in training. Where we differ: the parser is one for all bracketed languages; of the pieces of
four symbols we take chains, sibling runs and a parent with three neighbouring children; the score is the share (or number)
of unseen pieces and not only whether there is one; the paper's relaxation by symbol similarity is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer

_TOKEN = re.compile(r"[()\[\]{}]|[^\s()\[\]{},;]+|[,;]")
_OPEN, _CLOSE = "([{", ")]}"


@method
class LocalStructure:
    """Share or number of an output's distinct local structures that no output of `reference`, the training pool, contains."""

    size: int = param(2, "symbols in the largest structure looked at", ge=2, le=4)
    measure: str = param(
        "share", "share or number of unseen structures, or 1 where there is any", choices=("share", "count", "any")
    )
    column: str = param(
        "auto", "what is parsed: the response where there is one, else the text", choices=("auto", "response", "text")
    )

    card: ClassVar[Card] = Card(
        line="Share of small pieces of the output's tree that training outputs never contain.",
        papers=(
            Paper(
                "Unobserved Local Structures Make Compositional Generalization Hard",
                "Bogin, Gupta, Berant",
                2022,
                "arXiv:2201.05899",
            ),
        ),
        needs=("reference",),
        cost="linear in the number of tokens",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        if reference is None:
            raise NotCapable(
                "local-structure needs the training pool as reference",
                do="pass the training data as the reference (--reference FILE)",
            )
        seen: set[tuple[str, ...]] = set()
        for text in self._outputs(reference):
            seen |= structures(text, self.size)
        values: list[float] = []
        missing: dict[str, str] = {}
        for this, text in zip(pool.ids, self._outputs(pool), strict=True):
            own = structures(text, self.size)
            unseen = len(own - seen)
            if not own:
                missing[this] = "the output is empty"
            values.append({"share": unseen / max(len(own), 1), "count": float(unseen), "any": float(unseen > 0)}[self.measure])
        return Scores.of(
            "local-structure",
            pool,
            values,
            high="built from pieces that training never showed: hard to generalise to",
            unit={"share": "share of structures", "count": "structures", "any": "0 or 1"}[self.measure],
            step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, reference.fingerprint)),
            missing=missing,
        )

    def _outputs(self, pool: Pool) -> list[str]:
        role = ("response" if "response" in pool.roles else "text") if self.column == "auto" else self.column
        if role in pool.roles:
            return [value if isinstance(value, str) else "" for value in pool.column(role)]
        if self.column == "auto":
            return list(pool.texts)
        return [str(value) for value in pool.column(role)]


@dataclass(eq=False)
class Node:
    """A symbol and its children, in order."""

    symbol: str
    children: list[Node] = field(default_factory=list)


def parse(text: str) -> Node:
    """A tree under a root of its own: `f(a, b)` and `(f a b)` both make `a` and `b` children of `f`; bare tokens are siblings.

    Brackets that do not match are borne: a stray one closes nothing, an open one closes at the end.
    """
    root = Node("<root>")
    # (parent of what comes, whether its head is still to come, whether we are inside an s-expression)
    stack: list[tuple[Node, bool, bool]] = [(root, False, False)]
    callable_before = False
    for token in _TOKEN.findall(text):
        parent, awaits_head, listed = stack[-1]
        if token in _OPEN:
            if callable_before and not listed:
                stack.append((parent.children[-1], False, False))
            else:
                stack.append((parent, True, True))
            callable_before = False
        elif token in _CLOSE:
            if len(stack) > 1:
                stack.pop()
            callable_before = False
        elif token in ",;":
            callable_before = False
        else:
            node = Node(token)
            parent.children.append(node)
            if awaits_head:
                stack[-1] = (node, False, listed)
            callable_before = not awaits_head
    return root


def structures(text: str, size: int) -> set[tuple[str, ...]]:
    """Distinct local structures of up to `size` symbols: single symbols, `down` chains, sibling runs (`side`), and a parent with
    a run of children (`fan`). The root counts as a symbol of chains and fans."""
    found: set[tuple[str, ...]] = set()
    todo: list[tuple[Node, tuple[str, ...]]] = [(parse(text), ())]
    while todo:
        node, above = todo.pop()
        line = (*above, node.symbol)
        if above:
            found.add(("one", node.symbol))
        for length in range(2, min(size, len(line)) + 1):
            found.add(("down", *line[-length:]))
        symbols = [child.symbol for child in node.children]
        for length in range(2, size + 1):
            for at in range(len(symbols) - length + 1):
                found.add(("side", *symbols[at : at + length]))
            if length >= 3:
                for at in range(len(symbols) - length + 2):
                    found.add(("fan", node.symbol, *symbols[at : at + length - 1]))
        todo.extend((child, line[-(size - 1) :]) for child in node.children)
    return found
