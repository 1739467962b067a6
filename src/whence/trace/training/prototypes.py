"""Prototypes: a classifier that decides by closeness to a few learned points, and the training examples nearest to those.

Das, Gupta, Kovatchev, Lease and Li 2022, "ProtoTEx: Explaining Model Decisions with Prototype Tensors" (arXiv:2204.05426).
Prototypes live in embedding space; steps on the linear layer alternate with steps on the prototypes, which are also drawn
to be near some example each, and each example near some prototype. Prototypes of no class take what lacks any class's
marks. A question is explained by the examples nearest to the prototypes that decided it. Ours differs in that the encoder
is frozen, the linear layer is solved to its optimum instead of stepped, and it reads exp(-distance^2 / scale) instead of
the distance, so that far prototypes are all alike. A prototype's part in a decision is counted from its part in the average
training example, so that only closeness out of the ordinary explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import by_id, inputs_of, known_labels, linked

Floats = NDArray[np.float64]

_CYCLES, _STEPS, _RATE = 8, 15, 0.02  # of the alternation; steps on the prototypes in each; size of such a step
_C = 30.0  # inverse penalty of the linear layer, which sees a handful of numbers between 0 and 1


@dataclass(frozen=True)
class Prototyped:
    """`points` [k, d]; class scores are `slopes` [C, k] @ exp(-distance^2 / scale) + `levels` [C].

    `usual` [k] is the mean closeness of training rows to each prototype.
    """

    points: Floats
    slopes: Floats
    levels: Floats
    scale: float
    usual: Floats

    def closeness(self, X: Floats) -> Floats:
        """exp(-distance^2 / scale) [n, k], between 0 and 1."""
        return np.asarray(np.exp(-_squared(X, self.points) / self.scale))

    def predict(self, X: Floats) -> NDArray[np.int64]:
        """Most probable class [n]."""
        return np.asarray((self.closeness(X) @ self.slopes.T + self.levels).argmax(axis=1))


def _squared(X: Floats, P: Floats) -> Floats:
    return np.asarray(np.maximum((X**2).sum(axis=1)[:, None] + (P**2).sum(axis=1)[None, :] - 2 * X @ P.T, 0.0))


def prototype_loss(
    X: Floats, onehot: Floats, P: Floats, slopes: Floats, levels: Floats, scale: float, near: float
) -> tuple[float, Floats]:
    """Loss and its gradient [k, d] in the prototypes: mean cross-entropy, plus `near` times the mean squared distance from each
    prototype to its nearest example and from each example to its nearest prototype."""
    n, k = len(X), len(P)
    D = _squared(X, P)
    A = np.exp(-D / scale)
    z = A @ slopes.T + levels
    z -= z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    slope = ((np.exp(log_p) - onehot) @ slopes) * A * (-1 / (scale * n))  # d loss / d D, [n, k]
    example, prototype = D.argmin(axis=0), D.argmin(axis=1)
    loss = -(onehot * log_p).sum() / n + near * (D[example, np.arange(k)].mean() + D[np.arange(n), prototype].mean())
    slope[example, np.arange(k)] += near / k
    slope[np.arange(n), prototype] += near / n
    return float(loss), 2 * (slope.sum(axis=0)[:, None] * P - slope.T @ X)


def train(
    X: Floats, y: NDArray[np.int32], n_classes: int, *, per_class: int, free: int, near: float, rng: np.random.Generator
) -> Prototyped:
    """Prototypes of X [n, d], y [n]: `per_class` begin at rows of each class far from each other, `free` between the classes."""
    from whence.kernels.softmax_head import fit

    points = [_apart(X[y == c], per_class, rng) for c in range(n_classes) if (y == c).any()]
    if free:
        # of no class: begin where all classes meet, a little apart from each other
        spread = 0.1 * X.std(axis=0) * rng.standard_normal((free, X.shape[1]))
        points.append(X.mean(axis=0) + spread)
    P = np.concatenate(points)
    scale = max(float(_squared(X, P).min(axis=1).mean()), 1e-9)
    onehot = np.eye(n_classes)[y]
    first, second, taken = np.zeros_like(P), np.zeros_like(P), 0
    for cycle in range(_CYCLES + 1):
        A = np.exp(-_squared(X, P) / scale)
        head = fit(A, y, n_classes, C=_C, tol=1e-4)
        slopes, levels = head.W[0], head.b[0]
        if cycle == _CYCLES:
            break
        for _ in range(_STEPS):
            _, g = prototype_loss(X, onehot, P, slopes, levels, scale, near)
            taken += 1
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
            P = P - _RATE * (first / (1 - 0.9**taken)) / (np.sqrt(second / (1 - 0.999**taken)) + 1e-8)
    return Prototyped(P, slopes, levels, scale, A.mean(axis=0))


def _apart(rows: Floats, count: int, rng: np.random.Generator) -> Floats:
    """`count` rows (all, if fewer): one at random, then each the farthest from those taken."""
    taken = [int(rng.integers(len(rows)))]
    distance = _squared(rows, rows[taken])[:, 0]
    while len(taken) < min(count, len(rows)):
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, _squared(rows, rows[taken[-1:]])[:, 0])
    return rows[taken]


def through_prototypes(model: Prototyped, X: Floats, Xq: Floats, yq: NDArray[np.int32], nearest: int) -> Floats:
    """Weights [n, m]: each prototype's part in the score of the query's label, shared out among its `nearest` training rows.

    Scores are counted from the mean over classes and from the average training row; shares follow closeness. Over the
    training rows, a query's weights add up to that score.
    """
    own = model.closeness(X)
    part = (model.slopes[yq] - model.slopes.mean(axis=0)) * (model.closeness(Xq) - model.usual)  # [m, k]
    shares = np.zeros_like(own)
    for j in range(own.shape[1]):
        rows = np.argsort(-own[:, j], kind="stable")[:nearest]
        total = own[rows, j].sum()
        shares[rows, j] = own[rows, j] / total if total > 0 else 1 / len(rows)
    return np.asarray(shares @ part.T)


@method
class Prototypes:
    """Examples nearest to the learned prototypes that decide a question, weighed by what those add to its label's score."""

    card: ClassVar[Card] = Card(
        line="Training examples nearest to the learned prototypes that decide a question.",
        papers=(Paper("ProtoTEx: Explaining Model Decisions with Prototype Tensors", "Das et al.", 2022, "arXiv:2204.05426"),),
        needs=("text", "labels", "embeddings"),
        cost="120 products of examples and prototypes",
    )

    per_class: int = param(12, "prototypes that begin at examples of each class", ge=1)
    free: int = param(2, "prototypes of no class", ge=0)
    near: float = param(0.5, "weight of the two distances beside the cross-entropy", ge=0)
    nearest: int = param(20, "examples that a prototype's part is shared out among", ge=1)

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        y = observer.labelled(pool, "a prototype classifier")
        names = pool.labels.names
        yq = known_labels(queries, names, observer)
        if len(y) < 2 * len(names):
            raise NotCapable("Prototypes need a few examples of each class", given=len(y), legal=f"{2 * len(names)} or more")
        rows = by_id(pool)
        X, Xq = observer.embeddings(pool)[rows].astype(np.float64), observer.embeddings(queries).astype(np.float64)
        model = train(X, y[rows], len(names), per_class=self.per_class, free=self.free, near=self.near, rng=ctx.rng("prototypes"))
        weights = np.empty((len(pool), len(queries)))
        weights[rows] = through_prototypes(model, X, Xq, yq, self.nearest)
        step = step_of(self, seed=ctx.seed, inputs=inputs_of(pool, queries, observer))
        return linked(pool, queries, weights, top=top, step=step,
                      high="the example stands for a prototype that raises the score of the question's label", unit="logit")
