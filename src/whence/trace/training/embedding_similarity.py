"""Nearest neighbours: cosine of embeddings.

The baseline that an attribution has to beat. With `signed` a neighbour with the question's label counts as helping and one
with another label as hurting.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whence.core.card import Card, Preset
from whence.core.context import Context
from whence.core.evidence import Links
from whence.core.method import method, param, step_of
from whence.core.pool import Pool
from whence.models.observe import Observer
from whence.trace.training._links import inputs_of, known_labels, linked


@method
class EmbeddingSimilarity:
    """Cosine between a question and each training example."""

    card: ClassVar[Card] = Card(
        line="Cosine of embeddings: what looking for similar rows gives.",
        needs=("text", "embeddings"),
        cost="one matrix product",
        status="baseline",
        presets={"label-similarity": Preset({"signed": True}, "Neighbours with another label count as hurting.")},
    )

    signed: bool = param(False, "count a neighbour with another label as negative")

    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        cosine = (observer.embeddings(pool) @ observer.embeddings(queries).T).astype(np.float64)
        if self.signed:
            # an unknown label is not the same as another unknown one
            own = observer.labelled(pool, "the sign of a neighbour")
            same = own[:, None] == known_labels(queries, pool.labels.names, observer)[None, :]
            cosine *= np.where(same, 1.0, -1.0)
        return linked(pool, queries, cosine, top=top, step=step_of(self, inputs=inputs_of(pool, queries, observer)), kind="near",
                      route="text", high="more alike" + (" and of the same label" if self.signed else ""), unit="cosine")
