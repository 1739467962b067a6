from __future__ import annotations

import numpy as np
import pytest

from whence.core.catalogue import build
from whence.select.coreset.k_center import KCenter


def farthest_first(X: np.ndarray, k: int, chosen: list[int]) -> list[int]:
    """The greedy rule, one distance at a time."""
    new: list[int] = []
    if not chosen:
        new = [int(((X - X.mean(0)) ** 2).sum(1).argmin())]
    while len(new) < k:
        gap = np.min([((X - X[j]) ** 2).sum(1) for j in [*chosen, *new]], axis=0)
        gap[[*chosen, *new]] = -1
        new.append(int(gap.argmax()))
    return new


def test_by_hand(scene) -> None:
    """On a line: the middle first, then the two ends, then the largest gap."""
    X = np.array([[0.0, 0], [1, 0], [4.5, 0], [5, 0], [10, 0]])
    at = scene(X)
    assert at.rows(KCenter()(at.pool, at.observer, at.ctx, budget=4).kept) == [2, 4, 0, 1]


def test_it_is_greedy(scene, blobs) -> None:
    at = scene(blobs(60)[0])
    made = at.rows(KCenter()(at.pool, at.observer, at.ctx, budget=20).kept)
    assert made == farthest_first(blobs(60)[0].astype(float), 20, [])
    assert at.rows(KCenter()(at.pool, at.observer, at.ctx, budget=8).kept) == made[:8]


def test_outliers_are_passed_over(scene) -> None:
    X = np.concatenate([np.linspace(0, 1, 20), [50.0]])[:, None] * np.ones((1, 2))
    at = scene(X)
    assert 20 in at.rows(KCenter()(at.pool, at.observer, at.ctx, budget=3).kept)
    assert 20 not in at.rows(KCenter(outliers=0.05)(at.pool, at.observer, at.ctx, budget=3).kept)


@pytest.mark.parametrize("k", [1, 12, 50])
def test_the_labelled_are_covered_ground(scene, blobs, k: int) -> None:
    X = blobs(60)[0]
    labels = ["c" if i % 6 == 0 else None for i in range(60)]
    at = scene(X, labels)
    made = build("core-set", verb="select")(at.pool, at.observer, at.ctx, budget=k)
    assert at.rows(made.kept) == farthest_first(X.astype(float), k, list(range(0, 60, 6)))
    assert {made.dropped[at.pool.ids[i]] for i in range(0, 60, 6)} == {"labelled already"}
    without = scene(X)
    assert KCenter(from_labelled=True)(without.pool, without.observer, without.ctx, budget=9).kept == (
        KCenter()(without.pool, without.observer, without.ctx, budget=9).kept)


def test_labelled_ones_come_when_nothing_else_is_left(scene, blobs) -> None:
    at = scene(blobs(10)[0], ["c"] * 7 + [None] * 3)
    made = at.rows(KCenter(from_labelled=True)(at.pool, at.observer, at.ctx, budget=5).kept)
    assert set(made[:3]) == {7, 8, 9} and all(i < 7 for i in made[3:])
