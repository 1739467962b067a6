from __future__ import annotations

import numpy as np
import pytest

from whence.select.dynamic.rescored_el2n import RescoredEL2N, error_norms


def test_error_norms_by_hand() -> None:
    def says(X: np.ndarray) -> np.ndarray:
        return np.array([[1.0, 0, 0], [1.0, 0, 0], [0.5, 0.25, 0.25]], np.float32)[: len(X)]

    found = error_norms(says, np.zeros((3, 2), np.float32), np.array([0, 1, 0], np.int32))
    np.testing.assert_allclose(found, [0, np.sqrt(2), np.sqrt(0.25 + 0.0625 + 0.0625)])


def test_blocks_change_nothing() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.random((9000, 3)).astype(np.float32), rng.integers(0, 3, 9000).astype(np.int32)
    X /= X.sum(1, keepdims=True)
    truth = np.linalg.norm(X - np.eye(3)[y], axis=1)
    np.testing.assert_allclose(error_norms(lambda rows: rows, X, y), truth, rtol=1e-5)


@pytest.mark.parametrize(("rounds", "full", "every", "scorings"), [(7, 1, 3, 2), (7, 1, 2, 3), (8, 2, 6, 1), (2, 2, 1, 0)])
def test_passes_by_hand(scene, blobs, rounds: int, full: int, every: int, scorings: int) -> None:
    at = scene(*blobs(120))
    made = RescoredEL2N(rounds=rounds, full=full, every=every)(at.pool, at.observer, at.ctx, budget=30, queries=at.queries)
    backward = full * 120 + (rounds - full) * 30
    assert made.backward == backward and made.forward == backward + scorings * 120
    assert made.drawn.min() >= full


def test_wrong_labels_are_what_it_keeps(scene, blobs) -> None:
    X, y = blobs(240, spread=0.2)
    wrong = np.arange(0, 240, 20)
    for i in wrong:
        y[i] = "c0" if y[i] != "c0" else "c1"
    at = scene(X, y)
    made = RescoredEL2N()(at.pool, at.observer, at.ctx, budget=24, queries=at.queries)
    assert made.drawn[wrong].mean() > 3 * np.delete(made.drawn, wrong).mean()


def test_dropped_examples_return(scene, blobs) -> None:
    at = scene(*blobs(240, spread=0.6))
    made = RescoredEL2N(rounds=13, full=1, every=1)(at.pool, at.observer, at.ctx, budget=24, queries=at.queries)
    assert len(set(made.drawn.tolist())) > 2, "the chosen are not the same in every round"
