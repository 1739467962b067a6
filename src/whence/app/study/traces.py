"""For every wrong proof prediction: which training examples pushed it there, which pulled against, which lie near."""

from __future__ import annotations

from typing import Any

import numpy as np

from whence.app.runs import Run
from whence.app.study.parts import Parts, fingerprint, rows_of
from whence.app.study.recipe import Recipe
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import params_of
from whence.core.tables import links_of
from whence.models.observe import Observer

_MOST, _FEW = 400, 60  # wrong predictions that are traced, the most confident first; few where each costs a solve of its own
_TOP = 8


def traces(
    parts: Parts, recipe: Recipe, observer: Observer, ctx: Context, run: Run
) -> tuple[dict[str, Links], list[dict[str, Any]]]:
    """Links (influence, embedding-similarity) from wrong proof predictions to training data, and the list of those predictions.

    The weight of an influence link is the training example's effect on the log-probability of the **right** label: what
    is negative pushed the answer away from it.
    """
    inputs = {
        "data": fingerprint(parts),
        "train": parts.train.fingerprint,
        "by": observer.fingerprint,
        "most": [_MOST, _FEW],
        "methods": [[n, params_of(build(n, verb="trace"))] for n in ("influence", "embedding-similarity")],
        "version": 1,
    }
    made = run.step("traces", inputs, lambda: _trace(parts, observer, ctx))
    return {n: links_of(made[n]) for n in ("influence", "embedding-similarity") if n in made}, list(made["wrong"])


def _trace(parts: Parts, observer: Observer, ctx: Context) -> dict[str, Any]:
    head = observer.head(parts.train)
    probs = head.probs(observer.embeddings(parts.proof))
    y = observer.codes(parts.proof, head.names)
    answer = probs.argmax(axis=1)
    wrong = np.flatnonzero(answer != y)
    wrong = wrong[np.argsort(-probs[wrong, answer[wrong]], kind="stable")]
    listed = [
        {
            "id": parts.proof.ids[i],
            "given": head.names[y[i]],
            "predicted": head.names[answer[i]],
            "confidence": float(probs[i, answer[i]]),
            "p_given": float(probs[i, y[i]]),
        }
        for i in wrong
    ]
    if len(wrong) == 0:
        return {"wrong": []}
    most = _MOST if observer.curvature(parts.train).method == "exact" else _FEW
    queries = rows_of(parts.proof, wrong[:most], "proof")
    out: dict[str, Any] = {"wrong": listed}
    with ctx.task("trace wrong predictions", 2) as advance:
        for name in ("influence", "embedding-similarity"):
            out[name] = build(name, verb="trace")(parts.train, queries, observer, ctx, top=_TOP).to_arrow()
            advance()
    return out
