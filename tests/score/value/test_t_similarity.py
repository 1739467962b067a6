from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.core.pool import Pool
from whence.kernels.ranking import auroc
from whence.score.value.t_similarity import TSimilarity, loss_gradient, pairwise_agreement


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_agreement_by_hand() -> None:
    P = np.array([[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]]])  # pairs: 0.5, 0, 0.5
    np.testing.assert_allclose(pairwise_agreement(P), [1 / 3])
    np.testing.assert_allclose(pairwise_agreement(np.repeat(np.array([[[1.0, 0.0]]]), 4, axis=0)), [1.0])


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    z, u, y = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 5, 2)), rng.integers(0, 2, 4)

    def loss(z: np.ndarray, u: np.ndarray) -> float:
        own = softmax(z)[:, np.arange(4), y]
        return float(-np.log(own).mean() + 0.7 * pairwise_agreement(softmax(u)).mean())

    gz, gu = loss_gradient(softmax(z), softmax(u), y, 0.7)
    for array, gradient, which in ((z, gz, 0), (u, gu, 1)):
        for at in np.ndindex(array.shape):
            move = np.zeros_like(array)
            move[at] = 1e-6
            up, down = (loss(*((array + s * move, u) if which == 0 else (z, array + s * move))) for s in (1, -1))
            assert abs((up - down) / 2e-6 - gradient[at]) < 1e-8


def test_heads_agree_less_on_a_class_that_no_label_shows(make_world) -> None:
    world = make_world(n=240, classes=4, wrong=0.0)
    true = world.pool.labels.codes
    labels = [None if c == 3 or i % 3 else f"c{c}" for i, c in enumerate(true)]
    rows = [{"text": t, "label": v} for t, v in zip(world.pool.texts, labels, strict=True)]
    half = Pool.from_rows(rows, roles=world.pool.roles)
    found = TSimilarity(steps=200)(half, world.observer, world.ctx).values
    assert found.min() >= 0 and found.max() <= 1
    assert auroc(true != 3, found) > 0.95


def test_without_two_classes_it_is_refused(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(3, dtype=np.float32), ["a", None, None], "t")
    with pytest.raises(NotCapable, match="two classes"):
        TSimilarity()(pool, observer, ctx)
