"""The study from end to end: load, duplicates, signals, influence, choose, prove, trace, leave."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whence.app.runs import Run, _version
from whence.app.study.decide import decide
from whence.app.study.duplicates import duplicates, leaked
from whence.app.study.influence import datamodeling_score
from whence.app.study.leave import leave, payload_of
from whence.app.study.parts import Parts, load_parts
from whence.app.study.recipe import Recipe
from whence.app.study.room import room
from whence.app.study.signals import recovery, signals
from whence.app.study.traces import traces
from whence.core.context import Context
from whence.core.evidence import Links, Scores
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.models.observe.head import chosen_c


@dataclass(frozen=True, eq=False)
class Study:
    """What a study found. `folder` holds the same on disk; `summary` is the JSON that `--json` prints."""

    folder: Path
    pool: Pool
    scores: Mapping[str, Scores]
    links: Mapping[str, Links]
    summary: Mapping[str, Any]
    drop: Mapping[str, str] = field(default_factory=dict)

    @property
    def recommendation(self) -> str:
        return str(self.summary["recommendation"])

    @property
    def kept(self) -> Pool:
        """The training data without the drop list."""
        from whence.core.decision import Selection
        from whence.core.step import Step

        return self.pool.take(Selection.without(self.pool, self.drop, step=Step("study", {"run": self.folder.name})))

    def __repr__(self) -> str:
        return f"Study({self.folder.name}: {self.recommendation})"


def default_folder(recipe: Recipe) -> Path:
    """`runs/NAME-xxxxxxxx`, where x depends on the recipe: the same command finds its run again."""
    name = Path(recipe.train.split("#")[0]).name.split(".")[0].replace(":", "-") or "study"
    from whence.core.step import content_hash

    return Path("runs") / f"{name}-{content_hash(recipe.to_dict())[:8]}"


def study(recipe: Recipe, out: str | Path | None = None, *, ctx: Context | None = None, overwrite: bool = False) -> Study:
    """Run (or resume, or answer at once) a study into a run folder.

    Raises BadInput for data that cannot be studied, MissingExtra for a missing library, RunConflict for a folder that
    another process or another recipe holds.
    """
    from whence.models import open_encoder

    ctx = (ctx or Context()).with_seed(recipe.seed)
    folder = Path(out) if out else default_folder(recipe)
    with Run(folder, recipe.to_dict(), overwrite=overwrite) as run:
        parts = load_parts(recipe, run, ctx)
        encoder = open_encoder(recipe.encoder, device=ctx.device)
        if hasattr(encoder, "fit"):
            encoder = encoder.fit(parts.train.texts, ctx)
        observer = Observer(encoder, ctx, head_c=recipe.head_c)
        if recipe.head_c is None:
            # chosen once, on the fit part, and kept: every head of the study is then the same kind of head
            observer = Observer(encoder, ctx, head_c=chosen_c(parts.fit, observer))
        links: dict[str, Links] = dict(duplicates(parts, recipe, observer, ctx, run))
        scores = signals(parts, recipe, observer, ctx, run)
        lds = datamodeling_score(parts, recipe, scores, observer, ctx, run)
        curves = room(parts, recipe, observer, ctx, run)
        decision = decide(parts, recipe, scores, links, observer, ctx, run)
        traced, wrong = traces(parts, recipe, observer, ctx, run)
        links.update(traced)
        leaks = leaked(links)
        effect = leak_effect(parts, leaks, wrong)
        flipped = {this for this, kind in (parts.planted or {}).items() if kind == "label-flip"}
        found = (
            None
            if not flipped
            else {"what": "planted label flips", "n": len(flipped), "table": recovery(scores, flipped, parts.train.ids)}
        )
        facts: dict[str, Any] = {
            "decision": decision,
            "lds": lds,
            "room": curves,
            "wrong": wrong,
            "leaks": leaks,
            "leak_effect": effect,
            "found": found,
            "encoder": encoder.name,
            "notes": [],
            "command": ["whence", *sys.argv[1:]],
            "version": _version(),
            "created": time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.began)),
        }
        facts["checks"] = checks(parts, links, leaks, effect, lds, curves, decision, found)
        payload = payload_of(run, parts, scores, links, facts, observer.embeddings(parts.train), observer.embeddings(parts.proof))
        leave(run, parts, scores, links, decision, payload)
        summary = summarise(folder, parts, facts)
        evidence = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("pool.parquet", "scores.parquet", "links.parquet", "kept.jsonl", "dropped.jsonl", "review.jsonl")
        }
        run.finish(
            summary=summary,
            evidence=evidence,
            fingerprints={"train": parts.train.fingerprint, "proof": parts.proof.fingerprint, "encoder": encoder.fingerprint},
        )
        return Study(folder, parts.train, scores, links, summary, decision["drop"])


def leak_effect(parts: Parts, leaks: Mapping[str, str], wrong: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy of the head on all training data, with and without the proof examples that training repeats."""
    mistakes = {case["id"] for case in wrong}
    right = np.array([this not in mistakes for this in parts.proof.ids])
    clean = np.array([this not in leaks for this in parts.proof.ids])
    with_leaks = float(right.mean())
    without = float(right[clean].mean()) if clean.any() else None
    n = int((~clean).sum())
    if n == 0:
        sentence = "No proof example repeats a training example."
    elif without is None:
        sentence = "Every proof example repeats a training example: nothing is left to prove anything on."
    else:
        sentence = (
            f"{n} of {len(clean)} proof examples repeat training examples; accuracy is {100 * with_leaks:.1f} % with them "
            f"and {100 * without:.1f} % without."
        )
    return {"metric": "accuracy", "with_leaks": with_leaks, "without_leaks": without, "n_leaked": n, "sentence": sentence}


def checks(
    parts: Parts,
    links: Mapping[str, Links],
    leaks: Mapping[str, str],
    effect: Mapping[str, Any],
    lds: Mapping[str, Any],
    curves: Mapping[str, Any],
    decision: Mapping[str, Any],
    found: Mapping[str, Any] | None,
) -> list[dict[str, str]]:
    """The verdicts at the head of the report."""
    out = []

    def add(name: str, verdict: str, sentence: str) -> None:
        out.append({"name": name, "verdict": verdict, "sentence": sentence})

    q = len(parts.quarantined)
    add(
        "Malformed rows",
        "good" if q == 0 else "warn",
        "Every row could be read." if q == 0 else f"{q} rows could not be used; they are listed under Data.",
    )
    n_exact, n_near = len(links.get("exact", ())), len(links.get("near", ()))
    share = n_near / max(1, len(parts.train))
    add(
        "Duplicates",
        "good" if share < 0.01 else "warn",
        f"{n_exact:,} exact and {n_near:,} near repeats in {len(parts.train):,} training examples.",
    )
    conflicts = conflicting(parts.train, links)
    add(
        "Contradicting labels",
        "good" if not conflicts else "bad",
        "No two equal texts carry different labels."
        if not conflicts
        else f"{conflicts} pairs of near-equal texts carry different labels.",
    )
    add("Leakage", "good" if not leaks else "bad", str(effect["sentence"]))
    add("Class balance", "good" if _smallest(parts) >= 10 else "warn", _balance(parts))
    value = lds.get("value")
    add(
        "Influence check",
        "info" if value is None else "good" if value >= 0.8 else "warn" if value >= 0.2 else "bad",
        str(lds["sentence"]),
    )
    best = best_small(curves)
    if best:
        add("Smaller sets", "info", best)
    if found and found["table"]:
        top = found["table"][0]
        base = next((r for r in found["table"] if r["name"] == "self-confidence"), None)
        versus = (
            ""
            if base is None or base is top
            else f"; self-confidence, the baseline, finds {100 * base['recall5']:.0f} % (AUROC {base['auroc']:.3f})"
        )
        add(
            "Planted label flips",
            "info",
            f"Of {found['n']} planted flips, inspecting the 5 % most suspicious rows by {top['name']} finds "
            f"{100 * top['recall5']:.0f} % (AUROC {top['auroc']:.3f}){versus}.",
        )
    return out


def conflicting(pool: Pool, links: Mapping[str, Links]) -> int:
    """Pairs of near-equal texts with different labels."""
    label = dict(zip(pool.ids, pool.labels.codes.tolist(), strict=True))
    near = links.get("near")
    return (
        0
        if near is None
        else sum(label[near.heads[h]] != label[near.tails[t]] for h, t in zip(near.head, near.tail, strict=True))
    )


def _smallest(parts: Parts) -> int:
    return min(parts.train.labels.counts.values())


def _balance(parts: Parts) -> str:
    counts = sorted(parts.train.labels.counts.items(), key=lambda kv: kv[1])
    (least, few), (most, many) = counts[0], counts[-1]
    return f"{len(counts)} classes, from {few:,} ('{least}') to {many:,} ('{most}') training examples."


def best_small(curves: Mapping[str, Any]) -> str | None:
    """Which selector wins below the whole, against random at the same budget; in words."""
    methods = {m["name"]: {p["budget"]: p for p in m["points"]} for m in curves["methods"] if not m["dynamic"]}
    if "random" not in methods:
        return None
    lines = []
    for budget in (0.1, 0.5):
        base = methods["random"].get(budget)
        rows = [
            (points[budget]["mean"], name, points[budget])
            for name, points in methods.items()
            if name != "random" and budget in points
        ]
        if base is None or not rows:
            continue
        _, name, top = max(rows, key=lambda r: r[0])
        if top["low"] > base["high"]:
            lines.append(
                f"at {100 * budget:.0f} % {name} reaches {100 * top['mean']:.1f} against {100 * base['mean']:.1f} for random"
            )
        else:
            lines.append(
                f"at {100 * budget:.0f} % nothing is clearly better than random ({100 * base['mean']:.1f}; "
                f"best is {name}, {100 * top['mean']:.1f})"
            )
    return (f"With the whole fit part {100 * curves['full']['mean']:.1f}; " + "; ".join(lines) + ".") if lines else None


def summarise(folder: Path, parts: Parts, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that `--json` prints."""
    decision, lds = facts["decision"], facts["lds"]
    return {
        "run": str(folder),
        "recommendation": decision["sentence"],
        "verdict": decision["verdict"],
        "detail": decision["detail"],
        "train": len(parts.train),
        "fit": len(parts.fit),
        "validation": len(parts.valid),
        "proof": len(parts.proof),
        "classes": len(parts.names),
        "quarantined": len(parts.quarantined),
        "dropped": len(decision["drop"]),
        "review": len(decision["review"]),
        "expected": decision["expected"],
        "proven": decision["proven"],
        "lds": {k: lds.get(k) for k in ("value", "low", "high", "retrains", "contrast")},
        "leaked": len(facts["leaks"]),
        "leak_effect": facts["leak_effect"],
        "found": facts["found"],
        "full": facts["room"]["full"],
        "curves": {m["name"]: [[p["k"], p["mean"], p["low"], p["high"]] for p in m["points"]] for m in facts["room"]["methods"]},
        "checks": facts["checks"],
        "encoder": facts["encoder"],
    }
