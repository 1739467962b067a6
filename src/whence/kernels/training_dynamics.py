"""Train small heads by minibatches and keep, per seed, epoch and row, the few numbers that scores are made of.

What each row's prediction went through while a head was trained (a linear softmax head, or one hidden ReLU
layer) feeds EL2N, GraNd, forgetting, learning order, data maps, area under the margin and their relatives.
The class probabilities themselves, [seeds, epochs, n, C], are never stored.

`when="visit"` records the forward pass of the minibatch in which a row was seen, before its update (what
Toneva et al. 2019, arXiv:1812.05159, count forgetting on); `when="epoch_end"` passes over all rows after each
epoch (data maps, Swayamdipta et al. 2020, arXiv:2009.10795; EL2N, Paul et al. 2021, arXiv:2107.07075).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]
Ints = NDArray[np.integer[Any]]

_BLOCK = 2048  # rows per forward pass when all rows are looked at


@dataclass(frozen=True)
class Schedule:
    """How the heads are trained.

    `epochs` and `seeds` counts; `batch_size` rows; `rate` the step size, falling to zero by `decay` ("constant",
    "cosine" or "linear"); `optimiser` "adam" or "sgd" (with `momentum`); `weight_decay` shrinks the weights, not
    the intercepts, by rate * weight_decay a step, apart from the gradient (as in AdamW); `hidden` units of the
    ReLU layer, 0 for a linear head; `when` the record is taken.
    """

    epochs: int = 10
    seeds: int = 1
    batch_size: int = 64
    rate: float = 0.01
    optimiser: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: Literal["constant", "cosine", "linear"] = "constant"
    hidden: int = 0
    when: Literal["visit", "epoch_end"] = "epoch_end"

    def __post_init__(self) -> None:
        for name in ("epochs", "seeds", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.weight_decay < 0 or self.hidden < 0:
            raise ValueError(f"weight_decay and hidden must not be negative, got {self.weight_decay}, {self.hidden}")
        for name, legal in (("optimiser", ("adam", "sgd")), ("decay", ("constant", "cosine", "linear")),
                            ("when", ("visit", "epoch_end"))):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} must be one of {', '.join(legal)}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Dynamics:
    """Arrays [seeds, epochs, rows] (of one epoch: [rows]), float32 unless said.

    `p_label` probability of the given label; `p_other` largest probability of another class; `error_norm`
    ||p - onehot||_2 (EL2N); `entropy` and `loss` in nats; `predicted` class, int32; `grad_norm` (GraNd) the
    norm of the loss gradient in all parameters, when asked for; `seen` bool, whether the row was trained on in
    that epoch (a visit record of an unseen row repeats its last one).
    """

    p_label: Floats
    p_other: Floats
    error_norm: Floats
    entropy: Floats
    loss: Floats
    predicted: NDArray[np.int32]
    seen: NDArray[np.bool_]
    grad_norm: Floats | None = None

    def epoch(self, seed: int, epoch: int) -> Dynamics:
        """The record [rows] of one epoch, as views."""
        k = (seed, epoch)
        return Dynamics(self.p_label[k], self.p_other[k], self.error_norm[k], self.entropy[k], self.loss[k],
                        self.predicted[k], self.seen[k], None if self.grad_norm is None else self.grad_norm[k])


@dataclass(frozen=True)
class Trained:
    """`train` the record of the training rows, `queries` of the other rows (always at the end of an epoch)."""

    train: Dynamics
    queries: Dynamics | None


Choose = Callable[[int, int, Dynamics | None, np.random.Generator], Ints]
AfterEpoch = Callable[[int, int, Callable[[Floats], Floats]], None]


def train_heads(X: Floats, y: Ints, n_classes: int, schedule: Schedule, *, rng: np.random.Generator,
                Xq: Floats | None = None, yq: Ints | None = None, grad_norm: bool = False,
                choose: Choose | None = None, after_epoch: AfterEpoch | None = None) -> Trained:
    """Train `schedule.seeds` heads on X [n, d], y [n] and record every row after or during every epoch.

    `rng` gives each seed a stream of its own, so seed k does not depend on how many follow it. `Xq`, `yq` are
    rows that are only looked at. `choose(seed, epoch, last record or None, stream)` returns the rows to train on
    in that epoch (all of them without it); the stream it gets is not the one that shuffles. `after_epoch(seed,
    epoch, probabilities)` may look at the head through a function from rows to class probabilities.

    Raises ValueError for shapes and labels that disagree, for an empty or illegal choice of rows, and when
    training diverges.
    """
    X = np.ascontiguousarray(X, dtype=np.float32)
    y = _labels(X, y, n_classes, "y")
    if (Xq is None) != (yq is None):
        raise ValueError("give Xq and yq together")
    if Xq is not None and yq is not None:
        Xq = np.ascontiguousarray(Xq, dtype=np.float32)
        yq = _labels(Xq, yq, n_classes, "yq")
    from threadpoolctl import threadpool_limits

    # Minibatch products are too small to share: on a busy machine, waiting for a second thread cost 17 times
    # the work itself.
    with threadpool_limits(1, user_api="blas"):
        return _train(X, y, n_classes, schedule, rng, Xq, yq, grad_norm, choose, after_epoch)


def _train(X: Floats, y: NDArray[np.int64], n_classes: int, schedule: Schedule, rng: np.random.Generator,
           Xq: Floats | None, yq: Ints | None, grad_norm: bool, choose: Choose | None,
           after_epoch: AfterEpoch | None) -> Trained:
    S, E = schedule.seeds, schedule.epochs
    train = _empty((S, E, len(X)), grad_norm)
    queries = None if Xq is None else _empty((S, E, len(Xq)), grad_norm)
    for seed, stream in enumerate(rng.spawn(S)):
        start, order, choice = stream.spawn(3)
        head = _Head(X.shape[1], n_classes, schedule, start)
        size = -(-len(X) // schedule.batch_size)
        taken = 0
        for epoch in range(E):
            last = train.epoch(seed, epoch - 1) if epoch else None
            record = train.epoch(seed, epoch)
            if choose is None:
                chosen: Ints = np.arange(len(X))
            else:
                chosen = np.asarray(choose(seed, epoch, last, choice))
                if chosen.ndim != 1 or len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= len(X):
                    raise ValueError(f"choose must return row numbers in 0..{len(X) - 1}, at least one")
                size = -(-len(chosen) // schedule.batch_size)
            record.seen[:] = False
            record.seen[chosen] = True
            visit = schedule.when == "visit"
            if visit and len(chosen) < len(X):
                if last is None:
                    head.look(X, y, record)
                else:
                    _carry(last, record)
            shuffled = order.permutation(chosen)
            for k in range(size):
                rows = shuffled[k * schedule.batch_size:(k + 1) * schedule.batch_size]
                progress = (epoch + k / size) / E
                taken += 1
                head.step(X[rows], y[rows], rows, record if visit else None, progress, taken)
            if not head.finite():
                raise ValueError(f"training diverged in epoch {epoch}: use a smaller rate than {schedule.rate}")
            if not visit:
                head.look(X, y, record)
            if queries is not None and Xq is not None and yq is not None:
                looked = queries.epoch(seed, epoch)
                looked.seen[:] = False
                head.look(Xq, yq, looked)
            if after_epoch is not None:
                after_epoch(seed, epoch, head.probabilities)
    return Trained(train, queries)


def _labels(X: Floats, y: Ints, n_classes: int, name: str) -> NDArray[np.int64]:
    if X.ndim != 2 or y.shape != (len(X),) or len(X) == 0:
        raise ValueError(f"{name} must be one label for each of the rows of a non-empty matrix, "
                         f"got {y.shape} for {X.shape}")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"{name} must be integers in 0..{n_classes - 1}")
    if not np.isfinite(X).all():
        raise ValueError("the features have values that are not finite")
    return y.astype(np.int64)


def _empty(shape: tuple[int, int, int], grad_norm: bool) -> Dynamics:
    def floats() -> Floats:
        return np.zeros(shape, np.float32)

    return Dynamics(floats(), floats(), floats(), floats(), floats(), np.zeros(shape, np.int32),
                    np.zeros(shape, np.bool_), floats() if grad_norm else None)


def _carry(last: Dynamics, record: Dynamics) -> None:
    for f in fields(record):
        here, before = getattr(record, f.name), getattr(last, f.name)
        if here is not None and f.name != "seen":
            here[:] = before


# ---------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _top(z: Floats) -> None:
    for i in range(z.shape[0]):
        top = z[i].max()
        for c in range(z.shape[1]):
            z[i, c] -= top


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _observe(z: Floats, e: Floats, y: Ints, rows: Ints, p_label: Floats, p_other: Floats, error_norm: Floats,
             entropy: Floats, loss: Floats, predicted: Ints) -> None:
    """Records from shifted logits z and e = exp(z), which becomes p - onehot(y)."""
    m, n_classes = z.shape
    for j in range(m):
        i = rows[j]
        label = y[j]
        total = np.float64(0.0)
        for c in range(n_classes):
            total += e[j, c]
        log_total = np.log(total)
        inner = np.float64(0.0)
        wrong = np.float64(0.0)
        square = np.float64(0.0)
        other = np.float64(-1.0)
        best = 0
        for c in range(n_classes):
            p = e[j, c] / total
            inner += p * z[j, c]
            if z[j, c] > z[j, best]:
                best = c
            if c != label:
                wrong += p
                square += p * p
                other = max(other, p)
            e[j, c] = p
        p_label[i] = e[j, label]
        p_other[i] = other
        # 1 - p summed from the other classes keeps its digits when p is almost 1
        error_norm[i] = np.sqrt(square + wrong * wrong)
        entropy[i] = max(log_total - inner, 0.0)
        loss[i] = log_total - z[j, label]
        predicted[i] = best
        e[j, label] = -wrong


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _residual(e: Floats, y: Ints) -> None:
    for j in range(e.shape[0]):
        total = np.float32(0.0)
        for c in range(e.shape[1]):
            total += e[j, c]
        for c in range(e.shape[1]):
            e[j, c] /= total
        e[j, y[j]] -= np.float32(1.0)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _adam(w: Floats, g: Floats, m: Floats, v: Floats, rate: np.float32, fix1: np.float32, fix2: np.float32,
          shrink: np.float32) -> None:
    b1, b2, eps = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    one = np.float32(1.0)
    for k in range(w.size):
        m[k] = b1 * m[k] + (one - b1) * g[k]
        v[k] = b2 * v[k] + (one - b2) * g[k] * g[k]
        w[k] = shrink * w[k] - rate * (m[k] * fix1) / (np.sqrt(v[k] * fix2) + eps)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _sgd(w: Floats, g: Floats, m: Floats, rate: np.float32, momentum: np.float32, shrink: np.float32) -> None:
    for k in range(w.size):
        m[k] = momentum * m[k] + g[k]
        w[k] = shrink * w[k] - rate * m[k]


class _Head:
    """One head in training: logits = h W + b with h = x, or relu(x W0 + b0)."""

    def __init__(self, d: int, n_classes: int, schedule: Schedule, rng: np.random.Generator) -> None:
        self.schedule = schedule
        sizes = [(d, n_classes)] if schedule.hidden == 0 else [(d, schedule.hidden), (schedule.hidden, n_classes)]
        self.params: list[Floats] = []
        for rows, columns in sizes:
            bound = rows**-0.5  # uniform, the customary start of a linear layer
            self.params.append(rng.uniform(-bound, bound, (rows, columns)).astype(np.float32))
            self.params.append(np.zeros(columns, np.float32))
        self.first = [np.zeros_like(p) for p in self.params]
        self.second = [np.zeros_like(p) for p in self.params]

    def _forward(self, X: Floats) -> tuple[Floats | None, Floats]:
        if len(self.params) == 2:
            return None, X @ self.params[0] + self.params[1]
        hidden = np.maximum(X @ self.params[0] + self.params[1], 0)
        return hidden, hidden @ self.params[2] + self.params[3]

    def probabilities(self, X: Floats) -> Floats:
        """Class probabilities [m, C] of rows [m, d]."""
        _, z = self._forward(np.ascontiguousarray(X, dtype=np.float32))
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z

    def finite(self) -> bool:
        return all(bool(np.isfinite(p).all()) for p in self.params)

    def _record(self, X: Floats, hidden: Floats | None, z: Floats, y: Ints, rows: Ints, record: Dynamics) -> Floats:
        """Write the record of these rows; returns p - onehot(y)."""
        _top(z)
        e = np.exp(z)
        _observe(z, e, y, rows, record.p_label, record.p_other, record.error_norm, record.entropy, record.loss,
                 record.predicted)
        if record.grad_norm is not None:
            size = (X**2).sum(axis=1) + 1
            square = record.error_norm[rows] ** 2
            if hidden is not None:
                delta = (e @ self.params[2].T) * (hidden > 0)
                square = square * ((hidden**2).sum(axis=1) + 1) + (delta**2).sum(axis=1) * size
            else:
                square = square * size
            record.grad_norm[rows] = np.sqrt(square)
        return e

    def look(self, X: Floats, y: Ints, record: Dynamics) -> None:
        for s in range(0, len(X), _BLOCK):
            part = X[s:s + _BLOCK]
            hidden, z = self._forward(part)
            self._record(part, hidden, z, y[s:s + _BLOCK], np.arange(s, s + len(part)), record)

    def gradients(self, X: Floats, hidden: Floats | None, residual: Floats) -> list[Floats]:
        """Gradients of the mean loss, parameter by parameter; `residual` is divided by the batch size here."""
        residual /= np.float32(len(X))
        if hidden is None:
            return [X.T @ residual, residual.sum(axis=0)]
        delta = (residual @ self.params[2].T) * (hidden > 0)
        return [X.T @ delta, delta.sum(axis=0), hidden.T @ residual, residual.sum(axis=0)]

    def step(self, X: Floats, y: Ints, rows: Ints, record: Dynamics | None, progress: float, taken: int) -> None:
        hidden, z = self._forward(X)
        if record is None:
            _top(z)
            residual = np.exp(z, out=z)
            _residual(residual, y)
        else:
            residual = self._record(X, hidden, z, y, rows, record)
        plan = self.schedule
        rate = plan.rate
        if plan.decay == "cosine":
            rate *= 0.5 * (1 + np.cos(np.pi * progress))
        elif plan.decay == "linear":
            rate *= 1 - progress
        gradients = self.gradients(X, hidden, residual)
        for k, g in enumerate(gradients):
            w, m = self.params[k].reshape(-1), self.first[k].reshape(-1)
            flat = np.ascontiguousarray(g).reshape(-1)
            shrink = np.float32(1 - rate * plan.weight_decay if k % 2 == 0 else 1)
            if plan.optimiser == "adam":
                _adam(w, flat, m, self.second[k].reshape(-1), np.float32(rate), np.float32(1 / (1 - 0.9**taken)),
                      np.float32(1 / (1 - 0.999**taken)), shrink)
            else:
                _sgd(w, flat, m, np.float32(rate), np.float32(plan.momentum), shrink)
