"""Side by side with scikit-learn: fitting one softmax head, and retraining many.

    python benchmarks/head_solver.py [--retrains 200] [--skip-clinc]

Rows: handwritten digits (1,000 x 64, 10 classes), and unit-length features drawn to the shapes of TREC-6
(5,452 x 384, 6 classes) and CLINC150 (15,000 x 384, 150 classes) sentence embeddings. "prob" is the largest
difference of any class probability of 500 unseen rows from a tight double-precision fit. scikit-learn runs with
its default tolerance; its retraining time is three fits scaled to the number asked for.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from whence.kernels import softmax_head as sh


def embeddings(n: int, d: int, n_classes: int, spread: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Unit-length rows around class centres, with a falling spectrum and a common mean, as sentence encoders give."""
    scale = 1 / np.sqrt(1 + np.arange(d) / 20)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    X = (spread * rng.standard_normal((n_classes, d))[y] + rng.standard_normal((n, d)) + 0.5) * scale
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    out = work()
    return time.perf_counter() - wall, time.process_time() - cpu, out


def compare(name: str, X: Any, y: Any, Xq: Any, n_classes: int, subsets: list[Any], what: str) -> None:
    exact = sh.predict_proba(sh.fit(X.astype(np.float64), y, n_classes, tol=1e-9), Xq.astype(np.float64))[0]
    wall, cpu, heads = timed(lambda: sh.fit(X, y, n_classes))
    sk_wall, sk_cpu, model = timed(lambda: LogisticRegression(max_iter=1000).fit(X, y))
    ours = np.abs(sh.predict_proba(heads, Xq)[0] - exact).max()
    theirs = np.abs(model.predict_proba(Xq) - exact).max()
    print(f"{name:<8} one fit{'':<27} whence {wall:7.3f} s ({cpu:7.2f} cpu, prob {ours:.0e})  "
          f"scikit-learn {sk_wall:8.2f} s ({sk_cpu:8.2f} cpu, prob {theirs:.0e})  x {sk_cpu / cpu:5.1f} cpu", flush=True)
    wall, cpu, many = timed(lambda: sh.fit(X, y, n_classes, subsets=subsets))
    sample = [0, len(subsets) // 2, len(subsets) - 1]
    sk_wall, sk_cpu, models = timed(lambda: [LogisticRegression(max_iter=1000).fit(X[subsets[k]], y[subsets[k]])
                                             for k in sample])
    scale = sum(len(s) for s in subsets) / sum(len(subsets[k]) for k in sample)  # its cost goes with the rows
    differ = 0.0
    for k, model in zip(sample, models, strict=True):
        probs = sh.predict_proba(many.take(k), Xq)[0][:, model.classes_]
        differ = max(differ, float(np.abs(probs - model.predict_proba(Xq)).max()))
    print(f"{name:<8} {len(subsets)} retrains, {what:<20} whence {wall:7.3f} s ({cpu:7.2f} cpu, all converged: "
          f"{many.converged.all()})  scikit-learn ~{sk_wall * scale:7.1f} s (differs {differ:.0e})  "
          f"x {sk_cpu * scale / cpu:5.1f} cpu", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retrains", type=int, default=200)
    parser.add_argument("--skip-clinc", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(y))
    X, y = X[order].astype(np.float32), y[order]
    sh.fit(X[:60], y[:60], 10)  # compile
    k = options.retrains
    compare("digits", X[:1000] / 16, y[:1000], X[1000:1500] / 16, 10, sh.random_subsets(1000, 500, k, rng), "halves")
    X, y = embeddings(5952, 384, 6, 0.25, rng)
    compare("trec6", X[:5452], y[:5452], X[5452:], 6, sh.random_subsets(5452, 2726, k, rng), "halves")
    if options.skip_clinc:
        return
    X, y = embeddings(15500, 384, 150, 0.5, rng)
    shares = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
    subsets = [sh.random_subsets(15000, int(15000 * shares[j % 6]), 1, rng)[0] for j in range(k)]
    compare("clinc150", X[:15000], y[:15000], X[15000:], 150, subsets, "1 to 100 % budgets")


if __name__ == "__main__":
    main()
