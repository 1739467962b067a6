"""HAST: let vetted guesses of the head teach it too, then label next what it is least sure of.

Schroeder and Heyer 2024, "Self-Training for Sample-Efficient Active Learning for Text Classification with Pre-Trained
Language Models" (arXiv:2406.09206). A guess counts when its probability is above one half, and when most of its nearest
unlabelled neighbours are guessed alike. It then weighs `beta` of a label, times a factor that favours the classes with few
guesses (the code's 10 / (1 + exp(-z)), z = (mean count - count) / count). The paper embeds anew with a contrastively
tuned encoder each round; our embeddings are frozen. Its next query is that of the smallest margin (breaking ties).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whence.core.card import Card, Paper
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.select.active._queue import queue
from whence.select.active.uncertainty import doubt


def vetted(
    p: NDArray[np.float64], X: NDArray[np.float32], *, neighbors: int, agreement: float, confidence: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which guesses to trust [m], and all guesses [m], from probabilities p [m, C] and embeddings X [m, d] of unlabelled rows.

    A guess is trusted when it is the plurality guess of the row's nearest neighbours (itself not counted), more than
    `agreement` of them share it, and its probability is above `confidence`. Without a neighbour nothing is trusted.
    """
    from whence.kernels.neighbors import nearest

    guess = p.argmax(axis=1)
    k = min(neighbors, len(X) - 1)
    if k < 1:
        return np.zeros(len(X), bool), guess
    near = guess[nearest(X, X, k, exclude_self=True)[0]]
    votes = np.stack([(near == c).mean(axis=1) for c in range(p.shape[1])], axis=1)
    own = votes[np.arange(len(X)), guess]
    return (votes.argmax(axis=1) == guess) & (own > agreement) & (p.max(axis=1) > confidence), guess


def guess_weights(guesses: NDArray[np.int64], n_classes: int, beta: float) -> NDArray[np.float64]:
    """Weight [m] of each trusted guess: beta * 10 / (1 + exp(-z)); 5 beta for a class with the mean number of guesses."""
    counts = np.bincount(guesses, minlength=n_classes)
    z = (len(guesses) / n_classes - counts[guesses]) / np.maximum(counts[guesses], 1)
    return np.asarray(beta * 10 / (1 + np.exp(-z)))


@method
class HAST:
    """The least sure examples after self-training on neighbour-vetted guesses."""

    card: ClassVar[Card] = Card(
        line="Teach the head its own guesses where neighbours agree, then label next what it is least sure of.",
        papers=(Paper("Self-Training for Sample-Efficient Active Learning for Text Classification with Pre-Trained Language "
                      "Models", "Schroeder and Heyer", 2024, "arXiv:2406.09206"),),
        needs=("text", "some_labels", "embeddings"),
        cost="two fits of the head, and the neighbours of the unlabelled",
    )
    nested: ClassVar[bool] = True
    random: ClassVar[bool] = False

    neighbors: int = param(15, "neighbours that vote on a guess", ge=1)
    agreement: float = param(0.5, "share of them that must be guessed alike", ge=0, lt=1)
    confidence: float = param(0.5, "probability that a guess must exceed", ge=0, lt=1)
    beta: float = param(0.1, "weight of a guess against a label, before classes are balanced", gt=0)

    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        at = queue(pool, observer, budget, "self-training")
        p = at.probs()[0]
        trusted, guess = vetted(p, at.X[at.open], neighbors=self.neighbors, agreement=self.agreement, confidence=self.confidence)
        if trusted.any():
            y, weights = at.y.copy(), np.zeros(len(at.y))
            rows = at.open[trusted]
            y[rows], weights[at.known] = guess[trusted], 1.0
            weights[rows] = guess_weights(guess[trusted], len(at.names), self.beta)
            p = at.probs(weights[None], y)[0]
        step = step_of(self, inputs=(pool.fingerprint, observer.fingerprint))
        return at.first(doubt(p, "margin"), step, lambda v: f"its margin {1 - v:.4g} is wider than that of the chosen")
