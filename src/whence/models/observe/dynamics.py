"""Training dynamics: what small networks said of every example, epoch by epoch, while they were trained on the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whence.core.errors import BadInput
from whence.core.pool import Pool

if TYPE_CHECKING:
    from whence.models.observe.observer import Observer

#: One hidden layer of 128 units, three seeds, sixteen epochs. A linear head hardly ever fits a wrong label, so its
#: variability and transitions say nothing (AUROC of variability for 10 % planted flips of TREC-6 with MiniLM: 0.11); this
#: network learns the pattern in the first epochs and the exceptions in the last ones, so early errors, transitions and
#: spread all tell something (EL2N after two epochs 0.973, mean probability 0.979, learning order 0.969, variability 0.80), at
#: 2 CPU seconds there and 7 on 15,000 rows of 150 classes.
EPOCHS, SEEDS, HIDDEN, RATE = 16, 3, 128, 1e-3


def batch_size(n: int) -> int:
    """Rows of a minibatch: 128, or fewer where a small pool would otherwise take fewer than 32 steps in an epoch; 16 at least."""
    return min(128, max(16, n // 32))


@dataclass(frozen=True)
class Dynamics:
    """Arrays [seeds, epochs, n] in pool order, taken at the end of each epoch.

    `p_label` probability of the given label; `p_other` the largest of another class; `error_norm` ||p - onehot||_2;
    `grad_norm` the norm of the loss gradient in all parameters; `entropy` and `loss` in nats; `predicted` the class (int32).
    `codes` int32 [n] the given labels, `names` the classes. `query_p` [seeds, epochs, m] is the probability of the given
    label of query rows that were not trained on (None without a query).
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]
    p_label: NDArray[np.float32]
    p_other: NDArray[np.float32]
    error_norm: NDArray[np.float32]
    grad_norm: NDArray[np.float32]
    entropy: NDArray[np.float32]
    loss: NDArray[np.float32]
    predicted: NDArray[np.int32]
    query_p: NDArray[np.float32] | None = None

    @property
    def seeds(self) -> int:
        return int(self.p_label.shape[0])

    @property
    def epochs(self) -> int:
        return int(self.p_label.shape[1])


_ARRAYS = ("p_label", "p_other", "error_norm", "grad_norm", "entropy", "loss", "predicted")


def dynamics(pool: Pool, observer: Observer, query: Pool | None = None) -> Dynamics:
    """Train the networks on a labelled pool and look at it, and at `query`, after every epoch.

    Raises NotCapable without labels, BadInput when a query row has no label or one that the pool lacks.
    """
    y = observer.labelled(pool, "training dynamics")
    names = pool.labels.names
    yq = None
    if query is not None:
        yq = observer.codes(query, names)
        if (yq < 0).any():
            first = query.ids[int(np.flatnonzero(yq < 0)[0])]
            raise BadInput(f"The query example {first} has no label of '{pool.name}'", legal=names,
                           do="label it, or leave it out")

    def make() -> dict[str, NDArray[np.generic]]:
        from whence.kernels.training_dynamics import Schedule, train_heads

        # rows go in by id, so that batches do not depend on the order of the file
        order = np.argsort(np.array(pool.ids))
        X = widened(observer.embeddings(pool))
        plan = Schedule(epochs=EPOCHS, seeds=SEEDS, hidden=HIDDEN, batch_size=batch_size(len(y)), rate=RATE)
        Xq = None if query is None else widened(observer.embeddings(query))
        with observer.ctx.task("train small networks", None):
            found = train_heads(X[order], y[order], len(names), plan, rng=observer.ctx.rng("dynamics"), grad_norm=True,
                                Xq=Xq, yq=yq)
        back = np.argsort(order)
        arrays: dict[str, NDArray[np.generic]] = {name: getattr(found.train, name)[:, :, back] for name in _ARRAYS}
        if found.queries is not None:
            arrays["query_p"] = found.queries.p_label
        return arrays

    key = {"observable": "dynamics", "version": 2, "pool": pool.fingerprint, "by": observer.fingerprint,
           "query": None if query is None else query.fingerprint,
           "plan": [EPOCHS, SEEDS, HIDDEN, RATE]}
    arrays = observer.ctx.store.once(key, make)
    return Dynamics(names, y, **{name: np.asarray(array) for name, array in arrays.items()})


def widened(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit rows [n, d] times sqrt(d), so that each coordinate has about unit variance, as the network's start expects."""
    return X * np.float32(X.shape[1] ** 0.5)
