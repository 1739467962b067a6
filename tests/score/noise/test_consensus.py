from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.noise.consensus import Consensus, neighbour_votes, pooled_probability


def test_a_logarithmic_pool_by_hand() -> None:
    p, q = np.array([[0.8, 0.2]]), np.array([[0.2, 0.8]])
    np.testing.assert_allclose(pooled_probability([np.log(p), np.log(q)], [1, 1]), [[0.5, 0.5]])
    # 0.8^(2/3) 0.2^(1/3) against 0.2^(2/3) 0.8^(1/3): odds 4^(1/3)
    odds = 4 ** (1 / 3)
    np.testing.assert_allclose(pooled_probability([np.log(p), np.log(q)], [2, 1]), [[odds / (1 + odds), 1 / (1 + odds)]])
    np.testing.assert_allclose(pooled_probability([np.log(p), np.log(q)], [1, 0]), p)


def test_neighbours_vote_by_nearness() -> None:
    angles = np.deg2rad([0, 10, 60])
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    votes = neighbour_votes(X, np.array([0, 1, 0]), 2, 2, temperature=0.05)
    near, far = 1.0, np.exp((np.cos(np.pi / 3) - np.cos(np.deg2rad(10))) / 0.05)
    total = near + far
    np.testing.assert_allclose(votes[0], [(2 * far / total + 0.5) / 3, (2 * near / total + 0.5) / 3], rtol=1e-4)
    np.testing.assert_allclose(votes.sum(axis=1), 1.0)


def test_meaning_and_words_together_find_more_than_meaning(make_world) -> None:
    world = make_world(n=300, spread=0.45)  # the vectors overlap; the words do not
    both = auroc(world.wrong, Consensus()(world.pool, world.observer, world.ctx).values)
    alone = auroc(world.wrong, 1 - world.observer.class_probs(world.pool).probs[np.arange(300), world.pool.labels.codes])
    assert both > 0.99 and both > alone


def test_the_order_of_the_file_does_not_matter(world) -> None:
    there = Consensus()(world.pool, world.observer, world.ctx)
    again = Consensus()(world.permuted(), world.observer, world.ctx)
    assert max(abs(there[i] - again[i]) for i in world.pool.ids) < 1e-4
