"""Subset selection and exact neighbours: Whence against apricot-select, scikit-learn and plain NumPy.

    python benchmarks/selection.py --rows 10000 --features 384 --choose 500 --runs 3

Each tool runs in its own process on one thread, warms its compiled kernels on a few rows and is then timed once; the
median over runs is printed. "MB over imports" is the peak of the process less what it held once data and libraries were
loaded. "same" compares the chosen subset with the first tool of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def data(kind: str, rows: int, features: int) -> Any:
    """Gaussian rows, or rows in 60 clusters of uneven width with falling variance per feature (like sentence embeddings)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features))
    if kind == "clustered":
        centers = rng.standard_normal((60, features))
        x *= np.arange(1, features + 1) ** -0.3
        x = centers[rng.integers(60, size=rows)] + rng.gamma(2.0, 0.5, (rows, 1)) * x
    return x.astype(np.float32)


def whence_facility(metric: str) -> Callable[[Any, int], Any]:
    from whence.kernels.facility_location import facility_location

    return lambda x, k: facility_location(x, k, metric=metric)[0]


def apricot_facility(metric: str) -> Callable[[Any, int], Any]:
    from apricot import FacilityLocationSelection

    return lambda x, k: FacilityLocationSelection(k, metric=metric, optimizer="lazy").fit(x).ranking


def whence_kcenter() -> Callable[[Any, int], Any]:
    from whence.kernels.kcenter import kcenter

    return lambda x, k: kcenter(x, k)[0]


def numpy_kcenter() -> Callable[[Any, int], Any]:
    def run(x: Any, k: int) -> Any:
        squares = (x * x).sum(axis=1)
        chosen = [int(((x - x.mean(axis=0)) ** 2).sum(axis=1).argmin())]
        nearest = squares + squares[chosen[0]] - 2 * x @ x[chosen[0]]
        for _ in range(k - 1):
            j = int(nearest.argmax())
            chosen.append(j)
            np.minimum(nearest, squares + squares[j] - 2 * x @ x[j], out=nearest)
        return np.array(chosen)

    return run


def sklearn_kcenter() -> Callable[[Any, int], Any]:
    from sklearn.metrics import pairwise_distances

    def run(x: Any, k: int) -> Any:
        chosen = [int(((x - x.mean(axis=0)) ** 2).sum(axis=1).argmin())]
        nearest = pairwise_distances(x, x[chosen])[:, 0]
        for _ in range(k - 1):
            chosen.append(int(nearest.argmax()))
            np.minimum(nearest, pairwise_distances(x, x[chosen[-1:]])[:, 0], out=nearest)
        return np.array(chosen)

    return run


def one_product() -> Callable[[Any, int], Any]:
    return lambda x, k: (x @ x[:k].T)[:0, 0]


def whence_herding() -> Callable[[Any, int], Any]:
    from whence.kernels.herding import herding

    return lambda x, k: herding(x, k)[0]


def numpy_herding() -> Callable[[Any, int], Any]:
    def run(x: Any, k: int) -> Any:
        mean, total, free, chosen = x.mean(axis=0), np.zeros(x.shape[1], x.dtype), np.zeros(len(x), x.dtype), []
        for t in range(k):
            j = int((x @ (mean - total / (t + 1)) + free).argmax())
            chosen.append(j)
            total += x[j]
            free[j] = -np.inf
        return np.array(chosen)

    return run


def whence_nearest() -> Callable[[Any, int], Any]:
    from whence.kernels.neighbors import nearest

    return lambda x, k: nearest(x[:1000], x, 10)[0]


def sklearn_nearest() -> Callable[[Any, int], Any]:
    from sklearn.neighbors import NearestNeighbors

    return lambda x, k: (
        NearestNeighbors(n_neighbors=10, algorithm="brute", metric="cosine").fit(x).kneighbors(x[:1000], return_distance=False)
    )


def numpy_nearest() -> Callable[[Any, int], Any]:
    def run(x: Any, k: int) -> Any:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        out = []
        for b in range(0, 1000, 200):
            scores = unit[b : b + 200] @ unit.T
            top = np.argpartition(-scores, 10, axis=1)[:, :10]
            out.append(np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1), 1))
        return np.concatenate(out)

    return run


TOOLS: dict[str, dict[str, Callable[[], Callable[[Any, int], Any]]]] = {
    "facility location, euclidean": {
        "whence": lambda: whence_facility("euclidean"),
        "apricot": lambda: apricot_facility("euclidean"),
    },
    "facility location, squared cosine": {
        "whence": lambda: whence_facility("squared_cosine"),
        "apricot": lambda: apricot_facility("cosine"),
    },
    "k-center": {
        "whence": whence_kcenter,
        "one sgemm": one_product,
        "numpy": numpy_kcenter,
        "scikit-learn": sklearn_kcenter,
    },
    "herding": {"whence": whence_herding, "numpy": numpy_herding},
    "exact neighbours, 1,000 queries, top 10": {
        "whence": whence_nearest,
        "numpy": numpy_nearest,
        "scikit-learn": sklearn_nearest,
    },
}


def measure(task: str, tool: str, kind: str, rows: int, features: int, choose: int) -> None:
    import scipy.sparse  # noqa: F401  both sides load it sooner or later

    run = TOOLS[task][tool]()
    x = data(kind, rows, features)
    run(x[:1100].copy(), 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time(), time.perf_counter()
    chosen = run(x, choose)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak, "over": peak - before, "chosen": np.asarray(chosen).tolist()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--neighbour-rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--choose", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", default="gaussian,clustered")
    parser.add_argument("--only", default="", help="part of a task's name")
    parser.add_argument("--measure", nargs=3, metavar=("TASK", "TOOL", "KIND"))
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure, arguments.rows, arguments.features, arguments.choose)
        return
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")}
    for task, tools in TOOLS.items():
        if arguments.only not in task:
            continue
        rows = arguments.neighbour_rows if "neighbours" in task else arguments.rows
        for kind in arguments.kinds.split(","):
            print(f"\n{task}: {kind}, {rows} x {arguments.features}, k = {arguments.choose}")
            print(f"{'tool':14} {'CPU s':>7} {'wall s':>7} {'to whence':>9} {'peak MB':>8} {'over imports':>12}  same")
            base: dict[str, Any] = {}
            for tool in tools:
                command = [sys.executable, __file__, "--measure", task, tool, kind, "--rows", str(rows)]
                command += ["--features", str(arguments.features), "--choose", str(arguments.choose)]
                results = [
                    json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
                    for _ in range(arguments.runs)
                ]
                middle = {name: statistics.median(r[name] for r in results) for name in ("cpu", "wall", "peak", "over")}
                chosen = np.array(results[0]["chosen"])
                base = base or {**middle, "chosen": chosen}
                if not chosen.size:
                    same = "-"
                elif np.array_equal(chosen, base["chosen"]):
                    same = "order"
                elif np.array_equal(np.sort(chosen, axis=-1), np.sort(base["chosen"], axis=-1)):
                    same = "set"
                else:
                    same = f"{np.intersect1d(chosen, base['chosen']).size} of {np.unique(chosen).size}"
                print(
                    f"{tool:14} {middle['cpu']:7.3f} {middle['wall']:7.3f} {middle['cpu'] / base['cpu']:9.2f} "
                    f"{middle['peak']:8.0f} {middle['over']:12.0f}  {same}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
