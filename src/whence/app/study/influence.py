"""Influence with its own check: what it predicts for random halves against what retraining on them really does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.app.runs import Run
from whence.app.study.parts import Parts, fingerprint
from whence.app.study.recipe import Recipe
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Links, Scores
from whence.core.method import params_of
from whence.core.pool import Pool
from whence.models.observe import Observer

#: Tracers held against retraining; the first is the one whose figure is quoted, the rest are there for contrast.
TRACERS = ("influence", "gradient-dot", "gradient-cosine", "representer", "label-similarity", "bm25", "random-links")
_QUERIES, _FEW_QUERIES = 200, 40  # validation examples that are predicted; few where each costs a solve of its own
_EXACT = 8000  # parameters of the head up to which the inverse Hessian is exact
_WORK = 8e11  # multiply-adds that retraining may cost; fewer retrains beyond, but never less than ten


def matrix(links: Links, pool: Pool, queries: Pool) -> NDArray[np.float64]:
    """Weights [len(pool), len(queries)] of links queries -> pool, 0 where there is none."""
    out = np.zeros((len(pool), len(queries)))
    at_tail = pool.positions(links.tails)
    at_head = queries.positions(links.heads)
    out[at_tail[links.tail], at_head[links.head]] = links.weight
    return out


def datamodeling_score(
    parts: Parts, recipe: Recipe, scores: dict[str, Scores], observer: Observer, ctx: Context, run: Run
) -> dict[str, Any]:
    """Linear datamodeling score of each tracer on validation examples (not the proof). One step of the run.

    Returns {"value", "low", "high", "retrains", "queries", "sentence", "contrast": [{"name", "lds"}]}.
    """
    if recipe.retrains < 5 or len(parts.fit) < 20 or len(parts.valid) < 2:
        return {
            "value": None,
            "sentence": "The influence figures were not checked against retraining: too few examples or --retrains below 5.",
            "contrast": [],
            "retrains": 0,
        }
    inputs = {
        "data": fingerprint(parts),
        "by": observer.fingerprint,
        "retrains": recipe.retrains,
        "seed": recipe.seed,
        "methods": [[n, params_of(build(n, verb="trace"))] for n in TRACERS],
        "version": 1,
    }
    made = run.step("datamodeling-score", inputs, lambda: _measure(parts, recipe, scores, observer, ctx))
    return dict(made["result"])


def _measure(parts: Parts, recipe: Recipe, scores: dict[str, Scores], observer: Observer, ctx: Context) -> dict[str, Any]:
    from whence.kernels.softmax_head import fit, log_prob_of, random_subsets

    rng = ctx.rng("study/lds")
    many = (len(parts.names) - 1) * (observer.embeddings(parts.fit).shape[1] + 1) > _EXACT
    order = np.sort(rng.permutation(len(parts.valid))[: _FEW_QUERIES if many else _QUERIES])
    queries = _rows(parts.valid, order)
    X, y = observer.embeddings(parts.fit), observer.codes(parts.fit, parts.names)
    Xq, yq = observer.embeddings(queries), observer.codes(queries, parts.names)
    cost = 40.0 * len(X) * X.shape[1] * len(parts.names)
    retrains = int(np.clip(_WORK / cost, 10, recipe.retrains))
    subsets = random_subsets(len(X), len(X) // 2, retrains, rng)
    c = observer.head(parts.fit).C
    outputs = np.empty((retrains, len(Xq)))
    with ctx.task("retrain on random halves", retrains) as advance:
        for start in range(0, retrains, 10):
            heads = fit(X, y, len(parts.names), subsets=subsets[start : start + 10], C=c, tol=1e-3)
            outputs[start : start + len(heads)] = log_prob_of(heads, Xq, yq)
            advance(len(heads))
    masks = np.zeros((retrains, len(X)), dtype=bool)
    for k, subset in enumerate(subsets):
        masks[k, subset] = True
    contrast: list[dict[str, Any]] = []
    main: dict[str, Any] = {}
    for name in TRACERS:
        try:
            links = build(name, verb="trace")(parts.fit, queries, observer, ctx, top=None)
        except NotCapable as error:
            contrast.append({"name": name, "lds": None, "why": str(error)})
            continue
        found = _against(matrix(links, parts.fit, queries), masks, outputs, ctx)
        contrast.append({"name": name, "lds": found and found["value"]})
        if name == TRACERS[0]:
            main = found or {"value": None}
    # a score per example has no opinion on single questions: it can only say that an example matters for all of them
    for name in ("el2n", "self-influence"):
        if name in scores:
            values, _ = scores[name].aligned(parts.fit.ids)
            found = _against(np.repeat(values[:, None], len(Xq), axis=1), masks, outputs, ctx)
            contrast.append({"name": f"{name} (one number for all)", "lds": found and found["value"]})
    return {
        "result": {
            **main,
            "retrains": retrains,
            "queries": len(queries),
            "contrast": contrast,
            "sentence": words(main.get("value"), retrains),
        }
    }


def _against(
    effects: NDArray[Any], masks: NDArray[np.bool_], outputs: NDArray[Any], ctx: Context
) -> dict[str, float | None] | None:
    """The score of these effects with its interval; None where no answer moves, or none is said to."""
    from whence.kernels.influence import lds

    if not ((np.ptp(outputs, axis=0) > 0) & (np.ptp(masks.astype(np.float64) @ effects.astype(np.float64), axis=0) > 0)).any():
        return None
    found = lds(effects, masks, outputs, rng=ctx.rng("study/lds/interval"))
    return {"value": _finite(found.mean), "low": _finite(found.interval[0]), "high": _finite(found.interval[1])}


def words(value: float | None, retrains: int) -> str:
    """What a linear datamodeling score means, for a reader."""
    if value is None:
        return "Influence could not be checked against retraining here."
    how = (
        "so the influence figures can be read as what removing examples would really do"
        if value >= 0.8
        else "so the order of influence is informative, but single figures are rough"
        if value >= 0.5
        else "so influence is a weak guide here: treat single rows as suggestions and look at them"
        if value >= 0.2
        else "which is close to none: do not act on influence here"
    )
    return (
        f"Over {retrains} retrainings on random halves, predicted and real changes of the answers correlate at {value:.2f} "
        f"(Spearman; 1 is perfect, 0 is chance), {how}."
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rows(pool: Pool, rows: NDArray[np.int64]) -> Pool:
    from whence.app.study.parts import rows_of

    return rows_of(pool, rows, pool.name)
