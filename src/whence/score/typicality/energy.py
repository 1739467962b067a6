"""Ablated learned temperature energy (AbeT): how little the head has to say, with a temperature it learnt for each input.

LeVine, Pikus, Phillips, Norman, Amat Gil, Hendryx: Out-of-Distribution Detection & Applications With Ablated Learned
Temperature Energy (2024). Logits are cosines between input and class vectors divided by a temperature T(x), a sigmoid of a
linear function of the input, all trained by cross-entropy. The energy of the logits would be -T(x) log sum exp(cos / T(x));
the factor T(x) in front is left out, as the paper does, because it works against the sum. Where we differ: the input is
a frozen embedding, and there is no batch normalisation before the sigmoid.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Scores
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.models.observe.dynamics import batch_size

_FOLDS = 5
#: The lowest temperature. On frozen embeddings a linear head can fit nearly everything, and T runs down to this floor: on
#: CLINC150 (`benchmarks/out_of_distribution.py`) the area is 0.959 at 0.05, 0.955 at 0.1, 0.94 at 0.01 and 0.75 at 0.001.
_COLDEST = 0.05


@method
class Energy:
    """-log sum exp(cosine / T(x)) over classes, by heads that never saw the example."""

    epochs: int = param(15, "passes over the data in training", ge=1)
    rate: float = param(0.003, "step size of Adam", gt=0)

    card: ClassVar[Card] = Card(
        line="Energy of cosine logits under a learnt temperature, without its leading factor (AbeT).",
        papers=(Paper("Out-of-Distribution Detection & Applications With Ablated Learned Temperature Energy",
                      "LeVine, Pikus, Phillips, Norman, Amat Gil, Hendryx", 2024, "arXiv:2401.12129"),),
        needs=("labels", "embeddings"),
        cost="five short trainings, or one on a reference",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        base = pool if reference is None else reference
        y = observer.labelled(base, "energy")
        n_classes = len(base.labels.names)
        X = observer.embeddings(pool)

        def make() -> dict[str, NDArray[np.float64]]:
            if reference is not None:
                order = np.argsort(np.array(reference.ids))
                head = fit_abet(observer.embeddings(reference)[order], y[order], n_classes, self.epochs, self.rate,
                                observer.ctx.rng("energy"))
                return {"energy": ablated_energy(X, *head)}
            from whence.kernels.softmax_head import stratified_folds

            order = np.argsort(np.array(pool.ids))
            rng = observer.ctx.rng("energy")
            fold = stratified_folds(y[order], min(_FOLDS, len(y)), rng)
            out = np.empty(len(y))
            for f in range(fold.max() + 1):
                head = fit_abet(X[order][fold != f], y[order][fold != f], n_classes, self.epochs, self.rate, rng)
                out[order[fold == f]] = ablated_energy(X[order[fold == f]], *head)
            return {"energy": out}

        key = {"observable": "abet", "version": 1, "pool": pool.fingerprint, "by": observer.fingerprint,
               "reference": None if reference is None else reference.fingerprint,
               "plan": [self.epochs, self.rate, _FOLDS, _COLDEST]}
        values = observer.ctx.store.once(key, make)["energy"]
        inputs = (pool.fingerprint, observer.fingerprint) + (() if reference is None else (reference.fingerprint,))
        return Scores.of("energy", pool, values, high="no class claims it: out of distribution, or likely to be got wrong",
                         unit="nats",
                         step=step_of(self, seed=ctx.seed, inputs=inputs))


def ablated_energy(X: NDArray[np.float32], W: NDArray[np.float32], a: NDArray[np.float32], c: float) -> NDArray[np.float64]:
    """-log sum_k exp(cos(x, W_k) / T(x)), T(x) = sigmoid(sqrt(d) a.x + c), for unit rows of X [n, d]; W [C, d], a [d]: [n]."""
    z = (X @ (W / np.linalg.norm(W, axis=1, keepdims=True)).T).astype(np.float64) / temperature(X, a, c)[:, None]
    top = z.max(axis=1)
    return np.asarray(-(top + np.log(np.exp(z - top[:, None]).sum(axis=1))))


def temperature(X: NDArray[np.float32], a: NDArray[np.float32], c: float) -> NDArray[np.float64]:
    """sigmoid(sqrt(d) a.x + c), kept at `_COLDEST` or more: [n]."""
    t = (X @ a).astype(np.float64) * X.shape[1] ** 0.5 + c
    return np.asarray(np.maximum(1.0 / (1.0 + np.exp(-t)), _COLDEST))


def abet_gradient(X: NDArray[np.float32], y: NDArray[np.integer], W: NDArray[np.float32], a: NDArray[np.float32], c: float
                  ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Gradient of the mean cross-entropy of cos(x, W_k) / T(x) in W, a and c."""
    norm = np.linalg.norm(W, axis=1, keepdims=True)
    V = W / norm
    T = temperature(X, a, c).astype(X.dtype)
    s = X @ V.T
    z = s / T[:, None]
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    g = (p / T[:, None]).T @ X
    dT = -(p * s).sum(axis=1) / T**2
    dt = dT * T * (1 - T) * (T > _COLDEST)
    return (g - (g * V).sum(axis=1, keepdims=True) * V) / norm, (dt @ X) * np.float32(X.shape[1] ** 0.5), float(dt.sum())


def fit_abet(X: NDArray[np.float32], y: NDArray[np.integer], n_classes: int, epochs: int, rate: float, rng: np.random.Generator
             ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Class vectors W [C, d] and temperature weights a [d], c, trained by Adam on unit rows of X [n, d], y [n]."""
    W = rng.standard_normal((n_classes, X.shape[1])).astype(np.float32) / np.float32(X.shape[1] ** 0.5)
    params: list[NDArray[np.float32]] = [W, np.zeros(X.shape[1], np.float32), np.full(1, -2.0, np.float32)]
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    step, size = 0, batch_size(len(y))
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for at in range(0, len(y), size):
            rows = order[at : at + size]
            gW, ga, gc = abet_gradient(X[rows], y[rows], params[0], params[1], float(params[2][0]))
            step += 1
            for i, g in enumerate((gW, ga, np.full(1, gc, np.float32))):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g * g
                move = (first[i] / (1 - 0.9**step)) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
                params[i] = (params[i] - np.float32(rate) * move).astype(np.float32)
    return params[0], params[1], float(params[2][0])
