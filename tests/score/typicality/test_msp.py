from __future__ import annotations

import numpy as np

from whence.kernels.ranking import auroc
from whence.score.typicality.msp import MSP, doubt


def test_by_hand() -> None:
    np.testing.assert_allclose(doubt(np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])), [0.3, 2 / 3])


def test_the_label_does_not_matter_but_the_prediction_does(make_world) -> None:
    world = make_world(n=300, wrong=0.0, spread=0.5)
    seen = world.observer.class_probs(world.pool)
    found = MSP()(world.pool, world.observer, world.ctx).values
    mistaken = seen.probs.argmax(axis=1) != seen.codes
    assert mistaken.sum() > 5 and auroc(mistaken, found) > 0.75


def test_with_a_reference_it_is_the_references_head(make_world) -> None:
    world = make_world(n=120, wrong=0.0)
    found = MSP()(world.pool, world.observer, world.ctx, reference=world.pool).values
    head = world.observer.head(world.pool)
    np.testing.assert_allclose(found, 1 - head.probs(world.observer.embeddings(world.pool)).max(axis=1), atol=1e-6)
