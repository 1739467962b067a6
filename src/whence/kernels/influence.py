"""Influence of training rows on the outputs of a softmax head, and the scores it is held against.

The head minimises F = sum_i w_i loss_i + ||W||^2 / (2 C) (`softmax_head`). With r_i = p_i - onehot(y_i) the
gradient of loss_i is the outer product r_i (x) [x_i, 1], and the Hessian of F is

    H = sum_i w_i (diag(p_i) - p_i p_i^T) (x) [x_i, 1][x_i, 1]^T + (1/C) on the weights, 0 on the intercepts.

**Sign, once for all functions here.** A value is the effect of the training row being present on an output that
is better when higher: output with the row minus output without it. Positive: the row helps that query. The
outputs are `log_prob` (of the query's label, in nats: minus its loss), `margin` (log p/(1-p), nats) and `logit`
(of the label, against the mean of all logits).

Two forms (Koh & Liang 2017, arXiv:1703.04730; Cook & Weisberg 1982 for the leverage):
`first_order` w_i g_q^T H^-1 g_i, whose sums over rows are the additive prediction a linear datamodeling score
tests; `leave_one_out` uses the Hessian without row i (a rank C-1 change, so one small system per row), which is
one full Newton step of the retraining. `leave_one_out` below goes on from there to the retrained head itself.

Small problems use the exact inverse; larger ones conjugate gradients preconditioned with the blocks of H that
belong to one class, and say their residuals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whence.kernels.softmax_head import Basis, Heads, basis_of, fit, log_softmax, logits

Floats = NDArray[Any]
Ints = NDArray[np.integer[Any]]
Output = Literal["log_prob", "margin", "logit"]
Form = Literal["first_order", "leave_one_out"]
Method = Literal["auto", "exact", "cg"]

_CELLS = 24_000_000  # rows x queries x classes held at once
_BLOCK_CELLS = 150_000_000  # entries of all class blocks together, beyond which CG falls back on the diagonal


@dataclass(frozen=True)
class Curvature:
    """A fitted head with what is needed to multiply by its inverse Hessian.

    `rows` [n, D] the training rows in `basis`, last column one; `P` [n, C] their probabilities; `residual`
    [n, C] p - onehot(y); `weights` [n]; `V` [D, C] the head in `basis`; `lift` [C, k] an orthonormal basis of
    the directions that matter (logits are only defined up to a shift, and classes never seen are left out);
    `inverse` [k * D, k * D] of the Hessian in those directions when the method is exact, else `blocks`
    [C, D, D] the inverses of the one-class blocks, or `diagonal` [D, C].
    """

    basis: Basis
    rows: Floats
    y: Ints
    P: Floats
    residual: Floats
    weights: Floats
    V: Floats
    ridge: float
    lift: Floats
    inverse: Floats | None
    blocks: Floats | None
    diagonal: Floats | None
    tol: float
    max_iter: int

    @property
    def method(self) -> str:
        """`exact` or `cg`."""
        return "cg" if self.inverse is None else "exact"


@dataclass(frozen=True)
class Solution:
    """`V` [D, m, C]: H^-1 times each query's gradient; `iterations` and relative `residual` [m] (0 if exact)."""

    V: Floats
    iterations: NDArray[np.int64]
    residual: NDArray[np.float64]


def curvature(X: Floats, y: Ints, W: Floats, b: Floats, *, weights: Floats | None = None, C: float = 1.0,
              method: Method = "auto", max_parameters: int = 4000, tol: float = 1e-3,
              max_iter: int = 200) -> Curvature:
    """Prepare the inverse Hessian of one head W [C, d], b [C] fitted to X [n, d], y [n] with the same C.

    `auto` is exact up to `max_parameters` = (classes - 1) * (d + 1), then float64 throughout; beyond, conjugate
    gradients in X's own precision to a relative residual of `tol`. Raises ValueError for shapes that disagree.
    """
    n_classes, d = W.shape
    if X.ndim != 2 or X.shape[1] != d or y.shape != (len(X),) or b.shape != (n_classes,):
        raise ValueError(f"X {X.shape}, y {y.shape}, W {W.shape} and b {b.shape} do not belong together")
    if weights is not None and (weights.shape != (len(X),) or not (weights >= 0).all()):
        raise ValueError(f"weights must be {len(X)} numbers, none negative")
    present = np.zeros(n_classes, bool)
    present[y if weights is None else y[weights > 0]] = True
    lift = _directions(present)
    exact = method == "exact" or (method == "auto" and lift.shape[1] * (d + 1) <= max_parameters)
    dtype = np.dtype(np.float64) if exact else X.dtype
    basis = basis_of(np.ascontiguousarray(X, dtype=dtype))
    rows = basis.rows
    w = np.ones(len(X), dtype) if weights is None else weights.astype(dtype)
    V = basis.inward(W[None].astype(dtype), b[None].astype(dtype))[:, 0]
    P = np.exp(log_softmax(rows @ V))
    residual = P.copy()
    residual[np.arange(len(y)), y] -= 1
    ridge = 1.0 / C
    inverse = blocks = diagonal = None
    if exact:
        inverse = _exact_inverse(rows, P, w, lift, ridge)
    elif n_classes * (d + 1) ** 2 <= _BLOCK_CELLS:
        blocks = _class_blocks(rows, P, w, ridge)
    else:
        diagonal = 1 / (rows.T**2 @ (P * (1 - P) * w[:, None]) + dtype.type(ridge))
    return Curvature(basis, rows, y, P, residual, w, V, ridge, lift.astype(dtype), inverse, blocks, diagonal, tol,
                     max_iter)


def _directions(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Orthonormal basis [C, k] of the vectors that sum to zero over the classes present."""
    k = int(present.sum())
    if k < 2:
        raise ValueError("influence needs at least two classes among the training rows")
    full = np.linalg.qr(np.column_stack([np.ones(k), np.eye(k)[:, : k - 1]]))[0][:, 1:]
    lift = np.zeros((len(present), k - 1))
    lift[present] = full
    return lift


def _exact_inverse(rows: Floats, P: Floats, w: Floats, lift: Floats, ridge: float) -> Floats:
    from scipy.linalg import lapack

    D, k = rows.shape[1], lift.shape[1]
    spread = P @ lift
    H = np.empty((k, D, k, D))
    for a in range(k):
        for c in range(a, k):
            s = w * (P @ (lift[:, a] * lift[:, c]) - spread[:, a] * spread[:, c])
            H[a, :, c, :] = rows.T @ (rows * s[:, None])
            if c > a:
                H[c, :, a, :] = H[a, :, c, :]
        H[a, np.arange(D - 1), a, np.arange(D - 1)] += ridge
    flat = H.reshape(k * D, k * D)
    factor, info = lapack.dpotrf(flat.T, lower=1, overwrite_a=1)
    if info == 0:
        inverse, info = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if info != 0:
        raise ValueError("the Hessian is not positive definite: check that W and b are a fit of these rows")
    lower = np.tril(inverse)
    out: Floats = lower + np.tril(inverse, -1).T
    return out


def _class_blocks(rows: Floats, P: Floats, w: Floats, ridge: float) -> Floats:
    D, n_classes = rows.shape[1], P.shape[1]
    out = np.empty((n_classes, D, D), rows.dtype)
    ends = np.full(D, ridge)
    ends[-1] = 1e-6 * ridge  # the intercept is free; this only keeps a class that is never probable invertible
    # The rows that carry most of a class enter its block one by one, the many others by their total mass and
    # the covariance of all rows: with 150 classes that is a tenth of the work and the same few iterations.
    top = 4 * D
    pooled = rows.T @ rows / len(rows)
    for c in range(n_classes):
        mass = w * P[:, c] * (1 - P[:, c])
        if len(rows) > 2 * top:
            heavy = np.argpartition(-mass, top)[:top]
            half = rows[heavy] * np.sqrt(mass[heavy])[:, None]
            block = (half.T @ half + pooled * (mass.sum() - mass[heavy].sum())).astype(np.float64)
        else:
            half = rows * np.sqrt(mass)[:, None]
            block = (half.T @ half).astype(np.float64)
        block[np.arange(D), np.arange(D)] += ends
        out[c] = np.linalg.inv(block)
    return out


# ---------------------------------------------------------------------------------------------------------


def output_gradient(P: Floats, y: Ints, output: Output = "log_prob") -> Floats:
    """Gradient [m, C] of each query's output in its logits, from its probabilities [m, C] and label [m]."""
    n_classes = P.shape[1]
    target = np.zeros_like(P)
    target[np.arange(len(y)), y] = 1
    if output == "log_prob":
        return target - P
    if output == "margin":
        own = P[np.arange(len(y)), y]
        # 1 - p from the other classes, so that a sure query loses no digits
        rest = np.where(target > 0, 0.0, P).sum(axis=1)
        out = -P / np.maximum(rest, np.finfo(P.dtype).tiny)[:, None]
        out[np.arange(len(y)), y] = np.where(rest > 0, 1.0, 1 - own)
        result: Floats = out
        return result
    if output == "logit":
        result = target - P.dtype.type(1.0 / n_classes)
        return result
    raise ValueError(f"output must be log_prob, margin or logit, got {output!r}")


def probabilities(curve: Curvature, Xq: Floats) -> Floats:
    """Class probabilities [m, C] of the head for other rows [m, d]."""
    return np.exp(log_softmax(curve.basis.rows_of(Xq) @ curve.V))


def solve(curve: Curvature, G: Floats) -> Solution:
    """H^-1 G for right sides G [D, m, C] in the coordinates of `curve.rows`."""
    G = (G @ curve.lift) @ curve.lift.T
    D, m, _ = G.shape
    if curve.inverse is not None:
        k = curve.lift.shape[1]
        flat = (G @ curve.lift).transpose(2, 0, 1).reshape(k * D, m)
        V = (curve.inverse @ flat).reshape(k, D, m).transpose(1, 2, 0) @ curve.lift.T
        return Solution(V, np.zeros(m, np.int64), np.zeros(m))
    return _conjugate_gradients(curve, G)


def _precondition(curve: Curvature, r: Floats) -> Floats:
    if curve.blocks is not None:
        z = np.matmul(curve.blocks, r.transpose(2, 0, 1)).transpose(1, 2, 0)
    else:
        assert curve.diagonal is not None
        z = r * curve.diagonal[:, None, :]
    return np.ascontiguousarray((z @ curve.lift) @ curve.lift.T)


def _conjugate_gradients(curve: Curvature, G: Floats) -> Solution:
    D, m, n_classes = G.shape
    n = len(curve.rows)
    dtype = G.dtype
    PW = curve.P[:, None, :]
    weight = curve.weights[:, None, None]

    def product(S: Floats) -> Floats:
        u = (curve.rows @ S.reshape(D, m * n_classes)).reshape(n, m, n_classes)
        u -= np.einsum("nmc,nc->nm", u, curve.P)[:, :, None]
        u *= PW
        u *= weight
        out = (curve.rows.T @ u.reshape(n, m * n_classes)).reshape(D, m, n_classes)
        out[:-1] += dtype.type(curve.ridge) * S[:-1]
        result: Floats = out
        return result

    def dot(a: Floats, b: Floats) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.einsum("kmc,kmc->m", a, b).astype(np.float64)
        return result

    V = np.zeros_like(G)
    r = G.copy()
    size = np.sqrt(dot(G, G))
    z = _precondition(curve, r)
    p = z.copy()
    rz = dot(r, z)
    iterations = np.zeros(m, np.int64)
    residual = np.where(size > 0, 1.0, 0.0)
    for _ in range(curve.max_iter):
        on = residual > curve.tol
        if not on.any():
            break
        Hp = product(p)
        bend = dot(p, Hp)
        on &= bend > 0
        alpha = np.where(on, rz / np.where(bend > 0, bend, 1.0), 0.0)
        a = alpha.astype(dtype)[None, :, None]
        V += a * p
        r -= a * Hp
        iterations += on
        residual = np.where(size > 0, np.sqrt(dot(r, r)) / np.where(size > 0, size, 1.0), 0.0)
        z = _precondition(curve, r)
        new = dot(r, z)
        beta = np.where(on, new / np.where(rz > 0, rz, 1.0), 0.0)
        rz = np.where(on, new, rz)
        p = z + beta.astype(dtype)[None, :, None] * p
        if not on.any():
            break
    return Solution(V, iterations, residual)


# ---------------------------------------------------------------------------------------------------------
# leverage and self-influence


def leverage(curve: Curvature) -> Floats:
    """K [n, k, k]: the change of row i's own logits per unit pull on them, in the directions `curve.lift`.

    Exact curvature only: 150 classes would ask for 22,000 numbers per row.
    """
    if curve.inverse is None:
        raise ValueError("leverage needs the exact method; raise max_parameters or use fewer classes")
    n, D = curve.rows.shape
    k = curve.lift.shape[1]
    inverse = curve.inverse.reshape(k, D, k, D)
    K = np.empty((n, k, k))
    for a in range(k):
        for c in range(a, k):
            K[:, a, c] = ((curve.rows @ inverse[a, :, c, :]) * curve.rows).sum(axis=1)
            K[:, c, a] = K[:, a, c]
    return K


def _row_curvature(curve: Curvature) -> Floats:
    """w_i (diag(p) - p p^T) in the directions of lift, [n, k, k]."""
    spread = curve.P @ curve.lift
    S = np.einsum("nc,ca,cb->nab", curve.P, curve.lift, curve.lift, optimize=True)
    S -= spread[:, :, None] * spread[:, None, :]
    S *= curve.weights[:, None, None]
    result: Floats = S
    return result


def _block_leverage(curve: Curvature) -> Floats:
    """Diagonal approximation [n, C] of the leverage from the one-class blocks."""
    if curve.blocks is None:
        assert curve.diagonal is not None
        return curve.rows**2 @ curve.diagonal
    from scipy.linalg import blas, lapack

    rows = curve.rows
    single = rows.dtype == np.float32
    multiply, factor = (blas.strmm, lapack.spotrf) if single else (blas.dtrmm, lapack.dpotrf)
    out = np.empty((len(rows), len(curve.blocks)), rows.dtype)
    for c, block in enumerate(curve.blocks):
        lower, info = factor(block, lower=1)
        for s in range(0, len(rows), 1024):  # parts that stay in the cache
            part = rows[s:s + 1024]
            if info == 0:  # x^T B x = |L^T x|^2 at half the multiplications
                turned = multiply(1.0, lower, part.T, side=0, lower=1, trans_a=1)
                np.einsum("di,di->i", turned, turned, out=out[s:s + 1024, c])
            else:
                np.einsum("id,id->i", part @ block, part, out=out[s:s + 1024, c])
    return out


def pull(curve: Curvature, form: Form = "first_order") -> Floats:
    """What removing row i leaves unbalanced in its logits, [n, C].

    `first_order`: w_i r_i. `leave_one_out`: (I - S_i K_i)^-1 w_i r_i, the same pull against the Hessian without
    row i; with conjugate gradients K_i is the class-block approximation.
    """
    r = curve.weights[:, None] * curve.residual
    if form == "first_order":
        return r
    if form != "leave_one_out":
        raise ValueError(f"form must be first_order or leave_one_out, got {form!r}")
    if curve.inverse is not None:
        K, S = leverage(curve), _row_curvature(curve)
        system = np.eye(K.shape[1])[None] - S @ K
        corrected: Floats = np.linalg.solve(system, (r @ curve.lift)[:, :, None])[:, :, 0] @ curve.lift.T
        return corrected
    corrected = _pull_by_blocks(curve, _block_leverage(curve)).astype(r.dtype)
    return corrected


def _pull_by_blocks(curve: Curvature, k: Floats) -> Floats:
    # I - w (diag(p) - p p^T) diag(k) is diagonal plus rank one: Sherman-Morrison. For a row the head is sure of
    # the two parts nearly cancel, which single precision does not survive.
    P, weights = curve.P.astype(np.float64), curve.weights.astype(np.float64)[:, None]
    P /= P.sum(axis=1, keepdims=True)
    r = P.copy()
    own = np.arange(len(P)), curve.y
    r[own] = 0
    r[own] = -r.sum(axis=1)
    r *= weights
    wp = weights * P
    scale = np.maximum(1 - wp * k, 1e-6)
    base, column = r / scale, wp / scale
    row = P * k
    result: Floats = base - column * ((row * base).sum(axis=1) / (1 + (row * column).sum(axis=1)))[:, None]
    return result


def self_influence(curve: Curvature, form: Form = "first_order") -> NDArray[np.float64]:
    """Effect [n] of each row on the log-probability of its own label, in nats; high: only the row itself says so.

    Exact when the curvature is; with conjugate gradients the class-block approximation, whose order is right and
    whose values are within a factor of two (0.7 to 1.8 on digits).
    """
    if curve.inverse is not None:
        K, q = leverage(curve), pull(curve, form)
        result: NDArray[np.float64] = np.einsum("na,nab,nb->n", curve.residual @ curve.lift, K, q @ curve.lift, optimize=True)
        return result
    k = _block_leverage(curve)
    q = _pull_by_blocks(curve, k) if form == "leave_one_out" else pull(curve, form)
    result = (curve.residual * k * q).sum(axis=1).astype(np.float64)
    return result


# ---------------------------------------------------------------------------------------------------------
# influence


def influence_blocks(curve: Curvature, Xq: Floats, yq: Ints, *, output: Output = "log_prob",
                     form: Form = "first_order") -> Iterator[tuple[slice, Floats, Solution]]:
    """Column blocks of `influence_on`: (which queries, effects [n, m'], the solve with its residuals)."""
    G = output_gradient(probabilities(curve, Xq), yq, output)
    rows_q = curve.basis.rows_of(Xq)
    q = pull(curve, form)
    n, D = curve.rows.shape
    n_classes = q.shape[1]
    width = max(1, min(len(Xq), _CELLS // (n * n_classes), _CELLS // (D * n_classes)))
    for s in range(0, len(Xq), width):
        part = slice(s, min(s + width, len(Xq)))
        right = np.einsum("md,mc->dmc", rows_q[part], G[part])
        solution = solve(curve, np.ascontiguousarray(right))
        m = solution.V.shape[1]
        moved = (curve.rows @ np.ascontiguousarray(solution.V).reshape(D, m * n_classes)).reshape(n, m, n_classes)
        # removing row i moves the head by +H^-1 g_i; with minus without is minus that
        yield part, -np.einsum("nmc,nc->nm", moved, q), solution


def influence_on(curve: Curvature, Xq: Floats, yq: Ints, *, output: Output = "log_prob",
                 form: Form = "first_order") -> Floats:
    """Effects [n, m] of each training row being present on the output of each query; positive: it helps."""
    out = np.empty((len(curve.rows), len(Xq)), curve.rows.dtype)
    for part, values, _ in influence_blocks(curve, Xq, yq, output=output, form=form):
        out[:, part] = values
    return out


def influence_on_mean(curve: Curvature, Xq: Floats, yq: Ints, *, output: Output = "log_prob",
                      form: Form = "first_order") -> tuple[Floats, Solution]:
    """Effects [n] on the mean output of the queries (one solve for all of them), and that solve."""
    G = output_gradient(probabilities(curve, Xq), yq, output)
    right = curve.basis.rows_of(Xq).T @ G / len(Xq)
    solution = solve(curve, np.ascontiguousarray(right[:, None, :]))
    return -((curve.rows @ solution.V[:, 0]) * pull(curve, form)).sum(axis=1), solution


@dataclass(frozen=True)
class LeaveOneOut:
    """`effects` [n, m]; `steps` [n] Newton steps taken; `refitted` [n] rows the solver had to fit afresh."""

    effects: Floats
    steps: NDArray[np.int64]
    refitted: NDArray[np.bool_]


def leave_one_out(curve: Curvature, Xq: Floats, yq: Ints, *, output: Output = "log_prob", tol: float = 1e-5,
                  max_steps: int = 8) -> LeaveOneOut:
    """Effects [n, m] of each row by really retraining without it, outputs recomputed: truth, not a prediction.

    Newton steps from the full fit, each with the Hessian of the full fit minus the removed row, until the
    Newton decrement is `tol` times that of the first step; a row whose steps do not at least halve the decrement
    is fitted by the solver instead. Exact curvature only, of a head fitted tightly (float64, tol 1e-8 or less); the cost is n
    gradients of the whole objective for each step beyond the first.
    """
    if curve.inverse is None:
        raise ValueError("leave_one_out needs the exact method")
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")
    n, D = curve.rows.shape
    lift, k = curve.lift, curve.lift.shape[1]
    n_classes = len(lift)
    rows_q = curve.basis.rows_of(Xq)
    zq = rows_q @ curve.V
    base = _outputs(zq, yq, output)
    K, S = leverage(curve), _row_curvature(curve)
    first = pull(curve, "leave_one_out") @ lift
    begin = np.einsum("na,nab,nb->n", curve.weights[:, None] * (curve.residual @ lift), K, first, optimize=True)
    z0 = curve.rows @ curve.V
    V = (curve.V @ lift).T  # [k, D]
    out = np.empty((n, len(Xq)))
    taken = np.ones(n, np.int64)
    settled = begin <= 1e-24
    width = max(1, min(_CELLS // (max(n, len(Xq)) * n_classes), _CELLS // (k * D)))
    for s in range(0, n, width):
        block = np.arange(s, min(s + width, n))
        delta = ((first[block][:, :, None] * curve.rows[block][:, None, :]).reshape(len(block), k * D)
                 @ curve.inverse).reshape(len(block), k, D)
        before = begin[block].copy()
        on = ~settled[block]
        for _ in range(max_steps):
            if not on.any():
                break
            who = block[on]
            step, size = _leave_one_out_step(curve, delta[on], who, K, S, z0, V)
            good = size <= tol**2 * begin[who]
            settled[who[good]] = True
            go = ~good & (size <= 0.25 * before[on]) & (taken[who] < max_steps)
            # the step of a settled row is in hand already, so take it too
            delta[on] -= step * (go | good)[:, None, None]
            taken[who[go | good]] += 1
            before[on] = size
            on[on] = go
        moved = (rows_q @ delta.reshape(-1, D).T).reshape(len(Xq), len(block), k) @ lift.T
        moved += zq[:, None, :]
        out[block] = base[None] - _outputs(moved.transpose(1, 0, 2), yq, output)
    left = np.flatnonzero(~settled)
    for s in range(0, len(left), 256):
        part = left[s:s + 256]
        w = np.repeat(curve.weights[None], len(part), axis=0)
        w[np.arange(len(part)), part] = 0
        start = Heads.starting(curve.V[:-1].T, curve.V[-1])
        heads = fit(curve.rows[:, :-1], curve.y, n_classes, weights=w, C=1 / curve.ridge, tol=1e-9, start=start)
        out[part] = base[None] - _outputs(logits(heads, rows_q[:, :-1]), yq, output)
    return LeaveOneOut(out, taken, ~settled)


def _leave_one_out_step(curve: Curvature, delta: Floats, who: Ints, K: Floats, S: Floats, z0: Floats,
                        V: Floats) -> tuple[Floats, NDArray[np.float64]]:
    """Newton steps [B, k, D] and squared decrements [B] of the objectives without row who[j], at V + delta[j]."""
    assert curve.inverse is not None
    n, D = curve.rows.shape
    lift = curve.lift
    B, k = delta.shape[:2]
    R = (curve.rows @ delta.reshape(B * k, D).T).reshape(n, B, k) @ lift.T
    R += z0[:, None, :]
    R -= R.max(axis=2, keepdims=True)
    np.exp(R, out=R)
    R /= R.sum(axis=2, keepdims=True)
    R[np.arange(n), :, curve.y] -= 1
    R *= curve.weights[:, None, None]
    R[who, np.arange(B)] = 0
    g = ((R @ lift).reshape(n, B * k).T @ curve.rows).reshape(B, k, D)
    g[:, :, :-1] += curve.ridge * (V[None] + delta)[:, :, :-1]
    h = (g.reshape(B, k * D) @ curve.inverse).reshape(B, k, D)
    # Woodbury: the Hessian without row i is H minus S_i on the pulls of row i
    u = np.einsum("bad,bd->ba", h, curve.rows[who])
    v = np.linalg.solve(np.eye(k)[None] - S[who] @ K[who], S[who] @ u[:, :, None])[:, :, 0]
    extra = (v[:, :, None] * curve.rows[who][:, None, :]).reshape(B, k * D) @ curve.inverse
    step = h + extra.reshape(B, k, D)
    return step, np.einsum("bad,bad->b", g, step)


def _outputs(z: Floats, y: Ints, output: Output) -> Floats:
    """Outputs [..., m] of logits [..., m, C]."""
    label = np.arange(len(y)), y
    own: Floats
    if output == "log_prob":
        own = log_softmax(z)[..., label[0], label[1]]
        return own
    if output == "margin":
        others = z.copy()
        others[..., label[0], label[1]] = -np.inf
        top = others.max(axis=-1)
        own = z[..., label[0], label[1]] - top - np.log(np.exp(others - top[..., None]).sum(axis=-1))
        return own
    if output == "logit":
        own = z[..., label[0], label[1]] - z.mean(axis=-1)
        return own
    raise ValueError(f"output must be log_prob, margin or logit, got {output!r}")


# ---------------------------------------------------------------------------------------------------------
# the same factored gradients without curvature, as contrast. r [n, C], rq [m, C] are p - onehot(y); a row of
# features stands for itself and the constant 1 of the intercept.


def gradient_dot(X: Floats, r: Floats, Xq: Floats, rq: Floats) -> Floats:
    """Inner products [n, m] of loss gradients; positive: a gradient step on the row helps the query."""
    result: Floats = (X @ Xq.T + 1) * (r @ rq.T)
    return result


def gradient_cosine(X: Floats, r: Floats, Xq: Floats, rq: Floats) -> Floats:
    """Cosines [n, m] of loss gradients; 0 where a gradient vanishes."""
    size = np.sqrt(((X**2).sum(axis=1) + 1) * (r**2).sum(axis=1))
    size_q = np.sqrt(((Xq**2).sum(axis=1) + 1) * (rq**2).sum(axis=1))
    scale = size[:, None] * size_q[None, :]
    result: Floats = np.divide(gradient_dot(X, r, Xq, rq), scale, out=np.zeros_like(scale), where=scale > 0)
    return result


def representer_values(X: Floats, r: Floats, Xq: Floats, yq: Ints, *, weights: Floats | None = None,
                       C: float = 1.0) -> Floats:
    """Each row's term [n, m] in the logit of the query's label, -C w_i r_i[y_q] <x_i, x_q>.

    At the optimum W = -C sum_i w_i r_i (x) x_i, so the sum over rows is the logit less its intercept
    (Yeh et al. 2018, arXiv:1811.09720, for a head whose intercept is not penalised).
    """
    alpha = r if weights is None else weights[:, None] * r
    return -C * (X @ Xq.T) * alpha[:, yq]


def tracin(X: Floats, r: Floats, Xq: Floats, rq: Floats, rates: Floats) -> Floats:
    """Sum over checkpoints of rate * <gradient, gradient> [n, m]; r [T, n, C], rq [T, m, C], rates [T].

    Pruthi et al. 2020, arXiv:2002.08484, for a linear head on fixed features: its checkpoints differ only in r.
    """
    if not len(r) == len(rq) == len(rates):
        raise ValueError(f"{len(r)}, {len(rq)} checkpoints and {len(rates)} rates do not agree")
    inner = np.zeros((r.shape[1], rq.shape[1]), np.result_type(r, rq))
    for rate, a, b in zip(rates, r, rq, strict=True):
        inner += rate * (a @ b.T)
    return (X @ Xq.T + 1) * inner


def relative_influence(values: Floats, own: Floats) -> Floats:
    """values [n, m] / sqrt(self-influence) [n]: RelatIF of Barshan et al. 2020 (arXiv:2003.11630), l-variant.

    Keeps globally odd rows, whose self-influence is large, from heading every list. Rows without influence on
    themselves keep value 0.
    """
    scale = np.sqrt(np.maximum(own, 0.0))[:, None]
    return np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearDatamodelingScore:
    """`mean` Spearman correlation over the queries where it is defined, its `interval`, `per_query` values of
    the queries listed in `queries`, and how many were `undefined` (an output or a prediction that never moves)."""

    mean: float
    interval: tuple[float, float]
    per_query: NDArray[np.float64]
    queries: NDArray[np.int64]
    undefined: int


def lds(effects: Floats, masks: NDArray[np.bool_], outputs: Floats, *, rng: np.random.Generator,
        level: float = 0.95, resamples: int = 1000) -> LinearDatamodelingScore:
    """Linear datamodeling score: does the sum of the effects of the rows kept order the retrained outputs?

    Args: effects [n, m] (or [n], the same for every query), masks [S, n] the rows each retrained head saw,
    outputs [S, m] its outputs, better when higher (log-probability or margin). Per query the Spearman correlation
    over the S heads between the summed effects and the outputs (Park et al. 2023, arXiv:2303.14186); the
    interval is a percentile bootstrap over queries. 1: perfect order, 0: none.
    Raises ValueError when no query has a defined correlation, or for fewer than 3 heads.
    """
    from scipy.stats import rankdata

    if masks.ndim != 2 or outputs.ndim != 2 or len(masks) != len(outputs) or masks.shape[1] != len(effects):
        raise ValueError(f"effects {effects.shape}, masks {masks.shape}, outputs {outputs.shape} do not agree")
    if len(masks) < 3:
        raise ValueError(f"a rank correlation needs at least 3 retrained heads, got {len(masks)}")
    table = effects if effects.ndim == 2 else np.repeat(effects[:, None], outputs.shape[1], axis=1)
    predicted = rankdata(masks.astype(np.float64) @ table.astype(np.float64), axis=0)
    actual = rankdata(outputs, axis=0)
    predicted -= predicted.mean(axis=0)
    actual -= actual.mean(axis=0)
    scale = np.sqrt((predicted**2).sum(axis=0) * (actual**2).sum(axis=0))
    queries = np.flatnonzero(scale > 0)
    if len(queries) == 0:
        raise ValueError("no query's output moves between the retrained heads: the score is undefined")
    values = (predicted * actual).sum(axis=0)[queries] / scale[queries]
    draws = values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return LinearDatamodelingScore(float(values.mean()), (float(low), float(high)), values, queries,
                                   outputs.shape[1] - len(queries))
