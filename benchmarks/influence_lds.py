"""Which score predicts retraining? Linear datamodeling scores on handwritten digits, and leave-one-out.

    python benchmarks/influence_lds.py [--retrains 100] [--scale 16]

1,000 training and 200 test rows, heads retrained on random halves; the score is the mean over test rows of the
Spearman correlation between the summed effects of the rows kept and the retrained log-odds of the right label.
EL2N gives a row one number for all queries: it stands for "hard examples matter". Pixels are divided by `--scale`
(1: raw pixels, where the head separates the halves and no additive score can do well).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits

from whence.kernels import influence as inf
from whence.kernels import softmax_head as sh
from whence.kernels import training_dynamics as td


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retrains", type=int, default=100)
    parser.add_argument("--scale", type=float, default=16.0)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(y))
    X, y = X[order] / options.scale, y[order]
    X, Xq, y, yq = X[:1000], X[1000:1200], y[:1000], y[1000:1200]
    subsets = sh.random_subsets(1000, 500, options.retrains, rng)
    begin = time.perf_counter()
    outputs = sh.margin_of(sh.fit(X, y, 10, subsets=subsets, tol=1e-7), Xq, yq)
    print(f"{options.retrains} retrains: {time.perf_counter() - begin:.2f} s")
    masks = sh.masks_of(subsets, 1000)
    full = sh.fit(X, y, 10, tol=1e-10)
    curve = inf.curvature(X, y, full.W[0], full.b[0])
    r, rq = curve.residual, inf.probabilities(curve, Xq) - np.eye(10)[yq]

    checkpoints: list[tuple[np.ndarray, np.ndarray]] = []
    plan = td.Schedule(epochs=20, rate=0.01)
    dynamics = td.train_heads(
        X, y, 10, plan, rng=rng,
        after_epoch=lambda seed, epoch, p: checkpoints.append((p(X) - np.eye(10)[y], p(Xq) - np.eye(10)[yq])),
    ).train
    el2n = dynamics.error_norm[0, :10].mean(axis=0)
    table = {
        "influence, first order (exact)": inf.influence_on(curve, Xq, yq, output="margin"),
        "influence, leave-one-out form": inf.influence_on(curve, Xq, yq, output="margin", form="leave_one_out"),
        "leave-one-out by retraining": inf.leave_one_out(curve, Xq, yq, output="margin").effects,
        "relative influence": inf.relative_influence(inf.influence_on(curve, Xq, yq), inf.self_influence(curve)),
        "TracIn, 20 checkpoints": inf.tracin(X, np.array([a for a, _ in checkpoints]), Xq,
                                             np.array([b for _, b in checkpoints]), np.full(20, 0.01)),
        "gradient dot": inf.gradient_dot(X, r, Xq, rq),
        "gradient cosine": inf.gradient_cosine(X, r, Xq, rq),
        "representer values": inf.representer_values(X, r, Xq, yq),
        "EL2N": el2n,
        "EL2N, rows of the query's class": el2n[:, None] * (y[:, None] == yq[None]),
        "self-influence": inf.self_influence(curve),
    }
    for name, effects in table.items():
        score = inf.lds(effects, masks, outputs, rng=rng)
        print(f"{name:<32} LDS {score.mean:6.3f}  [{score.interval[0]:.3f}, {score.interval[1]:.3f}]")


if __name__ == "__main__":
    main()
