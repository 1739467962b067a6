"""MAP-D: which kind of odd an example is, by comparing its loss curve with the curves of probes of known kind.

Siddiqui, Rajkumar, Maharaj, Krueger, Hooker: Metadata Archaeology (2022). Probes are made by simple transforms, trained
along, and every example takes the kinds of the k probes whose loss curves are nearest (k = 20 in the paper). Where we
differ: typical and atypical probes come from out-of-fold probabilities, among examples whose label the heads confirm,
instead of precomputed consistency scores; inputs are corrupted in the embedding and not in the text; one run has as many
probes of each kind, a tenth of the pool in all and 250 of a kind at most, and there are two runs with different probes,
so that an example that served as a probe in one is scored by the other.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer

#: Kinds of probes, in the order of the columns of `kind_shares`.
KINDS = ("typical", "atypical", "mislabelled", "corrupted", "out of distribution")
_RUNS = 2
_LEAST = 5  # probes of a kind, below which neighbours say nothing


@method
class MapD:
    """Share of `mislabelled` probes among the nearest probes by loss curve; `kinds` gives the likeliest kind of each example."""

    k: int = param(20, "probes that vote", ge=1)
    probes: int = param(250, "probes of each kind in a run, at most", ge=5)

    card: ClassVar[Card] = Card(
        line="Compares loss curves with those of probes of known kind: typical, atypical, mislabelled, corrupted, foreign.",
        papers=(Paper("Metadata Archaeology: Unearthing Data Subsets by Leveraging Training Dynamics",
                      "Siddiqui, Rajkumar, Maharaj, Krueger, Hooker", 2022, "arXiv:2209.10015"),),
        needs=("labels", "embeddings", "class_probs"),
        cost="two short trainings",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        shares = self.shares(pool, observer)
        return Scores.of("map-d", pool, shares[:, KINDS.index("mislabelled")],
                         high="its loss fell like that of planted wrong labels",
                         unit="share of nearest probes",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)))

    def kinds(self, pool: Pool, observer: Observer) -> dict[str, str]:
        """Id -> likeliest kind (one of `KINDS`; the earlier one on a tie)."""
        best = self.shares(pool, observer).argmax(axis=1)
        return {this: KINDS[b] for this, b in zip(pool.ids, best, strict=True)}

    def shares(self, pool: Pool, observer: Observer) -> NDArray[np.float64]:
        """Share of each of `KINDS` among the nearest probes, [n, 5]; rows sum to 1. Raises NotCapable for a small pool."""
        y = observer.labelled(pool, "map-d")
        size = min(self.probes, len(y) // (10 * (len(KINDS) - 1)), len(y) // (_RUNS * 8))
        if size < _LEAST:
            raise NotCapable("map-d needs more examples to make probes of", given=len(y),
                             legal=f"{_LEAST * 10 * (len(KINDS) - 1)} or more")
        order = np.argsort(np.array(pool.ids))
        believed = observer.class_probs(pool).probs[order].astype(np.float64)

        def make() -> dict[str, NDArray[np.float64]]:
            from whence.models.observe.dynamics import widened

            found = probe_shares(widened(observer.embeddings(pool)[order]), y[order], len(pool.labels.names), believed, size,
                                 self.k,
                                 observer.ctx.rng("map-d"))
            out = np.empty_like(found)
            out[order] = found
            return {"shares": out}

        key = {"observable": "map-d", "version": 2, "pool": pool.fingerprint, "by": observer.fingerprint, "k": self.k,
               "size": size}
        return np.asarray(observer.ctx.store.once(key, make)["shares"])


def probe_shares(X: NDArray[np.float32], y: NDArray[np.integer], n_classes: int, believed: NDArray[np.float64], size: int, k: int,
                 rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of each kind [n, 5] among the `k` probes with the nearest loss curves, mean over the runs in which a row is no probe.

    X [n, d] features, y [n] labels, `believed` [n, C] out-of-fold probabilities, `size` probes of each kind and run.
    """
    from whence.kernels.training_dynamics import Schedule, train_heads
    from whence.models.observe.dynamics import EPOCHS, HIDDEN, RATE, batch_size

    n = len(y)
    total, runs = np.zeros((n, len(KINDS))), np.zeros(n)
    plan = Schedule(epochs=EPOCHS, seeds=1, hidden=HIDDEN, batch_size=batch_size(n), rate=RATE)
    free = np.ones(n, dtype=bool)  # rows that have not been probes yet
    for stream in rng.spawn(_RUNS):
        probes = make_probes(X, y, n_classes, believed, size, free, stream)
        curves = train_heads(probes.X, probes.y, n_classes, plan, rng=stream).train.loss[0].T  # [n, epochs]
        rows = np.flatnonzero(probes.kind >= 0)
        ask = np.flatnonzero(probes.kind < 0)
        total[ask] += nearest_kinds(curves[ask], curves[rows], probes.kind[rows], k)
        runs[ask] += 1
        free[rows] = False
    return total / runs[:, None]


class _Probes:
    """A training set with probes: features, labels, and the kind of each row (-1: no probe)."""

    def __init__(self, X: NDArray[np.float32], y: NDArray[np.integer], kind: NDArray[np.int64]) -> None:
        self.X, self.y, self.kind = X, y, kind


def make_probes(X: NDArray[np.float32], y: NDArray[np.integer], n_classes: int, believed: NDArray[np.float64], size: int,
                free: NDArray[np.bool_], rng: np.random.Generator) -> _Probes:
    """Turn `size` rows into probes of each kind, chosen among the `free` ones.

    Typical and atypical rows stay as they are: the heads confirm their label most, and least. A mislabelled probe gets
    another class; a corrupted one half of its features from Gaussian noise of the data's spread; one out of distribution
    only such noise, and any class.
    """
    own = believed[np.arange(len(y)), y]
    X, y, kind = X.copy(), y.copy(), np.full(len(y), -1, dtype=np.int64)
    confirmed = np.flatnonzero(free & (believed.argmax(axis=1) == y))
    if len(confirmed) < 2 * size:  # hardly any label is confirmed: take the free rows as they come
        confirmed = np.flatnonzero(free)
    ranked = confirmed[np.argsort(-own[confirmed], kind="stable")]
    # a random part of the most confirmed fifth, or the most confirmed would all be of one class
    top = ranked[: max(size, len(ranked) // 5)]
    kind[rng.permutation(top)[:size]] = 0
    kind[ranked[::-1][:size]] = 1
    rest = rng.permutation(np.flatnonzero(free & (kind < 0)))
    spread, centre = X.std(axis=0), X.mean(axis=0)
    wrong, corrupt, foreign = rest[:size], rest[size : 2 * size], rest[2 * size : 3 * size]
    kind[wrong], kind[corrupt], kind[foreign] = 2, 3, 4
    y[wrong] = (y[wrong] + rng.integers(1, n_classes, len(wrong))) % n_classes
    noise = rng.standard_normal((len(corrupt), X.shape[1])).astype(X.dtype) * spread + centre
    X[corrupt] = np.where(rng.random(noise.shape) < 0.5, noise, X[corrupt])
    X[foreign] = rng.standard_normal((len(foreign), X.shape[1])).astype(X.dtype) * spread + centre
    y[foreign] = rng.integers(0, n_classes, len(foreign))
    return _Probes(X, y, kind)


def nearest_kinds(curves: NDArray[np.floating], probes: NDArray[np.floating], kind: NDArray[np.int64],
                  k: int) -> NDArray[np.float64]:
    """Share of each kind [m, 5] among the `k` probe curves [p, epochs] nearest (Euclidean) to each of `curves` [m, epochs]."""
    from whence.kernels.neighbors import nearest

    rows, _ = nearest(curves, probes, min(k, len(probes)), metric="euclidean")
    return np.stack([(kind[rows] == c).mean(axis=1) for c in range(len(KINDS))], axis=1)
