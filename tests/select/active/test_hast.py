from __future__ import annotations

import numpy as np

from whence.select.active.hast import HAST, guess_weights, vetted


def test_neighbours_vet_guesses() -> None:
    """Two tight groups on a circle; one row of the first is guessed against its group, one guess is not sure."""
    angles = np.array([0.0, 1, 2, 3, 90, 91, 92, 93]) * np.pi / 180
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    p = np.array([[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 4)
    p[1] = [0.3, 0.7]
    p[5] = [0.5, 0.5 + 1e-9]
    trusted, guess = vetted(p, X, neighbors=3, agreement=0.5, confidence=0.6)
    assert guess.tolist() == [0, 1, 0, 0, 1, 1, 1, 1]
    assert trusted.tolist() == [True, False, True, True, True, False, True, True]
    assert not vetted(p, X, neighbors=3, agreement=0.7, confidence=0.6)[0][0], "two thirds are not enough now"


def test_one_row_has_no_neighbour() -> None:
    trusted, guess = vetted(np.array([[0.1, 0.9]]), np.ones((1, 2), np.float32), neighbors=3, agreement=0.5, confidence=0.5)
    assert not trusted.any() and guess.tolist() == [1]


def test_weights_by_hand() -> None:
    """Counts 3 and 1, mean 2: z = -1/3 and 1."""
    found = guess_weights(np.array([0, 0, 0, 1]), 2, 0.1)
    np.testing.assert_allclose(found, [1 / (1 + np.exp(1 / 3))] * 3 + [1 / (1 + np.exp(-1))])
    np.testing.assert_allclose(guess_weights(np.array([0, 1]), 2, 0.2), 1.0)


def test_without_trusted_guesses_it_is_margin_sampling(scene, blobs) -> None:
    from whence.select.active.uncertainty import Uncertainty

    X, y = blobs(90)
    at = scene(X, [label if i < 12 else None for i, label in enumerate(y)])
    # no share of neighbours exceeds one
    plain = HAST(agreement=0.999999, confidence=0.999999)(at.pool, at.observer, at.ctx, budget=10).kept
    assert plain == Uncertainty(measure="margin")(at.pool, at.observer, at.ctx, budget=10).kept


def test_guesses_change_what_is_asked(scene, blobs) -> None:
    X, y = blobs(240, spread=0.35)
    at = scene(X, [label if i < 9 else None for i, label in enumerate(y)])
    taught = HAST(beta=1.0)(at.pool, at.observer, at.ctx, budget=10).kept
    alone = HAST(agreement=0.999999, confidence=0.999999)(at.pool, at.observer, at.ctx, budget=10).kept
    assert taught != alone
