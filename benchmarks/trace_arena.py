"""Which tracer predicts retraining? Linear datamodeling scores and removal, for heads and for boosted trees.

    WHENCE_DATA=../shared/data python benchmarks/trace_arena.py [--sets digits,trec6] [--retrains 100] [--trees 30]

`digits` is scikit-learn's: 1,000 training and 200 asked images; the encoder returns their pixels at unit length, and there are
no words. `trec6` is 2,000 training and 200 test questions with MiniLM (or `--encoder tfidf`). Every tracer of the catalogue
runs with its defaults and presets.

LDS: mean over asked examples of the Spearman correlation, over heads retrained on random halves, between the summed effects of
the rows kept and the log-probability of the label; the interval is a bootstrap over asked examples. EL2N gives a row one number
for all queries. The halves are drawn apart from those that datamodels see. Removal: the `k` examples with the highest weights
for one asked example are taken out, the head is fitted again, and the fall of the log-probability is printed, with its interval
over asked examples; a tracer is worth its name when that is more than random removal. Tree tracers are held against trees
retrained on halves with the same settings.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from whence.app.study.influence import matrix
from whence.core.catalogue import build, entries
from whence.core.context import Context
from whence.core.pool import Pool
from whence.core.store import Store
from whence.kernels.influence import lds
from whence.kernels.softmax_head import fit, log_prob_of, log_softmax, masks_of, random_subsets
from whence.kernels.tree_influence import boost
from whence.models import open_encoder
from whence.models.observe import Observer

DATA = Path(os.environ.get("WHENCE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
TREES = ("boostin", "trex")
ROUNDS = {"rounds": 30}
KS = (10, 50)
Effects = dict[str, np.ndarray]


@dataclass(frozen=True)
class Pixels:
    """An encoder that knows the vector of each text."""

    vectors: dict[str, np.ndarray]
    dim: int
    name: str = "pixels"

    @property
    def fingerprint(self) -> str:
        return "pixels-" + xxhash.xxh3_64_hexdigest(repr([(k, v.tobytes()) for k, v in sorted(self.vectors.items())]).encode())

    def encode(self, texts: list[str], ctx: Context) -> np.ndarray:
        return np.stack([self.vectors[t] for t in texts]) if texts else np.zeros((0, self.dim), np.float32)


def digits(ctx: Context) -> tuple[Pool, Pool, Observer, bool]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:1200]
    X = (X[order] / np.linalg.norm(X[order], axis=1, keepdims=True)).astype(np.float32)
    texts = [f"image {i}" for i in order]
    rows = [{"text": t, "label": str(c)} for t, c in zip(texts, y[order], strict=True)]
    pools = [Pool.from_rows(part, roles={"text": "text", "label": "label"}, name="digits") for part in (rows[:1000], rows[1000:])]
    return pools[0], pools[1], Observer(Pixels(dict(zip(texts, X, strict=True)), 64), ctx), False


def trec6(ctx: Context, encoder: str) -> tuple[Pool, Pool, Observer, bool]:
    def read(name: str, count: int) -> Pool:
        lines = (DATA / "trec6" / name).read_text(encoding="utf-8").splitlines()
        rows = [line.split(" ", 1) for line in lines]
        order = np.random.default_rng(0).permutation(len(rows))[:count]
        made = [{"text": rows[i][1], "label": rows[i][0].split(":")[0]} for i in order]
        return Pool.from_rows(made, roles={"text": "text", "label": "label"}, name=f"trec6/{name}")

    return read("train.txt", 2000), read("test.txt", 200), Observer(open_encoder(encoder), ctx), True


def traced(
    pool: Pool, asked: Pool, observer: Observer, ctx: Context, words: bool, trees: bool
) -> tuple[Effects, dict[str, float]]:
    """Effects [n, m] of every tracer and preset, and its CPU seconds."""
    out: Effects = {}
    seconds: dict[str, float] = {}
    for entry in entries("trace"):
        if not entry.id.startswith("trace/training/") or (entry.name == "bm25" and not words):
            continue
        if entry.name in TREES and not trees:
            continue
        for name in (entry.name, *entry.card.presets):
            begin = time.process_time()
            tracer = build(name, verb="trace", **(ROUNDS if entry.name in TREES else {}))
            out[name] = matrix(tracer(pool, asked, observer, ctx, top=None), pool, asked)
            seconds[name] = time.process_time() - begin
            if entry.name == "datamodels":
                found = tracer.quality(pool, asked, observer, ctx)
                print(f"{name}: {found.verdict} [{found.interval[0]:.2f}, {found.interval[1]:.2f}]")
    return out, seconds


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    draws = values[rng.integers(0, len(values), (1000, len(values)))].mean(axis=1)
    return float(values.mean()), *(float(v) for v in np.quantile(draws, [0.025, 0.975]))


Refit = Callable[[list[np.ndarray], np.ndarray], np.ndarray]


def removal(effects: Effects, columns: np.ndarray, refit: Refit, n: int, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Fall of the label's log-probability [len(ks), queries] after the strongest k for each of these queries are removed."""
    everything = np.arange(n)
    base = np.diag(refit([everything], columns)[[0] * len(columns)])
    out = {}
    for name, table in effects.items():
        falls = []
        for k in ks:
            kept = [np.setdiff1d(everything, np.argsort(-table[:, q], kind="stable")[:k]) for q in columns]
            falls.append(base - np.diag(refit(kept, columns)))
        out[name] = np.array(falls)
    return out


def table(
    effects: Effects,
    masks: np.ndarray,
    outputs: np.ndarray,
    falls: dict[str, np.ndarray],
    ks: tuple[int, ...],
    seconds: dict[str, float],
) -> None:
    rng = np.random.default_rng(1)
    scored = {name: lds(values, masks, outputs, rng=np.random.default_rng(2)) for name, values in effects.items()}
    print("| tracer | LDS | interval | " + " | ".join(f"fall without its top {k}" for k in ks) + " | CPU s |")
    print("|---|---|---|" + "---|" * len(ks) + "---|")
    for name in sorted(scored, key=lambda one: -scored[one].mean):
        cells = []
        for row in falls.get(name, ()):
            mean, low, high = interval(row, rng)
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        low, high = scored[name].interval
        cells += ["-"] * (len(ks) - len(cells))
        print(
            f"| {name} | {scored[name].mean:.3f} | {low:.3f} to {high:.3f} | {' | '.join(cells)} | {seconds.get(name, 0):.1f} |",
            flush=True,
        )


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    say.add_argument("--sets", default="digits,trec6")
    say.add_argument("--retrains", type=int, default=100)
    say.add_argument("--trees", type=int, default=30, help="retrains of boosted trees, 0 to leave them out")
    say.add_argument("--encoder", default="minilm")
    say.add_argument("--removed", type=int, default=40, help="asked examples that removal is tried for")
    say.add_argument("--seed", type=int, default=0, help="of the halves, of methods and of trees; not of the data")
    say.add_argument("--cache", default="")
    given = say.parse_args()
    for name in given.sets.split(","):
        with tempfile.TemporaryDirectory() as fresh:
            ctx = Context(seed=given.seed, store=Store(given.cache or fresh))
            pool, asked, observer, words = digits(ctx) if name == "digits" else trec6(ctx, given.encoder)
            X, Xq = observer.embeddings(pool), observer.embeddings(asked)
            y, yq = pool.labels.codes, observer.codes(asked, pool.labels.names)
            classes, c = len(pool.labels.names), observer.head(pool).C
            right = float((observer.head(pool).probs(Xq).argmax(axis=1) == yq).mean())
            print(f"\n## {name}: {len(X)} training rows, {len(Xq)} asked, {classes} classes, C = {c:g}, accuracy {right:.3f}\n")
            effects, seconds = traced(pool, asked, observer, ctx, words, given.trees > 0)
            dynamics = observer.dynamics(pool)
            effects["el2n (one number for all)"] = np.repeat(
                dynamics.error_norm[:, :2].mean(axis=(0, 1))[:, None], len(Xq), axis=1
            )
            rng = np.random.default_rng([3, given.seed])
            halves = random_subsets(len(X), len(X) // 2, given.retrains, rng)
            outputs = log_prob_of(fit(X, y, classes, subsets=halves, C=c, tol=1e-4), Xq, yq)
            columns = np.sort(rng.permutation(len(Xq))[: given.removed])

            def head(subsets: list[np.ndarray], columns: np.ndarray, X=X, y=y, Xq=Xq, yq=yq, classes=classes, c=c) -> np.ndarray:
                return log_prob_of(fit(X, y, classes, subsets=subsets, C=c, tol=1e-4), Xq[columns], yq[columns])

            of_heads = {n: v for n, v in effects.items() if n not in TREES}
            falls = removal(of_heads, columns, head, len(X), KS)
            print("\nHeads\n")
            table(of_heads, masks_of(halves, len(X)), outputs, falls, KS, seconds)
            if not given.trees:
                continue

            def forests(subsets: list[np.ndarray], columns: np.ndarray, X=X, y=y, Xq=Xq, yq=yq, classes=classes) -> np.ndarray:
                out = []
                for rows in subsets:
                    made = boost(X[rows], y[rows], classes, depth=3, rate=0.1, rng=np.random.default_rng(4), **ROUNDS)
                    scores = made.scores(made.leaves_of(Xq[columns]))[:, -1]
                    out.append(log_softmax(scores)[np.arange(len(columns)), yq[columns]])
                return np.array(out)

            everyone = np.arange(len(Xq))
            print("\nBoosted trees\n")
            drawn = random_subsets(len(X), len(X) // 2, given.trees, rng)
            outputs = forests(drawn, everyone)
            shown = {
                n: effects[n]
                for n in (*TREES, "influence", "label-similarity", "embedding-similarity", "bm25", "random-links")
                if n in effects
            }
            few = columns[: max(1, given.removed // 4)]
            falls = removal({n: shown[n] for n in (*TREES, "label-similarity", "random-links")}, few, forests, len(X), (50,))
            table(shown, masks_of(drawn, len(X)), outputs, falls, (50,), seconds)


if __name__ == "__main__":
    main()
