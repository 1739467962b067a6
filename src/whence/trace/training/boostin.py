"""BoostIn: what each training example adds to the leaves of boosted trees that the question falls into.

Brophy, Hammoudeh and Lowd 2023, "Adapting and Evaluating Influence-Estimation Methods for Gradient-Boosted Decision Trees"
(arXiv:2205.00359): TracIn with boosting rounds for checkpoints. Where a tree puts both in one leaf, the example's part in
the leaf's value (its derivative in the example's weight) meets the slope of the question's loss. The sign is turned:
positive, the example raises the log-probability of the question's label. The trees are grown here, on the embeddings, by
scikit-learn, with Newton leaf values of our own; two classes get two trees a round.
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import inputs_of, linked
from whence.trace.training._trees import grown


@method
class BoostIn:
    """Effect of each training example on the log-probability that boosted trees give the question's label, in nats."""

    card: ClassVar[Card] = Card(
        line="What each training example adds to the leaves of boosted trees that the question falls into.",
        papers=(Paper("Adapting and Evaluating Influence-Estimation Methods for Gradient-Boosted Decision Trees",
                      "Brophy, Hammoudeh and Lowd", 2023, "JMLR 24, arXiv:2205.00359"),),
        needs=("text", "labels", "embeddings", "trees"),
        cost="growing rounds x classes trees, then one sparse product",
    )

    rounds: int = param(50, "rounds of boosting, one tree per class in each", ge=1)
    depth: int = param(3, "questions from the root of a tree to a leaf", ge=1)
    rate: float = param(0.1, "share of each tree's step that is taken", gt=0, le=1)

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.tree_influence import boostin

        trees = grown(pool, queries, observer, self.rounds, self.depth, self.rate)
        effects = trees.back(boostin(trees.forest, trees.leaves, trees.asked))
        step = step_of(self, seed=observer.ctx.seed, inputs=inputs_of(pool, queries, observer))
        return linked(pool, queries, effects, top=top, step=step,
                      high="the example being there makes the question's label more probable to the trees", unit="nats")
