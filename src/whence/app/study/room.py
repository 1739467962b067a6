"""The room of selectors: every way to choose k examples, tried at every budget, judged once on the proof part."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.app.runs import Run
from whence.app.study.parts import Parts, fingerprint
from whence.app.study.recipe import Recipe
from whence.core.catalogue import build, find
from whence.core.context import Context
from whence.core.errors import NotCapable, OverBudget
from whence.core.method import params_of
from whence.models.observe import Observer

#: (name in the report, method or preset). The first is the baseline that every other is held against.
ROOM = (
    "random",
    "repeated-random",
    "longest",
    "k-center",
    "facility-location",
    "herding",
    "prototypes-easy",
    "prototypes-hard",
    "el2n-hard",
    "rescored-el2n",
    "forgetting-hard",
    "influence-targeted",
    "gio",
    "noise-cleaned",
)


def room(
    parts: Parts, recipe: Recipe, observer: Observer, ctx: Context, run: Run, names: tuple[str, ...] = ROOM
) -> dict[str, Any]:
    """Choose with every selector from the fit part, retrain the head on each choice, and judge on the proof part.

    Returns {"metric", "full", "budgets", "methods": [{name, status, line, points, seconds}], "refused"}.
    """
    inputs = {
        "data": fingerprint(parts),
        "by": observer.fingerprint,
        "seed": recipe.seed,
        "seeds": recipe.seeds,
        "budgets": list(recipe.budgets),
        "metric": recipe.metric,
        "version": 2,
        "methods": [[n, find(n, verb="select")[0].id, params_of(build(n, verb="select"))] for n in names],
    }
    chosen = run.step("room", inputs, lambda: _choose(parts, recipe, observer, ctx, names))
    proved = run.step("proof-curves", inputs, lambda: _prove(parts, recipe, observer, ctx, chosen, names))
    return dict(proved["result"])


def sizes(parts: Parts, recipe: Recipe) -> list[int]:
    """Examples at each budget: at least one per share, all of them at 1."""
    n = len(parts.fit)
    return [max(2, round(b * n)) if b < 1 else n for b in recipe.budgets]


def _choose(parts: Parts, recipe: Recipe, observer: Observer, ctx: Context, names: tuple[str, ...]) -> dict[str, Any]:
    """Row numbers of the fit part, in order of choice, per method, seed and budget; answers for the dynamic ones."""
    out: dict[str, Any] = {"seconds": {}, "refused": {}, "passes": {}}
    budgets = [k for k in sizes(parts, recipe) if k < len(parts.fit)]
    if not budgets:
        return out
    # a schedule answers in the numbering of the fit part, which may lack a class
    codes = np.array([parts.names.index(name) for name in parts.fit.labels.names], dtype=np.int32)
    with ctx.task("room of selectors", len(names) * recipe.seeds) as advance:
        for name in names:
            selector = build(name, verb="select")
            began = time.process_time()
            dynamic = find(name, verb="select")[0].family == "select/dynamic"
            for s in range(recipe.seeds):
                seeded = ctx.with_seed(ctx.seed + s)
                try:
                    if dynamic:
                        for k in budgets:
                            trained = selector(parts.fit, observer, seeded, budget=k, queries=parts.proof, reference=parts.valid)
                            out[f"{name}@{k}@{s}@answers"] = codes[trained.log_probs.argmax(axis=1)]
                    elif getattr(selector, "nested", False):
                        rows = _rows(parts, selector(parts.fit, observer, seeded, budget=max(budgets), reference=parts.valid))
                        for k in budgets:
                            out[f"{name}@{k}@{s}"] = rows[:k]
                    else:
                        for k in budgets:
                            out[f"{name}@{k}@{s}"] = _rows(
                                parts, selector(parts.fit, observer, seeded, budget=k, reference=parts.valid)
                            )
                except (NotCapable, OverBudget) as error:
                    out["refused"][name] = str(error)
                    break
                advance()
                if not getattr(selector, "random", False):
                    break  # the seed changes nothing but the observer's own, which is the study's
            out["seconds"][name] = round(time.process_time() - began, 3)
    return out


def _rows(parts: Parts, selection: Any) -> NDArray[np.int32]:
    return parts.fit.positions(selection.kept).astype(np.int32)


def _prove(
    parts: Parts, recipe: Recipe, observer: Observer, ctx: Context, chosen: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    from whence.kernels.softmax_head import fit, predict

    n_classes = len(parts.names)
    X, y = observer.embeddings(parts.fit), observer.codes(parts.fit, parts.names)
    Xp, yp = observer.embeddings(parts.proof), observer.codes(parts.proof, parts.names)
    c = observer.head(parts.fit).C
    answers: dict[str, NDArray[Any]] = {k.removesuffix("@answers"): v for k, v in chosen.items() if k.endswith("@answers")}
    trials = sorted(k for k, v in chosen.items() if isinstance(v, np.ndarray) and not k.endswith("@answers"))
    with ctx.task("retrain on every choice", len(trials) + 1) as advance:
        answers["all"] = predict(fit(X, y, n_classes, C=c, tol=1e-3), Xp)[0]
        for start in range(0, len(trials), 16):
            batch = trials[start : start + 16]
            heads = fit(X, y, n_classes, subsets=[chosen[t] for t in batch], C=c, tol=1e-3)
            for trial, answer in zip(batch, predict(heads, Xp), strict=True):
                answers[trial] = answer
            advance(len(batch))
    full = summary([answers["all"]], yp, recipe, ctx)
    methods = []
    for name in names:
        if name in chosen["refused"]:
            continue
        points = []
        for budget, k in zip(recipe.budgets, sizes(parts, recipe), strict=True):
            runs = [answers[f"{name}@{k}@{s}"] for s in range(recipe.seeds) if f"{name}@{k}@{s}" in answers]
            if k == len(parts.fit):
                points.append({"budget": budget, "k": k, **full, "seeds": 1})
            elif runs:
                points.append({"budget": budget, "k": k, **summary(runs, yp, recipe, ctx), "seeds": len(runs)})
        entry = find(name, verb="select")[0]
        methods.append(
            {
                "name": name,
                "status": entry.card.status,
                "line": entry.card.line,
                "points": points,
                "dynamic": entry.family == "select/dynamic",
                "seconds": chosen["seconds"].get(name, 0.0),
            }
        )
    return {
        "result": {
            "metric": recipe.metric,
            "full": full,
            "budgets": list(recipe.budgets),
            "methods": methods,
            "refused": chosen["refused"],
            "n": len(parts.fit),
            "proof": len(parts.proof),
        }
    }


def summary(runs: list[NDArray[Any]], truth: NDArray[Any], recipe: Recipe, ctx: Context) -> dict[str, float]:
    """Mean of the metric over seeds with a 95 % interval over seeds and proof rows, drawn together."""
    from whence.kernels.bootstrap import macro_f1_interval, mean_interval

    rng = ctx.rng("study/proof/interval")
    answers = np.stack(runs)
    if recipe.metric == "accuracy":
        mean, low, high = mean_interval(answers == truth, rng)
    else:
        mean, low, high = macro_f1_interval(truth, answers, rng)
    return {"mean": float(mean), "low": float(low), "high": float(high)}
