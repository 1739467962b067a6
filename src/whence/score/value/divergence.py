"""Divergence of an aligned pair: do the two sides still say the same? Learnt by ranking graded corruptions.

Briakou, Carpuat: Detecting Fine-Grained Cross-Lingual Semantic Divergences without Supervision by Learning to Rank (2020),
"Divergent mBERT". Pairs taken as equivalent are corrupted at several strengths, and a ranker learns with a margin that the
stronger corruption diverges more. Where we differ: the encoder is frozen and only a linear ranker on pair features
(|u - v|, u * v, cosine) is trained; corruptions are one word replaced by one of another pair, a phrase replaced, half of the
words dropped, and the whole side exchanged; there are no token tags. The paper scores equivalence; this score is high where the
sides DIVERGE, because the ranker is trained that way round.
"""

from __future__ import annotations

from collections.abc import Sequence
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

GRADES = ("equivalent", "one word", "a phrase", "half dropped", "exchanged")


@method
class Divergence:
    """The ranker's score of each pair: a corruption of one grade more should lie one margin higher. HIGH DIVERGES."""

    pairs: int = param(1500, "pairs that are corrupted to train the ranker, at most", ge=10)
    penalty: float = param(0.001, "L2 penalty on the ranker's weights", gt=0)

    card: ClassVar[Card] = Card(
        line="How far the two sides of a pair have come apart, learnt by ranking graded corruptions.",
        papers=(Paper("Detecting Fine-Grained Cross-Lingual Semantic Divergences without Supervision by Learning to Rank",
                      "Briakou, Carpuat", 2020, "arXiv:2010.03662"),),
        needs=("pair", "embeddings"),
        cost="encodes both sides, and four corrupted sides of a part of the pool",
    )

    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        if "pair" not in pool.roles:
            raise NotCapable("divergence needs pairs", given=", ".join(pool.columns), do="name the second side with --pair")
        left, right = ([("" if v is None else str(v)) for v in pool.column(role)] for role in ("text", "pair"))
        missing = {this: "one side is empty" for this, a,
                   b in zip(pool.ids, left, right, strict=True) if not a.strip() or not b.strip()}
        full = [i for i, this in enumerate(pool.ids) if this not in missing]
        if len(full) < 10:
            raise NotCapable("divergence needs pairs to learn from", given=f"{len(full)} with two sides", legal="10 or more")
        encode = observer.encoder.encode
        if hasattr(observer.encoder, "fit"):  # an encoder that is fitted to its texts must see both sides in one space
            encode = observer.encoder.fit([*left, *right], observer.ctx).encode
        full.sort(key=lambda i: pool.ids[i])
        rng = observer.ctx.rng("divergence")
        chosen = [full[i] for i in np.sort(rng.permutation(len(full))[: self.pairs])]
        sides = corruptions([right[i] for i in chosen], rng)
        u = encode([left[i] for i in chosen], observer.ctx)
        graded = np.stack([pair_features(u, encode(side, observer.ctx)) for side in sides])
        w = rank_weights(graded, self.penalty)
        out = pair_features(encode(left, observer.ctx), encode(right, observer.ctx)).astype(np.float64) @ w
        return Scores.of("divergence", pool, out, high="the two sides say different things", unit="margins of the ranker",
                         step=step_of(self, seed=ctx.seed, inputs=(pool.fingerprint, observer.fingerprint)), missing=missing)


def corruptions(texts: Sequence[str], rng: np.random.Generator) -> list[list[str]]:
    """The texts at each grade of `GRADES`, in that order; words of other texts are what is put in."""
    words = [t.split() for t in texts]
    n = len(texts)
    other = [(i + int(s)) % n for i, s in enumerate(rng.integers(1, max(n, 2), n))]
    out: list[list[str]] = [list(texts)]
    for grade in range(1, len(GRADES)):
        made = []
        for i, own in enumerate(words):
            foreign = words[other[i]]
            if grade == 4:
                made.append(texts[other[i]])
                continue
            if grade == 3:
                kept = sorted(rng.permutation(len(own))[: (len(own) + 1) // 2])
                made.append(" ".join(own[j] for j in kept))
                continue
            length = 1 if grade == 1 else max(2, len(own) // 3)
            at = int(rng.integers(0, max(len(own) - length, 0) + 1))
            start = int(rng.integers(0, max(len(foreign) - length, 0) + 1))
            made.append(" ".join([*own[:at], *foreign[start : start + length], *own[at + length :]]))
        out.append(made)
    return out


def pair_features(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """|u - v|, u * v and their sum (the cosine of unit vectors), side by side: [n, 2 d + 1] from two [n, d]."""
    product = u * v
    return np.hstack([np.abs(u - v), product, product.sum(axis=1, keepdims=True)]).astype(np.float32)


def rank_weights(graded: NDArray[np.floating], penalty: float) -> NDArray[np.float64]:
    """Weights [f] of the linear ranker for features graded [grades, n, f] of the same pairs, finest first.

    Minimises the mean over pairs and neighbouring grades of the squared hinge max(0, 1 - w.(coarser - finer))^2, plus
    `penalty` times ||w||^2: convex, by Newton's method on the active set.
    """
    D = (graded[1:] - graded[:-1]).reshape(-1, graded.shape[-1]).astype(np.float64)
    w = np.zeros(D.shape[1])
    ridge = penalty * np.eye(D.shape[1])

    def objective(v: NDArray[np.float64]) -> float:
        return float((np.maximum(0.0, 1.0 - D @ v) ** 2).mean() + penalty * v @ v)

    for _ in range(50):
        slack = np.maximum(0.0, 1.0 - D @ w)
        A = D[slack > 0]
        gradient = penalty * w - D.T @ slack / len(D)
        move = np.linalg.solve(A.T @ A / len(D) + ridge, gradient)
        t, value = 1.0, objective(w)
        while objective(w - t * move) > value - 1e-4 * t * 2 * float(gradient @ move) and t > 1e-6:
            t /= 2
        w = w - t * move
        if np.abs(t * move).max() <= 1e-9 * max(1.0, float(np.abs(w).max())):
            break
    return w
