"""Many L2-regularised multinomial logistic regressions ("softmax heads") on the same features at once.

Objective of one fit, the one scikit-learn's `LogisticRegression(C=C)` minimises for three or more classes:

    sum_i w_i * (-log softmax(W x_i + b)[y_i]) + ||W||^2 / (2 C),        intercept b not penalised.

For two classes scikit-learn fits one weight vector instead of two opposed ones; its `C` is then half of ours
(`LogisticRegression(C=2c)` equals `fit(..., C=c)`).

The problem is convex, so the answer does not depend on how it is reached. Each fit runs a truncated Newton
method: the Newton system is solved by preconditioned conjugate gradients, every product being two matrix
multiplications shared by all fits of the batch. Features are centred and turned into the eigenbasis of their
covariance first (neither changes the problem), where the Hessian is close to diagonal; when there are many
fits of few parameters the preconditioner is the inverse Hessian of the full fit instead, scaled to the weight
of each subset: that is what makes "retrain on a hundred halves" cost about as much as a few fits. With more
than 32 classes the preconditioner is made of the blocks of the Hessian that belong to one class each
(`_Blocks`), and a fit without a start begins from the fit of a quarter of its own rows.

A class with no weight in a fit is left out of that fit (what scikit-learn does when it never sees the label):
its weights are zero and its intercept lies `ABSENT_GAP` nats below the lowest class present, so probabilities
stay finite and losses bounded. Intercepts of the present classes sum to zero.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]
Ints = NDArray[np.integer[Any]]

ABSENT_GAP = 20.0
"""Nats between the lowest intercept of a class that was seen and the intercept of one that was not."""

_ROTATE_MAX = 1024  # an eigenbasis beyond this many features costs more than it saves
_DENSE_MAX = 1400  # parameters up to which the full Hessian of the reference fit is the preconditioner
_JOINT_CLASSES = 32  # classes up to which large fits share one pass over the rows
_BLOCK_ROWS = 1000  # rows below which products are so cheap that one-class blocks do not pay
_BLOCK_TOP = 256  # rows that enter a one-class block one by one, at most
_BLOCK_PRODUCTS = 5  # products in one Newton step that make the next one build blocks anew
_COARSE_SHARE = 4  # a fit of many classes begins from the fit of one row in so many
_COARSE_TOL = 0.1  # the tolerance of that fit
_REFERENCE_TOL = 0.03  # the tolerance of the fit of all rows whose answer starts many others
_MANY = 8  # fits from which a fit of all rows comes first, to start the others
_SHARED_WORK = 20_000_000  # multiplications in one product below which a second thread does not pay
_JOINT_CELLS = 6_000_000  # rows x fits x classes held at once when fits share one pass over the rows


@dataclass(frozen=True)
class Heads:
    """B fitted heads: logits of row x under head k are `W[k] @ x + b[k]`.

    W [B, C, d], b [B, C]; `iterations` [B] Newton steps on all rows of the fit; `error` [B] the estimated
    root-mean-square error of the training log-odds left at the end (what `tol` bounds); `converged` [B]; `loss`
    [B] the objective; `present` [B, C] whether the class had weight in the fit.
    """

    W: Floats
    b: Floats
    iterations: NDArray[np.int64]
    error: NDArray[np.float64]
    converged: NDArray[np.bool_]
    loss: NDArray[np.float64]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.W.shape[0])

    @classmethod
    def starting(cls, W: Floats, b: Floats) -> Heads:
        """One head W [C, d], b [C] from elsewhere, to start a fit from."""
        one = np.zeros(1)
        return cls(W[None], b[None], np.zeros(1, np.int64), one, np.zeros(1, bool), one, np.ones((1, len(b)), bool))

    def take(self, k: int) -> Heads:
        """Head k alone, as a batch of one."""
        s = slice(k, k + 1)
        return Heads(self.W[s], self.b[s], self.iterations[s], self.error[s], self.converged[s], self.loss[s],
                     self.present[s])


# ---------------------------------------------------------------------------------------------------------
# elementwise passes; z is [rows, fits, classes] and is overwritten


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shift(z: Floats, floor: Floats, y: Ints, zy: Floats) -> None:
    n, nb, nc = z.shape
    for i in range(n):
        for k in range(nb):
            top = z[i, k, 0] + floor[k, 0]
            for c in range(nc):
                v = z[i, k, c] + floor[k, c]
                z[i, k, c] = v
                top = max(top, v)
            for c in range(nc):
                z[i, k, c] -= top
            zy[i, k] = z[i, k, y[i]]


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _normalise(z: Floats, zy: Floats, y: Ints, w: Floats, residual: Floats, loss: Floats) -> None:
    n, nb, nc = z.shape
    for i in range(n):
        for k in range(nb):
            wi = w[i, k]
            if wi == 0.0:
                for c in range(nc):
                    residual[i, k, c] = 0.0
                continue
            total = z[i, k, 0] * 0
            for c in range(nc):
                total += z[i, k, c]
            one = z.dtype.type(1.0) / total
            for c in range(nc):
                p = z[i, k, c] * one
                z[i, k, c] = p
                residual[i, k, c] = wi * p
            residual[i, k, y[i]] -= wi
            loss[k] += wi * (np.log(np.float64(total)) - np.float64(zy[i, k]))


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _curve(u: Floats, p: Floats, w: Floats) -> None:
    """u <- w * (diag(p) - p p^T) u, the Hessian of each row's loss in its logits."""
    n, nb, nc = u.shape
    for i in range(n):
        for k in range(nb):
            wi = w[i, k]
            if wi == 0.0:
                for c in range(nc):
                    u[i, k, c] = 0.0
                continue
            mean = u[i, k, 0] * 0
            for c in range(nc):
                mean += p[i, k, c] * u[i, k, c]
            for c in range(nc):
                u[i, k, c] = wi * p[i, k, c] * (u[i, k, c] - mean)


# ---------------------------------------------------------------------------------------------------------


class _Preconditioner:
    """Approximate inverse Hessian; `__call__` maps [D, B, C] to [D, B, C], linearly and symmetrically."""

    def __call__(self, r: Floats) -> Floats:
        raise NotImplementedError

    def keep(self, active: NDArray[np.bool_]) -> None:
        raise NotImplementedError


class _Diagonal(_Preconditioner):
    def __init__(self, inverse: Floats) -> None:
        self.inverse = inverse

    def __call__(self, r: Floats) -> Floats:
        return r * self.inverse

    def keep(self, active: NDArray[np.bool_]) -> None:
        self.inverse = self.inverse[:, active]


class _Dense(_Preconditioner):
    """(f * H + lambda I)^-1 on the classes present, H the data part of the reference fit's Hessian."""

    def __init__(self, values: Floats, vectors: Floats, ridge: float, share: Floats, present: Floats) -> None:
        self.vectors = vectors
        self.scale = (1.0 / (share[:, None] * values[None, :] + ridge)).astype(vectors.dtype)
        self.mask = present.astype(vectors.dtype)

    def __call__(self, r: Floats) -> Floats:
        D, B, C = r.shape
        flat = (r * self.mask).transpose(1, 0, 2).reshape(B, D * C)
        out = ((flat @ self.vectors) * self.scale) @ self.vectors.T
        turned: Floats = np.ascontiguousarray(out.reshape(B, D, C).transpose(1, 0, 2)) * self.mask
        return turned

    def keep(self, active: NDArray[np.bool_]) -> None:
        self.scale, self.mask = self.scale[active], self.mask[active]


class _Blocks(_Preconditioner):
    """Inverses of the blocks of the Hessian that belong to one class each, for one fit of many classes.

    The `top` rows that carry most of a class's mass p (1 - p) enter its block one by one, the others by their
    total mass and the variance of every feature. So each block is a diagonal plus a product of rank `top`, and
    its inverse is s (I - R^T R) s (Woodbury) with s [C, D] and R [C, top, D].
    """

    def __init__(self, problem: _Problem, P: Floats, squares: Floats, top: int | None = None) -> None:
        from scipy.linalg import lapack

        rows, w, ridge = problem.X, problem.w, problem.ridge
        dtype = rows.dtype
        D, n_classes = rows.shape[1], P.shape[2]
        top = _block_top(len(rows), D) if top is None else top
        variance = (squares.T @ w[:, 0]).astype(np.float64) / problem.total[0]
        mass = np.ascontiguousarray((P[:, 0] * (1 - P[:, 0]) * w[:, :1]).T)
        factor, solve = (lapack.spotrf, lapack.strtrs) if dtype == np.float32 else (lapack.dpotrf, lapack.dtrtrs)
        self.s = np.empty((n_classes, D), dtype)
        self.R = np.empty((n_classes, top, D), dtype)
        self.present = problem.present[0]
        self.ridge = dtype.type(ridge)
        for c in range(n_classes):
            m = mass[c]
            heavy = np.argpartition(m, len(m) - top)[len(m) - top:]
            light = max(float(m.sum(dtype=np.float64) - m[heavy].sum(dtype=np.float64)), 0.0)
            s = (1.0 / np.sqrt(light * variance + ridge)).astype(dtype)
            Q = rows[heavy] * np.sqrt(m[heavy])[:, None] * s
            K = Q @ Q.T
            K[np.arange(top), np.arange(top)] += 1
            L, info = factor(K, lower=1)
            if info != 0:  # cannot be but by rounding; the diagonal alone is a preconditioner too
                self.R[c] = 0
            else:
                self.R[c] = solve(L, Q, lower=1)[0]
            self.s[c] = s

    def __call__(self, r: Floats) -> Floats:
        # A step common to all classes moves no probability: along it the Hessian is the ridge and nothing else.
        v = np.zeros_like(self.s)
        v[self.present] = r[:, 0, :].T[self.present]
        common = v[self.present].mean(axis=0)
        v[self.present] -= common
        v *= self.s
        for c, R in enumerate(self.R):
            v[c] -= R.T @ (R @ v[c])
        v *= self.s
        common[:-1] /= self.ridge
        common[-1] = 0  # the intercepts have no ridge
        v[self.present] += common - v[self.present].mean(axis=0)
        return np.ascontiguousarray(v.T)[:, None, :]

    def among(self, present: NDArray[np.bool_]) -> _Blocks:
        """The same blocks for a fit that has only these classes."""
        other = copy(self)
        other.present = present
        return other

    def keep(self, active: NDArray[np.bool_]) -> None:
        pass  # a batch of one is left only when it is finished


class _Problem:
    """Rows, labels and weights of a batch of fits sharing one pass over the rows."""

    def __init__(self, X: Floats, y: Ints, w: Floats, present: NDArray[np.bool_], ridge: float) -> None:
        self.X, self.y, self.w, self.ridge = X, y, w, ridge  # X [n, D] with a last column of ones; w [n, B]
        self.present = present
        self.floor = np.where(present, 0.0, -1e30).astype(X.dtype)
        self.total = w.sum(axis=0, dtype=np.float64)

    def keep(self, active: NDArray[np.bool_]) -> _Problem:
        return _Problem(self.X, self.y, np.ascontiguousarray(self.w[:, active]), self.present[active], self.ridge)

    def evaluate(self, V: Floats) -> tuple[NDArray[np.float64], Floats, Floats]:
        """Objective [B], probabilities and weighted residuals [n, B, C] at V [D, B, C]."""
        n, (D, B, C) = len(self.X), V.shape
        z = (self.X @ V.reshape(D, B * C)).reshape(n, B, C)
        zy = np.empty((n, B), z.dtype)
        _shift(z, self.floor, self.y, zy)
        np.exp(z, out=z)
        loss = np.zeros(B)
        residual = np.empty_like(z)
        _normalise(z, zy, self.y, self.w, residual, loss)
        penalty = np.einsum("kbc,kbc->b", V[:-1], V[:-1], dtype=np.float64)
        return loss + 0.5 * self.ridge * penalty, z, residual

    def pull_back(self, T: Floats, V: Floats) -> Floats:
        """X^T T + ridge V, the intercept row left unpenalised."""
        n, B, C = T.shape
        out = (self.X.T @ T.reshape(n, B * C)).reshape(-1, B, C)
        out[:-1] += self.X.dtype.type(self.ridge) * V[:-1]
        return out

    def hessian_product(self, P: Floats, S: Floats) -> Floats:
        n, (D, B, C) = len(self.X), S.shape
        u = (self.X @ S.reshape(D, B * C)).reshape(n, B, C)
        _curve(u, P, self.w)
        return self.pull_back(u, S)

    def diagonal(self, P: Floats, squares: Floats) -> _Diagonal:
        n, B, C = P.shape
        h = P * (1 - P) * self.w[:, :, None]
        diag = (squares.T @ h.reshape(n, B * C)).reshape(-1, B, C)
        # a floor of half the ridge keeps the intercept of a nearly separable class from an endless step
        return _Diagonal(1.0 / np.maximum(diag + self.ridge, self.ridge))


def _dot(a: Floats, b: Floats) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.einsum("kbc,kbc->b", a, b).astype(np.float64)
    return out


def _blockwise(n: int, n_fits: int, n_classes: int) -> bool:
    return n_fits == 1 and n_classes > _JOINT_CLASSES and n >= _BLOCK_ROWS


def _block_top(n: int, D: int) -> int:
    # of the order of the square root of the rows, building the blocks costs about as much as two or three products
    return min(_BLOCK_TOP, math.isqrt(n), D)


def _newton(problem: _Problem, V: Floats, squares: Floats, dense: _Dense | None, tol: float, max_iter: int,
            blocks: _Blocks | None = None) -> tuple[Floats, NDArray[np.int64], NDArray[np.float64],
                                                    NDArray[np.bool_], NDArray[np.float64]]:
    """Truncated Newton on all fits of the batch; finished fits leave it. `blocks` those to begin with, if any."""
    B = V.shape[1]
    dtype = V.dtype
    answer = V.copy()
    steps = np.zeros(B, np.int64)
    error = np.full(B, np.inf)
    final = np.zeros(B)
    done = np.zeros(B, bool)
    live = np.arange(B)
    blockwise = dense is None and _blockwise(len(problem.X), B, V.shape[2])
    # at V = 0 all rows weigh the same and the diagonal is exact; elsewhere blocks, unless they are given
    inner = _BLOCK_PRODUCTS if blocks is None and V.any() else 0
    nearby = False
    before = np.full(B, np.inf)  # squared decrement of the last step, to notice the floor of the arithmetic
    slack = 2e-7 if dtype == np.float32 else 1e-14
    value, P, R = problem.evaluate(V)
    for _ in range(max_iter + 1):
        goal = tol**2 * np.maximum(problem.total, 1e-30)
        g = problem.pull_back(R, V)
        M: _Preconditioner
        if blockwise and inner >= _BLOCK_PRODUCTS:
            if blocks is not None and nearby and _dot(g, blocks(g))[0] <= goal[0]:
                pass  # finished by the measure of the last blocks, so new ones would be for nothing
            else:
                blocks = _Blocks(problem, P, squares)
        if dense is not None:
            M = dense
        elif blocks is not None:
            M = blocks
        else:
            M = problem.diagonal(P, squares)
        r = -g
        z = M(r)
        rz = _dot(r, z)
        error[live] = np.sqrt(np.maximum(rz, 0.0) / np.maximum(problem.total, 1e-30))
        answer[:, live] = V
        final[live] = value
        finished = rz <= goal
        done[live[finished]] = True
        if finished.all():
            break
        floored = (rz > 0.25 * before[live]) & (rz < slack * np.abs(value))
        before[live] = rz
        exhausted = finished | floored | (steps[live] >= max_iter)
        if exhausted.all():
            break
        if exhausted.any():
            on = ~exhausted
            problem, live, V, value = problem.keep(on), live[on], np.ascontiguousarray(V[:, on]), value[on]
            P, r, z, rz, goal = np.ascontiguousarray(P[:, on]), r[:, on], z[:, on], rz[on], goal[on]
            g = g[:, on]
            M.keep(on)
        # conjugate gradients to a residual that shrinks with the gradient, never beyond what tol asks for
        start = rz.copy()
        nearby = bool((start <= problem.total).all())  # within about one nat of the answer
        forcing = np.clip(np.sqrt(start / np.maximum(problem.total, 1e-30)), 0.01, 0.3)
        stop = np.maximum(forcing**2 * start, 0.1 * goal)
        S = np.zeros_like(V)
        p = np.ascontiguousarray(z)
        for inner in range(1, 201):  # noqa: B007
            Hp = problem.hessian_product(P, p)
            curve = _dot(p, Hp)
            alpha = np.where((rz > stop) & (curve > 0), rz / np.where(curve > 0, curve, 1.0), 0.0)
            a = alpha.astype(dtype)[None, :, None]
            S += a * p
            r = r - a * Hp
            z = M(r)
            new = _dot(r, z)
            if not ((new > stop) & (alpha > 0)).any():
                break
            beta = np.where(alpha > 0, new / np.where(rz > 0, rz, 1.0), 0.0)
            rz = np.where(alpha > 0, new, rz)
            p = z + beta.astype(dtype)[None, :, None] * p
        slope = _dot(g, S)
        t = np.ones(len(live))
        stuck = np.zeros(len(live), bool)
        for halving in range(31):
            trial = V + t.astype(dtype)[None, :, None] * S
            new_value, P, R = problem.evaluate(trial)
            worse = new_value > value + 1e-4 * t * slope + slack * np.abs(value)
            if not worse.any():
                break
            if halving == 30:
                stuck = worse
                t = np.where(worse, 0.0, t)
                trial = V + t.astype(dtype)[None, :, None] * S
                new_value, P, R = problem.evaluate(trial)
                break
            t = np.where(worse, 0.5 * t, t)
        V, value = trial, new_value
        steps[live] += 1
        steps[live[stuck]] = max_iter
    return answer, steps, error, done, final


def _rounded_share(w: Floats, n: int) -> float:
    return round(20 * float(w.sum(dtype=np.float64)) / n) / 20


def _blocks_by_share(problem: _Problem, V: Floats, squares: Floats, weights: Sequence[Floats]) -> dict[float, _Blocks]:
    """Blocks at the fit V of all rows, scaled to each share of the weight that two or more subsets have."""
    n = len(problem.X)
    if not _blockwise(n, 1, V.shape[2]):
        return {}
    count = Counter(_rounded_share(w, n) for w in weights if len(w) >= _BLOCK_ROWS)
    shares = sorted(share for share, fits in count.items() if share > 0 and fits > 1)
    if not shares:
        return {}
    _, P, _ = problem.evaluate(V)
    out = {}
    for share in shares:
        w = problem.w * problem.w.dtype.type(share)
        out[share] = _Blocks(_Problem(problem.X, problem.y, w, problem.present, problem.ridge), P, squares)
    return out


def _coarse_start(problem: _Problem, tol: float, max_iter: int) -> Floats | None:
    """Where to begin one fit of many classes: the fit of every fourth row of each class, [D, 1, C].

    Far from the answer Newton steps are long and wasteful, so they are taken on fewer rows; the penalty shrinks
    with their weight. None when the rows are too few for this to pay.
    """
    n, D = problem.X.shape
    n_classes = problem.present.shape[1]
    if n < _COARSE_SHARE * _BLOCK_ROWS or n_classes <= _JOINT_CLASSES:
        return None
    order = np.argsort(problem.y, kind="stable")
    ends = np.searchsorted(problem.y[order], problem.y[order])  # where the class of each row begins
    chosen = np.sort(order[(np.arange(n) - ends) % _COARSE_SHARE == 0])
    w = problem.w[chosen]
    rows = problem.X[chosen]
    ridge = problem.ridge * float(w.sum(dtype=np.float64) / problem.total[0])
    part = _Problem(rows, problem.y[chosen], w, problem.present, ridge)
    first = _coarse_start(part, tol, max_iter)
    V = np.zeros((D, 1, n_classes), rows.dtype) if first is None else first
    return _newton(part, V, rows**2, None, max(tol, _COARSE_TOL), max_iter)[0]


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Basis:
    """The features centred and turned: X = rows[:, :-1] @ turn.T + mean; the last column of rows is one.

    Neither changes an L2-regularised fit with a free intercept; both make its Hessian close to diagonal.
    """

    rows: Floats
    mean: Floats
    turn: Floats | None

    def rows_of(self, X: Floats) -> Floats:
        """Other rows [m, d] in these coordinates [m, d + 1]."""
        centred = X.astype(self.rows.dtype) - self.mean
        out = np.ones((len(X), self.rows.shape[1]), self.rows.dtype)
        out[:, :-1] = centred if self.turn is None else centred @ self.turn
        return out

    def inward(self, W: Floats, b: Floats) -> Floats:
        """[B, C, d], [B, C] in the caller's coordinates -> [D, B, C] here."""
        inner = W if self.turn is None else W @ self.turn
        shift = b + W @ self.mean
        return np.ascontiguousarray(np.concatenate([inner.transpose(2, 0, 1), shift[None]]).astype(self.rows.dtype))

    def outward(self, V: Floats) -> tuple[Floats, Floats]:
        W = np.ascontiguousarray(V[:-1].transpose(1, 2, 0))
        if self.turn is not None:
            W = W @ self.turn.T
        return W, V[-1] - W @ self.mean


def basis_of(X: Floats) -> Basis:
    """Centre X [n, d] and, up to 1024 features, turn it into the eigenbasis of its covariance."""
    n, d = X.shape
    mean = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    rows = np.empty((n, d + 1), X.dtype)
    turn = None
    if 1 < d <= _ROTATE_MAX:
        centred = X - mean
        _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        turn = np.ascontiguousarray(vectors.astype(X.dtype))
        np.matmul(centred, turn, out=rows[:, :-1])
    else:
        np.subtract(X, mean, out=rows[:, :-1])
    rows[:, -1] = 1
    return Basis(rows, mean, turn)


def _checked(X: Floats, y: Ints, n_classes: int, weights: Floats | None,
             subsets: Sequence[Ints] | None, C: float) -> tuple[Floats, Ints]:
    if X.ndim != 2 or X.dtype not in (np.float32, np.float64):
        raise ValueError(f"X must be a float32 or float64 matrix, got {X.dtype} of {X.ndim} dimensions")
    if y.shape != (len(X),) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"y must be {len(X)} integers, got {y.dtype} of shape {y.shape}")
    if len(X) == 0:
        raise ValueError("no rows to fit on")
    if n_classes < 2 or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"labels must lie in 0..n_classes-1 with n_classes >= 2, got {y.min()}..{y.max()} "
                         f"for n_classes={n_classes}")
    if not C > 0:
        raise ValueError(f"C must be positive, got {C}")
    if weights is not None and subsets is not None:
        raise ValueError("give weights or subsets, not both")
    if weights is not None and (weights.ndim != 2 or weights.shape[1] != len(X)):
        raise ValueError(f"weights must be [fits, {len(X)}], got {weights.shape}")
    if weights is not None and not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be finite and not negative")
    if not np.isfinite(X).all():
        raise ValueError("X has values that are not finite")
    return np.ascontiguousarray(X), np.ascontiguousarray(y.astype(np.int64))


def fit(X: Floats, y: Ints, n_classes: int, *, weights: Floats | None = None,
        subsets: Sequence[Ints] | None = None, C: float = 1.0, tol: float = 1e-5, max_iter: int = 100,
        start: Heads | None = None) -> Heads:
    """Fit one head on all rows, or one per row of `weights` [B, n], or one per index array of `subsets`.

    Args: X [n, d] float32 or float64 (the arithmetic follows it); y [n] integers in 0..n_classes-1; an index
    repeated in a subset counts that often. `C` as in scikit-learn. `tol` bounds the root-mean-square error of
    the training log-odds, estimated by the Newton decrement; at the default, probabilities of unseen rows were
    within 3e-4 of the exact ones on unscaled pixels and within 1e-5 on unit-length embeddings. `start`
    one head, or one per fit, to begin from; it changes the time and not the answer.

    Raises ValueError for shapes, labels, weights or values outside the above, and for a fit without any row.
    """
    X, y = _checked(X, y, n_classes, weights, subsets, C)
    if n_classes <= _JOINT_CLASSES:
        return _fit(X, y, n_classes, weights, subsets, C, tol, max_iter, start)
    # Many classes: hundreds of small products a step, for which a second BLAS thread is waited longer than it helps.
    # The fits of a batch run side by side instead. (scipy is loaded first, so that its BLAS is held to one thread too.)
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        return _fit(X, y, n_classes, weights, subsets, C, tol, max_iter, start)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fit(X: Floats, y: Ints, n_classes: int, weights: Floats | None, subsets: Sequence[Ints] | None, C: float, tol: float,
         max_iter: int, start: Heads | None) -> Heads:
    n, d = X.shape
    dtype = X.dtype
    ridge = 1.0 / C
    basis = basis_of(X)
    plan: list[tuple[Ints, Floats]] = []  # rows and their weights, per fit
    if weights is not None:
        for row in weights:
            used = np.flatnonzero(row)
            plan.append((used, row[used].astype(dtype)))
    elif subsets is not None:
        for subset in subsets:
            held, count = np.unique(np.asarray(subset, dtype=np.int64), return_counts=True)
            if len(held) and (held[0] < 0 or held[-1] >= n):
                raise ValueError(f"a subset holds row {held[0] if held[0] < 0 else held[-1]} of {n} rows")
            plan.append((held, count.astype(dtype)))
    else:
        every: Ints = np.arange(n)
        plan.append((every, np.ones(n, dtype)))
    if any(len(index) == 0 for index, _ in plan):
        raise ValueError(f"fit {next(k for k, (i, _) in enumerate(plan) if len(i) == 0)} has no rows")
    B = len(plan)
    if start is not None and len(start) not in (1, B):
        raise ValueError(f"start must hold 1 or {B} heads, got {len(start)}")
    squares = basis.rows**2

    present = np.zeros((B, n_classes), bool)
    for k, (index, _) in enumerate(plan):
        present[k, y[index]] = True
    D = d + 1
    V = np.zeros((D, B, n_classes), dtype)
    if start is not None:
        V[:] = basis.inward(start.W.astype(dtype), start.b.astype(dtype))

    # Many fits: fit all rows once; its solution starts the large ones and its Hessian may serve them all.
    dense_parts: tuple[Floats, Floats] | None = None
    cold = start is None and B < _MANY
    shared_blocks: dict[float, _Blocks] = {}
    full_mass = float(n)
    if B >= _MANY:
        all_rows = np.ones((n, 1), dtype)
        seen = np.zeros((1, n_classes), bool)
        seen[0, y] = True
        problem = _Problem(basis.rows, y, all_rows, seen, ridge)
        first = V[:, :1].copy() if start is not None and len(start) == 1 else _coarse_start(problem, tol, max_iter)
        if first is None:
            first = np.zeros((D, 1, n_classes), dtype)
        close = _REFERENCE_TOL if n_classes > _JOINT_CLASSES else 1e-2
        reference = _newton(problem, first, squares, None, max(tol, close), max_iter)[0]
        if start is None:
            V[:] = reference
            shared_blocks.update(_blocks_by_share(problem, reference, squares, [c for i, c in plan if len(i) < n]))
        if D * n_classes <= _DENSE_MAX:
            _, P, _ = problem.evaluate(reference)
            dense_parts = _full_hessian(basis.rows, P[:, 0])
    V *= present[None]

    iterations = np.zeros(B, np.int64)
    error, final = np.zeros(B), np.zeros(B)
    converged = np.zeros(B, bool)

    def run(members: list[int], rows: Floats, labels: Ints, w: Floats, sq: Floats) -> None:
        problem = _Problem(rows, labels, w, present[members], ridge)
        dense = None
        if dense_parts is not None:
            share = problem.total / full_mass
            dense = _Dense(*dense_parts, ridge, share, present[members])
        begin = None
        if cold and len(members) == 1:
            begin = _coarse_start(problem, tol, max_iter)
        if begin is None:
            begin = np.ascontiguousarray(V[:, members])
        blocks = None
        if _blockwise(len(rows), len(members), n_classes):
            blocks = shared_blocks.get(_rounded_share(w, n))
            blocks = None if blocks is None else blocks.among(problem.present[0])
        out, steps, err, ok, value = _newton(problem, begin, sq, dense, tol, max_iter, blocks)
        V[:, members] = out
        iterations[members], error[members], converged[members], final[members] = steps, err, ok, value

    joint = [k for k, (index, _) in enumerate(plan) if B > 1 and len(index) >= 0.25 * n and n_classes <= _JOINT_CLASSES]
    width = max(1, _JOINT_CELLS // (n * n_classes))
    for s in range(0, len(joint), width):
        members = joint[s:s + width]
        w = np.zeros((n, len(members)), dtype)
        for j, k in enumerate(members):
            w[plan[k][0], j] = plan[k][1]
        run(members, basis.rows, y, w, squares)
    shared = set(joint)
    apart = [k for k in range(B) if k not in shared]

    def run_one(k: int) -> None:
        index, count = plan[k]
        everything = len(index) == n
        rows = basis.rows if everything else basis.rows[index]
        run([k], rows, y if everything else y[index], count[:, None], squares if everything else rows**2)

    def run_apart(members: list[int]) -> None:
        if n_classes > _JOINT_CLASSES and len(members) > 1:
            with ThreadPoolExecutor(min(_cores(), len(members))) as side_by_side:
                list(side_by_side.map(run_one, members))
        else:
            for k in members:
                run_one(k)

    small = [k for k in apart if len(plan[k][0]) * D * n_classes < _SHARED_WORK]
    if small:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):  # too little work to wait for a second thread
            run_apart(small)
    done = set(small)
    run_apart([k for k in apart if k not in done])

    held = np.where(present, V[-1].astype(np.float64), 0.0)
    V[-1] = V[-1] - (held.sum(axis=1) / present.sum(axis=1))[:, None].astype(dtype)
    V *= present[None]
    W, b = basis.outward(V)
    lowest = np.where(present, b, np.inf).min(axis=1)
    b = np.where(present, b, lowest[:, None] - dtype.type(ABSENT_GAP)).astype(dtype)
    return Heads(W, b, iterations, error, converged, final, present)


def _full_hessian(rows: Floats, P: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues and vectors of sum_i (diag(p)-pp^T) (x) x x^T, parameters ordered [D, C]."""
    D, C = rows.shape[1], P.shape[1]
    H = np.empty((D, C, D, C))
    for a in range(C):
        for c in range(a, C):
            s = P[:, a] * ((1.0 if a == c else 0.0) - P[:, c])
            H[:, a, :, c] = rows.T @ (rows * s[:, None])
            H[:, c, :, a] = H[:, a, :, c]
    values, vectors = np.linalg.eigh(H.reshape(D * C, D * C))
    return np.maximum(values, 0.0), np.ascontiguousarray(vectors.astype(rows.dtype))


# ---------------------------------------------------------------------------------------------------------
# using heads


def logits(heads: Heads, X: Floats) -> Floats:
    """[B, n, C]; mind the memory with many heads and rows (see `log_prob_of`, `predict`)."""
    out: Floats = np.matmul(X[None], heads.W.transpose(0, 2, 1)) + heads.b[:, None, :]
    return out


def log_softmax(z: Floats) -> Floats:
    """log softmax over the last axis, same shape."""
    shifted = z - z.max(axis=-1, keepdims=True)
    out: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return out


def predict_proba(heads: Heads, X: Floats) -> Floats:
    """Class probabilities [B, n, C]."""
    return np.exp(log_softmax(logits(heads, X)))


def predict(heads: Heads, X: Floats) -> NDArray[np.int64]:
    """Most probable class [B, n], computed head by head."""
    out = np.empty((len(heads), len(X)), np.int64)
    for k in range(len(heads)):
        out[k] = (X @ heads.W[k].T + heads.b[k]).argmax(axis=1)
    return out


def log_prob_of(heads: Heads, X: Floats, y: Ints) -> NDArray[np.float64]:
    """Log-probability in nats of label y[j] for row j under every head [B, n]; minus it is the loss."""
    out = np.empty((len(heads), len(X)))
    for k in range(len(heads)):
        z = (X @ heads.W[k].T + heads.b[k]).astype(np.float64)
        out[k] = log_softmax(z)[np.arange(len(X)), y]
    return out


def margin_of(heads: Heads, X: Floats, y: Ints) -> NDArray[np.float64]:
    """Log-odds in nats of label y[j] against all other classes, log p/(1-p), under every head [B, n]."""
    out = np.empty((len(heads), len(X)))
    rows = np.arange(len(X))
    for k in range(len(heads)):
        z = (X @ heads.W[k].T + heads.b[k]).astype(np.float64)
        own = z[rows, y].copy()
        z[rows, y] = -np.inf
        top = z.max(axis=1)
        out[k] = own - top - np.log(np.exp(z - top[:, None]).sum(axis=1))
    return out


def stratified_folds(y: Ints, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold number [n] of each row, every class spread as evenly over the folds as its size allows."""
    if not 2 <= folds <= len(y):
        raise ValueError(f"folds must lie in 2..{len(y)} (the number of rows), got {folds}")
    shuffled = rng.permutation(len(y))
    order = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % folds  # dealt on from class to class, so fold sizes differ by one at most
    return fold


def cross_val_probs(X: Floats, y: Ints, n_classes: int, folds: int = 5, repeats: int = 1, *,
                    rng: np.random.Generator, C: float = 1.0, tol: float = 1e-5) -> Floats:
    """Out-of-fold class probabilities [n, C]: each row is judged by heads that never saw it.

    With `repeats` > 1 the probabilities of the repeats, each with new folds, are averaged.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    held_out: list[Ints] = []
    for _ in range(repeats):
        fold = stratified_folds(y, folds, rng)
        held_out += [np.flatnonzero(fold == f) for f in range(folds)]
    everything = np.arange(len(y))
    # Few fits at a time when they do not share their passes anyway: each then begins from rows of its own, and
    # what `tol` leaves undone cannot remember the labels held out.
    width = len(held_out) if n_classes <= _JOINT_CLASSES else _MANY - 1
    out = np.zeros((len(y), n_classes), X.dtype)
    for s in range(0, len(held_out), width):
        group = held_out[s:s + width]
        heads = fit(X, y, n_classes, subsets=[np.setdiff1d(everything, h, assume_unique=True) for h in group],
                    C=C, tol=tol)
        for k, rows in enumerate(group):
            out[rows] += predict_proba(heads.take(k), X[rows])[0]
    out /= repeats
    return out


def random_subsets(n: int, size: int, count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """`count` uniform subsets of `size` of n rows, each sorted."""
    if not 1 <= size <= n:
        raise ValueError(f"size must lie in 1..{n}, got {size}")
    return [np.sort(rng.permutation(n)[:size]) for _ in range(count)]


def masks_of(subsets: Iterable[Ints], n: int) -> NDArray[np.bool_]:
    """Membership [S, n] of the subsets."""
    rows = list(subsets)
    out = np.zeros((len(rows), n), bool)
    for k, subset in enumerate(rows):
        out[k, subset] = True
    return out
