"""Datamodels: retrain on many random subsets, and regress each question's margin on which examples were there.

Ilyas et al. 2022, "Datamodels: Predicting Predictions from Training Data" (arXiv:2202.00622). No gradient is looked at, so
nothing is assumed but that effects add up; the price is the retraining. The paper trains hundreds of thousands of networks;
here the model is the convex head, whose fits share their work, and some hundreds are affordable: often fewer subsets than
examples, so weights are rough and `quality` says how rough (2,000 questions of TREC-6: linear datamodeling score 0.36 with
200 subsets, 0.59 with 500, 0.76 with 1,000). The paper's lasso has one penalty per question, chosen on held-out
subsets; ours is chosen by cross-validation. With `ridge` no example's weight is forced to zero.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Finding, Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import by_id, inputs_of, known_labels, linked

LEAST = 10
_HELD = 5  # every fifth subset judges the others in `quality`


@method
class Datamodels:
    """Weight of each training example in a linear model of each question's margin, in nats of log-odds."""

    card: ClassVar[Card] = Card(
        line="Retrains on many random subsets and regresses each question's margin on which examples were there.",
        papers=(Paper("Datamodels: Predicting Predictions from Training Data", "Ilyas et al.", 2022, "arXiv:2202.00622"),),
        needs=("text", "labels", "embeddings", "head"),
        cost="`subsets` fits of the head, then a lasso path per question",
        status="stable",
        presets={"ridge-datamodels": Preset({"estimator": "ridge"},
                                            "Squares of weights are penalised instead of sizes: none is forced to 0.")},
    )

    subsets: int = param(500, "random subsets that the head is retrained on", ge=20)
    share: float = param(0.5, "share of the examples in each subset", gt=0, lt=1)
    estimator: str = param("lasso", "how margins are regressed on membership", choices=("lasso", "ridge"))

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        from whence.kernels.datamodel import fit

        rows = by_id(pool)
        masks, margins = self._retrained(pool, queries, observer, ctx, rows)
        rng = ctx.rng("datamodels/folds")
        found = fit(masks, margins, rng=rng, estimator=self.estimator)  # type: ignore[arg-type]
        weights = np.empty((len(pool), len(queries)))
        weights[rows] = found.weights
        step = step_of(self, seed=ctx.seed, inputs=inputs_of(pool, queries, observer))
        return linked(pool, queries, weights, top=top, step=step,
                      high="the example being there raises the log-odds of the question's label", unit="nats of log-odds")

    def quality(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context) -> Finding:
        """Correlation of predicted and true margins on a fifth of the subsets that neither weights nor penalties saw.

        Mean over the questions with a percentile bootstrap over them; high: the weights predict retraining.
        """
        from whence.kernels.datamodel import correlations, fit

        masks, margins = self._retrained(pool, queries, observer, ctx, by_id(pool))
        held = np.arange(len(masks)) % _HELD == 0
        rng = ctx.rng("datamodels/folds")
        found = fit(masks[~held], margins[~held], rng=rng, estimator=self.estimator)  # type: ignore[arg-type]
        each = correlations(found.predict(masks[held]), margins[held])
        draws = each[ctx.rng("datamodels/interval").integers(0, len(each), (1000, len(each)))].mean(axis=1)
        low, high = (float(v) for v in np.quantile(draws, [0.025, 0.975]))
        value = float(each.mean())
        words = (f"predicted and retrained margins correlate at {value:.2f} over {int(held.sum())} subsets that the weights "
                 "never saw")
        return Finding("datamodel quality", value, (low, high), "Pearson correlation", words,
                       step_of(self, seed=ctx.seed, inputs=inputs_of(pool, queries, observer)))

    def _retrained(
        self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Membership [subsets, n] of the rows in the given order, and margins [subsets, m] of the questions."""
        from whence.kernels.softmax_head import fit, margin_of, masks_of, random_subsets

        y = observer.labelled(pool, "retraining")
        if len(y) < LEAST:
            raise NotCapable("Datamodels need examples to leave out", given=len(y), legal=f"{LEAST} or more")
        if not len(queries):
            raise NotCapable("Datamodels need a question", given="no queries")
        head = observer.head(pool)
        yq = known_labels(queries, head.names, observer)
        size = min(max(round(self.share * len(y)), 1), len(y) - 1)
        drawn = random_subsets(len(y), size, self.subsets, ctx.rng("datamodels/subsets"))

        def make() -> dict[str, NDArray[np.float64]]:
            X, Xq = observer.embeddings(pool)[rows], observer.embeddings(queries)
            margins = np.empty((self.subsets, len(queries)))
            with ctx.task("retrain on random subsets", self.subsets) as advance:
                for s in range(0, self.subsets, 50):
                    heads = fit(X, y[rows], len(head.names), subsets=drawn[s : s + 50], C=head.C, tol=1e-3)
                    margins[s : s + len(heads)] = margin_of(heads, Xq, yq)
                    advance(len(heads))
            return {"margins": margins}

        key = {"observable": "datamodels/margins", "version": 1, "pool": pool.fingerprint, "queries": queries.fingerprint,
               "by": observer.fingerprint, "C": head.C, "subsets": self.subsets, "share": self.share, "seed": ctx.seed}
        return masks_of(drawn, len(y)), np.asarray(ctx.store.once(key, make)["margins"])
