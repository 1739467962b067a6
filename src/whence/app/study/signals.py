"""Every signal of every training example, in one table, so that disagreement between signals is visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whence.app.runs import Run
from whence.app.study.parts import Parts, fingerprint
from whence.app.study.recipe import Recipe
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Scores
from whence.core.method import params_of
from whence.core.tables import scores_of, scores_table
from whence.models.observe import Observer

#: Signals of all the user's training data, in the order of the table.
SIGNALS = (
    "consensus", "confident-learning", "self-confidence", "normalized-margin", "knn-agreement", "map-d", "self-influence",
    "el2n", "grand", "forgetting", "learning-order", "confidence", "variability", "margin", "agreement",
    "class-centroid", "prototype-distance", "knn-distance", "energy", "msp", "length",
)
#: Signals that look at the validation part too, so they are about the fit part alone.
TARGETED = ("influence", "knn-shapley")
#: Signals that speak of label noise: +1 where a high value is suspicious, -1 where a low one is.
NOISE = {
    "consensus": 1, "confident-learning": 1, "self-confidence": 1, "normalized-margin": 1, "knn-agreement": 1, "map-d": 1,
    "self-influence": 1, "el2n": 1, "grand": 1, "forgetting": 1, "learning-order": 1, "confidence": -1, "margin": -1,
    "agreement": -1, "class-centroid": 1,
}


def signals(parts: Parts, recipe: Recipe, observer: Observer, ctx: Context, run: Run) -> dict[str, Scores]:
    """Score the training data by every signal; a signal that cannot be had says why. Two steps of the run."""
    inputs = {"pool": parts.train.fingerprint, "by": observer.fingerprint, "seed": recipe.seed,
              "methods": [[n, params_of(build(n, verb="score"))] for n in SIGNALS], "version": 1}
    made = run.step("signals", inputs, lambda: _all(parts.train, SIGNALS, observer, ctx, None))
    inputs = {**inputs, "data": fingerprint(parts), "methods": [[n, params_of(build(n, verb="score"))] for n in TARGETED]}
    more = run.step("signals-targeted", inputs, lambda: _all(parts.fit, TARGETED, observer, ctx, parts))
    out = scores_of(made["table"])
    for name, s in scores_of(more["table"]).items():
        away = {this: "in the validation part, which the score is measured on" for this in parts.valid.ids}
        out[name] = Scores(s.name, s.ids, s.values, s.high, s.unit, s.step, {**s.missing, **away})
    return out


def _all(pool: Any, names: Sequence[str], observer: Observer, ctx: Context, parts: Parts | None) -> dict[str, Any]:
    found, refused = [], {}
    with ctx.task("signals", len(names)) as advance:
        for name in names:
            scorer = build(name, verb="score")
            try:
                made = scorer(pool, observer, ctx, reference=None if parts is None else parts.valid)
                found.append(Scores(name, made.ids, made.values, made.high, made.unit, made.step, made.missing))
            except NotCapable as error:
                refused[name] = str(error)
            advance()
    return {"table": scores_table(pool.ids, found), "refused": refused}


def recovery(scores: dict[str, Scores], flipped: set[str], among: Sequence[str]) -> list[dict[str, Any]]:
    """How well each signal finds planted label flips: AUROC, average precision, recall and precision at 5 % inspected."""
    from whence.kernels.ranking import auroc, average_precision

    rows = []
    for name, sign in NOISE.items():
        if name not in scores:
            continue
        values, known = scores[name].aligned(among)
        values = sign * values[known]
        truth = np.array([this in flipped for this in among])[known]
        if not truth.any() or truth.all():
            continue
        k = max(1, round(0.05 * len(values)))
        top = np.argsort(-values, kind="stable")[:k]
        rows.append({"name": name, "auroc": float(auroc(truth, values)), "ap": float(average_precision(truth, values)),
                     "recall5": float(truth[top].sum() / truth.sum()), "precision": float(truth[top].mean())})
    return sorted(rows, key=lambda r: -r["auroc"])
