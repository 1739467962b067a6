"""The recommendation: a drop list chosen on the validation part and proved, once, on the proof part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.app.runs import Run
from whence.app.study.parts import Parts, fingerprint
from whence.app.study.recipe import Recipe
from whence.app.study.signals import NOISE
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Links, Scores
from whence.core.method import params_of
from whence.core.pool import Pool
from whence.models.observe import Observer

#: Scores that a drop list may be cut from, and the shares of the training data that are tried.
CANDIDATES = ("consensus", "confident-learning", "self-confidence", "knn-agreement")
SHARES = (0.01, 0.02, 0.05, 0.10, 0.15, 0.20)


def decide(
    parts: Parts,
    recipe: Recipe,
    scores: Mapping[str, Scores],
    links: Mapping[str, Links],
    observer: Observer,
    ctx: Context,
    run: Run,
) -> dict[str, Any]:
    """Choose a drop list on the validation part, prove it on the proof part, and say what came of it.

    Returns {"sentence", "detail", "verdict", "drop": {id: reason}, "review": [{...}], "expected", "proven", "tried"}.
    """
    inputs = {
        "data": fingerprint(parts),
        "train": parts.train.fingerprint,
        "by": observer.fingerprint,
        "metric": recipe.metric,
        "seed": recipe.seed,
        "methods": [[n, params_of(build(n, verb="score"))] for n in CANDIDATES],
        "shares": list(SHARES),
        "version": 2,
    }
    made = run.step("decide", inputs, lambda: _decide(parts, recipe, scores, links, observer, ctx))
    return dict(made["result"])


def _repeats(pool: Pool, links: Mapping[str, Links], ctx: Context) -> dict[str, str]:
    """Copies with the same label: id -> reason, by the keeper."""
    if "near" not in links:
        return {}
    near = links["near"]
    at = {this: i for i, this in enumerate(pool.ids)}
    pairs = [
        (at[near.heads[h]], at[near.tails[t]], w)
        for h, t, w in zip(near.head, near.tail, near.weight, strict=True)
        if near.heads[h] in at and near.tails[t] in at
    ]
    head, tail, weight = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0),) * 3
    inside = Links.between(
        pool, pool, head, tail, weight, kind="near", route="text", high=near.high, unit=near.unit, step=near.step
    )
    return dict(build("one-per-cluster", verb="curate")(pool, inside, ctx).dropped)


def _suspects(pool: Pool, scores: Mapping[str, Scores], name: str, share: float) -> list[str]:
    """The ids that a candidate would drop, the most suspicious first."""
    s = scores[name]
    order = np.argsort(-NOISE[name] * s.values, kind="stable")
    return [s.ids[i] for i in order[: round(share * len(pool))]]


def _decide(
    parts: Parts, recipe: Recipe, scores: Mapping[str, Scores], links: Mapping[str, Links], observer: Observer, ctx: Context
) -> dict[str, Any]:
    from whence.kernels.softmax_head import fit, log_softmax, logits

    n_classes = len(parts.names)
    c = observer.head(parts.fit).C

    # choose: scores of the fit part alone, judged on the validation part
    of_fit: dict[str, Scores] = {}
    for name in CANDIDATES:
        try:
            of_fit[name] = build(name, verb="score")(parts.fit, observer, ctx)
        except NotCapable:
            continue
    plans: list[tuple[str, float]] = [("repeats", 0.0), *((name, share) for name in of_fit for share in SHARES)]
    gone = [set(_repeats(parts.fit, links, ctx))] + [set(_suspects(parts.fit, of_fit, n, s)) for n, s in plans[1:]]
    y = observer.codes(parts.fit, parts.names)
    everything = np.arange(len(parts.fit))
    subsets = [everything] + [
        np.array([i for i, this in enumerate(parts.fit.ids) if this not in g], dtype=np.int64) for g in gone
    ]
    heads = fit(observer.embeddings(parts.fit), y, n_classes, subsets=subsets, C=c, tol=1e-3)
    z = log_softmax(logits(heads, observer.embeddings(parts.valid)))
    yv = observer.codes(parts.valid, parts.names)
    ours = z[:, np.arange(len(yv)), yv]
    rank = [_metric(answers, yv, recipe) for answers in z.argmax(axis=2)]
    tried: list[dict[str, Any]] = [
        {"plan": n, "share": s, "dropped": len(parts.fit) - len(rows), "metric": float(r), "log_prob": float(lp)}
        for (n, s), rows, r, lp in zip([("keep everything", 0.0), *plans], subsets, rank, ours.mean(axis=1), strict=True)
    ]
    best = least_drastic(rank, z.argmax(axis=2) == yv, [t["dropped"] for t in tried])
    expected = _difference(z[best].argmax(axis=1), z[0].argmax(axis=1), yv, recipe, ctx, "study/expected")

    # the same plan on all of the user's training data
    plan, share = ([("keep everything", 0.0), *plans])[best]
    if plan == "keep everything":
        drop: dict[str, str] = {}
    elif plan == "repeats":
        drop = _repeats(parts.train, links, ctx)
    else:
        drop = reasons(parts.train, _suspects(parts.train, scores, plan, share), plan, scores, observer)

    # prove, once
    yt, yp = observer.codes(parts.train, parts.names), observer.codes(parts.proof, parts.names)
    rows = np.array([i for i, this in enumerate(parts.train.ids) if this not in drop], dtype=np.int64)
    both = fit(observer.embeddings(parts.train), yt, n_classes, subsets=[np.arange(len(parts.train)), rows], C=c, tol=1e-4)
    zp = log_softmax(logits(both, observer.embeddings(parts.proof)))
    before, after = zp[0].argmax(axis=1), zp[1].argmax(axis=1)
    proven = _difference(after, before, yp, recipe, ctx, "study/proven")
    at = np.arange(len(yp))
    proven["log_prob"] = float((zp[1][at, yp] - zp[0][at, yp]).mean())
    verdict = (
        "no difference" if not drop or proven["low"] <= 0 <= proven["high"] else ("improves" if proven["low"] > 0 else "worse")
    )
    review_by = "consensus" if "consensus" in scores else next((n for n in CANDIDATES if n in scores), None)
    review = [] if review_by is None else _suspects(parts.train, scores, review_by, min(0.05, 200 / max(1, len(parts.train))))
    sentence, detail = words(verdict, plan, share, drop, expected, proven, recipe, len(parts.train), len(parts.proof))
    return {
        "result": {
            "sentence": sentence,
            "detail": detail,
            "verdict": verdict,
            "plan": plan,
            "share": share,
            "drop": drop if verdict == "improves" else {},
            "considered": drop,
            "review": [
                {"id": k, "reason": v} for k, v in reasons(parts.train, review, review_by or "", scores, observer).items()
            ],
            "expected": expected,
            "proven": proven,
            "tried": tried,
        }
    }


def least_drastic(rank: Sequence[float], right: NDArray[np.bool_], dropped: Sequence[int]) -> int:
    """Which plan to take: of those within one standard error of the best on validation, the one that drops fewest rows.

    rank [k] the metric of each plan, plan 0 being to keep everything; right [k, m] which validation rows each gets right;
    dropped [k]. Many plans are tried, so the best one is partly luck, and luck grows with what is dropped. Plan 0 is taken
    only when nothing is better than it.
    """
    top = int(np.argmax(rank))
    if rank[top] <= rank[0]:
        return 0
    apart = right[top].astype(np.float64) - right
    error = apart.std(axis=1, ddof=1) / np.sqrt(right.shape[1]) + 1e-9 if right.shape[1] > 1 else np.zeros(len(rank))
    close = [k for k in range(1, len(rank)) if rank[k] > rank[0] and rank[top] - rank[k] <= error[k]]
    return min(close, key=lambda k: (dropped[k], -rank[k]))


def reasons(pool: Pool, ids: list[str], name: str, scores: Mapping[str, Scores], observer: Observer) -> dict[str, str]:
    """Why each of these rows is suspected, in words that name the label it looks like instead."""
    if not ids:
        return {}
    probs = observer.class_probs(pool)
    out = {}
    for place, this in enumerate(ids, 1):
        i = pool.position(this)
        p, given = probs.probs[i], int(probs.codes[i])
        other = int(np.argmax(np.where(np.arange(len(p)) == given, -1.0, p)))
        out[this] = (
            f"label '{probs.names[given]}' looks wrong: models that never saw this row give it {p[given]:.2f} and "
            f"'{probs.names[other]}' {p[other]:.2f} ({name} {scores[name][this]:.3g}, place {place} of {len(pool)})"
        )
    return out


def _metric(answers: NDArray[Any], truth: NDArray[Any], recipe: Recipe) -> float:
    if recipe.metric == "accuracy":
        return float((answers == truth).mean())
    from whence.kernels.bootstrap import macro_f1_of_counts

    c = int(max(answers.max(), truth.max())) + 1
    return float(macro_f1_of_counts(np.bincount(truth * c + answers, minlength=c * c).reshape(c, c)))


def _difference(
    after: NDArray[Any], before: NDArray[Any], truth: NDArray[Any], recipe: Recipe, ctx: Context, stream: str
) -> dict[str, Any]:
    """Metric after, before, and their paired difference with a 95 % interval over rows."""
    from whence.kernels.bootstrap import difference_interval

    rng = ctx.rng(stream)
    if recipe.metric == "accuracy":
        delta, low, high = difference_interval(after == truth, before == truth, rng)
    else:
        draws = np.array(
            [
                _metric(after[r], truth[r], recipe) - _metric(before[r], truth[r], recipe)
                for r in rng.integers(0, len(truth), (1000, len(truth)))
            ]
        )
        delta = _metric(after, truth, recipe) - _metric(before, truth, recipe)
        low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "delta": float(delta),
        "low": float(low),
        "high": float(high),
        "metric": recipe.metric,
        "before": _metric(before, truth, recipe),
        "after": _metric(after, truth, recipe),
        "n": len(truth),
    }


def words(
    verdict: str,
    plan: str,
    share: float,
    drop: Mapping[str, str],
    expected: Mapping[str, Any],
    proven: Mapping[str, Any],
    recipe: Recipe,
    n: int,
    m: int,
) -> tuple[str, str]:
    """The recommendation in one sentence, and the figures behind it."""
    by = {"repeats": "rows that repeat another", "keep everything": ""}.get(plan, f"rows whose label looks wrong (by {plan})")
    change = (
        f"{100 * proven['delta']:+.1f} points of {recipe.metric} on {m:,} proof examples "
        f"(95 % interval {100 * proven['low']:+.1f} to {100 * proven['high']:+.1f})"
    )
    levels = f"from {100 * proven['before']:.1f} % to {100 * proven['after']:.1f} %"
    promised = f"the validation part had promised {100 * expected['delta']:+.1f}"
    if not drop:
        return (
            "Keep everything: no drop list that was tried does better.",
            f"With all {n:,} examples, {recipe.metric} on the proof part is {100 * proven['before']:.1f} %; "
            "no plan did better on the validation part.",
        )
    if verdict == "improves":
        return (
            f"Drop {len(drop):,} of {n:,} training examples: proven {change}.",
            f"They are {by}; {recipe.metric} goes {levels}, and {promised}.",
        )
    if verdict == "worse":
        return (
            "Keep everything: the drop list that looked best does harm.",
            f"Dropping {len(drop):,} {by} changes {change}, {levels}; {promised}.",
        )
    return (
        "Keep everything: nothing that was tried is proven to beat it.",
        f"Dropping {len(drop):,} {by} changes {change}, an interval that holds zero; {promised}. "
        "The rows most likely mislabelled are listed for review.",
    )
