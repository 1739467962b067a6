"""TracIn: what the visits of gradient descent to each training example did to each question.

Pruthi et al. 2020, "Estimating Training Data Influence by Tracing Gradient Descent" (arXiv:2002.08484), in its form with
checkpoints: the inner products of the two loss gradients, summed over the checkpoints at the end of each epoch of a linear
head trained by plain stochastic gradient descent. Each is multiplied by the step that one visit takes (rate over batch
size), so that the sum is in nats. The head that is traced is this one, not the converged head of the other methods.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import by_id, inputs_of, known_labels, linked

_BATCH = 32


def checkpoint_effects(
    X: NDArray[np.float32], y: NDArray[np.int32], Xq: NDArray[np.float32], yq: NDArray[np.int32], n_classes: int, *, epochs: int,
    rate: float, rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Effects [n, m] in nats of training rows X [n, d] on queries Xq [m, d] over the epochs of one training."""
    from whence.kernels.influence import tracin
    from whence.kernels.training_dynamics import Schedule, train_heads

    own, asked = np.eye(n_classes, dtype=np.float32)[y], np.eye(n_classes, dtype=np.float32)[yq]
    r: list[NDArray[np.float32]] = []
    rq: list[NDArray[np.float32]] = []

    def look(seed: int, epoch: int, probabilities: object) -> None:
        assert callable(probabilities)
        r.append(probabilities(X) - own)
        rq.append(probabilities(Xq) - asked)

    batch = min(_BATCH, len(X))
    plan = Schedule(epochs=epochs, batch_size=batch, rate=rate, optimiser="sgd", momentum=0.0)
    train_heads(X, y, n_classes, plan, rng=rng, after_epoch=look)
    values = tracin(X.astype(np.float64), np.array(r, np.float64), Xq.astype(np.float64), np.array(rq, np.float64),
                    np.full(epochs, rate / batch))
    return np.asarray(values, dtype=np.float64)


@method
class TracIn:
    """Inner products of loss gradients along the training of a head, in nats."""

    card: ClassVar[Card] = Card(
        line="What the visits of gradient descent to each training example did to each question.",
        papers=(Paper("Estimating Training Data Influence by Tracing Gradient Descent", "Pruthi et al.", 2020,
                      "arXiv:2002.08484"),),
        needs=("text", "labels", "embeddings", "gradients"),
        cost="one short training, then a product of examples and questions per epoch",
    )

    epochs: int = param(20, "epochs of training, a checkpoint after each", ge=1)
    rate: float = param(0.5, "step size; embeddings of unit length bear up to 2", gt=0, le=2)

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        y = observer.labelled(pool, "tracing gradient descent")
        names = pool.labels.names
        yq = known_labels(queries, names, observer)
        rows = by_id(pool)  # so that batches do not depend on the order of the file
        effects = np.empty((len(pool), len(queries)))
        effects[rows] = checkpoint_effects(observer.embeddings(pool)[rows], y[rows], observer.embeddings(queries), yq, len(names),
                                           epochs=self.epochs, rate=self.rate, rng=ctx.rng("tracin"))
        step = step_of(self, seed=ctx.seed, inputs=inputs_of(pool, queries, observer))
        return linked(pool, queries, effects, top=top, step=step,
                      high="steps on the example made the question's label more probable", unit="nats")
