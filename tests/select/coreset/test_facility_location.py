from __future__ import annotations

import itertools

import numpy as np
import pytest

from whence.core.catalogue import build
from whence.core.errors import NotCapable
from whence.select.coreset.facility_location import FacilityLocation


def cover(S: np.ndarray, rows: list[int]) -> float:
    return float(S[:, rows].max(axis=1).sum())


def greedy(S: np.ndarray, k: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(k):
        gains = [cover(S, [*chosen, j]) if j not in chosen else -1 for j in range(S.shape[1])]
        chosen.append(int(np.argmax(gains)))
    return chosen


def test_it_is_the_greedy_choice(scene, blobs) -> None:
    X = blobs(40)[0].astype(float)
    at = scene(X)
    S = 1 + at.observer.embeddings(at.pool).astype(float) @ at.observer.embeddings(at.pool).T.astype(float)
    made = at.rows(FacilityLocation()(at.pool, at.observer, at.ctx, budget=12).kept)
    assert made == greedy(S, 12)
    assert at.rows(FacilityLocation()(at.pool, at.observer, at.ctx, budget=5).kept) == made[:5]


def test_it_is_near_the_best_there_is(scene, blobs) -> None:
    X = blobs(14, spread=0.5)[0].astype(float)
    at = scene(X)
    S = 1 + X @ X.T
    made = cover(S, at.rows(FacilityLocation()(at.pool, at.observer, at.ctx, budget=3).kept))
    best = max(cover(S, list(rows)) for rows in itertools.combinations(range(14), 3))
    assert (1 - 1 / np.e) * best <= made <= best + 1e-6


def test_one_of_each_group_comes_first(scene, blobs) -> None:
    at = scene(blobs(60, classes=4, spread=0.1)[0])
    kept = at.rows(FacilityLocation()(at.pool, at.observer, at.ctx, budget=4).kept)
    assert {i % 4 for i in kept} == {0, 1, 2, 3}


def test_classes_share_the_budget_by_size(scene, blobs) -> None:
    X = blobs(40)[0]
    at = scene(X, ["a"] * 30 + ["b"] * 10)
    kept = at.rows(build("facility-location-by-class", verb="select")(at.pool, at.observer, at.ctx, budget=8).kept)
    assert sum(i < 30 for i in kept) == 6 and sum(i >= 30 for i in kept) == 2
    S = 1 + X.astype(float) @ X.T.astype(float)
    assert set(kept) == {*greedy(S[:30, :30], 6), *(30 + i for i in greedy(S[30:, 30:], 2))}


def test_by_class_needs_labels(scene, blobs) -> None:
    at = scene(blobs(12)[0])
    with pytest.raises(NotCapable, match="label"):
        FacilityLocation(by_class=True)(at.pool, at.observer, at.ctx, budget=3)
