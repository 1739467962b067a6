"""Label issues from class probabilities: Whence against cleanlab's default filter.

    python benchmarks/label_issues.py --rows 100000 --classes 10 --runs 5

Each tool runs in its own process, warms up on a few rows and is then timed once; medians over runs are printed.
"flags" is the number of rows flagged, "same" whether every flag equals the first tool's.
"""

from __future__ import annotations

import argparse
import hashlib
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


def data(rows: int, classes: int) -> tuple[Any, Any]:
    """Uneven classes, 15 percent of labels drawn at random, probabilities that lean to the true class."""
    rng = np.random.default_rng(0)
    truth = rng.choice(classes, rows, p=rng.dirichlet(np.full(classes, 5.0)))
    labels = np.where(rng.random(rows) < 0.15, rng.integers(classes, size=rows), truth)
    p = rng.dirichlet(np.full(classes, 0.5), rows)
    p[np.arange(rows), truth] += 1.5 * rng.random(rows)
    return labels, p / p.sum(axis=1, keepdims=True)


def whence() -> Callable[[Any, Any], Any]:
    from whence.kernels.confident_learning import label_issues

    return label_issues


def cleanlab() -> Callable[[Any, Any], Any]:
    from cleanlab.filter import find_label_issues

    return find_label_issues


def cleanlab_one_process() -> Callable[[Any, Any], Any]:
    from cleanlab.filter import find_label_issues

    return lambda labels, p: find_label_issues(labels, p, n_jobs=1)


TOOLS = {"whence": whence, "cleanlab": cleanlab, "cleanlab, n_jobs=1": cleanlab_one_process}


def measure(tool: str, rows: int, classes: int) -> None:
    run = TOOLS[tool]()
    labels, p = data(rows, classes)
    run(labels[:1000], p[:1000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def spent() -> float:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in both)

    cpu, wall = spent(), time.perf_counter()
    flags = np.asarray(run(labels, p))
    cpu, wall = spent() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    digest = hashlib.sha256(np.packbits(flags).tobytes()).hexdigest()
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak, "over": peak - before, "n": int(flags.sum()), "flags": digest}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--measure", metavar="TOOL")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.rows, arguments.classes)
        return
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")}
    print(f"label issues, {arguments.rows} x {arguments.classes}")
    print(f"{'tool':20} {'CPU s':>7} {'wall s':>7} {'to whence':>9} {'peak MB':>8} {'over imports':>12} {'flags':>7}  same")
    base: dict[str, Any] = {}
    for tool in TOOLS:
        command = [sys.executable, __file__, "--measure", tool]
        command += ["--rows", str(arguments.rows), "--classes", str(arguments.classes)]
        results = [
            json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
            for _ in range(arguments.runs)
        ]
        middle = {name: statistics.median(r[name] for r in results) for name in ("cpu", "wall", "peak", "over")}
        base = base or {**middle, "flags": results[0]["flags"]}
        print(
            f"{tool:20} {middle['cpu']:7.4f} {middle['wall']:7.4f} {middle['cpu'] / base['cpu']:9.2f} "
            f"{middle['peak']:8.0f} {middle['over']:12.1f} {results[0]['n']:7d}  {results[0]['flags'] == base['flags']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
