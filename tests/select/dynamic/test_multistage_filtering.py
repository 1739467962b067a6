from __future__ import annotations

import numpy as np
import pytest

from whence.select.dynamic.multistage_filtering import MultistageFiltering, WordBayes, bag_of_words


def test_words_by_hand() -> None:
    B = bag_of_words(["Red apple", "an apple, an APPLE", ""])
    np.testing.assert_array_equal(B.toarray(), [[0, 1, 1], [1, 1, 0], [0, 0, 0]])  # an, apple, red


def test_naive_bayes_is_scikit_learns() -> None:
    from sklearn.naive_bayes import BernoulliNB

    rng = np.random.default_rng(0)
    B = bag_of_words([" ".join(f"w{j}" for j in np.flatnonzero(row)) for row in rng.random((80, 12)) < 0.3])
    high = rng.random(80) < 0.4
    ours, theirs = WordBayes(B.shape[1]), BernoulliNB(alpha=1.0, fit_prior=True)
    for rows in np.split(np.arange(80), 4):
        ours.learn(B[rows], high[rows])
        theirs.partial_fit(B[rows], high[rows], classes=[False, True])
    # our prior is smoothed too, so that an unseen class is not impossible
    prior = np.log((ours.seen + 1) / 82)
    expected = theirs._joint_log_likelihood(B) - theirs.class_log_prior_ + prior
    expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ours.log_probs(B), expected, rtol=1e-9)


def test_before_anything_was_learnt_it_does_not_know() -> None:
    np.testing.assert_allclose(np.exp(WordBayes(3).log_probs(bag_of_words(["a b c", "a"]))), 0.5)


def test_stage_one_alone_is_plain_training(scene, blobs) -> None:
    at = scene(*blobs(120))
    made = MultistageFiltering(rounds=4, warm=1.0)(at.pool, at.observer, at.ctx, budget=120, queries=at.queries)
    np.testing.assert_array_equal(made.drawn, 4)
    assert made.forward == made.backward == 480


def test_easy_examples_lose_their_backward_pass(scene, blobs) -> None:
    """Two far groups that are soon learnt, and a third with labels at random: the budget goes to the third."""
    X, y = blobs(240, spread=0.1)
    rng = np.random.default_rng(0)
    y = [f"c{rng.integers(3)}" if label == "c2" else label for label in y]
    at = scene(X, y)
    made = MultistageFiltering(warm=0.1, trust=0.0)(at.pool, at.observer, at.ctx, budget=120, queries=at.queries)
    hard = np.arange(240) % 3 == 2
    assert made.drawn[hard].mean() > 2 * made.drawn[~hard].mean()
    assert made.backward < made.forward


def test_forecasts_spare_forward_passes(scene, blobs) -> None:
    """The same, where the word model is trusted at once and the texts say which group a row is in."""
    X, y = blobs(240, spread=0.1)
    rng = np.random.default_rng(0)
    y = [f"c{rng.integers(3)}" if label == "c2" else label for label in y]
    plain = scene(X, y)
    wary, trusting = (
        MultistageFiltering(warm=0.1, window=2, trust=t)(plain.pool, plain.observer, plain.ctx, budget=120, queries=plain.queries)
        for t in (0.0, 100.0)
    )
    assert trusting.forward < wary.forward


@pytest.mark.parametrize("budget", [1, 5, 119])
def test_never_more_backward_than_allowed(scene, blobs, budget: int) -> None:
    at = scene(*blobs(120))
    made = MultistageFiltering(rounds=3)(at.pool, at.observer, at.ctx, budget=budget, queries=at.queries)
    assert 0 < made.backward <= 3 * budget
