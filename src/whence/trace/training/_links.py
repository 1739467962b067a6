"""From a matrix of effects to links: the strongest of either sign per question, or all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.core.evidence import Kind, Links, Route
from whence.core.pool import Pool
from whence.core.step import Step
from whence.models.observe import Observer


def strongest(effects: NDArray[Any], top: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(training row, question) of the entries of effects [n, m] to keep: per question the `top` highest and `top` lowest.

    Entries of 0 are never among the lowest or highest kept; ties go to the earlier row. None keeps all entries.
    """
    n, m = effects.shape
    if top is None or 2 * top >= n:
        rows, columns = np.divmod(np.arange(n * m), m)
        keep = effects[rows, columns] != 0
        rows, columns = rows[keep], columns[keep]
        order = np.lexsort((rows, columns))
        return rows[order], columns[order]
    rows_out, columns_out = [], []
    for q in range(m):
        order = np.argsort(-effects[:, q], kind="stable")
        high = order[:top][effects[order[:top], q] > 0]
        tail = order[::-1][:top]
        low = tail[effects[tail, q] < 0]
        both = np.concatenate([high, low])
        rows_out.append(both)
        columns_out.append(np.full(len(both), q))
    if not rows_out:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(rows_out), np.concatenate(columns_out)


def linked(
    pool: Pool, queries: Pool, effects: NDArray[Any], *, top: int | None, step: Step, high: str, unit: str,
    kind: Kind = "attributed", route: Route = "weights",
) -> Links:
    """Links queries -> pool with weights effects [len(pool), len(queries)]."""
    rows, columns = strongest(effects, top)
    return Links.between(queries, pool, columns, rows, effects[rows, columns], kind=kind, route=route, high=high, unit=unit,
                         step=step)


def inputs_of(pool: Pool, queries: Pool, observer: Observer) -> tuple[str, ...]:
    return (pool.fingerprint, queries.fingerprint, observer.fingerprint)


def by_id(pool: Pool) -> NDArray[np.int64]:
    """Rows of the pool in the order of their ids: what training goes through must not depend on the order of the file."""
    return np.argsort(np.array(pool.ids, dtype=np.str_), kind="stable").astype(np.int64)


def residuals(
    pool: Pool, queries: Pool, observer: Observer
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.int32]]:
    """X [n, d], p - onehot [n, C], Xq [m, d], p - onehot [m, C], labels of the questions [m]; float64."""
    head = observer.head(pool)
    X, Xq = observer.embeddings(pool).astype(np.float64), observer.embeddings(queries).astype(np.float64)
    y, yq = observer.codes(pool, head.names), known_labels(queries, head.names, observer)
    r, rq = (head.probs(rows).astype(np.float64) for rows in (observer.embeddings(pool), observer.embeddings(queries)))
    r[np.arange(len(y)), y] -= 1
    rq[np.arange(len(yq)), yq] -= 1
    return X, r, Xq, rq, yq


def known_labels(queries: Pool, names: tuple[str, ...], observer: Observer) -> NDArray[np.int32]:
    """Labels of the questions in the head's numbering. Raises NotCapable for a label that the head does not know."""
    from whence.core.errors import NotCapable

    codes = observer.codes(queries, names)
    if (codes < 0).any():
        raise NotCapable("A question has a label that the training data never shows, so no effect on it can be computed",
                         given=f"{int((codes < 0).sum())} of {len(codes)}", do="leave those questions out")
    return codes
