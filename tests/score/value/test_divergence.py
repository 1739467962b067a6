from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.core.pool import Pool
from whence.kernels.ranking import auroc
from whence.models import open_encoder
from whence.models.observe import Observer
from whence.score.value.divergence import GRADES, Divergence, corruptions, pair_features, rank_weights

NAMES = ("ann", "ben", "carla", "dan", "eve", "finn", "gus", "hanna", "ida", "jon")
DONE = ("sold", "bought", "painted", "lost", "found", "carried")
THINGS = ("a red chair", "the old piano", "two green lamps", "his bicycle", "her garden tools", "a boat", "the table")


def sentences() -> list[str]:
    return [f"{who} {did} {what} on the market" for who in NAMES for did in DONE for what in THINGS]


def test_grades_change_what_they_say() -> None:
    made = corruptions(["a b c d e f", "u v w x y z"], np.random.default_rng(0))
    assert len(made) == len(GRADES) and made[0] == ["a b c d e f", "u v w x y z"]
    kept = set("abcdef")
    assert [len(kept & set(side[0].split())) for side in made] == [6, 5, 4, 3, 0]


def test_the_ranker_solves_a_problem_worked_by_hand() -> None:
    # one feature, differences 1 and 1: minimise (1 - w)^2 + 0.1 w^2, so w = 1 / 1.1
    graded = np.array([[[0.0], [2.0]], [[1.0], [3.0]]])
    np.testing.assert_allclose(rank_weights(graded, 0.1), [1 / 1.1], rtol=1e-8)


def test_features_of_equal_sides() -> None:
    u = np.array([[0.6, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(pair_features(u, u), [[0, 0, 0.36, 0.64, 1.0]], atol=1e-6)


def test_exchanged_pairs_diverge(world) -> None:
    said = sentences()
    rng = np.random.default_rng(1)
    swapped = rng.random(len(said)) < 0.2
    other = [said[(i + 200) % len(said)] if s else "today " + said[i] for i, s in enumerate(swapped)]
    rows = [{"text": a, "pair": b} for a, b in zip(said, other, strict=True)]
    pool = Pool.from_rows(rows, roles={"text": "text", "pair": "pair"})
    observer = Observer(open_encoder("tfidf"), world.ctx)
    scores = Divergence(pairs=200)(pool, observer, world.ctx)
    assert auroc(swapped, scores.values) > 0.95
    assert "different" in scores.high


def test_pools_without_pairs_are_refused_and_empty_sides_are_missing(world) -> None:
    with pytest.raises(NotCapable, match="pair"):
        Divergence()(world.pool, world.observer, world.ctx)
    rows = [{"text": s, "pair": s if i else ""} for i, s in enumerate(sentences()[:40])]
    pool = Pool.from_rows(rows, roles={"text": "text", "pair": "pair"})
    scores = Divergence()(pool, Observer(open_encoder("tfidf"), world.ctx), world.ctx)
    assert scores.missing == {pool.ids[0]: "one side is empty"} and len(scores) == 39
