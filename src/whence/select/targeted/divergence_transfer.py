"""Rank whole sources by how far their texts lie from the target's, and take the nearest ones whole.

Pugantsov and McCreadie 2023, "Divergence-Based Domain Transferability for Zero-Shot Classification" (arXiv:2302.05735):
which of many source tasks to tune on is decided before any tuning, by divergence of terms or of embeddings. Of the
paper's measures we give two: `terms` is the Jensen-Shannon divergence of word frequencies, 0 to log 2 nats, and
`embeddings` the Euclidean distance between mean embeddings. The last source that the budget reaches is drawn from at
random. A small source's word frequencies are rough, which makes it look farther than it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.errors import NotCapable
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked


def term_divergence(a: Sequence[str], b: Sequence[str]) -> float:
    """Jensen-Shannon divergence of the word frequencies of two sets of texts, in nats; high: they speak otherwise.

    Words are casefolded runs of letters and digits. Texts without words diverge by log 2 from any others.
    """
    counts = [Counter(w for text in texts for w in re.findall(r"\w+", text.casefold())) for texts in (a, b)]
    totals = [sum(c.values()) for c in counts]
    if not all(totals):
        return float(np.log(2))
    words = sorted(set(counts[0]) | set(counts[1]))
    p, q = (np.array([c[w] for w in words]) / t for c, t in zip(counts, totals, strict=True))
    middle = (p + q) / 2
    return float(sum((x[x > 0] * np.log(x[x > 0] / middle[x > 0])).sum() for x in (p, q)) / 2)


@method
class DivergenceTransfer:
    """Whole sources, the nearest to the target first."""

    card: ClassVar[Card] = Card(
        line="Take whole sources, those whose texts diverge least from the target first.",
        papers=(Paper("Divergence-Based Domain Transferability for Zero-Shot Classification", "Pugantsov and McCreadie", 2023,
                      "arXiv:2302.05735"),),
        needs=("text", "source", "reference"),
        cost="one count of the words, or the embeddings",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = True

    measure: str = param("terms", "divergence of words, or distance of mean embeddings", choices=("terms", "embeddings"))

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        k = checked(budget, pool)
        if reference is None or not len(reference):
            raise NotCapable("Divergence needs examples of the target", given="none",
                             do="pass --reference")
        role = next((r for r in ("source", "group") if r in pool.roles), None)
        if role is None:
            raise NotCapable(f"'{pool.name}' does not say which source each example is from", given=", ".join(pool.columns),
                             legal="a column for the role source or group", do="name the column with --source")
        named = ["" if v is None else str(v) for v in pool.column(role)]
        by_id = np.argsort(np.array(pool.ids))
        rows = {name: [int(i) for i in by_id if named[i] == name] for name in sorted(set(named))}
        if self.measure == "terms":
            far = {name: term_divergence([pool.texts[i] for i in of], reference.texts) for name, of in rows.items()}
        else:
            X, target = observer.embeddings(pool), observer.embeddings(reference).mean(axis=0, dtype=np.float64)
            far = {name: float(np.linalg.norm(X[of].mean(axis=0, dtype=np.float64) - target)) for name, of in rows.items()}
        order: list[int] = []
        for name in sorted(rows, key=lambda name: (far[name], name)):
            order += np.array(rows[name])[ctx.rng(f"select/divergence-transfer/{name}").permutation(len(rows[name]))].tolist()
        chosen = {named[i] for i in order[:k]}

        def reason(this: str) -> str:
            name = named[pool.position(this)]
            return "not drawn from its source" if name in chosen else f"its source '{name}' diverges more: {far[name]:.4g}"

        step = step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, reference.fingerprint, observer.fingerprint))
        return Selection.of(pool, order[:k], step=step, reason=reason)
