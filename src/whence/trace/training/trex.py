"""TREX: each training example's term in a kernel model over the leaves of boosted trees.

Brophy, Hammoudeh and Lowd 2023, "Adapting and Evaluating Influence-Estimation Methods for Gradient-Boosted Decision Trees"
(arXiv:2205.00359): representer points for trees. A softmax regression on the trees' leaves stands in for them; its score
is a sum over training examples, and a link is what striking out one term takes from the log-probability of the question's
label. Ours differs in that the surrogate is convex and solved to its optimum, has an intercept outside the sum, and weighs
a shared leaf by one over its size (the paper's code by its square).
"""

from __future__ import annotations

from typing import ClassVar

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.errors import OverBudget
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import inputs_of, linked
from whence.trace.training._trees import grown

_MOST = 6000  # rows of a decomposition: 6,000 cost about a minute and 300 MB


@method
class Trex:
    """What striking out each example's term from a surrogate of boosted trees takes from the question's label, in nats."""

    card: ClassVar[Card] = Card(
        line="Each training example's term in a kernel model over the leaves of boosted trees.",
        papers=(Paper("Adapting and Evaluating Influence-Estimation Methods for Gradient-Boosted Decision Trees",
                      "Brophy, Hammoudeh and Lowd", 2023, "JMLR 24, arXiv:2205.00359"),
                Paper("Representer Point Selection for Explaining Deep Neural Networks", "Yeh et al.", 2018, "arXiv:1811.09720")),
        needs=("text", "labels", "embeddings", "trees"),
        cost="growing rounds x classes trees, then a decomposition of examples or leaves, whichever is fewer",
    )

    rounds: int = param(50, "rounds of boosting, one tree per class in each", ge=1)
    depth: int = param(3, "questions from the root of a tree to a leaf", ge=1)
    rate: float = param(0.1, "share of each tree's step that is taken", gt=0, le=1)
    inverse_penalty: float = param(1.0, "of the surrogate, as C of scikit-learn; kernel of mean diagonal 1", gt=0)

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.tree_influence import trex

        trees = grown(pool, queries, observer, self.rounds, self.depth, self.rate)
        size = min(len(pool), len(trees.forest.value))
        if size > _MOST:
            raise OverBudget("The kernel over the leaves of the trees is too large to decompose", given=f"{size:,} rows",
                             legal=f"{_MOST:,} examples or leaves", do="take fewer rounds or less depth")
        effects = trees.back(trex(trees.forest, trees.leaves, trees.y, trees.asked, trees.classes, self.inverse_penalty))
        step = step_of(self, seed=observer.ctx.seed, inputs=inputs_of(pool, queries, observer))
        return linked(pool, queries, effects, top=top, step=step,
                      high="the example's term makes the question's label more probable", unit="nats")
