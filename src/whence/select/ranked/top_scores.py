"""Keep the examples at one end of a score.

A paper that prunes by a score is a setting of this method: see the presets. `skip` leaves out the very top of the ranking
first, which is often label noise ("Deep Learning on a Data Diet", Paul et al. 2021, arXiv:2107.07075, section 4).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper, Preset
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.budget import checked

_DIET = Paper("Deep Learning on a Data Diet: Finding Important Examples Early in Training",
              "Paul, Ganguli and Dziugaite", 2021, "arXiv:2107.07075")
_LAWS = Paper("Beyond neural scaling laws: beating power law scaling via data pruning",
              "Sorscher et al.", 2022, "arXiv:2206.14486")
_FORGET = Paper("An Empirical Study of Example Forgetting during Deep Neural Network Learning",
                "Toneva et al.", 2019, "arXiv:1812.05159")
_LONG = Paper("Long Is More for Alignment: A Simple but Tough-to-Beat Baseline for Instruction Fine-Tuning",
              "Zhao et al.", 2024, "arXiv:2402.04833")


def ranking(values: NDArray[Any], known: NDArray[np.bool_], want: str, skip: float) -> NDArray[np.int64]:
    """Row numbers from most to least wanted. Rows without a value come last; the skipped top comes just before them.

    values [n]; known [n] where there is a value; want `high`, `low` or `middle` (nearest to the median first).
    """
    scored = np.flatnonzero(known)
    v = values[scored]
    key = {"high": -v, "low": v, "middle": np.abs(v - np.median(v)) if len(v) else v}[want]
    order = scored[np.argsort(key, kind="stable")]
    cut = round(skip * len(order))
    return np.concatenate([order[cut:], order[:cut], np.flatnonzero(~known)])


@method
class TopScores:
    """The examples with the highest, lowest or middling values of a score."""

    card: ClassVar[Card] = Card(
        line="The examples at one end of a score.",
        needs=("text", "labels", "embeddings"),
        cost="that of the score",
        presets={
            "longest": Preset({"scorer": "length"}, "The longest texts.", _LONG),
            "el2n-hard": Preset({"scorer": "el2n"}, "The largest early errors.", _DIET),
            "el2n-trimmed": Preset({"scorer": "el2n", "skip": 0.1}, "The largest early errors without the top tenth.", _DIET),
            "grand-hard": Preset({"scorer": "grand"}, "The largest early gradients.", _DIET),
            "forgetting-hard": Preset({"scorer": "forgetting"}, "The most often forgotten.", _FORGET),
            "prototypes-easy": Preset({"scorer": "prototype-distance", "want": "low"}, "Nearest to the prototypes.", _LAWS),
            "prototypes-hard": Preset({"scorer": "prototype-distance"}, "Farthest from the prototypes.", _LAWS),
            "influence-targeted": Preset({"scorer": "influence"}, "The largest influence on the reference examples."),
        },
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    scorer: Any = param("el2n", "a scorer, or the name of one")
    want: str = param("high", "which end of the score", choices=("high", "low", "middle"))
    skip: float = param(0.0, "share of the wanted end that is put last, because it is often noise", ge=0, lt=1)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        k = checked(budget, pool)
        scorer = build(self.scorer, verb="score") if isinstance(self.scorer, str) else self.scorer
        scores = scorer(pool, observer, ctx, reference=reference)
        values, known = scores.aligned(pool.ids)
        rows = ranking(values, known, self.want, self.skip)[:k]
        end = {"high": "lower", "low": "higher", "middle": "farther from the median"}[self.want]

        def reason(this: str) -> str:
            if this in scores:
                return f"{scores.name} {scores[this]:.4g} is {end} than that of the kept"
            return f"not scored: {scores.missing[this]}"

        inputs = (pool.fingerprint, observer.fingerprint, reference.fingerprint if reference else "")
        step = step_of(self, seed=ctx.seed, inputs=inputs)
        return Selection.of(pool, rows, step=step, reason=reason)
